"""A browser's session: a signed cookie that says who it is and until when, and nothing secret.

Nothing is stored: every process checks the signature with a key that follows from the tokens, so
new tokens end all sessions. A page of somebody else's can make a browser send the cookie, but
cannot read the CSRF token that belongs to it.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsdangerous import BadSignature, URLSafeSerializer

from core.ist import IST
from core.ports import Clock
from live.access import Access, Caller, Role
from live.ids import new_id

_SALT = "session"
_CSRF = b"csrf "


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who showed a token a while ago."""

    caller: Caller
    number: str
    until: datetime


class Sessions:
    """Makes cookies and reads them back."""

    def __init__(self, access: Access, clock: Clock, lasts_s: float) -> None:
        self._key = access.signing_key()
        self._signer = URLSafeSerializer(self._key, salt=_SALT)
        self._clock = clock
        self._lasts = timedelta(seconds=lasts_s)

    def cookie_for(self, caller: Caller) -> str:
        """A new session's cookie."""
        until = self._clock.now() + self._lasts
        content = [caller.role.value, caller.mark, new_id(), int(until.timestamp())]
        return str(self._signer.dumps(content))

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it is not ours or is over."""
        try:
            role, mark, number, until_s = self._signer.loads(cookie)
        except (BadSignature, UnicodeError):
            return None
        until = datetime.fromtimestamp(until_s, IST)
        if until <= self._clock.now():
            return None
        return Session(Caller(Role(role), mark), number, until)

    def csrf_token(self, cookie: str) -> str:
        """What a page must show besides the cookie when it changes something."""
        return hmac.digest(self._key, _CSRF + cookie.encode(), "sha256").hex()

    def is_csrf_token(self, shown: str, cookie: str) -> bool:
        """Whether `shown` belongs to the cookie."""
        return hmac.compare_digest(shown.encode(), self.csrf_token(cookie).encode())
