"""Faces on the device before the step that needs them asks for them.

A GPU makes thousands of steps' faces a second, so three ways, the best that can be had:
1. The whole set lies on the GPU, where half of its free memory takes it: nothing is copied.
2. A thread gathers the next batches in page-locked memory and copies them beside the computation.
3. On a CPU a thread gathers them, so that a step does not wait for a disk either.

Shapes: M faces stored, B batch, S input size.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_arm.training.decoded_faces import DecodedFaces

_AHEAD = 2
"""Batches that are ready or under way beside the one that is worked on."""
_POLL_SECONDS = 0.1
_UPLOAD_FACES = 4096

T = TypeVar("T")
Positions = npt.NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
"""(B, 3, S, S) uint8 in channels-last order, and (B,) int64 targets, both on the device."""

Batches = Generator[Batch, None, None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feed:
    """Hands out the faces of one part of a set.

    Attributes:
        faces: the part.
        device: that computes.
        resident_nhwc: (M, S, S, 3) uint8, all stored faces on that device, or None.
    """

    faces: DecodedFaces
    device: torch.device
    resident_nhwc: Tensor | None = None

    def batches(self, steps: Sequence[Positions]) -> Batches:
        """The faces of each step, in order. Close it to stop early.

        Args:
            steps: positions in the part, (B,) for each step.
        """
        if self.resident_nhwc is not None:
            return self._resident(self.resident_nhwc, steps)
        if self.device.type == "cuda":
            return self._copied(steps)
        return _ahead(lambda positions: self.faces.batch(positions, self.device), steps)

    def _resident(self, images_nhwc: Tensor, steps: Sequence[Positions]) -> Batches:
        if not steps:
            return
        order = np.concatenate(steps)
        rows = torch.from_numpy(self.faces.rows[order]).to(self.device)
        targets = torch.from_numpy(self.faces.targets[order]).to(self.device)
        start = 0
        for positions in steps:
            end = start + len(positions)
            yield images_nhwc[rows[start:end]].permute(0, 3, 1, 2), targets[start:end]
            start = end

    def _copied(self, steps: Sequence[Positions]) -> Batches:
        stored = torch.from_numpy(self.faces.stored_nhwc)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

        def copied(positions: Positions) -> tuple[Tensor, Tensor, torch.cuda.Event]:
            shape = (len(positions), *stored.shape[1:])
            # PyTorch gives page-locked memory out again only when its copy is done.
            images = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            torch.index_select(stored, 0, torch.from_numpy(self.faces.rows[positions]), out=images)
            targets = torch.from_numpy(self.faces.targets[positions]).pin_memory()
            with torch.cuda.stream(stream):
                on_device = images.to(self.device, non_blocking=True)
                targets = targets.to(self.device, non_blocking=True)
                return on_device, targets, stream.record_event()

        for images, targets, event in _ahead(copied, steps):
            now = torch.cuda.current_stream(self.device)
            now.wait_event(event)
            for tensor in (images, targets):
                tensor.record_stream(now)
            yield images.permute(0, 3, 1, 2), targets


def feeds_for(
    train: DecodedFaces, validation: DecodedFaces, device: torch.device
) -> tuple[Feed, Feed]:
    """Feeds of both parts of a set, sharing what lies on the device.

    Args:
        train: faces to learn from.
        validation: faces that choose the epoch.
        device: that computes.
    """
    resident = None
    if device.type == "cuda" and train.stored_nhwc is validation.stored_nhwc:
        resident = _resident_pixels(train, device)
    return Feed(train, device, resident), Feed(validation, device, resident)


def _resident_pixels(faces: DecodedFaces, device: torch.device) -> Tensor | None:
    size_bytes, free_bytes = faces.stored_nhwc.nbytes, torch.cuda.mem_get_info(device)[0]
    fits = size_bytes <= free_bytes // 2
    _log.info(
        "%.1f GB of decoded faces %s: %.1f GB are free on the GPU",
        size_bytes / 1e9,
        "go there at once" if fits else "are copied there as they are needed",
        free_bytes / 1e9,
    )
    if not fits:
        return None
    stored = torch.from_numpy(faces.stored_nhwc)
    resident = torch.empty(stored.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(stored), _UPLOAD_FACES):
        resident[start : start + _UPLOAD_FACES].copy_(stored[start : start + _UPLOAD_FACES])
    return resident


class _Failure:
    """Carries what went wrong in the thread to the one that waits."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _ahead(make: Callable[[Positions], T], steps: Sequence[Positions]) -> Generator[T, None, None]:
    """What `make` makes of each step, made in a thread while the one before is worked on."""
    ready: queue.Queue[T | _Failure] = queue.Queue(_AHEAD)
    closed = threading.Event()

    def put(item: T | _Failure) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for positions in steps:
                if not put(make(positions)):
                    return
        except BaseException as error:
            put(_Failure(error))

    thread = threading.Thread(target=work, name="edge-arm feed", daemon=True)
    thread.start()
    try:
        for _ in steps:
            item = ready.get()
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()
