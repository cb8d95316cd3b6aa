"""After any entry the account is within its caps, and its record is enough to work it out again."""

from decimal import Decimal

from hypothesis import event, given
from hypothesis import strategies as st

from core.book_events import PriceMarked
from core.config import PortfolioConfig
from core.decision import decide
from core.decision_record import Decision, DecisionInputs, GateVerdict
from core.models import Limiter, Signal, SignalType, StopMode
from core.portfolio_state import PortfolioStateManager
from core.position_sizer import NO_QUOTE, BrokerQuote
from tests.fixtures.rules import (
    BANK,
    GOLD,
    add,
    base_entry,
    book,
    config,
    deposit,
    opened,
    reserved,
    terms,
)

Limit = tuple[Limiter, Decimal, Decimal]
RULES = st.sampled_from(
    [
        config(),
        config({"volatility_constraint": "report"}, equity_basis="closed"),
        config({"max_lots": 4, "use_roc_filter": True}, equity_basis="blended"),
        config({"risk_pct": "5", "volatility_pct": "8"}, stop_mode="SUPERTREND"),
        config(portfolio={"max_margin_pct": "100"}, sizing={"min_stop_atr": "2"}),
    ]
)
QUOTES = st.sampled_from(
    [NO_QUOTE, BrokerQuote(Decimal(900_000)), BrokerQuote(None, Decimal(310_000))]
)
LOTS = st.integers(1, 12)


@st.composite
def accounts(draw: st.DrawFn, layered: str = BANK) -> PortfolioStateManager:
    """Up to four layers of one instrument (its base open or not), Gold Mini, an order in flight."""
    held = book(
        capital=draw(st.sampled_from([10, 40, 3, 1])) * draw(st.integers(500_000, 1_000_000))
    )
    entry, first = 50_000, draw(st.sampled_from([1, 1, 1, 1, 2]))
    for number in range(first, first + draw(st.integers(0, 4))):
        held.open_layer(
            opened(
                instrument=layered,
                layer=number,
                lots=draw(LOTS),
                price=entry,
                initial_stop=entry - draw(st.integers(20, 400)),
                close=entry,
                margin_per_lot=100_000,
            )
        )
        entry += draw(st.integers(100, 400))
    if layered != GOLD and draw(st.booleans()):
        held.open_layer(
            opened(instrument=GOLD, lots=draw(LOTS), point_value=10, margin_per_lot=105_000)
        )
    if draw(st.booleans()):
        risk, volatility, margin = draw(st.tuples(*[st.integers(0, 400_000)] * 3))
        held.reserve(reserved(instrument=GOLD, risk=risk, volatility=volatility, margin=margin))
    return held


@st.composite
def entries(draw: st.DrawFn, held: PortfolioStateManager) -> Signal:
    """A base entry where Bank Nifty is flat, else the next add; the book is marked at its price."""
    layers = held[BANK].layers
    price = (int(layers[-1].entry_price) if layers else 50_000) + draw(st.integers(50, 900))
    alert = (add if layers else base_entry)(
        layer=layers[-1].layer + 1 if layers else 1,
        price=price,
        stop=price - draw(st.integers(1, 500)),
        atr=draw(st.integers(20, 400)),
        er=draw(st.sampled_from([0.8, 1.1, 0.33, 0.07, -0.1])),
        roc=draw(st.sampled_from([2.5, 2.0, None])),
    )
    held.mark(PriceMarked(BANK, alert.price, alert.atr))
    return alert


@given(st.data(), accounts(), RULES, QUOTES)
def test_after_any_entry_the_account_is_within_its_caps(
    data: st.DataObject, held: PortfolioStateManager, rules: PortfolioConfig, quote: BrokerQuote
) -> None:
    alert = data.draw(entries(held))
    equity = held.equity(rules.equity_basis)
    before = held.snapshot()
    decision = decide(alert, held, rules, terms(), quote)
    assert held.snapshot() == before  # deciding changes nothing
    event(decision.code)
    if not decision.lots:
        return
    assert decision.initial_stop is not None
    held.open_layer(
        opened(
            layer=alert.layer,
            lots=decision.lots,
            price=alert.price,
            initial_stop=decision.initial_stop,
            close=alert.price,
            atr=alert.atr,
            margin_per_lot=decision.margin / decision.lots,
        )
    )
    after = held.account(rules.equity_basis)
    is_add = alert.type is SignalType.PYRAMID
    assert after.risk * 100 <= equity * (12 if is_add else 15)
    assert after.volatility * 100 <= equity * (4 if is_add else 5)
    in_use = after.margin_in_use + after.margin_reserved
    assert in_use * 100 <= equity * rules.portfolio.max_margin_pct
    assert quote.free_funds is None or decision.margin <= quote.free_funds


def limits_by_hand(given_inputs: DecisionInputs, rules: PortfolioConfig, base: bool) -> list[Limit]:
    """Limiter, budget and cost of a lot, from what the record and the configuration say."""
    g, trading = given_inputs, rules.instruments[BANK].trading
    available = rules.portfolio.max_margin_pct * g.equity / 100 - g.margin_in_use
    available -= g.margin_reserved
    if g.broker_free_funds is not None:
        available = min(available, g.broker_free_funds)
    distance = max(g.price - g.stop, rules.sizing.min_stop_atr * g.atr)
    volatility = g.atr * g.point_value
    sized_on = distance * g.point_value
    margin = (Limiter.MARGIN, available, g.margin_per_lot)
    if base:
        er = Decimal(str(g.er))
        limits = [
            (Limiter.RISK, g.equity_high * trading.risk_pct / 100 * er, sized_on),
            (Limiter.VOLATILITY, g.equity_high * trading.volatility_pct / 100, volatility),
            margin,
        ]
    else:
        beyond = Decimal(0) if g.base_risk is None else (g.open_pnl or 0) - g.base_risk
        limits = [
            margin,
            (Limiter.PREVIOUS_LAYER, Decimal(g.previous_lots or 0) / 2, Decimal(1)),
            (Limiter.PROFIT, beyond / 2, sized_on),
        ]
    risk = (g.price - first_stop(g, rules)) * g.point_value
    limits.append((Limiter.PORTFOLIO_RISK, g.equity * 15 / 100 - g.risk, risk))
    limits.append((Limiter.PORTFOLIO_VOLATILITY, g.equity * 5 / 100 - g.volatility, volatility))
    if trading.max_lots is not None:
        limits.append((Limiter.MAX_LOTS, Decimal(trading.max_lots), Decimal(1)))
    return limits


def first_stop(given_inputs: DecisionInputs, rules: PortfolioConfig) -> Decimal:
    g, multiple = given_inputs, rules.instruments[BANK].trading.initial_atr_mult
    is_trailed = rules.stop_mode is StopMode.TOM_BASSO
    return max(g.stop, g.price - multiple * g.atr) if is_trailed else g.stop


def passes_by_hand(gate: GateVerdict) -> bool:
    """A verdict from its two numbers; without them it says that a layer or a ROC is missing."""
    if gate.measured is None or gate.threshold is None:
        return gate.name == "base_layer_open" and gate.passed
    room = gate.measured - gate.threshold
    if gate.name in ("profit_beyond_r", "open_pnl_positive", "roc"):
        return room > 0
    return room >= 0 if gate.name == "atr_spacing" else room <= 0


def assert_gates_follow(decision: Decision, lots: int, risk: Decimal, volatility: Decimal) -> None:
    """`risk` and `volatility` are those of a lot."""
    g = decision.inputs
    assert g is not None
    gates = {gate.name: gate for gate in decision.gates}
    assert {name: gate.passed for name, gate in gates.items()} == {
        name: passes_by_hand(gate) for name, gate in gates.items()
    }
    assert gates["open_pnl_positive"].measured == g.open_pnl
    assert gates["portfolio_risk"].measured == g.risk + lots * risk
    assert gates["portfolio_risk"].threshold == g.equity * 12 / 100
    assert gates["portfolio_volatility"].measured == g.volatility + lots * volatility
    assert gates["portfolio_volatility"].threshold == g.equity * 4 / 100


@given(st.data(), accounts(), RULES, QUOTES)
def test_a_decision_can_be_worked_out_again_from_its_record(
    data: st.DataObject, held: PortfolioStateManager, rules: PortfolioConfig, quote: BrokerQuote
) -> None:
    alert = data.draw(entries(held))
    decision = decide(alert, held, rules, terms(), quote)
    event(f"{decision.code} {decision.limiter}")
    g = decision.inputs
    assert g is not None
    is_base = alert.type is SignalType.BASE_ENTRY
    limits = limits_by_hand(g, rules, is_base)
    assert [(item.limiter, item.budget, item.per_lot) for item in decision.constraints] == limits
    lots = {name: max(0, int(budget / a_lot)) for name, budget, a_lot in limits}
    assert {item.limiter: item.lots for item in decision.constraints} == lots
    if rules.instruments[BANK].trading.volatility_constraint == "report":
        lots.pop(Limiter.VOLATILITY, None)
    fewest = min(lots.values())
    assert decision.limiter == next(name for name, found in lots.items() if found == fewest)

    risk = (g.price - first_stop(g, rules)) * g.point_value
    volatility = g.atr * g.point_value
    if not is_base:
        assert_gates_follow(decision, fewest, risk, volatility)
    is_open = all(gate.passed for gate in decision.gates)
    assert decision.lots == (fewest if is_open else 0)
    if decision.lots:
        assert decision.initial_stop == first_stop(g, rules)
        assert decision.risk == risk * fewest
        assert decision.volatility == volatility * fewest
        assert decision.margin == g.margin_per_lot * fewest


@given(st.data(), accounts(layered=GOLD), st.integers(0, 50))
def test_a_richer_account_is_never_given_fewer_lots_for_a_base_entry(
    data: st.DataObject, held: PortfolioStateManager, million: int
) -> None:
    alert = data.draw(entries(held))
    poor = decide(alert, held, config(), terms())
    held.move_capital(deposit(million * 1_000_000))
    assert decide(alert, held, config(), terms()).lots >= poor.lots


PRICES = st.sampled_from(["NaN", "sNaN", "Infinity", "-Infinity", "0"]).map(Decimal) | (
    st.integers(0, 10**13 - 1).map(lambda parts: Decimal(parts).scaleb(-4))
)


@given(
    kind=st.sampled_from([SignalType.BASE_ENTRY, SignalType.PYRAMID, SignalType.EXIT]),
    instrument=st.sampled_from([BANK, GOLD, "COPPER"]),
    layer=st.none() | st.integers(-1, 8),
    prices=st.tuples(PRICES, PRICES, PRICES, PRICES),
    ratios=st.tuples(st.floats(), st.none() | st.floats()),
    held=accounts(),
)
def test_no_alert_that_can_be_written_makes_a_decision_raise(
    kind: SignalType,
    instrument: str,
    layer: int | None,
    prices: tuple[Decimal, Decimal, Decimal, Decimal],
    ratios: tuple[float, float | None],
    held: PortfolioStateManager,
) -> None:
    """Prices go as far as stored ones do: to a thousand million, with four decimals."""
    price, stop, atr, supertrend = prices
    alert = base_entry(
        type=kind,
        instrument=instrument,
        layer=layer,
        price=price,
        stop=stop,
        atr=atr,
        supertrend=supertrend,
        er=ratios[0],
        roc=ratios[1],
    )
    if instrument in held:
        held.mark(PriceMarked(instrument, price, atr))
    decision = decide(alert, held, config(), terms())
    assert decision.reason
    assert decision.lots >= 0
    assert not (decision.lots and decision.closes)
