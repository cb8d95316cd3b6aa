"""Breaks three instances behind nginx for some minutes, and says whether the books still hold.

    python -m scripts.chaos --minutes 5 --seed 7

Everything is started here, on ports and folders of its own; nothing that runs already is touched.
The exit code is 1 when something broke.
"""

import argparse
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.chaos.run import run
from tests.fixtures.chaos.table import table
from tests.fixtures.nginx import nginx_program
from tests.fixtures.servers import folder_for_all

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run it once; 0 when nothing broke."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--minutes", type=float, default=5.0)
    asked.add_argument("--seed", type=int, default=None, help="any number; printed, to do it again")
    given = asked.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    subprocess.run([ROOT / "scripts" / "nginx.sh"], check=True)
    try:
        nginx_program()
    except pytest.skip.Exception as error:
        print(error, file=sys.stderr)
        return 2
    print(f"seed {seed}", flush=True)
    with folder_for_all() as folder:
        ran = run(folder, seed, given.minutes * 60, lambda line: print(line, flush=True))
    print(table(ran))
    return 1 if ran.broken else 0


if __name__ == "__main__":
    sys.exit(main())
