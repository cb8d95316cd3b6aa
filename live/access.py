"""A caller may do only what a token of theirs says; whoever shows none may do nothing.

Tokens are random 256-bit texts, made at the first start. The words themselves stand in one file
for the people and scripts that use them, readable by its owner only, and may be deleted when they
are handed out; the service keeps their SHA-256 alone. A secret that somebody chose is refused when
it is short, monotonous or a placeholder, unless only this machine can reach a paper account.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import ConfigInvalid, Rejected

HASHES_FILE = "token_hashes.json"
TOKENS_FILE = "tokens.json"

_SHORTEST = 32
_FEWEST_LETTERS = 10
_MARK = 12
_OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO
_HASH = re.compile(r"[0-9a-f]{64}")
_PLACEHOLDER = re.compile(
    r"change.?me|default|dummy|example|insert|password|placeholder|replace|sample|secret|test"
    r"|todo|token|webhook|your.?|x{4}|1234|abcd|qwerty",
    re.IGNORECASE,
)


class Role(StrEnum):
    """What a token is for. Operators may do what viewers may; the webhook's does nothing else."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    WEBHOOK = "webhook"


_HELD_BY: Mapping[Role, tuple[Role, ...]] = {
    Role.VIEWER: (Role.VIEWER, Role.OPERATOR),
    Role.OPERATOR: (Role.OPERATOR,),
    Role.WEBHOOK: (Role.WEBHOOK,),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a role, and the mark by which its token is told apart in an audit."""

    role: Role
    mark: str

    def __str__(self) -> str:
        return f"{self.role} {self.mark}"

    def may(self, needed: Role) -> bool:
        """Whether this caller may do what `needed` may."""
        return self.role in _HELD_BY[needed]


class TokenMissing(Rejected):
    """The caller showed no token where one is needed."""

    def __init__(self) -> None:
        super().__init__("TOKEN_MISSING", "a token is needed here and none was given")


class CallerRefused(Rejected):
    """The caller showed a wrong token, or calls from where nobody may."""

    def __init__(self, reason: str = "this caller may not do that") -> None:
        super().__init__("CALLER_REFUSED", reason)


class Access:
    """Who may do what, by the SHA-256 of their token."""

    def __init__(self, hashes: Mapping[Role, str]) -> None:
        self._hashes = dict(hashes)

    def __repr__(self) -> str:
        return f"Access({', '.join(self._hashes)})"

    def allows(self, token: str | None, needed: Role) -> bool:
        """Whether `token` may do what `needed` may; in the same time for every wrong one."""
        if not token:
            return False
        given = hash_token(token)
        found = [
            hmac.compare_digest(given, self._hashes[role])
            for role in _HELD_BY[needed]
            if role in self._hashes
        ]
        return any(found)

    def demand(self, token: str | None, needed: Role) -> None:
        """Raise TokenMissing or CallerRefused unless `token` may do what `needed` may."""
        if not token:
            raise TokenMissing
        if not self.allows(token, needed):
            raise CallerRefused

    def identify(self, token: str | None) -> Caller:
        """Whose token that is. Raises TokenMissing, and CallerRefused for the webhook's too."""
        self.demand(token, Role.VIEWER)
        role = Role.OPERATOR if self.allows(token, Role.OPERATOR) else Role.VIEWER
        return Caller(role, self._hashes[role][:_MARK])

    def signing_key(self) -> bytes:
        """What sessions are signed with: the same in every process, another when tokens change."""
        kept = "".join(f"{role}:{self._hashes[role]};" for role in sorted(self._hashes))
        return hmac.digest(kept.encode(), b"sessions of the portfolio manager", "sha256")


def hash_token(token: str) -> str:
    """The SHA-256 of a token, which is long and random enough to need no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def open_access(
    folder: Path, chosen: Mapping[Role, str] | None = None, *, weak_allowed: bool = False
) -> Access:
    """The access kept in `folder`, made there at the first start.

    `chosen` secrets stand in for those made here. `weak_allowed` is for a paper account on the
    loopback address only. Raises ConfigInvalid for a weak secret, for two roles with one secret
    and for a file that others may read or nobody can.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone_in(folder):
        if not (folder / HASHES_FILE).exists():
            _make_tokens(folder)
    for name in (HASHES_FILE, TOKENS_FILE):
        _refuse_open_file(folder / name)
    hashes = _read_hashes(folder / HASHES_FILE)
    for role, secret in (chosen or {}).items():
        if not weak_allowed:
            refuse_weak(role, secret)
        hashes[role] = hash_token(secret)
    if len(set(hashes.values())) < len(hashes):
        raise ConfigInvalid("tokens", "(hidden)", "each role has a secret of its own")
    return Access(hashes)


def refuse_weak(role: Role, secret: str) -> None:
    """Raise ConfigInvalid, without the secret in it, for one that can be guessed."""
    weak = (
        len(secret) < _SHORTEST
        or len(set(secret)) < _FEWEST_LETTERS
        or _PLACEHOLDER.search(secret) is not None
    )
    if weak:
        raise ConfigInvalid(
            f"tokens.{role}",
            "(hidden)",
            f"at least {_SHORTEST} random characters, such as `openssl rand -hex 32` prints",
        )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No two processes make tokens at once: the files would not be of one piece."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_tokens(folder: Path) -> None:
    """The words first, their hashes last: what is there without hashes is made anew."""
    tokens = {role: secrets.token_hex(32) for role in Role}
    _write(folder / TOKENS_FILE, tokens)
    _write(folder / HASHES_FILE, {role: hash_token(token) for role, token in tokens.items()})


def _write(path: Path, content: Mapping[Role, str]) -> None:
    """Whole or not at all, and never readable by others in between."""
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _refuse_open_file(path: Path) -> None:
    if path.exists() and path.stat().st_mode & _OTHERS_MAY:
        raise ConfigInvalid(path.name, "readable by others", f"chmod 600 {path}")


def _read_hashes(path: Path) -> dict[Role, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hashes = {Role(role): str(value) for role, value in content.items()}
    except (ValueError, AttributeError) as error:
        raise ConfigInvalid(
            path.name, "(hidden)", "restore it, or delete it for new ones"
        ) from error
    if set(hashes) != set(Role) or not all(map(_HASH.fullmatch, hashes.values())):
        raise ConfigInvalid(path.name, "(hidden)", "restore it, or delete it for new ones")
    return hashes
