"""What only these tests are told on the command line."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """A gateway to hold against the recorded contract, instead of the paper exchange."""
    parser.addoption("--openalgo-url", help="send the recorded sandbox calls to this gateway")
    parser.addoption("--openalgo-key", default="", help="the API key of that gateway")
