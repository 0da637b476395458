"""Videos whose frames say their number by their brightness, and what comes out of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent

NUM_FRAMES = 30
RATE = 25.0
GREY_STEP = 8


@dataclass
class Outcome:
    """What a source gave, taken apart."""

    frames: list[Frame] = field(default_factory=list)
    events: list[SourceEvent] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [frame.number for frame in self.frames]

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    @property
    def greys(self) -> list[float]:
        """Mean brightness of each frame."""
        return [float(frame.image_hwc.mean()) for frame in self.frames]

    def accounted(self) -> list[int]:
        """Every number that a frame has or an event counts, sorted."""
        counted = [
            number
            for event in self.events
            for number in range(event.number, event.number + event.count)
        ]
        return sorted(self.numbers + counted)


@pytest.fixture
def outcome() -> Callable[[Iterable[Frame | SourceEvent]], Outcome]:
    def collect(source: Iterable[Frame | SourceEvent]) -> Outcome:
        result = Outcome()
        for item in source:
            if isinstance(item, Frame):
                result.frames.append(item)
            else:
                result.events.append(item)
        return result

    return collect


@pytest.fixture
def make_video() -> Callable[..., Path]:
    """Writes a video: frame i has the grey value 8 i, with a white stripe at the left."""

    def write(
        path: Path, fourcc: str = "MJPG", size: tuple[int, int] = (64, 48), count: int = NUM_FRAMES
    ) -> Path:
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), RATE, size)
        assert writer.isOpened(), path
        for number in range(count):
            image = np.full((size[1], size[0], 3), GREY_STEP * number % 256, np.uint8)
            image[:, : size[0] // 8] = 255
            writer.write(image)
        writer.release()
        return path

    return write
