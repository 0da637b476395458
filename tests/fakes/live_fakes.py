"""A source whose frames a test chooses, and a model that reads the answer off the pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.labels import RAFDB, LabelSet
from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.frame import Frame, SourceEvent

SIZE = 8


@dataclass
class ListedSource:
    """Gives what it was made of, and remembers how far it got."""

    items: Iterable[Frame | SourceEvent]
    name: str = "listed"
    live: bool = False
    moving: bool = True
    frames_per_s: float | None = 30.0
    expected_frames: int | None = None
    given: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[Frame | SourceEvent]:
        for item in self.items:
            if self.closed.is_set():
                return
            self.given += 1
            yield item

    def close(self) -> None:
        self.closed.set()


@dataclass
class PixelReader:
    """Answers with the class whose index is the red of a face's middle, and keeps batch sizes."""

    labels: LabelSet = RAFDB
    size: int = SIZE
    before: Callable[[], object] = lambda: None
    batches: list[int] = field(default_factory=list)

    def classify(self, images_nhwc: Uint8Array) -> Float32Array:
        assert images_nhwc.shape[1:] == (self.size, self.size, 3)
        self.before()
        self.batches.append(len(images_nhwc))
        answers = np.full((len(images_nhwc), len(self.labels)), 0.02, np.float32)
        reds = images_nhwc[:, self.size // 2, self.size // 2, 0]
        answers[np.arange(len(reds)), reds] = 1 - 0.02 * (len(self.labels) - 1)
        return answers


def frame(number: int, *, red: int | None = None, side: int = SIZE, name: str = "listed") -> Frame:
    """A picture of one class's red; the class is the number's remainder unless it is given."""
    image_hwc = np.zeros((side, side, 3), np.uint8)
    image_hwc[..., 0] = number % len(RAFDB) if red is None else red
    return Frame(name, number, number / 30, image_hwc)


def labelled(
    x: int, y: int, width: int, height: int, *, label: str = "happiness", track: int | None = None
) -> LabelledFace:
    """A face with 0.93 for its label."""
    rest = 0.07 / (len(RAFDB) - 1)
    probabilities = tuple(0.93 if name == label else rest for name in RAFDB.classes)
    return LabelledFace(CropBox(x, y, width, height), 1.5, track, label, probabilities, label)


def result(image_hwc: Uint8Array, *faces: LabelledFace, number: int = 0) -> FrameResult:
    """A frame of a video of 30 frames a second."""
    return FrameResult(Frame("clip.mp4", number, number / 30, image_hwc), faces, 0.01)


class GridDetector:
    """Finds a face in each cell of SIZE pixels."""

    name = "grid"

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        height, width = image_hwc.shape[:2]
        return tuple(
            FoundFace(CropBox(x, y, SIZE, SIZE), 1.0)
            for x in range(0, width, SIZE)
            for y in range(0, height, SIZE)
        )
