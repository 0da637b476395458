"""What the user chooses about a source."""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.errors import UsageError

MAX_PIXELS = 100_000_000
"""300 MB as RGB; above what cameras take, below what a small board has to spare."""


@dataclass(frozen=True)
class SourceConfig:
    """How patient and how generous a source is.

    Attributes:
        give_up_s: a lost camera or stream is opened again for so long, then the source ends;
            `math.inf` for ever.
        timeout_s: longest wait for a device, a stream or a pipeline to open or to give a frame.
        workers: decoding threads for pictures; one per core, at most 4, when None.
        waiting_frames: of a live source, kept for whoever takes them; more means older frames.
        max_pixels: a larger picture or video is refused before it is decoded.
    """

    give_up_s: float = 60.0
    timeout_s: float = 10.0
    workers: int | None = None
    waiting_frames: int = 2
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if not self.give_up_s >= 0:
            raise UsageError(
                f"got {self.give_up_s} seconds until a lost source is given up, expected 0 or "
                "more; use --give-up 60"
            )
        if not 0 < self.timeout_s < float("inf"):
            raise UsageError(
                f"got a time-out of {self.timeout_s} seconds, expected more than 0; use 10"
            )
        if self.workers is not None and self.workers < 1:
            raise UsageError(
                f"got {self.workers} decoding workers, expected at least 1; use --workers 1"
            )
        if self.waiting_frames < 1:
            raise UsageError(
                f"got {self.waiting_frames} waiting frames, expected at least 1; use 2"
            )
        if self.max_pixels < 1:
            raise UsageError(
                f"got a limit of {self.max_pixels} pixels, expected at least 1; use {MAX_PIXELS}"
            )
