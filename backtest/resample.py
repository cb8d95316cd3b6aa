"""Coarser bars from finer ones, counted from each session's open; a bar never spans two days.

75 minutes from 09:15 give five bars in a session of 375 minutes and a shorter sixth in a longer
one; 60 minutes from 09:00 end with a shorter one where the close is not on the hour. A day that is
traded wholly outside its regular hours (see `backtest.sessions`) is counted from its first bar.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars
from backtest.sessions import SessionHours, bar_spacing_s, find_sessions
from core.errors import InputInvalid

_MINUTE_S = 60


def resample(bars: Bars, minutes: int, hours: SessionHours) -> Bars:
    """Bars of `minutes`, each at its open time on the session's grid.

    Bars outside the hours are left out, with a note. Bars that are of `minutes` already are
    returned as they are. Raises `InputInvalid` where `minutes` is not a multiple of theirs.
    """
    target_s = minutes * _MINUTE_S
    spacing_s = bar_spacing_s(bars.epoch_s)
    if spacing_s is None or spacing_s == target_s:
        return bars
    if target_s % spacing_s:
        raise InputInvalid(
            f"bars of {spacing_s / _MINUTE_S:g} minutes",
            f"cannot be made into bars of {minutes} minutes: only finer bars that divide it can",
        )
    sessions = find_sessions(bars.epoch_s, spacing_s, hours)
    opens = sessions.open_of_each_bar()
    times = opens + (bars.epoch_s - opens) // target_s * target_s
    joined = _join(bars, times, sessions.inside)
    left_out = int((~sessions.inside).sum())
    if not left_out:
        return joined
    return replace(joined, notes=(*bars.notes, f"{left_out} bars outside session hours left out"))


def close_times(bars: Bars, minutes: int, hours: SessionHours) -> NDArray[np.int64]:
    """When each bar of `minutes` is known, in epoch seconds: its end, or its session's."""
    ends = bars.epoch_s + minutes * _MINUTE_S
    if not len(bars):
        return ends
    sessions = find_sessions(bars.epoch_s, minutes * _MINUTE_S, hours)
    return np.where(sessions.inside, np.minimum(ends, sessions.close_of_each_bar()), ends)


def _join(bars: Bars, times: NDArray[np.int64], inside: NDArray[np.bool_]) -> Bars:
    """One bar from all that share a time, of the bars inside."""
    times = times[inside]
    starts = np.flatnonzero(np.diff(times, prepend=-1))
    ends = np.append(starts[1:], len(times)) - 1
    return Bars(
        epoch_s=times[starts],
        open=bars.open[inside][starts],
        high=np.maximum.reduceat(bars.high[inside], starts),
        low=np.minimum.reduceat(bars.low[inside], starts),
        close=bars.close[inside][ends],
        notes=bars.notes,
    )
