"""How the service runs: its rules, without secrets, and its database."""

from dataclasses import dataclass

from core.config import PortfolioConfig
from core.db_state_manager.overview import DatabaseStatus
from live.api.rest import Room
from live.api.schemas import schema_of
from live.web_parts import WebParts


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The rules that are in force, and how the service meets its callers.

    `webhook_sources` are the networks alerts may come from, null for anywhere.
    """

    is_paper: bool
    is_test: bool
    webhook_sources: tuple[str, ...] | None
    trusted_proxies: int
    calls_per_s: int
    streams: int
    portfolio: PortfolioConfig


def operations_room(parts: WebParts) -> Room:
    """GET /config and /db/status."""
    room = Room("operations", __name__, description="How the service runs")

    @room.get_from("/config", schema_of(ServiceConfig))
    def config() -> ServiceConfig:
        """Every number of the trading rules as it is in force."""
        settings = parts.settings
        sources = settings.webhook_sources
        return ServiceConfig(
            settings.is_paper,
            settings.is_test,
            None if sources is None else tuple(map(str, sources)),
            settings.trusted_proxies,
            settings.calls_per_s,
            settings.streams,
            parts.config,
        )

    @room.get_from("/db/status", schema_of(DatabaseStatus))
    def database() -> DatabaseStatus:
        """The database server, its tables and the migrations of the schema."""
        return parts.reads.database_status()

    return room
