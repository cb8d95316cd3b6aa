"""What the operator wants, read once, refused by name when it is wrong.

Settings are variables of the environment, and three small files for those who rather keep
addresses and keys there; where both say something, the environment wins. Two readers: the
launcher's (what is not named is started by itself) and a worker's, to whom nothing is missing
any more. Secrets are kept out of every `repr` and every error.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

from brokers.messages import GatewayMode
from brokers.openalgo_http import GatewayAddress, is_plain_url
from core.config import PortfolioConfig
from core.errors import ConfigInvalid
from core.market_data import MarketData
from live.access import Role

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_HOME = PROJECT / "var"
NO_REDIS = "none"
NO_STREAM = "none"
PORTFOLIO_FILE = "portfolio_config.json"
MARKET_FILE = "market_overrides.json"

# The files of settings: each key is another name of a variable.
FILES: Mapping[str, Mapping[str, str]] = {
    "openalgo_config.json": {
        "url": "OPENALGO_URL",
        "api_key": "OPENALGO_API_KEY",
        "mode": "OPENALGO_MODE",
        "ws_url": "OPENALGO_WS_URL",
    },
    "db_config.json": {"url": "DATABASE_URL"},
    "redis_config.json": {"url": "REDIS_URL"},
}
_SECRETS = {
    Role.WEBHOOK: "PM_WEBHOOK_SECRET",
    Role.VIEWER: "PM_VIEWER_TOKEN",
    Role.OPERATOR: "PM_OPERATOR_TOKEN",
}
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_PLACEHOLDER = re.compile(r"change.?me|example|placeholder|your|password|x{4}|[<>]", re.IGNORECASE)
_STREAM_PORT = 8765
_REDIS_URL = re.compile(r"(redis|rediss|unix)://.+")
_LONGEST_OFFSET_S = 20 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway that orders go to. `is_paper`: it is our own exchange and holds no money.

    `ws_url` is where it tells of orders by itself; None: orders are polled.
    """

    url: str
    api_key: str = field(repr=False)
    mode: GatewayMode
    is_paper: bool
    ws_url: str | None = None

    @property
    def address(self) -> GatewayAddress:
        """For the client."""
        return GatewayAddress(self.url, self.api_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """What both readers read alike.

    `webhook_sources` are the networks alerts may come from, None for anywhere. `secrets` are
    those that the operator chose. `instances` trade one account, each with as many workers.
    `is_silent`: nothing is spoken aloud. `heartbeat_url` is called while a leader lives.
    `clock_offset_s` is how far the practice clock is ahead; `clock_file` holds that instead where
    a rehearsal moves it.
    """

    home: Path
    market: MarketData = field(repr=False, compare=False)
    portfolio_config: PortfolioConfig = field(repr=False)
    host: str
    port: int
    workers: int
    instances: int
    threads: int
    is_test: bool
    is_silent: bool
    heartbeat_url: str | None = field(repr=False)
    webhook_sources: tuple[str, ...] | None
    trusted_proxies: int
    secrets: Mapping[Role, str] = field(repr=False)
    clock_offset_s: float
    clock_file: Path | None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings(ProcessSettings):
    """Everything a worker needs; without `redis_url` it does without Redis."""

    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    gateway: Gateway

    @property
    def weak_allowed(self) -> bool:
        """Whether weak secrets do no harm: a paper account that only this machine reaches."""
        return self.gateway.is_paper and self.is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings(ProcessSettings):
    """What the operator named. None: the launcher starts one of its own.

    `with_redis` is False where the operator wants none at all. `variables` are the environment
    and the files together.
    """

    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    with_redis: bool
    gateway: Gateway | None
    paper_port: int
    variables: Mapping[str, str] = field(repr=False)

    @property
    def weak_allowed(self) -> bool:
        """Whether weak secrets do no harm: a paper account that only this machine reaches."""
        return self.gateway is None and self.is_loopback


def operator_settings(environment: Mapping[str, str], project: Path = PROJECT) -> OperatorSettings:
    """Read the environment and the files. Raises ConfigInvalid."""
    home = home_of(environment, project)
    variables = {**_file_variables((home, project)), **_given(environment)}
    _need_what_is_shared(variables)
    redis = variables.get("REDIS_URL")
    gateway = _read_gateway(variables, is_paper=False) if "OPENALGO_URL" in variables else None
    common = _common(variables, home)
    for name in ("clock_offset_s", "clock_file"):
        if gateway is not None and common[name]:
            allowed = "only the paper exchange practises at another time: leave --at out"
            raise ConfigInvalid(f"PM_{name.upper()}", common[name], allowed)
    paper_port = _whole(variables, "PM_PAPER_PORT", 5003, 0, 65_535)
    if gateway is None and paper_port == common["port"]:
        raise ConfigInvalid("PM_PAPER_PORT", paper_port, "PM_PORT is the same: set another")
    return OperatorSettings(
        **common,
        database_url=_database_url(variables) if "DATABASE_URL" in variables else None,
        redis_url=_redis_url(variables) if redis else None,
        with_redis=redis != NO_REDIS,
        gateway=gateway,
        paper_port=paper_port,
        variables=variables,
    )


def service_settings(variables: Mapping[str, str]) -> ServiceSettings:
    """Read what the launcher handed over. Raises ConfigInvalid for what is missing or wrong."""
    given = _given(variables)
    for name in ("PM_HOME", "DATABASE_URL", "REDIS_URL", "OPENALGO_URL"):
        _needed(given, name)
    return ServiceSettings(
        **_common(given, home_of(given, PROJECT)),
        database_url=_database_url(given),
        redis_url=_redis_url(given),
        gateway=_read_gateway(given, is_paper=_switch(given, "PM_PAPER")),
    )


def service_variables(settings: ServiceSettings) -> dict[str, str]:
    """What `service_settings` reads back as `settings`, but for what the environment gives."""
    gateway = settings.gateway
    return {
        "PM_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url or NO_REDIS,
        "OPENALGO_URL": gateway.url,
        "OPENALGO_API_KEY": gateway.api_key,
        "OPENALGO_MODE": gateway.mode.value,
        "OPENALGO_WS_URL": gateway.ws_url or NO_STREAM,
        "PM_PAPER": str(int(gateway.is_paper)),
        "PM_CLOCK_OFFSET_S": repr(settings.clock_offset_s),
        "PM_CLOCK_FILE": "" if settings.clock_file is None else str(settings.clock_file),
        "PM_HOST": settings.host,
        "PM_PORT": str(settings.port),
        "PM_WORKERS": str(settings.workers),
        "PM_INSTANCES": str(settings.instances),
        "PM_THREADS": str(settings.threads),
        "PM_TEST_MODE": str(int(settings.is_test)),
        "PM_SILENT": str(int(settings.is_silent)),
    }


def home_of(variables: Mapping[str, str], project: Path = PROJECT) -> Path:
    """The folder of all state."""
    named = variables.get("PM_HOME", "").strip()
    return Path(named).expanduser().absolute() if named else project / DEFAULT_HOME.name


def is_loopback(host: str) -> bool:
    """Whether `host` is an address, or the name, by which a machine reaches only itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of settings. Raises ConfigInvalid."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        allowed = f"{path} must be a file that this user may read ({error.strerror})"
        raise ConfigInvalid(path.name, "(not shown)", allowed) from error
    except ValueError as error:
        raise ConfigInvalid(path.name, "(not shown)", f"{path} must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigInvalid(path.name, "(not shown)", f"{path} must be an object: {{...}}")
    return found


def _given(variables: Mapping[str, str]) -> dict[str, str]:
    """A variable that is set to nothing was not given."""
    return {name: value.strip() for name, value in variables.items() if value.strip()}


def _need_what_is_shared(variables: Mapping[str, str]) -> None:
    """Instances of one account share servers and tokens; each must not begin with its own."""
    if _whole(variables, "PM_INSTANCES", 1, 1, 64) == 1:
        return
    for name in ("DATABASE_URL", "REDIS_URL", "OPENALGO_URL", *_SECRETS.values()):
        if name not in variables:
            allowed = "with PM_INSTANCES above 1 it is needed, and the same in each of them"
            raise ConfigInvalid(name, "", allowed)


def _file_variables(folders: tuple[Path, ...]) -> dict[str, str]:
    """What the files say, each from the first of `folders` that has it."""
    found = {}
    for name, keys in FILES.items():
        path = next((place / name for place in folders if (place / name).exists()), None)
        for key, value in ({} if path is None else read_object(path)).items():
            if key not in keys:
                raise ConfigInvalid(f"{name}: {key}", "(not shown)", f"known: {', '.join(keys)}")
            if not isinstance(value, str):
                raise ConfigInvalid(f"{name}: {key}", "(not shown)", "a text in quotes")
            found[keys[key]] = value
    return _given(found)


def _common(variables: Mapping[str, str], home: Path) -> dict[str, Any]:
    market = _market(home / MARKET_FILE)
    return {
        "home": home,
        "market": market,
        "portfolio_config": _portfolio_config(home / PORTFOLIO_FILE, market),
        "host": variables.get("PM_HOST", "127.0.0.1"),
        "port": _whole(variables, "PM_PORT", 5002, 1, 65_535),
        "workers": _whole(variables, "PM_WORKERS", 2, 1, 64),
        "instances": _whole(variables, "PM_INSTANCES", 1, 1, 64),
        "threads": _whole(variables, "PM_THREADS", 8, 1, 256),
        "is_test": _switch(variables, "PM_TEST_MODE"),
        "is_silent": _switch(variables, "PM_SILENT"),
        "heartbeat_url": _heartbeat_url(variables),
        "webhook_sources": _networks(variables, "PM_WEBHOOK_SOURCES"),
        "trusted_proxies": _whole(variables, "PM_TRUSTED_PROXIES", 0, 0, 10),
        "secrets": {role: variables[name] for role, name in _SECRETS.items() if name in variables},
        "clock_offset_s": _seconds(variables, "PM_CLOCK_OFFSET_S"),
        "clock_file": _file(variables, "PM_CLOCK_FILE"),
    }


def _market(path: Path) -> MarketData:
    try:
        return MarketData.shipped(read_object(path) if path.exists() else None)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{path.name}: {error.path}", error.value, error.allowed) from error


def _portfolio_config(path: Path, market: MarketData) -> PortfolioConfig:
    settings = read_object(path) if path.exists() else {}
    return PortfolioConfig.from_mapping(settings, market.catalog.config_defaults())


def _read_gateway(variables: Mapping[str, str], *, is_paper: bool) -> Gateway:
    key, told = _needed(variables, "OPENALGO_API_KEY"), _needed(variables, "OPENALGO_MODE")
    if not is_paper:
        _refuse_placeholder("OPENALGO_API_KEY", key)
    try:
        mode = GatewayMode(told)
    except ValueError:
        raise ConfigInvalid("OPENALGO_MODE", told, f"one of {', '.join(GatewayMode)}") from None
    url = variables["OPENALGO_URL"]
    GatewayAddress(url, key)
    return Gateway(url, key, mode, is_paper, _stream_url(variables, url))


def _stream_url(variables: Mapping[str, str], gateway_url: str) -> str | None:
    """Where orders are told of: as it is named, else the gateway's host at its usual port."""
    parts = urlsplit(gateway_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}:{_STREAM_PORT}"
    url = variables.get("OPENALGO_WS_URL", usual)
    if url == NO_STREAM:
        return None
    if not is_plain_url(url, ("ws", "wss")):
        allowed = f"ws(s)://host[:port], or {NO_STREAM} to poll only"
        raise ConfigInvalid("OPENALGO_WS_URL", "(not shown)", f"{allowed} is expected")
    return url


def _database_url(variables: Mapping[str, str]) -> str:
    url = variables["DATABASE_URL"]
    try:
        parts = parse_dsn(url)
    except psycopg2.ProgrammingError:
        allowed = "postgresql://user:secret@host:5432/name"
        raise ConfigInvalid("DATABASE_URL", "(hidden)", f"like {allowed} is expected") from None
    _refuse_placeholder("DATABASE_URL", parts.get("password", ""))
    return url


def _redis_url(variables: Mapping[str, str]) -> str | None:
    url = variables["REDIS_URL"]
    if url == NO_REDIS:
        return None
    if _REDIS_URL.fullmatch(url) is None:
        allowed = f"redis://host:6379/0, unix:///path, or {NO_REDIS} to run without"
        raise ConfigInvalid("REDIS_URL", "(hidden)", f"{allowed} is expected")
    return url


def _refuse_placeholder(name: str, secret: str) -> None:
    if _PLACEHOLDER.search(secret):
        raise ConfigInvalid(name, "(hidden)", "it holds a placeholder: put the real one there")


def _needed(variables: Mapping[str, str], name: str) -> str:
    if name not in variables:
        keys = [
            f"{key} in {file}" for file, each in FILES.items() for key in each if each[key] == name
        ]
        raise ConfigInvalid(
            name, "", f"it is needed: set it{''.join(f', or {key}' for key in keys)}"
        )
    return variables[name]


def _networks(variables: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """Addresses and networks, None where none are named."""
    if name not in variables:
        return None
    texts = tuple(part.strip() for part in variables[name].split(",") if part.strip())
    for text in texts:
        try:
            ip_network(text)
        except ValueError:
            allowed = "addresses, or networks such as 10.0.0.0/8, with commas between"
            raise ConfigInvalid(name, text, allowed) from None
    return texts


def _heartbeat_url(variables: Mapping[str, str]) -> str | None:
    url = variables.get("PM_HEARTBEAT_URL")
    if url is not None and not url.startswith(("https://", "http://")):
        raise ConfigInvalid("PM_HEARTBEAT_URL", "(hidden)", "https://... is expected")
    return url


def _whole(variables: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = variables.get(name, str(default))
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise ConfigInvalid(name, text, f"a whole number {low} to {high}")
    return int(text)


def _switch(variables: Mapping[str, str], name: str) -> bool:
    text = variables.get(name, "0")
    if text.lower() not in _SWITCH:
        raise ConfigInvalid(name, text, f"one of {', '.join(_SWITCH)}")
    return _SWITCH[text.lower()]


def _file(variables: Mapping[str, str], name: str) -> Path | None:
    if name not in variables:
        return None
    path = Path(variables[name]).expanduser().absolute()
    if not path.is_file():
        raise ConfigInvalid(name, str(path), "a file that is there")
    return path


def _seconds(variables: Mapping[str, str], name: str) -> float:
    text = variables.get(name, "0")
    try:
        seconds = float(text)
    except ValueError:
        raise ConfigInvalid(name, text, "seconds are expected") from None
    if not abs(seconds) <= _LONGEST_OFFSET_S:
        raise ConfigInvalid(name, text, "no further away than the years that are known")
    return seconds
