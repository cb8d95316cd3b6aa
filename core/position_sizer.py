"""How many lots: every constraint binds, the smallest wins, floored to whole lots.

Basso's three for a base entry (Lot-R, Lot-V, Lot-M), the house's three for an add (margin, half of
the previous layer, half of the profit beyond the base risk), and for both the account's caps. A
size is monotone in equity and antitone in the stop's distance. Zero lots is a size, not an error.
"""

from dataclasses import dataclass
from decimal import Decimal

from core.config import PortfolioConfig, TradingConfig, VolatilityConstraint, fraction
from core.decision_record import Constraint, DecisionInputs
from core.models import ContractTerms, Limiter, Signal
from core.portfolio_state import AccountView, InstrumentBook
from core.stop_manager import TomBassoStopManager

ZERO = Decimal(0)
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class BrokerQuote:
    """What the broker says of money, in rupees; None where it has not answered."""

    free_funds: Decimal | None = None
    margin_per_lot: Decimal | None = None


NO_QUOTE = BrokerQuote()


@dataclass(frozen=True, slots=True)
class Size:
    """A size with its reasons. `limiter` is the first of the enforced constraints that binds."""

    lots: int
    limiter: Limiter
    constraints: tuple[Constraint, ...]
    initial_stop: Decimal
    risk_per_lot: Decimal
    volatility_per_lot: Decimal


class TomBassoPositionSizer:
    """Sizes entries of one instrument."""

    def __init__(
        self,
        config: PortfolioConfig,
        trading: TradingConfig,
        stops: TomBassoStopManager[Decimal],
    ) -> None:
        self._config = config
        self._trading = trading
        self._stops = stops

    def inputs(
        self,
        signal: Signal,
        account: AccountView,
        terms: ContractTerms,
        broker: BrokerQuote,
        held: InstrumentBook,
    ) -> DecisionInputs:
        """Gather what the size depends on; the stop's distance has its floor applied here."""
        base = held.layer(1)
        available = (
            fraction(self._config.portfolio.max_margin_pct) * account.equity
            - account.margin_in_use
            - account.margin_reserved
        )
        if broker.free_funds is not None:
            available = min(available, broker.free_funds)
        nearest = self._config.sizing.min_stop_atr * signal.atr
        return DecisionInputs(
            equity=account.equity,
            equity_high=account.equity_high,
            risk=account.risk,
            volatility=account.volatility,
            margin_in_use=account.margin_in_use,
            margin_reserved=account.margin_reserved,
            margin_available=available,
            broker_free_funds=broker.free_funds,
            price=signal.price,
            stop=signal.stop,
            stop_distance=max(signal.price - signal.stop, nearest),
            atr=signal.atr,
            er=min(max(signal.er, 0.0), 1.0),
            point_value=terms.point_value,
            lot_size=terms.lot_size,
            margin_per_lot=terms.margin_per_lot(signal.price, broker.margin_per_lot),
            open_pnl=held.open_pnl(signal.price),
            base_risk=None if base is None else base.initial_risk,
            previous_lots=held.layers[-1].lots if held.layers else None,
        )

    def base(self, given: DecisionInputs) -> Size:
        """Lot-R, Lot-V and Lot-M, and the account's caps."""
        trading = self._trading
        risk, volatility = trading.risk_pct, trading.volatility_pct
        risk_budget = given.equity_high * fraction(risk) * Decimal(repr(given.er))
        return self._size(
            (
                _constraint(
                    Limiter.RISK, risk, risk_budget, given.stop_distance * given.point_value
                ),
                _constraint(
                    Limiter.VOLATILITY,
                    volatility,
                    given.equity_high * fraction(volatility),
                    given.atr * given.point_value,
                    enforced=trading.volatility_constraint is VolatilityConstraint.ENFORCE,
                ),
                self._margin(given),
            ),
            given,
        )

    def pyramid(self, given: DecisionInputs) -> Size:
        """A: margin. B: a share of the previous layer. C: a share of the profit beyond base risk.

        Without an open base layer there is nothing to add to: B and C come to no lots.
        """
        rules = self._config.pyramid
        beyond = ZERO if given.base_risk is None else (given.open_pnl or ZERO) - given.base_risk
        return self._size(
            (
                self._margin(given),
                _constraint(
                    Limiter.PREVIOUS_LAYER,
                    rules.previous_layer_fraction,
                    rules.previous_layer_fraction * (given.previous_lots or 0),
                    ONE,
                ),
                _constraint(
                    Limiter.PROFIT,
                    rules.profit_fraction,
                    rules.profit_fraction * beyond,
                    given.stop_distance * given.point_value,
                ),
            ),
            given,
        )

    def _margin(self, given: DecisionInputs) -> Constraint:
        share = self._config.portfolio.max_margin_pct
        return _constraint(Limiter.MARGIN, share, given.margin_available, given.margin_per_lot)

    def _size(self, own: tuple[Constraint, ...], given: DecisionInputs) -> Size:
        initial_stop = self._stops.initial(given.price, given.stop, given.atr)
        risk_per_lot = (given.price - initial_stop) * given.point_value
        volatility_per_lot = given.atr * given.point_value
        caps = self._config.portfolio
        constraints = (
            *own,
            _constraint(
                Limiter.PORTFOLIO_RISK,
                caps.max_risk_pct,
                fraction(caps.max_risk_pct) * given.equity - given.risk,
                risk_per_lot,
            ),
            _constraint(
                Limiter.PORTFOLIO_VOLATILITY,
                caps.max_volatility_pct,
                fraction(caps.max_volatility_pct) * given.equity - given.volatility,
                volatility_per_lot,
            ),
        )
        if self._trading.max_lots is not None:
            most = Decimal(self._trading.max_lots)
            constraints = (*constraints, _constraint(Limiter.MAX_LOTS, most, most, ONE))
        tightest = min((item for item in constraints if item.enforced), key=_lots)
        return Size(
            lots=tightest.lots,
            limiter=tightest.limiter,
            constraints=constraints,
            initial_stop=initial_stop,
            risk_per_lot=risk_per_lot,
            volatility_per_lot=volatility_per_lot,
        )


def _constraint(
    limiter: Limiter,
    share: Decimal,
    budget: Decimal,
    per_lot: Decimal,
    *,
    enforced: bool = True,
) -> Constraint:
    lots = int(budget // per_lot) if budget > ZERO and per_lot > ZERO else 0
    return Constraint(limiter, share, budget, per_lot, lots, enforced)


def _lots(constraint: Constraint) -> int:
    return constraint.lots
