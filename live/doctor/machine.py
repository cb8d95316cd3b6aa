"""The machine: Python, packages, time zones, folders, disk and ports."""

import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from live.access import HASHES_FILE, TOKENS_FILE
from live.doctor.findings import Finding, fail, fine, warn
from live.embedded.errors import ServerNotStarted
from live.launcher.children import LOOPBACK
from live.launcher.home import Home
from live.launcher.ports import need_port
from live.settings import FILES, PROJECT, OperatorSettings

_OLDEST_PYTHON = (3, 11)
_ZONE = "Asia/Kolkata"
_GIB = 2**30
_TIGHT_GIB, _FULL_GIB = 2.0, 0.25
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ANY = stat.S_IRWXG | stat.S_IRWXO


def check_python() -> Iterator[Finding]:
    """The interpreter and what requirements.txt pins."""
    found = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        yield fail("python", found, "install Python 3.11 or newer and delete .venv")
    else:
        yield fine("python", found)
    wrong = [told for told in map(_wrong_package, _pins()) if told]
    if wrong:
        yield fail("packages", ", ".join(wrong), "delete .venv/*.stamp and run ./start_all.sh")
    else:
        yield fine("packages", f"{len(_pins())} as requirements.txt pins them")
    try:
        ZoneInfo(_ZONE)
    except (ZoneInfoNotFoundError, OSError):
        yield fail("time zones", f"{_ZONE} is not known", "install the package tzdata")
    else:
        yield fine("time zones", f"{_ZONE} is known")


def check_home(home: Home) -> Iterator[Finding]:
    """The state folder, who may read in it, and the room it has left."""
    if not home.path.is_dir():
        yield warn("state folder", f"{home.path} is not there yet", "./start_all.sh makes it")
    elif not os.access(home.path, os.W_OK | os.X_OK):
        yield fail("state folder", f"{home.path} cannot be written", f"chown it: {home.path}")
    elif home.path.stat().st_mode & _OTHERS_READ:
        yield warn("state folder", f"others may read {home.path}", f"chmod 711 {home.path}")
    else:
        yield fine("state folder", str(home.path))
    for name in (TOKENS_FILE, HASHES_FILE):
        path = home.path / name
        if path.exists() and path.stat().st_mode & _OTHERS_ANY:
            yield fail(name, "others may read it", f"chmod 600 {path}, and think of new tokens")
        elif path.exists():
            yield fine(name, "readable by its owner only")
    for path in (folder / name for folder in (home.path, PROJECT) for name in FILES):
        if path.exists() and path.stat().st_mode & _OTHERS_ANY:
            yield warn(path.name, "others may read it, and it may hold a key", f"chmod 600 {path}")
    yield _room(home.path)


def check_ports(settings: OperatorSettings, served_at: str | None) -> Iterator[Finding]:
    """That the ports which a start needs are free; `served_at` is the service that runs."""
    if served_at is not None:
        yield fine("ports", f"the service that runs has {served_at}")
        return
    wanted = [(settings.host, settings.port, "PM_PORT")]
    if settings.gateway is None and settings.paper_port:
        wanted.append((LOOPBACK, settings.paper_port, "PM_PAPER_PORT"))
    for host, port, variable in wanted:
        try:
            need_port(host, port, variable, 0.0)
        except ServerNotStarted as error:
            yield fail("ports", f"{port} of {host} is in use", str(error))
        else:
            yield fine("ports", f"{port} of {host} is free")


def _pins() -> list[tuple[str, str]]:
    """Names and versions of requirements.txt, those with a condition left out."""
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    split = (line.split("==") for line in lines if "==" in line and ";" not in line)
    return [(name, pinned) for name, pinned in split]


def _wrong_package(pin: tuple[str, str]) -> str:
    name, pinned = pin
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is missing"
    return "" if found == pinned else f"{name} {found} instead of {pinned}"


def _room(path: Path) -> Finding:
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    free_gib = shutil.disk_usage(place).free / _GIB
    found = f"{free_gib:.1f} GiB free at {place}"
    if free_gib < _FULL_GIB:
        return fail("disk", found, "make room: PostgreSQL stops when the disk is full")
    if free_gib < _TIGHT_GIB:
        return warn("disk", found, "make room, or move PM_HOME")
    return fine("disk", found)
