"""PostgreSQL and Valkey without an installation: run from wheels, as children of one supervisor.

The servers never outlive their supervisor, and a state folder never has two of either. How it is
meant for people: docs/embedded-servers.md.
"""

from live.embedded.errors import ServerNotStarted
from live.embedded.folders import ReadyServers, ready_servers
from live.embedded.supervisor import EmbeddedServers

__all__ = ["EmbeddedServers", "ReadyServers", "ServerNotStarted", "ready_servers"]
