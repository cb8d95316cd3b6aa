"""The strategy's numbers, as its Pine script has them for inputs; the defaults are Bank Nifty's."""

from dataclasses import dataclass
from datetime import date

from core.config import PortfolioConfig
from core.models import StopMode


@dataclass(frozen=True, slots=True)
class StrategyParams:
    """Lengths in bars, multiples in ATR, `roc_threshold` in percent.

    `start` and `end` (both inside) are the IST days on which a trade may begin; a trade that has
    begun goes on past `end`.
    """

    rsi_length: int = 6
    rsi_threshold: float = 70.0
    ema_length: int = 200
    donchian_length: int = 20
    adx_length: int = 30
    adx_smoothing: int = 30
    adx_threshold: float = 25.0
    er_length: int = 3
    er_threshold: float = 0.8
    supertrend_length: int = 10
    supertrend_factor: float = 1.5
    atr_length: int = 10
    doji_body_fraction: float = 0.1
    roc_length: int = 15
    use_roc_filter: bool = False
    roc_threshold: float = 2.0
    max_adds: int = 5
    min_profit_r: float = 1.0
    pyramid_atr_spacing: float = 0.5
    stop_mode: StopMode = StopMode.TOM_BASSO
    initial_atr_mult: float = 1.5
    trailing_atr_mult: float = 2.5
    start: date | None = None
    end: date | None = None

    @classmethod
    def from_config(
        cls,
        config: PortfolioConfig,
        instrument: str,
        start: date | None = None,
        end: date | None = None,
    ) -> "StrategyParams":
        """The numbers that the operator's configuration gives an instrument."""
        settings = config.instruments[instrument]
        strategy, trading = settings.strategy, settings.trading
        return cls(
            rsi_length=strategy.rsi_length,
            rsi_threshold=strategy.rsi_threshold,
            ema_length=strategy.ema_length,
            donchian_length=strategy.donchian_length,
            adx_length=strategy.adx_length,
            adx_smoothing=strategy.adx_smoothing,
            adx_threshold=strategy.adx_threshold,
            er_length=strategy.er_length,
            er_threshold=strategy.er_threshold,
            supertrend_length=strategy.supertrend_length,
            supertrend_factor=strategy.supertrend_factor,
            atr_length=strategy.atr_length,
            doji_body_fraction=strategy.doji_body_fraction,
            roc_length=strategy.roc_length,
            use_roc_filter=trading.use_roc_filter,
            roc_threshold=trading.roc_threshold,
            max_adds=config.pyramid.max_adds,
            min_profit_r=float(config.pyramid.min_profit_r),
            pyramid_atr_spacing=float(trading.pyramid_atr_spacing),
            stop_mode=config.stop_mode,
            initial_atr_mult=float(trading.initial_atr_mult),
            trailing_atr_mult=float(trading.trailing_atr_mult),
            start=start,
            end=end,
        )
