"""A short mark of all numbers in force: instances that decide alike have the same one."""

import hashlib
import json

from core.config import PortfolioConfig
from core.db_state_manager.json_values import to_json

_DIGITS = 12


def config_mark(config: PortfolioConfig, *, is_test: bool) -> str:
    """The same for equal rules, whatever the order in their file."""
    text = json.dumps([json.loads(to_json(config)), is_test], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
