"""The way of a call through the faults: what happens first, what is done, what is told.

Without a fault in force a call is carried out and answered, and nothing else. What truly became of
a call that may move an order is on record beside what its caller was told.
"""

from collections.abc import Callable

from brokers.paper_exchange.calls import Answer, Call, Request, Subject, subject_of
from brokers.paper_exchange.exchange import PaperExchange
from brokers.paper_exchange.fault_answers import INSTEAD
from brokers.paper_exchange.fault_events import EVENTS, FATES
from brokers.paper_exchange.fault_lies import LIES
from brokers.paper_exchange.fault_plan import FaultPlan
from brokers.paper_exchange.fault_stroke import Stroke
from brokers.paper_exchange.faults import LOOKS, Fault

CarryOut = Callable[[Request], Answer]


class FaultGate:
    """In front of one endpoint."""

    def __init__(
        self,
        endpoint: str,
        limit: str,
        words_errors: bool,
        plan: FaultPlan,
        exchange: PaperExchange,
    ) -> None:
        """`limit` is how the endpoint's rate limit is named."""
        self._endpoint = endpoint
        self._limit = limit
        self._words_errors = words_errors
        self._plan = plan
        self._exchange = exchange

    def answer(self, asked: Request, carry_out: CarryOut) -> Answer:
        """What the caller of a checked request is told."""
        is_calm = self._plan.is_empty
        call = self._plan.receive(self._endpoint, asked, Subject() if is_calm else self._of(asked))
        picked = [] if is_calm else self._plan.picks(call)
        strokes = [self._stroke(fault, call) for fault in picked]
        return _Passage(self._plan, self._exchange, call, strokes).answer(carry_out)

    def _of(self, asked: Request) -> Subject:
        with self._exchange.view() as view:
            return subject_of(asked, view)

    def _stroke(self, fault: Fault, call: Call) -> Stroke:
        return Stroke(fault, call, self._exchange, self._limit, self._words_errors)


class _Passage:
    """One call among the faults that its rules pick."""

    def __init__(
        self, plan: FaultPlan, exchange: PaperExchange, call: Call, strokes: list[Stroke]
    ) -> None:
        self._plan = plan
        self._exchange = exchange
        self._call = call
        self._strokes = strokes
        self._struck: set[int] = set()
        self._fated: list[Stroke] = []

    def answer(self, carry_out: CarryOut) -> Answer:
        """Let the call through."""
        instead = self._before()
        answer = self._carried_out(carry_out) if instead is None else instead
        self._plan.done(self._call, answer)
        told = self._after(answer)
        self._plan.answered(self._call, told, bool(self._struck))
        return told

    def _before(self) -> Answer | None:
        """Let happen what happens first; the answer, if that ends the call."""
        for stroke in self._strokes:
            name = stroke.fault.name
            if not self._plan.claim(stroke.fault):
                continue
            instead = INSTEAD[name](stroke) if name in INSTEAD else None
            if instead is not None:
                self._record(stroke, "answered instead")
                return instead
            if name in FATES and self._call.endpoint == "placeorder":
                self._fated.append(stroke)
            elif name in EVENTS and EVENTS[name](stroke):
                self._record(stroke, "happened before")
            else:
                self._plan.give_back(stroke.fault)
        return None

    def _carried_out(self, carry_out: CarryOut) -> Answer:
        pieces = [piece for each in self._fated for piece in FATES[each.fault.name](each)]
        answer = carry_out({**self._call.asked, "pieces": pieces} if pieces else self._call.asked)
        for stroke in self._fated:
            if answer.is_success:
                self._record(stroke, "decides how the order goes on")
            else:
                self._plan.give_back(stroke.fault)
        if self._call.endpoint in LOOKS and answer.is_success:
            self._exchange.looked(self._call.asked.get("orderid"))
        return answer

    def _after(self, answer: Answer) -> Answer:
        """What is told in place of `answer`."""
        for stroke in self._strokes:
            fault = stroke.fault
            if fault.name not in LIES:
                continue
            if fault.name in EVENTS:
                is_due = fault.number in self._struck
                answer = (LIES[fault.name](stroke, answer) if is_due else None) or answer
            elif self._plan.claim(fault):
                told = LIES[fault.name](stroke, answer)
                if told is None:
                    self._plan.give_back(fault)
                else:
                    self._record(stroke, "changed the answer")
                    answer = told
        return answer

    def _record(self, stroke: Stroke, effect: str) -> None:
        self._struck.add(stroke.fault.number)
        self._plan.struck(stroke.fault, self._call, effect)
