"""Which faults strike a call. The same faults, seeds and calls give the same strikes, kill or not.

Each fault counts the calls that fit it, and of those its rule picks. What a fault finds nothing to
do about is not counted as a strike, so `times` means times that something went wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from brokers.paper_exchange.calls import Answer, Call, Request, Subject
from brokers.paper_exchange.clock import ExchangeClock
from brokers.paper_exchange.fault_schemas import read_fault
from brokers.paper_exchange.fault_store import FaultStore
from brokers.paper_exchange.faults import ORDERS, Fault

Remember = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(slots=True)
class _Running:
    """A fault that is in force."""

    fault: Fault
    calls: int = 0
    strikes: int = 0


class FaultPlan:
    """The faults in force. Every method may be called from any thread."""

    def __init__(self, store: FaultStore, clock: ExchangeClock) -> None:
        self._store = store
        self._clock = clock
        self._lock = Lock()
        self._last_call = store.last_call()
        self._running = {
            each.number: _Running(
                read_fault(each.number, each.told, each.memory), each.calls, each.strikes
            )
            for each in store.faults()
            if not each.is_cleared
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing can go wrong."""
        return not self._running

    def add(self, told: Mapping[str, Any], remember: Remember) -> Fault:
        """Set a fault; `remember` says what it must know of the exchange as it is now."""
        memory = remember(told)
        with self._lock:
            fault = read_fault(self._store.add(told, memory), told, memory)
            self._running[fault.number] = _Running(fault)
            return fault

    def clear(self, number: int | None = None) -> None:
        """End one fault, or all of them."""
        with self._lock:
            self._store.clear(number)
            for each in list(self._running) if number is None else [number]:
                self._running.pop(each, None)

    def receive(self, endpoint: str, asked: Request, subject: Subject) -> Call:
        """A call has come; one that may move an order is kept."""
        with self._lock:
            self._last_call += 1
            call = Call(self._last_call, self._clock.now(), endpoint, asked, subject)
        if endpoint in ORDERS:
            self._store.received(call)
        return call

    def picks(self, call: Call) -> list[Fault]:
        """The faults whose rules pick `call`, in the order they were set; it is counted."""
        picked = []
        with self._lock:
            for running in self._running.values():
                fault = running.fault
                if fault.fits(call.endpoint, call.subject):
                    running.calls += 1
                    self._store.count(fault.number, running.calls)
                    if fault.rule.strikes(running.calls, fault.name):
                        picked.append(fault)
        return picked

    def claim(self, fault: Fault) -> bool:
        """Take one of the fault's times; False when none is left or it was cleared."""
        with self._lock:
            running = self._running.get(fault.number)
            if running is None or fault.rule.times == running.strikes:
                return False
            running.strikes += 1
            return True

    def give_back(self, fault: Fault) -> None:
        """The fault found nothing to do."""
        with self._lock:
            if fault.number in self._running:
                self._running[fault.number].strikes -= 1

    def struck(self, fault: Fault, call: Call, effect: str) -> None:
        """Record a strike that was claimed."""
        self._store.received(call)
        self._store.struck(fault.number, fault.name.value, call, effect)

    def done(self, call: Call, answer: Answer) -> None:
        """Record what truly became of a call that may move an order."""
        if call.endpoint in ORDERS:
            self._store.done(call, answer.is_success, answer.body.get("orderid"))

    def answered(self, call: Call, answer: Answer, was_struck: bool) -> None:
        """Record what the caller is told."""
        if was_struck or call.endpoint in ORDERS:
            self._store.answered(call, answer.status, answer.body)
