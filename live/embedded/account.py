"""Which account the servers run as: PostgreSQL refuses to be root, and nothing is made for it.

As root an account that is already there is used, and no folder that is not ours is opened for it.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from live.embedded.errors import ServerNotStarted

_ROOT = 0
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process already runs as that account."""
        return self.uid == os.geteuid()


def choose_account(data_folders: tuple[Path, ...]) -> Account:
    """The owner of data that is already there; else ourselves, or as root a lesser account."""
    ours = os.geteuid()
    for folder in data_folders:
        if not folder.exists():
            continue
        owner = folder.stat().st_uid
        if ours not in (_ROOT, owner):
            raise ServerNotStarted(
                f"{folder} belongs to {_name(owner)} and this is {_name(ours)}: start as "
                f"{_name(owner)} or root, or choose another state folder"
            )
        if owner != _ROOT:
            return _by_uid(owner)
    return _lesser_account() if ours == _ROOT else _by_uid(ours)


def _lesser_account() -> Account:
    for name in _CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise ServerNotStarted(
        f"root needs a lesser account to run PostgreSQL as, and there is none of "
        f"{', '.join(_CANDIDATES)}: start as another user"
    )


def _by_uid(uid: int) -> Account:
    try:
        found = pwd.getpwuid(uid)
    except KeyError as error:
        raise ServerNotStarted(
            f"user id {uid} has no name on this machine, which PostgreSQL needs: "
            "add it to /etc/passwd, or start as another user"
        ) from error
    return Account(found.pw_name, uid, os.getegid() if uid == os.geteuid() else found.pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """See the files and processes that `account` sees. Not for programs with other threads."""
    if account.is_ours:
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    os.setgroups([])
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def closed_folder(path: Path, account: Account) -> Path | None:
    """The topmost folder on the way to and including `path` that `account` may not enter."""
    with acting_as(account):
        for folder in (*reversed(path.parents), path):
            if not os.access(folder, os.X_OK, effective_ids=True):
                return folder
    return None
