"""What the commands print: progress to stderr, results to stdout.

Progress bars are for people: where stderr is no terminal (CI, a log file) a line every ten per
cent stands in for them, so that a log neither fills up nor stays silent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


@contextmanager
def progress_bar(
    description: str, total: int, unit: str = "images", *, before: int = 0
) -> Iterator[Advance]:
    """A bar with rate and time left; the block calls what it gets with every step.

    Args:
        description: what is being done.
        total: number of steps in all.
        unit: what a step is.
        before: number of steps that an earlier run did; they count as done, not as quick.

    Yields:
        A function that moves the bar on by a number of steps.
    """
    if not sys.stderr.isatty():
        yield _LineProgress(description, total, unit, before=before).advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(description, total=total, completed=before, rate="")
        started = time.perf_counter()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            rate = done / max(time.perf_counter() - started, 1e-9)
            bar.update(task, advance=steps, rate=f"{rate:.0f} {unit}/s")

        yield advance


class _LineProgress:
    def __init__(self, description: str, total: int, unit: str, *, before: int = 0) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = self._before = before
        self._next_tenth = before * 10 // total + 1 if total > 0 else 1
        self._started = time.perf_counter()

    def advance(self, steps: int) -> None:
        self._done += steps
        if self._total <= 0 or self._done * 10 < self._next_tenth * self._total:
            return
        self._next_tenth = self._done * 10 // self._total + 1
        seconds = max(time.perf_counter() - self._started, 1e-9)
        rate = (self._done - self._before) / seconds
        left = (self._total - self._done) / max(rate, 1e-9)
        sys.stderr.write(
            f"{self._description}: {self._done}/{self._total} {self._unit}, "
            f"{rate:.0f} {self._unit}/s, {max(left, 0):.0f} s left\n"
        )
        sys.stderr.flush()
