"""gunicorn's hooks, in a master that has everything loaded: a worker that died is soon replaced."""

from live import wsgi
from live.launcher.gunicorn_hooks import child_exit, worker_exit

__all__ = ["child_exit", "worker_exit", "wsgi"]
