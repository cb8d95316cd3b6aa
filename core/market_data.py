"""What is known of the markets, under what the operator knows better: one file, refused by path."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.charges import ChargeSchedule
from core.errors import ConfigInvalid
from core.instruments import InstrumentCatalog
from core.market_calendar import MarketCalendar

_PARTS = ("calendar", "instruments", "charges")


@dataclass(frozen=True, slots=True)
class MarketData:
    """Days, instruments and charges that belong together."""

    calendar: MarketCalendar
    catalog: InstrumentCatalog
    charges: ChargeSchedule

    @classmethod
    def shipped(cls, overrides: object = None) -> "MarketData":
        """The shipped data under the operator's parsed file, by `calendar`, `instruments`,
        `charges`.

        Raises `ConfigInvalid` with the path of what is wrong.
        """
        given = {} if overrides is None else overrides
        if not isinstance(given, Mapping):
            raise ConfigInvalid("(top level)", given, f"an object with {', '.join(_PARTS)}")
        for key in given:
            if key not in _PARTS:
                raise ConfigInvalid(key, given[key], f"known here: {', '.join(_PARTS)}")
        return cls(
            MarketCalendar.shipped(given.get("calendar")),
            InstrumentCatalog.shipped(given.get("instruments")),
            ChargeSchedule.shipped(given.get("charges")),
        )
