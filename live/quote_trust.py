"""Whether a quote can be believed although it carries no time: by its own figures and by change.

A market that trades moves its touch, so a quote is fresh only once it was seen to change within
`fresh_s`, which takes two looks at least. Before that it is unproven; after it, frozen. Looks that
lie further apart than that, or under another epoch, begin anew: what changed between them may have
changed long ago. Volume and open interest are not asked, since gateways fill them differently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from brokers.messages import Contract, Quote
from core.ports import Clock


class QuoteFault(StrEnum):
    """Why a quote is not believed."""

    MISSING = "MISSING"
    ONE_SIDED = "ONE_SIDED"
    CROSSED = "CROSSED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNPROVEN = "UNPROVEN"
    FROZEN = "FROZEN"


@dataclass(frozen=True, slots=True)
class _Seen:
    """`since_s` is when it first looked so; `has_changed` whether something else came before."""

    quote: Quote
    since_s: float
    has_changed: bool


class QuoteTrust:
    """Remembers what each contract's quote was, for one epoch."""

    def __init__(self, clock: Clock, fresh_s: float) -> None:
        self._clock = clock
        self._fresh_s = fresh_s
        self._epoch: int | None = None
        self._looked_at_s = float("-inf")
        self._seen: dict[Contract, _Seen] = {}

    def judge(
        self, epoch: int, contracts: Sequence[Contract], quotes: Mapping[Contract, Quote]
    ) -> dict[Contract, QuoteFault | None]:
        """What is wrong with each contract's quote of this look; None where nothing is."""
        now_s = self._clock.monotonic()
        if epoch != self._epoch or now_s - self._looked_at_s > self._fresh_s:
            self._seen.clear()
        self._epoch, self._looked_at_s = epoch, now_s
        return {each: self._fault(each, quotes.get(each), now_s) for each in contracts}

    def _fault(self, contract: Contract, quote: Quote | None, now_s: float) -> QuoteFault | None:
        if quote is None:
            self._seen.pop(contract, None)
            return QuoteFault.MISSING
        before = self._seen.get(contract)
        if before is None:
            seen = _Seen(quote, now_s, has_changed=False)
        elif quote != before.quote:
            seen = _Seen(quote, now_s, has_changed=True)
        else:
            seen = before
        self._seen[contract] = seen
        wrong = _wrong_figures(quote)
        if wrong is not None:
            return wrong
        if now_s - seen.since_s >= self._fresh_s:
            return QuoteFault.FROZEN
        # Without a day's range the contract has not traded today.
        has_traded = quote.low is not None and quote.high is not None
        return None if seen.has_changed and has_traded else QuoteFault.UNPROVEN


def _wrong_figures(quote: Quote) -> QuoteFault | None:
    """What no true quote of a market that trades shows."""
    if quote.bid is None or quote.ask is None:
        return QuoteFault.ONE_SIDED
    if quote.bid > quote.ask:
        return QuoteFault.CROSSED
    low, high = quote.low or quote.ltp, quote.high or quote.ltp
    return None if low <= quote.ltp <= high else QuoteFault.OUT_OF_RANGE
