"""Instances that go by different rules are told of: the same alert would be sized in two ways."""

from datetime import timedelta

from core.db_state_manager import DatabaseStateManager
from core.ports import Clock

CONFIGS_DIFFER = "CONFIGS_DIFFER"
ALIVE = timedelta(seconds=30)


class ConfigWatch:
    """Looks at what the processes that live have said."""

    def __init__(self, store: DatabaseStateManager, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def run(self) -> None:
        """Tell it once a day for each set of rules."""
        now = self._clock.now()
        by_mark: dict[str, list[str]] = {}
        for process in self._store.processes(now - ALIVE):
            by_mark.setdefault(process.config_hash, []).append(process.instance_id)
        if len(by_mark) < 2:
            return
        key = {"day": now.date().isoformat(), "marks": sorted(by_mark)}
        self._store.tell_once(CONFIGS_DIFFER, None, {**key, "processes": by_mark}, key)
