"""What a person sees of `edge-arm run`: a bar for what has an end, a line that sums up."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from edge_arm.cli.console import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from edge_arm.runtime.live.live_run import Step, Watch
    from edge_arm.runtime.live.run_summary import RunSummary
    from edge_arm.runtime.sources.frame import FrameSource


@contextmanager
def watched(json_lines: Path | None) -> Iterator[Watch]:
    """Progress bars, one source after the other.

    Args:
        json_lines: where the lines go; on a terminal they are the progress, and a bar would be
            drawn into them.

    Yields:
        What `run_sources` tells of each source.
    """
    lines_are_seen = json_lines is None and sys.stdout.isatty()
    with ExitStack() as bars:

        def watch(source: FrameSource) -> Step:
            bars.close()
            total = source.expected_frames
            # A single picture is answered sooner than a bar is drawn.
            if lines_are_seen or total is None or total < 2:
                return lambda steps: None
            unit = "frames" if source.moving else "pictures"
            return bars.enter_context(progress_bar(source.name, total, unit))

        yield watch


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, by which systemd and Docker end a service, finishes the files as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def summary_line(summary: RunSummary) -> str:
    """What a run came to, in one line."""
    parts = [
        f"{summary.frames} frames, {summary.faces} faces in {summary.seconds:.1f} s "
        f"({summary.frames_per_s:.1f} frames/s)"
    ]
    missing = ((summary.broken, "broken"), (summary.dropped, "dropped"))
    parts += [f"{count} {what}" for count, what in missing if count]
    if summary.lost:
        parts.append(f"lost {summary.lost} times")
    if summary.flips_per_minute is not None:
        parts.append(
            f"each face's label changed {summary.flips_per_minute:.1f} times a minute, "
            f"{summary.frame_flips_per_minute:.1f} frame by frame"
        )
    return "; ".join(parts)
