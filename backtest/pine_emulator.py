"""What a Pine script says over bars: its plots, the orders that filled, and its alerts in order.

The script itself runs, in a process of its own (pine/emulator.py) and with an environment of its
own (`.venv-pine`), so nothing of it is loaded here. History only unless ticks are given; what
TradingView does with an alert after it fired is not part of it.

    with PineEmulator() as emulator:
        emulation = emulator.run(script_of("BankNifty_TF_V8.0"), bars, chart_of(spec, 75))
        for said in emulation.said: ...        # by bar, each message as the webhook gets it
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from backtest.bars import Bars
from backtest.indicators import Floats
from core.errors import InputInvalid
from core.instruments import InstrumentSpec

REPOSITORY = Path(__file__).resolve().parent.parent
PYTHON = REPOSITORY / ".venv-pine" / "bin" / "python"
_CHILD = REPOSITORY / "pine" / "emulator.py"

Inputs = Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class Chart:
    """What a script sees of the chart it is on; `opens` and `closes` are HH:MM in IST."""

    ticker: str
    exchange: str
    minutes: int
    tick_size: float = 0.01
    point_value: float = 1.0
    opens: str = "09:15"
    closes: str = "15:30"


@dataclass(frozen=True, slots=True)
class Tick:
    """A live update: the bar that opened at `bar_epoch_s` as it stands at `seen_ms`."""

    seen_ms: int
    bar_epoch_s: int
    open: float
    high: float
    low: float
    close: float
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """An order that filled at the bar's close; `alert_message` is what TradingView would send."""

    bar: int
    time_ms: int
    id: str
    action: str
    quantity: float
    price: float
    position_before: float
    position_after: float
    comment: str | None
    alert_message: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """An alert: `time_ms` is its bar's open, `seen_ms` the live clock (None in history)."""

    bar: int
    time_ms: int
    message: str
    seen_ms: int | None = None
    is_order: bool = False


@dataclass(frozen=True, slots=True)
class Trade:
    """A layer of the script's own account; an open one has no exit."""

    entry_id: str
    entry_bar: int
    entry_price: float
    quantity: float
    exit_bar: int | None = None
    exit_price: float | None = None
    exit_comment: str | None = None
    profit: float | None = None
    commission: float | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """An entry that the script asked for and that never filled: TradingView sends nothing."""

    bar: int
    id: str


@dataclass(frozen=True, slots=True, eq=False)
class Emulation:
    """Everything that a run said. `plots` holds a column a plot, NaN where nothing is shown.

    `said` are all alerts in the order in which they fired: those of `alert()` while the script
    runs on a bar, those of its orders as they fill at the bar's close.
    """

    bars: int
    plots: Mapping[str, Floats]
    fills: Sequence[Fill]
    said: Sequence[Said]
    trades: Sequence[Trade]
    open_trades: Sequence[Trade]
    dropped: Sequence[Dropped]
    warnings: Sequence[str]

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> "Emulation":
        """What pine/emulator.py answered."""
        fills = [Fill(**fill) for fill in answer["fills"]]
        of_orders = [
            Said(fill.bar, fill.time_ms, fill.alert_message, is_order=True)
            for fill in fills
            if fill.alert_message
        ]
        of_calls = [Said(**alert) for alert in answer["alerts"]]
        return cls(
            bars=answer["bars"],
            plots={name: np.array(shown, np.float64) for name, shown in answer["plots"].items()},
            fills=fills,
            said=sorted((*of_calls, *of_orders), key=lambda said: said.bar),
            trades=[Trade(**trade) for trade in answer["trades"]],
            open_trades=[Trade(**trade) for trade in answer["open_trades"]],
            dropped=[Dropped(**entry) for entry in answer["dropped"]],
            warnings=answer["warnings"],
        )


class PineEmulator:
    """Runs scripts, one after the other. Leave it (it is a context) to end its process."""

    def __init__(self) -> None:
        """Raises `InputInvalid` where the environment that runs Pine was not made."""
        if not PYTHON.is_file():
            raise InputInvalid(
                str(PYTHON),
                "is not there: ./run_tests.sh --setup-only makes what runs Pine scripts",
            )
        self._child = subprocess.Popen(  # noqa: S603  # our own program, by its full path
            [str(PYTHON), str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    def __enter__(self) -> "PineEmulator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.communicate()

    def run(
        self,
        script: Path,
        bars: Bars,
        chart: Chart,
        inputs: Inputs | None = None,
        ticks: Sequence[Tick] = (),
    ) -> Emulation:
        """Run `script` over `bars`, then live over `ticks`; `inputs` by the script's own names.

        Raises `InputInvalid` where the script does not compile, fails, or refuses the chart.
        """
        with tempfile.TemporaryDirectory(prefix="pine-bars-") as folder:
            answer = self._ask(
                {
                    "script": str(script),
                    "bars": _write_bars(Path(folder, "bars.csv"), bars),
                    "ticks": _write_ticks(Path(folder, "ticks.csv"), ticks),
                    "chart": asdict(chart),
                    "inputs": dict(inputs or {}),
                }
            )
        if "error" in answer:
            raise InputInvalid(str(script), answer["error"])
        return Emulation.read(answer)

    def _ask(self, request: Mapping[str, Any]) -> Any:
        asking, answering = self._child.stdin, self._child.stdout
        if asking is None or answering is None:
            raise InputInvalid(str(_CHILD), "was started without pipes")
        asking.write(json.dumps(request) + "\n")
        asking.flush()
        line = answering.readline()
        if not line:
            raise InputInvalid(str(_CHILD), f"ended with status {self._child.wait()}")
        return json.loads(line)


def script_of(name: str) -> Path:
    """The shipped script of that name, such as BankNifty_TF_V8.0."""
    return REPOSITORY / "pine" / f"{name}.pine"


def chart_of(spec: InstrumentSpec, minutes: int, hours: tuple[str, str]) -> Chart:
    """The chart of an instrument's continuous future; `hours` as HH:MM."""
    return Chart(
        ticker=f"{spec.root}1!",
        exchange=spec.calendar_exchange,
        minutes=minutes,
        opens=hours[0],
        closes=hours[1],
        point_value=float(spec.fixed_point_value or 1),
    )


def _write_bars(path: Path, bars: Bars) -> str:
    """Bars as the child reads them, every digit of them."""
    columns = (bars.epoch_s, bars.open, bars.high, bars.low, bars.close)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines = (",".join(repr(value) for value in row) + "\n" for row in rows)
    path.write_text("epoch_s,open,high,low,close\n" + "".join(lines), encoding="ascii")
    return str(path)


def _write_ticks(path: Path, ticks: Sequence[Tick]) -> str | None:
    """Ticks as the child reads them; None for none."""
    if not ticks:
        return None
    lines = (
        f"{tick.seen_ms},{tick.bar_epoch_s},{tick.open!r},{tick.high!r},{tick.low!r},"
        f"{tick.close!r},{int(tick.closed)}\n"
        for tick in ticks
    )
    path.write_text("seen_ms,epoch_s,open,high,low,close,closed\n" + "".join(lines), "ascii")
    return str(path)
