"""The whole chain: Pine scripts, their alerts, the service, and the backtest of the same bars."""

from datetime import date
from pathlib import Path

import pytest

from backtest.progress import silent
from live.chain.programs import Inputs
from live.chain.rehearsal import Trouble
from live.chain.whole import run_chain
from tests.fixtures.sample_bars import sample_of

# In the first fortnight both instruments trade and add, are stopped, and gold is rolled; in the
# weeks after it Bank Nifty is rolled too, and held at the end. What is before is warm-up.
WARM_UP, FIRST, FORTNIGHT, LAST = (
    date(2026, 2, 2),
    date(2026, 8, 18),
    date(2026, 9, 1),
    date(2026, 9, 23),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "until", "trades", "layers", "rolls"),
    [
        (Trouble.NONE, LAST, 11, 2, 2),
        (Trouble.DUPLICATES, FORTNIGHT, 4, 0, 1),
        (Trouble.REORDERED, FORTNIGHT, 4, 0, 1),
        (Trouble.CRASH, FORTNIGHT, 4, 0, 1),
    ],
)
def test_the_scripts_alerts_are_traded_as_the_backtest_trades_their_bars(
    tmp_path: Path,
    open_folder: Path,
    trouble: Trouble,
    until: date,
    trades: int,
    layers: int,
    rolls: int,
) -> None:
    inputs = Inputs(sample_of(WARM_UP, until, tmp_path), None, FIRST, "5000000")
    result = run_chain(inputs, trouble, open_folder, print, silent)
    assert result.differences == ()
    assert result.trades >= trades
    assert result.open_layers == layers
    assert result.rolls >= rolls
    assert result.crashes == (2 if trouble is Trouble.CRASH else 0)
