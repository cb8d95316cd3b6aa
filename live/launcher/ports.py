"""A port is asked for before anything is started, so that a taken one is told in a sentence."""

import errno
import socket

from core.errors import ConfigInvalid
from live.embedded.errors import ServerNotStarted
from live.embedded.process import wait_until


def need_port(host: str, port: int, variable: str, patience_s: float) -> None:
    """Raise ServerNotStarted if `port` does not become free within `patience_s`."""
    if not wait_until(lambda: _is_free(host, port), patience_s):
        raise ServerNotStarted(
            f"port {port} of {host} is in use by another program: end that one, "
            f"or set {variable} to another port"
        )


def free_port(host: str) -> int:
    """Some port that is free now."""
    with socket.create_server((host, 0)) as listening:
        return int(listening.getsockname()[1])


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Python's create_server sets SO_REUSEADDR, as gunicorn does.
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        allowed = f"an address of this machine, and a port it may use ({error.strerror})"
        raise ConfigInvalid("PM_HOST, PM_PORT", f"{host}:{port}", allowed) from error
    return True
