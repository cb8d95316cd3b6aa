"""Where a bar lies in its day's session. A bar belongs to the IST day it opens on, never to two.

A day of which no bar lies in its regular hours is a special session (Muhurat, a Saturday test) of
which the hours are unknown: it runs from its first bar to its last. Bars outside the hours of any
other day belong to no session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time

import numpy as np
from numpy.typing import NDArray

SessionHours = Callable[[date], tuple[time, time]]
Epochs = NDArray[np.int64]

IST_OFFSET_S = 19_800
DAY_S = 86_400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions that bars lie in: a column of values a day, and one a bar (`inside`).

    `starts` is the index of a day's first bar, `counts` its number of bars; `opens` and `closes`
    are epoch seconds; `special` marks days that have no bar in their regular hours.
    """

    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    opens: Epochs
    closes: Epochs
    inside: NDArray[np.bool_]
    special: NDArray[np.bool_]

    @property
    def days(self) -> list[date]:
        """The IST day of each session."""
        numbers = (self.opens + IST_OFFSET_S) // DAY_S
        return [date.fromordinal(int(number) + _EPOCH_ORDINAL) for number in numbers]

    def open_of_each_bar(self) -> Epochs:
        """The open of the session that each bar lies in."""
        return np.repeat(self.opens, self.counts)

    def close_of_each_bar(self) -> Epochs:
        """The close of the session that each bar lies in."""
        return np.repeat(self.closes, self.counts)


def find_sessions(epoch_s: Epochs, spacing_s: int, hours: SessionHours | None) -> Sessions:
    """The sessions of bars (at least one, in rising order) that are `spacing_s` long.

    Without `hours` every day is taken as special.
    """
    days = (epoch_s + IST_OFFSET_S) // DAY_S
    starts = np.flatnonzero(np.diff(days, prepend=-1))
    counts = np.diff(starts, append=len(epoch_s))
    first, last = epoch_s[starts], epoch_s[starts + counts - 1]
    if hours is None:
        inside = np.ones(len(epoch_s), dtype=np.bool_)
        every_day = np.ones(len(starts), dtype=np.bool_)
        return Sessions(starts, counts, first, last + spacing_s, inside, every_day)
    opens, closes = _regular_hours(days[starts], hours)
    inside = (epoch_s >= np.repeat(opens, counts)) & (epoch_s < np.repeat(closes, counts))
    special = ~np.logical_or.reduceat(inside, starts)
    return Sessions(
        starts,
        counts,
        np.where(special, first, opens),
        np.where(special, last + spacing_s, closes),
        inside | np.repeat(special, counts),
        special,
    )


def bar_spacing_s(epoch_s: Epochs) -> int | None:
    """The commonest distance between two bars of one day (of any days, where no day has two).

    None for fewer than two bars.
    """
    if len(epoch_s) < 2:
        return None
    distances = np.diff(epoch_s)
    in_one_day = np.diff((epoch_s + IST_OFFSET_S) // DAY_S) == 0
    if in_one_day.any():
        distances = distances[in_one_day]
    found, counts = np.unique(distances, return_counts=True)
    return int(found[np.argmax(counts)])


def missing_bars(epoch_s: Epochs, sessions: Sessions, spacing_s: int) -> Epochs:
    """For each session, how many bars it should hold and does not.

    What lies before the first bar or after the last is not missing, nor is a whole day.
    """
    cells = (epoch_s - sessions.open_of_each_bar()) // spacing_s
    new = np.diff(cells, prepend=-1) != 0
    new[sessions.starts] = True
    held = np.add.reduceat(new & sessions.inside, sessions.starts, dtype=np.int64)
    missing: Epochs = -(-(sessions.closes - sessions.opens) // spacing_s) - held
    missing[0] -= max(int(cells[0]), 0)
    expected_last = -(-int(sessions.closes[-1] - sessions.opens[-1]) // spacing_s)
    missing[-1] -= max(expected_last - 1 - int(cells[-1]), 0)
    missing[missing < 0] = 0
    return missing


def _regular_hours(days: Epochs, hours: SessionHours) -> tuple[Epochs, Epochs]:
    """Open and close of each day, as epoch seconds."""
    midnights = days * DAY_S - IST_OFFSET_S
    clocks = [hours(date.fromordinal(int(day) + _EPOCH_ORDINAL)) for day in days]
    opens = np.array([_seconds(opening) for opening, _ in clocks], dtype=np.int64)
    closes = np.array([_seconds(closing) for _, closing in clocks], dtype=np.int64)
    return midnights + opens, midnights + closes


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second
