"""The alerts are delivered at the close of their bars, undisturbed or with one kind of trouble.

Each alert has come to its end before the next moment begins; only what time would bring about in a
real market is left to the machine's speed.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import date, datetime
from enum import StrEnum
from itertools import groupby

from core.errors import PortfolioError
from live.api_client import JsonObject
from live.chain.alerts import ChartAlert
from live.chain.stage import Stage

_LOOK_S = 0.01
_CRASHES = 2
_CALM_SHARE = 3

Progress = Callable[[int, int], None]
Ends = Counter[str]


class Trouble(StrEnum):
    """What goes wrong on the way.

    DUPLICATES: every alert comes twice. REORDERED: those of one moment come at once, the last one
    first. CRASH: the power fails twice while an order is on its way.
    """

    NONE = "none"
    DUPLICATES = "duplicates"
    REORDERED = "reordered"
    CRASH = "crash"


class Rehearsal:
    """Delivers to one stage, which runs."""

    def __init__(self, stage: Stage, trouble: Trouble = Trouble.NONE) -> None:
        self._stage = stage
        self._trouble = trouble
        self.ends: Ends = Counter()
        self.crashes = 0
        self.rolls = 0
        self._rolled_on: date | None = None

    def play(self, alerts: Sequence[ChartAlert], progress: Progress) -> None:
        """Deliver all of them; at a day's first moment what has to leave its contract is rolled."""
        done = 0
        for moment, group in groupby(alerts, key=lambda alert: alert.closes_at):
            together = list(group)
            self._stage.tell_time(moment)
            if moment.date() != self._rolled_on:
                self._rolled_on = moment.date()
                self.rolls += self._stage.roll_what_is_due()
            is_late = done * _CALM_SHARE > len(alerts)
            for row in self._deliver(together, moment, is_late=is_late):
                self._count(row)
            done += len(together)
            progress(done, len(alerts))

    def _deliver(
        self, together: list[ChartAlert], moment: datetime, *, is_late: bool
    ) -> list[JsonObject]:
        bodies = [alert.body for alert in together]
        match self._trouble:
            case Trouble.DUPLICATES:
                return [self._twice(body) for body in bodies]
            case Trouble.REORDERED if len(bodies) > 1:
                with ThreadPoolExecutor(len(bodies)) as senders:
                    return list(senders.map(self._stage.deliver, reversed(bodies)))
            case Trouble.CRASH if is_late:
                return [self._with_a_crash(body, moment) for body in bodies]
            case _:
                return [self._stage.deliver(body) for body in bodies]

    def _twice(self, body: bytes) -> JsonObject:
        first = self._stage.deliver(body)
        again = self._stage.deliver(body)
        if first["id"] != again["id"]:
            self.ends["a repeat that was taken for another alert"] += 1
        return first

    def _with_a_crash(self, body: bytes, moment: datetime) -> JsonObject:
        """Cut the power once this alert has sent an order; without one it ends in peace.

        So it does when the power has failed often enough.
        """
        if self.crashes == _CRASHES:
            return self._stage.deliver(body)
        before = self._stage.orders_at_the_exchange()
        row: Future[JsonObject] = Future()

        def deliver() -> None:
            try:
                row.set_result(self._stage.deliver(body))
            except PortfolioError as error:
                row.set_exception(error)

        threading.Thread(target=deliver, daemon=True).start()
        while not wait([row], _LOOK_S).done:
            if self._stage.orders_at_the_exchange() > before:
                self._stage.cut_the_power()
                self.crashes += 1
                self._stage.start(moment)
                break
        return row.result()

    def _count(self, row: JsonObject) -> None:
        code = (row["outcome"] or {}).get("code", "")
        self.ends[f"{row['type']} {row['status']} {code}"] += 1
