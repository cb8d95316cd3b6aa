"""A bar for what takes long: it appears after two seconds, and never where nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

SHOWN_AFTER_S = 2.0

# Told how much is done, and of how much.
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """A progress that nobody sees."""


@contextmanager
def progress_bar(
    console: Console, label: str, clock: Callable[[], float] = perf_counter
) -> Iterator[Progress]:
    """What to call with (done, total); draws on `console` when that is a terminal."""
    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(label, total=None)
    begun = clock()
    shown = False

    def told(done: int, total: int) -> None:
        nonlocal shown
        bar.update(task, completed=done, total=total)
        if not shown and console.is_terminal and clock() - begun >= SHOWN_AFTER_S:
            shown = True
            bar.start()

    try:
        yield told
    finally:
        if shown:
            bar.stop()
