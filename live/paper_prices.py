"""On paper the market follows the alerts: an order fills where the chart was that asked for it.

Only the paper exchange is ever told a price, and a price that could not be told changes nothing.
"""

import logging
from decimal import Decimal

import requests

_PATIENCE_S = 2.0
_LOG = logging.getLogger(__name__)


class PaperPrices:
    """Tells the paper exchange at `url` what an instrument costs."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = f"{url.rstrip('/')}/control/price"
        self._api_key = api_key
        self._session = requests.Session()

    def follow(self, instrument: str, price: Decimal) -> None:
        """Move the paper market to `price`, points."""
        asked = {"apikey": self._api_key, "instrument": instrument, "price": str(price)}
        try:
            answer = self._session.post(self._url, json=asked, timeout=_PATIENCE_S)
        except requests.RequestException as error:
            _LOG.warning("the paper market stays where it is: %s", type(error).__name__)
            return
        if not answer.ok:
            _LOG.warning("the paper market refuses %s %s", instrument, price)


def real_prices(instrument: str, price: Decimal) -> None:
    """A real market makes its own."""
