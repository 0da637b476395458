"""What every source gives: frames, and a word about each frame that could not be given.

Shapes: H, W picture height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from edge_arm.runtime.preprocess import Uint8Array


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        source: as the user knows it: a path, "camera:0", a URL.
        number: position in the source from 0; broken and dropped frames have numbers too.
        time_s: where it belongs: since the beginning of a video file, since the start of a camera;
            0 for a picture.
        image_hwc: (H, W, 3) uint8 RGB, owned by whoever got the frame.
    """

    source: str
    number: int
    time_s: float
    image_hwc: Uint8Array


class EventKind(Enum):
    """Why there is no frame where one was expected, or that there are frames again."""

    BROKEN = "broken"
    """A picture or frame that cannot be decoded; the source goes on."""
    DROPPED = "dropped"
    """Frames of a live source that nobody had time for; a file never drops any."""
    LOST = "lost"
    """A live source does not answer; it is being opened again."""
    RECONNECTED = "reconnected"
    """It answers again."""


@dataclass(frozen=True)
class SourceEvent:
    """Something that a user must be told about frames that are not there.

    Attributes:
        kind: what happened.
        source: as in `Frame`.
        number: of the first frame that it is about.
        count: of frames; 0 if nobody can know, as with a lost camera.
        time_s: as in `Frame`.
        reason: a sentence: got, expected, what to do.
    """

    kind: EventKind
    source: str
    number: int
    count: int
    time_s: float
    reason: str


class FrameSource(Protocol):
    """Frames in order, each once. Close it (`contextlib.closing`); iterate over it once.

    Iterating raises only what ends the source: DataError for one that gave no frame at all.
    """

    @property
    def name(self) -> str:
        """As the user wrote it."""
        ...

    @property
    def live(self) -> bool:
        """Frames come whether or not somebody is ready: a camera, a stream."""
        ...

    @property
    def moving(self) -> bool:
        """Frames follow each other in time, so that tracking has a meaning; not so for pictures."""
        ...

    @property
    def frames_per_s(self) -> float | None:
        """Nominal rate; None if there is none or it is not known."""
        ...

    @property
    def expected_frames(self) -> int | None:
        """How many frames there will be as far as it can be told, for a progress bar alone."""
        ...

    def __iter__(self) -> Iterator[Frame | SourceEvent]: ...

    def close(self) -> None:
        """Give the device or file back; may be called from another thread and more than once."""
        ...
