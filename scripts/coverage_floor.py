"""Holds the coverage of core/ to its floor: 95 % of its statements and 95 % of its branches.

Reads the figures of the last run with `--cov`; exits with 1 below the floor.
"""

import json
import subprocess
import sys

FLOOR_PCT = 95.0


def main() -> int:
    """Print both figures of core/ and say whether they stand."""
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "--quiet", "--include=core/*", "-o", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    totals = json.loads(report.stdout)["totals"]
    enough = True
    for what, covered, of in (
        ("statements", totals["covered_lines"], totals["num_statements"]),
        ("branches", totals["covered_branches"], totals["num_branches"]),
    ):
        percent = 100 * covered / of if of else 100.0
        enough = enough and percent >= FLOOR_PCT
        print(f"core/ {what}: {covered} of {of} covered, {percent:.1f} % (floor {FLOOR_PCT:.0f} %)")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
