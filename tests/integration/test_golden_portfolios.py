"""Three frozen portfolios on the synthetic bars: a change of any trade is seen and must be meant.

`python -m tests.integration.test_golden_portfolios` prints the figures to be frozen.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / "tests" / "fixtures" / "golden_portfolios.json"
FIGURES = ("trades_hash", "final_equity", "charges", "trades_count", "decisions", "limiters")
VAN_THARP: dict[str, object] = {
    "stop_mode": "VAN_THARP",
    "peel_off": {"enabled": True},
    "instruments": {"GOLD_MINI": {"trading": {"volatility_constraint": "report"}}},
}
SUPERTREND: dict[str, object] = {
    "stop_mode": "SUPERTREND",
    "equity_basis": "closed",
    "instruments": {
        "BANK_NIFTY": {"trading": {"use_roc_filter": True, "roc_threshold": 1.0, "max_lots": 6}},
        "GOLD_MINI": {"enabled": False},
    },
}
PORTFOLIOS: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "both_as_shipped": ({}, ()),
    "van_tharp_gold_unlimited_by_volatility": (VAN_THARP, ("--no-charges", "--slippage=0.01%")),
    "supertrend_bank_nifty_next_open": (SUPERTREND, ("--fill=next-open", "--slippage=2")),
}


def figures(name: str, folder: Path, hash_seed: str = "0") -> dict[str, object]:
    """Run a portfolio in a process of its own; what of it is frozen."""
    settings, options = PORTFOLIOS[name]
    config, out = folder / f"{name}.json", folder / f"{name}.{hash_seed}.out.json"
    config.write_text(json.dumps(settings))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}  # noqa: TID251 - handed on as it is
    subprocess.run(
        [
            sys.executable, "portfolio_manager.py", "backtest", "--sample",
            f"--config={config}", f"--json={out}", *options,
        ],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    document = json.loads(out.read_text())
    return {figure: document[figure] for figure in FIGURES}


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_a_frozen_portfolio_trades_as_it_did(name: str, tmp_path: Path) -> None:
    frozen = json.loads(FROZEN.read_text())[name]
    assert figures(name, tmp_path) == frozen


def test_the_hash_seed_of_python_changes_nothing(tmp_path: Path) -> None:
    found = [figures("both_as_shipped", tmp_path, seed) for seed in ("1", "4242")]
    assert found[0] == found[1]


def main() -> None:
    """Print the figures of every portfolio as they are now."""
    folder = Path(sys.argv[1])
    print(json.dumps({name: figures(name, folder) for name in PORTFOLIOS}, indent=1))


if __name__ == "__main__":
    main()
