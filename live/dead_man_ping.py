"""Somebody outside is told each minute that a leader lives; silence is what alarms there.

A machine that is gone can tell nobody. So a service elsewhere (healthchecks.io and its kind, or a
script of yours) is called, and raises the alarm when no call came. The address is a secret.
"""

import requests

from core.errors import Retryable

_ANSWER_S = 5.0


class DeadManPing:
    """Calls one address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self) -> None:
        """Say that this lives. Raises Retryable when nobody took it; the address is not told."""
        try:
            answer = requests.get(self._url, timeout=_ANSWER_S)
        except requests.RequestException as error:
            raise Retryable(f"nobody was told that this lives: {type(error).__name__}") from None
        if not answer.ok:
            raise Retryable(f"nobody was told that this lives: answer {answer.status_code}")
