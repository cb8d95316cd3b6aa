"""Finished runs as pages: one file each that needs no network and runs no text it was given."""

from backtest.report.backtest_page import write_report
from backtest.report.equity_svg import write_equity_svg

__all__ = ["write_equity_svg", "write_report"]
