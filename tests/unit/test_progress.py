from collections.abc import Iterator
from io import StringIO

from rich.console import Console

from backtest.progress import progress_bar


def _drawn(seconds: list[float], *, terminal: bool) -> str:
    """What is on the screen after one step at each of `seconds`."""
    page = StringIO()
    console = Console(file=page, force_terminal=terminal, width=80, _environ={})
    clock: Iterator[float] = iter([0.0, *seconds])
    with progress_bar(console, "Windows [1]", lambda: next(clock)) as progress:
        for done in range(1, len(seconds) + 1):
            progress(done, 10)
    return page.getvalue()


def test_what_is_quick_shows_no_bar() -> None:
    assert _drawn([0.5, 1.0, 1.9], terminal=True) == ""


def test_a_bar_appears_after_two_seconds_with_what_is_done() -> None:
    drawn = _drawn([1.0, 2.1], terminal=True)
    assert "Windows [1]" in drawn
    assert "2/10" in drawn


def test_a_pipe_gets_no_bar() -> None:
    assert _drawn([1.0, 2.1, 60.0], terminal=False) == ""
