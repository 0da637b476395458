"""What a run came to: frames, faces, what was missing, how fast, how much the labels flickered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from time import perf_counter

from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.sources.frame import EventKind, SourceEvent
from edge_arm.runtime.tracking.tracked_labels import Flicker


@dataclass(frozen=True)
class RunSummary:
    """The figures at the end of a run.

    Attributes:
        frames: that were answered.
        faces: in them.
        broken: frames that could not be decoded.
        dropped: frames of a live source that nobody had time for.
        lost: times that a live source did not answer.
        seconds: from the start to the last frame.
        flips_per_minute: of the labels that were given out, per minute of track; None without
            tracks.
        frame_flips_per_minute: of the single frames' labels, likewise.
    """

    frames: int
    faces: int
    broken: int
    dropped: int
    lost: int
    seconds: float
    flips_per_minute: float | None
    frame_flips_per_minute: float | None

    @property
    def frames_per_s(self) -> float:
        """Answered frames over the whole time."""
        return self.frames / self.seconds if self.seconds > 0.0 else 0.0


class RunTally:
    """Counts while a run goes on; the time begins when it is made."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._frames = self._faces = 0
        self._missing: Counter[EventKind] = Counter()
        self._flickers: list[Flicker] = []

    def count(self, item: FrameResult | SourceEvent) -> None:
        """Take one frame or event in."""
        if isinstance(item, FrameResult):
            self._frames += 1
            self._faces += len(item.faces)
        else:
            # Of a lost camera nobody knows how many frames are missing: it counts once.
            lost = item.kind is EventKind.LOST
            self._missing[item.kind] += 1 if lost else item.count

    def add_flicker(self, flicker: Flicker) -> None:
        """Take in what was counted in one moving source."""
        self._flickers.append(flicker)

    @property
    def frames(self) -> int:
        """Answered so far."""
        return self._frames

    def summary(self) -> RunSummary:
        """The figures as they are now."""
        all_tracks = Flicker(
            tracks=sum(item.tracks for item in self._flickers),
            seconds_tracked=sum(item.seconds_tracked for item in self._flickers),
            flips=sum(item.flips for item in self._flickers),
            frame_flips=sum(item.frame_flips for item in self._flickers),
        )
        return RunSummary(
            frames=self._frames,
            faces=self._faces,
            broken=self._missing[EventKind.BROKEN],
            dropped=self._missing[EventKind.DROPPED],
            lost=self._missing[EventKind.LOST],
            seconds=perf_counter() - self._started,
            flips_per_minute=all_tracks.flips_per_minute,
            frame_flips_per_minute=all_tracks.frame_flips_per_minute,
        )
