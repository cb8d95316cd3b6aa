"""One alert at a time becomes what it asks for: decided and reserved at once, then carried out.

An entry that has waited too long expires; an exit never does. Whatever an earlier worker began is
not begun again: the recovery brings it to its end, and the alert is told by that end. An alert
that failed may be sent again, any other end is final.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from core.db_state_manager import DatabaseStateManager
from core.db_state_manager.decision_rights import SUPERSEDED
from core.db_state_manager.end_of_day import EodOrder
from core.db_state_manager.intents import (
    DecisionRequest,
    Reservation,
    ReserveResult,
)
from core.db_state_manager.left_over import LEFT, NOTHING_KEPT, end_told
from core.db_state_manager.records import ClaimedSignal, Intent, Outcome
from core.db_state_manager.states import ACTIVE_INTENTS, IntentSource, IntentState, SignalStatus
from core.decision import DecisionMaker, decide_stops
from core.decision_record import Decision, DecisionCode
from core.errors import Halted, Rejected, Retryable
from core.models import EODMonitorSignal, MarketDataSignal, Signal, SignalType
from core.peel_off import decide_peel_off
from core.portfolio_state import PortfolioStateManager
from core.ports import Clock
from core.signal_validator import Refused
from live.carrying_out import TAKEN_OVER, CarriedOut, IntentCarrier
from live.entries import EntryDesk, Prepared
from live.exits import BUSY_LOOK_S, RETRY_S, ExitDesk
from live.metrics import order_sent_after
from live.order_executor import Outcome as WorkOutcome

_FROM_THE_FUTURE = timedelta(minutes=5)
_LEFT = {IntentState.NAKED: WorkOutcome.NAKED, IntentState.UNKNOWN: WorkOutcome.UNKNOWN}

_LOG = logging.getLogger(__name__)


FollowPrice = Callable[[str, Decimal], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of an alert."""

    status: SignalStatus
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class InHand:
    """An alert, and who has it in hand until the lease ends."""

    claimed: ClaimedSignal
    owner: str
    lease_s: float


class LiveTradingEngine:
    """Handles alerts. Safe to share between threads."""

    def __init__(
        self,
        store: DatabaseStateManager,
        maker: DecisionMaker,
        entries: EntryDesk,
        exits: ExitDesk,
        carriers: Callable[[str], IntentCarrier],
        clock: Clock,
        follow: FollowPrice,
        *,
        is_test: bool = False,
    ) -> None:
        """`carriers` makes the carrier of an owner; `follow` is told each price that is current.

        `is_test` marks all that is booked.
        """
        self._store = store
        self._maker = maker
        self._entries = entries
        self._exits = exits
        self._carriers = carriers
        self._clock = clock
        self._follow = follow
        self._is_test = is_test

    def handle(self, hand: InHand) -> Ended:
        """Do what an alert asks for. Raises Stopping, and what the database raises."""
        begun = self._store.begun_for(hand.claimed.id)
        if begun is not None:
            return self._end_of(self._awaited(begun))
        try:
            match hand.claimed.alert:
                case MarketDataSignal() as bar:
                    return self._on_bar(hand, bar)
                case EODMonitorSignal():
                    return _ended(SignalStatus.EXECUTED, "RECORDED", "kept for the end of the day")
                case Signal(type=SignalType.EXIT) as leave:
                    return self._on_exit(hand, leave)
                case Signal() as entry:
                    return self._on_entry(hand, entry)
        except Rejected as error:
            if error.code in TAKEN_OVER:
                return _ended(SignalStatus.BLOCKED, f"{LEFT}{error.code}", str(error))
            is_void = error.code == SUPERSEDED
            status = SignalStatus.EXPIRED if is_void else SignalStatus.FAILED
            return _ended(status, error.code, str(error))
        except Halted as error:
            return _ended(SignalStatus.FAILED, "HALTED", str(error))

    # What closes

    def _on_exit(self, hand: InHand, leave: Signal) -> Ended:
        self._follow(leave.instrument, leave.price)
        request = self._request(hand, leave.instrument, IntentSource.SIGNAL, self._of_eod(hand))
        while True:
            was_entered = self._exits.entry_in_the_way(leave.instrument, leave.layer)
            reservation = self._exits.reserve(request, lambda book: self._maker.decide(leave, book))
            decision = reservation.decision
            if reservation.intent is not None or decision is None:
                return self._carried_out(hand, reservation)
            # What has just been entered, or still is, is not in the book that was decided on.
            if not (was_entered or self._exits.entry_in_the_way(leave.instrument, leave.layer)):
                return self._not_held(leave, decision)
            self._exits.wait(BUSY_LOOK_S)

    def _not_held(self, leave: Signal, decision: Decision) -> Ended:
        """Closed within that bar by our own stop or by another exit; or not held at all."""
        since = leave.bar_time - self._entries.bar_length(leave.instrument)
        closed = self._store.closed_since(leave.instrument, leave.layer, since)
        if closed:
            reason = f"already closed: {', '.join(closed)}"
            return _ended(SignalStatus.BLOCKED, "ALREADY_CLOSED", reason)
        return _ended(SignalStatus.FAILED, decision.code, decision.reason)

    def _on_bar(self, hand: InHand, bar: MarketDataSignal) -> Ended:
        late = self._no_news(hand.claimed, bar)
        if late is not None:
            return late
        self._follow(bar.instrument, bar.price)
        request = self._request(hand, bar.instrument, IntentSource.STOP)
        reservation = self._exits.reserve(request, lambda book: self._close_bar(hand, bar, book))
        if reservation.intent is None:
            return self._no_stop_hit(bar)
        return self._carried_out(hand, reservation)

    def _no_stop_hit(self, bar: MarketDataSignal) -> Ended:
        """Nor need one be: what stood in for a bar that came late has closed those already."""
        length = self._entries.bar_length(bar.instrument)
        since = self._store.stood_in_for(bar.instrument, bar.bar_time, length)
        closed = since and self._store.closed_since(bar.instrument, None, since)
        if closed:
            reason = f"already closed: {', '.join(closed)}"
            return _ended(SignalStatus.EXECUTED, "ALREADY_CLOSED", reason)
        return _ended(SignalStatus.EXECUTED, "BAR_CLOSED", "no stop was hit")

    def _close_bar(
        self, hand: InHand, bar: MarketDataSignal, book: PortfolioStateManager
    ) -> Decision | None:
        """A bar that came before a roll is judged on the next contract's levels as they moved."""
        config = self._maker.config
        moved = self._store.moved_since(bar.instrument, hand.claimed.received_at)
        price, supertrend = bar.price + moved, bar.supertrend + moved
        hit = book.close_bar(bar.instrument, price, bar.atr, supertrend)
        stopped = decide_stops(bar.instrument, hit)
        if stopped is not None:
            return replace(stopped, reason=f"{config.stop_mode}_STOP: {stopped.reason}")
        if not config.peel_off.enabled:
            return None
        equity = book.equity(config.equity_basis)
        trading = config.instruments[bar.instrument].trading
        return decide_peel_off(bar.instrument, book[bar.instrument], equity, trading)

    def _no_news(self, claimed: ClaimedSignal, bar: MarketDataSignal) -> Ended | None:
        """Why a closed bar said nothing of the market as it came in; None for the latest one.

        One that came in time and was handled late still moves and hits stops.
        """
        ahead = self._from_the_future(bar.bar_time)
        if ahead is not None:
            return ahead
        age_s = self._entries.bar_age_s(bar.instrument, bar.bar_time, claimed.received_at)
        limit_s = self._maker.config.validation.max_bar_age_s
        if age_s > limit_s:
            reason = f"its bar closed {age_s:.0f} s ago, more than {limit_s} s"
            return _ended(SignalStatus.BLOCKED, DecisionCode.SIGNAL_TOO_OLD, reason)
        if self._store.is_overtaken(bar):
            return _ended(SignalStatus.BLOCKED, "BAR_OVERTAKEN", "a later bar was handled before")
        return None

    # What opens

    def _on_entry(self, hand: InHand, entry: Signal) -> Ended:
        later = hand.claimed.superseded_by
        if later is not None:
            reason = f"exit {later} of a later bar makes it void"
            return _ended(SignalStatus.EXPIRED, SUPERSEDED, reason)
        ahead = self._from_the_future(entry.bar_time)
        if ahead is not None:
            return ahead
        order = self._of_eod(hand)
        if order is not None and self._clock.now() >= order.ends_at:
            return _ended(SignalStatus.EXPIRED, "CLOSE_CAME_FIRST", "the day ended before it began")
        self._follow(entry.instrument, entry.price)
        while True:
            try:
                reservation = self._reserve_entry(hand, entry, order)
            except Retryable as error:
                late = self._expired(hand, str(error))
                if late is not None:
                    return late
                self._exits.wait(RETRY_S)
                continue
            if reservation.result is not ReserveResult.BUSY:
                break
            late = self._expired(hand, f"{entry.instrument} was busy")
            if late is not None:
                return late
            self._exits.wait(BUSY_LOOK_S)
        decision = reservation.decision
        if reservation.intent is None and decision is not None:
            return _refused(decision)
        return self._carried_out(hand, reservation)

    def _reserve_entry(
        self, hand: InHand, entry: Signal, order: EodOrder | None = None
    ) -> Reservation:
        """Decide on an entry with what the broker says now. Raises Retryable."""
        why = self._entries.forbidden(entry.instrument)
        prepared: Prepared | None = None
        if why is None:
            try:
                prepared = self._entries.prepare(entry.instrument)
            except (Rejected, Halted) as error:
                why = Refused(DecisionCode.ENTRIES_BLOCKED, str(error))
        request = self._request(hand, entry.instrument, IntentSource.SIGNAL, order)
        if prepared is None:
            refused = why or Refused(DecisionCode.ENTRIES_BLOCKED, "nothing could be prepared")
            return self._store.decide_and_reserve(
                request, lambda book: self._entries.refuse(entry, refused, book), lambda _: ()
            )
        ready = prepared
        return self._store.decide_and_reserve(
            request,
            lambda book: self._entries.decide(hand.claimed, entry, ready, book),
            lambda decision: self._entries.legs(decision, ready),
        )

    def _expired(self, hand: InHand, why: str) -> Ended | None:
        """Whether an entry has waited for too long."""
        age_s = self._entries.age_s(hand.claimed)
        if age_s <= self._maker.config.validation.refused_age_s:
            return None
        reason = f"it waited for {age_s:.0f} s: {why}"
        return _ended(SignalStatus.EXPIRED, DecisionCode.SIGNAL_TOO_OLD, reason)

    # Both

    def _from_the_future(self, bar_time: datetime) -> Ended | None:
        """A bar later than now: some clock is wrong, and what follows would seem overtaken."""
        if bar_time <= self._clock.now() + _FROM_THE_FUTURE:
            return None
        reason = f"its bar of {bar_time.isoformat()} is in the future"
        return _ended(SignalStatus.BLOCKED, "BAR_IN_FUTURE", reason)

    def _of_eod(self, hand: InHand) -> EodOrder | None:
        """What binds this delivery of an alert if the end of the day asked for it."""
        order = self._store.eod_order(hand.claimed.id)
        return order if order is not None and order.attempts == hand.claimed.attempts else None

    def _request(
        self,
        hand: InHand,
        instrument: str,
        source: IntentSource,
        order: EodOrder | None = None,
    ) -> DecisionRequest:
        return DecisionRequest(
            instrument,
            source if order is None else IntentSource.EOD,
            signal_id=hand.claimed.id,
            epoch=None if order is None else order.epoch,
            is_test=self._is_test,
            owner=hand.owner,
            lease_s=hand.lease_s,
        )

    def _carried_out(self, hand: InHand, reservation: Reservation) -> Ended:
        intent = reservation.intent
        if intent is None:
            return _ended(SignalStatus.EXECUTED, "NOTHING_TO_DO", "nothing was to be done")
        if reservation.result is ReserveResult.EXISTING:
            return self._end_of(self._awaited(intent))
        carried = self._carriers(hand.owner).carry_out(intent)
        for order in self._store.orders(intent.id)[:1]:
            order_sent_after((order.created_at - hand.claimed.received_at).total_seconds())
        return _told(intent, carried)

    def _awaited(self, begun: Intent) -> Intent:
        """What another worker began, once the recovery has brought it to an end or a standstill."""
        while True:
            intent = self._store.intent(begun.id)
            if intent.state not in ACTIVE_INTENTS or intent.state in _LEFT:
                return intent
            self._exits.wait(RETRY_S)

    def _end_of(self, intent: Intent) -> Ended:
        if intent.state in _LEFT:
            return _told(intent, CarriedOut(_LEFT[intent.state], intent.reason, None))
        lots = self._store.booked_lots(intent.id)
        return Ended(*end_told(intent, lots, intent.reason or NOTHING_KEPT))


def _refused(decision: Decision) -> Ended:
    outcome = Outcome(decision.code, decision.reason, decision.lots, decision.limiter)
    too_old = decision.code is DecisionCode.SIGNAL_TOO_OLD
    return Ended(SignalStatus.EXPIRED if too_old else SignalStatus.BLOCKED, outcome)


def _told(intent: Intent, carried: CarriedOut) -> Ended:
    """How the work ended, as the alert's end: only what surely traded nothing may be sent again."""
    decision = intent.decision
    match carried.outcome:
        case WorkOutcome.NAKED | WorkOutcome.UNKNOWN | WorkOutcome.CHASING:
            return _ended(SignalStatus.BLOCKED, f"{LEFT}{carried.outcome}", carried.reason)
        case WorkOutcome.NOT_FILLED:
            is_exit = bool(decision.closes)
            status = SignalStatus.FAILED if is_exit else SignalStatus.BLOCKED
            return _ended(status, "NOT_FILLED", carried.reason)
        case _:
            lots = _lots(carried)
            if decision.closes and lots is not None and lots < intent.lots:
                status, outcome = end_told(intent, lots, carried.reason)
                reason = "; ".join(filter(None, (outcome.reason, carried.reason)))
                return Ended(status, replace(outcome, reason=reason))
            reason = "; ".join(filter(None, (decision.reason, carried.reason)))
            outcome = Outcome(decision.code, reason, lots, decision.limiter)
            return Ended(SignalStatus.EXECUTED, outcome)


def _lots(carried: CarriedOut) -> int | None:
    """The lots that were opened or closed."""
    done = carried.completion
    if done is None or done.repeated:
        return None
    return sum(layer.lots for layer in done.opened) + sum(trade.lots for trade in done.trades)


def _ended(status: SignalStatus, code: str, reason: str) -> Ended:
    return Ended(status, Outcome(code, reason))
