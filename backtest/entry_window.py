"""From which day to which a run takes trades; one that has begun inside is followed to its end."""

from datetime import date, datetime

from core.ist import as_ist


class EntryWindow:
    """Takes the entries of trades that begin from `start` to `end` (IST days, both included)."""

    def __init__(self, start: date | None = None, end: date | None = None) -> None:
        self._start = start
        self._end = end
        self._trade_inside = start is None

    def takes_entry(self, layer: int | None, moment: datetime) -> bool:
        """Whether an entry belongs to such a trade. Ask for one instrument's in order of time."""
        if layer == 1:
            day = as_ist(moment).date()
            self._trade_inside = self.has_begun(moment) and (self._end is None or day <= self._end)
        return self._trade_inside

    def has_begun(self, moment: datetime) -> bool:
        """Whether `moment` is on `start` or later."""
        return self._start is None or as_ist(moment).date() >= self._start
