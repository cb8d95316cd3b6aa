"""The whole chain: Pine scripts, their alerts, the service, and the backtest of the same bars."""

from datetime import date
from pathlib import Path

import pytest

from backtest.progress import silent
from live.chain.programs import Inputs
from live.chain.rehearsal import Trouble
from live.chain.whole import run_chain
from tests.fixtures.sample_bars import sample_of

# In these weeks both instruments trade, add, are stopped and are rolled; before them is warm-up.
WARM_UP, FIRST, LAST = date(2026, 2, 2), date(2026, 8, 18), date(2026, 9, 25)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", list(Trouble))
def test_the_scripts_alerts_are_traded_as_the_backtest_trades_their_bars(
    tmp_path: Path, open_folder: Path, trouble: Trouble
) -> None:
    inputs = Inputs(sample_of(WARM_UP, LAST, tmp_path), None, FIRST, "5000000")
    result = run_chain(inputs, trouble, open_folder, print, silent)
    assert result.differences == ()
    assert result.trades >= 12
    assert result.rolls >= 2
    assert result.crashes == (2 if trouble is Trouble.CRASH else 0)
