"""No secret reaches a log line: removed by the name it goes under, and by its very text.

Names are met as keys and inside texts (JSON, headers, URLs, connection strings, exceptions); texts
that are known to be secret are removed wherever they stand. Better one harmless word too many
removed than a secret too few. Every pattern takes time in proportion to the text.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from urllib.parse import quote

REMOVED = "(removed)"

_SHORTEST_KNOWN = 4
_LONGEST_TEXT = 8_000
_DEEPEST = 6

_NAME = r"(?:api[-_ ]?key|token|secret|authori[sz]ation|passw(?:or)?d|passphrase|pwd)"
_VALUE = (
    r"(?:\\{1,8}[\"'][^\"']*[\"']?"  # quoted in JSON inside JSON
    r"|\"(?:[^\"\\]|\\.)*\"?"
    r"|'(?:[^'\\]|\\.)*'?"
    r"|(?:Bearer|Basic|Digest|Token)\s{1,8}[^\s\"',;&]+"
    r"|[^\s\"',;&)\]}]+)"
)
_SECRET_NAME = re.compile(_NAME + r"|cookie", re.IGNORECASE)
_PATTERNS = (
    # name: value, "name": "value", name=value, and ("name", "value") as headers are kept.
    re.compile(
        rf"({_NAME}[\w-]{{0,24}}(?:\\{{0,8}}[\"']?\s{{0,8}}[:=]\s{{0,8}}"
        rf"|[\"']\s{{0,4}},\s{{0,4}}(?=[\"']))){_VALUE}",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(r"(cookie[\"']?\s{0,8}[:=]\s{0,8})[^\r\n]+", re.IGNORECASE),
    re.compile(r"(\b(?:Bearer|Basic)\s{1,8})[\w.~+/=-]{6,}", re.IGNORECASE),
    re.compile(r"((?:/|%2F)webhook(?:/|%2F))[^\s\"'?#,)\]}>]+", re.IGNORECASE),
    # scheme://account:password@host
    re.compile(r"(://[^\s/:@]{0,128}:)[^\s\"'<>]{1,256}(?=@)"),
)
# Each pattern needs one of these: without, none is tried, as for nearly every text.
_HINTS = (
    "key",
    "token",
    "secret",
    "authori",
    "pass",
    "pwd",
    "cookie",
    "bearer",
    "basic",
    "webhook",
    "://",
)


class _KnownSecrets:
    """Texts that may stand nowhere, each in the forms it takes inside URLs and JSON."""

    def __init__(self) -> None:
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        forms = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1]}
        self._forms |= forms
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def remove_from(self, text: str) -> str:
        pattern = self._pattern
        return text if pattern is None else pattern.sub(REMOVED, text)


_KNOWN = _KnownSecrets()


def register_secret(secret: str) -> None:
    """Remove this text from every line of this process from now on.

    One of fewer than four characters is not: it would blot out ordinary words.
    """
    if len(secret) >= _SHORTEST_KNOWN:
        _KNOWN.add(secret)


def redact_text(text: str) -> str:
    """The text without secrets."""
    text = _KNOWN.remove_from(text)
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{REMOVED}", text)
    return text


def redact(value: object, depth: int = 0) -> object:
    """A value as JSON can hold it, without secrets at any depth; long texts are cut."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping() if depth < _DEEPEST:
            return {_text(name): _under(name, inner, depth) for name, inner in value.items()}
        case Collection() if depth < _DEEPEST and not isinstance(value, str | bytes):
            return [redact(inner, depth + 1) for inner in value]
        case bytes():
            return _text(value.decode(errors="replace"))
        case _:
            return _text(value)


def _under(name: object, value: object, depth: int) -> object:
    is_secret = value is not None and _SECRET_NAME.search(str(name)) is not None
    return REMOVED if is_secret else redact(value, depth + 1)


def _text(value: object) -> str:
    text = redact_text(str(value))
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} (cut)"
