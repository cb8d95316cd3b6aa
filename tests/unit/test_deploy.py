"""What lies in deploy/ fits the program: its settings exist, its ports and names agree."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import ConfigInvalid
from live.settings import OperatorSettings, operator_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "portfolio-manager@.service"
STRONG = (
    "aQ9wE8rT7yU6iO5pL4kJ3hG2fD1sZ0xC",
    "mN8bV7cX6zL5kJ4hG3fD2sA1pO0iU9yT",
    "Zx1Cv2Bn3Mq4We5Rt6Yu7Io8Pa9Sd0Fg",
)


def assignments(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def read(variables: dict[str, str], tmp_path: Path) -> OperatorSettings:
    return operator_settings({**variables, "PM_HOME": str(tmp_path)}, tmp_path)


def test_the_example_of_an_instance_is_refused_until_its_placeholders_are_filled(
    tmp_path: Path,
) -> None:
    given = assignments(DEPLOY / "systemd" / "portfolio-manager.env.example")
    with pytest.raises(ConfigInvalid, match="placeholder"):
        read(given, tmp_path)
    filled = {name: text.replace("CHANGE_ME", "kJ8vQz2LmN4rTx6W") for name, text in given.items()}
    roles = ("PM_WEBHOOK_SECRET", "PM_VIEWER_TOKEN", "PM_OPERATOR_TOKEN")
    found = read({**filled, **dict(zip(roles, STRONG, strict=True))}, tmp_path)
    assert (found.instances, found.trusted_proxies, found.port) == (3, 1, 5002)


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
    return found


def test_the_composed_instances_are_as_many_as_they_are_told(tmp_path: Path) -> None:
    services = compose()["services"]
    instances = {name: each for name, each in services.items() if name.startswith("instance")}
    needed = assignments(DEPLOY / "compose.env.example")
    for each in instances.values():
        named = " ".join(each["environment"].values())
        assert set(re.findall(r"\$\{(\w+)", named)) == set(needed)
        values = {
            name: re.sub(r"\$\{\w+[^}]*\}", "analyze" if "MODE" in name else "x9", text)
            for name, text in each["environment"].items()
        }
        values["OPENALGO_URL"] = needed["OPENALGO_URL"]
        assert read(values, tmp_path).instances == len(instances)
    volumes = [volume for each in instances.values() for volume in each["volumes"]]
    assert len(set(volumes)) == len(instances)


def test_the_composed_proxy_finds_every_instance_in_the_shipped_configuration() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    (script,) = [part for part in compose()["services"]["nginx"]["command"] if "sed" in part]
    for there in re.findall(r"s/([^/]+)/[^/]+/", script):
        assert there in nginx
    assert len(re.findall(r"^ +server 127", nginx, re.MULTILINE)) == 3


def test_the_unit_runs_what_is_there_and_is_watched() -> None:
    unit = UNIT.read_text()
    start = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    assert start is not None
    assert start[1].endswith(".venv/bin/python portfolio_manager.py live")
    assert (ROOT / "portfolio_manager.py").exists()
    assert {"Type=notify", "WatchdogSec=60", "Restart=always"} <= set(unit.splitlines())
