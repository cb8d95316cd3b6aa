"""What stops an embedded server from starting, said so that an operator can act on it."""

from core.errors import PortfolioError


class ServerNotStarted(PortfolioError):
    """It does not run; the sentence says why, and what to do."""
