"""The market's facts as shipped files: the one place where the trading rules read anything."""

import json
from importlib import resources
from typing import Any


def shipped(name: str) -> Any:
    """The parsed `core/data/<name>.json`; a fresh value each time, so callers may change it."""
    return json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
