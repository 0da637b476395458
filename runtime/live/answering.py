"""The stage that asks the model: what waits becomes one call, and each face gets its label.

A call takes what is waiting, up to a full batch, and never waits for more: alone, a frame of a
camera is answered at once, and a folder of faces runs in full batches because faces have piled up
while the model was busy.

Shapes: N faces of a frame, S model input size, C classes.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.bounded_queue import BoundedQueue
from edge_arm.runtime.live.frame_faces import FrameFaces
from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.frame import Frame, SourceEvent
from edge_arm.runtime.tracking.tracked_labels import TrackedLabels


class Classifier(Protocol):
    """What the pipeline needs of a model."""

    @property
    def labels(self) -> LabelSet:
        """The C classes in the order of the answers."""
        ...

    @property
    def size(self) -> int:
        """S."""
        ...

    def classify(self, images_nhwc: Uint8Array) -> Float32Array:
        """(N, C) probabilities of (N, S, S, 3) uint8 RGB faces; one call at a time."""
        ...


@dataclass(frozen=True, eq=False)
class FrameInFlight:
    """A frame on its way to the model.

    Attributes:
        frame: as the source gave it.
        left_s: `perf_counter` when it left the source.
        faces: in it, once somebody has looked.
    """

    frame: Frame
    left_s: float
    faces: Future[FrameFaces]


@dataclass(frozen=True, eq=False)
class End:
    """The last thing in a queue.

    Attributes:
        error: what ended the stage before; None if all is done.
    """

    error: BaseException | None


Waiting = BoundedQueue["FrameInFlight | SourceEvent | End"]
Answered = BoundedQueue["FrameResult | SourceEvent | End"]


def answer_frames(
    waiting: Waiting,
    answered: Answered,
    *,
    classifier: Classifier,
    tracked: TrackedLabels | None,
    max_batch: int,
) -> None:
    """Classify every frame of a queue into the next one, order kept, until its end.

    Args:
        waiting: frames and events, with `End` as the last.
        answered: gets a result for each frame, and the events where they were.
        classifier: the model.
        tracked: follows the faces; None where frames do not follow each other.
        max_batch: faces in a call at most.

    Raises:
        QueueClosed: if one of the queues was closed.
        BaseException: what ended the stage before, or went wrong here; results are in the queue
            up to the frame that it is about.
    """
    while True:
        item = waiting.get()
        if isinstance(item, End):
            if item.error is not None:
                raise item.error
            return
        if isinstance(item, SourceEvent):
            answered.put(item)
            continue
        frames = _with_whatever_waits(item, waiting, max_batch)
        probabilities = _probabilities(frames, classifier)
        answered.put_all(
            (result, result.frame.image_hwc.nbytes)
            for result in _results(frames, probabilities, classifier.labels, tracked)
        )


def _results(
    frames: list[FrameInFlight],
    probabilities: Float32Array,
    labels: LabelSet,
    tracked: TrackedLabels | None,
) -> list[FrameResult]:
    """Of every frame, from the rows (N, C) of all their faces in order."""
    results, start = [], 0
    for flight in frames:
        faces = flight.faces.result()
        rows = probabilities[start : start + len(faces)]
        start += len(faces)
        if tracked is None:
            labelled = labelled_faces(faces, rows, labels)
        else:
            time_s = flight.frame.time_s
            labelled = _followed_faces(faces, rows, labels, tracked=tracked, time_s=time_s)
        results.append(FrameResult(flight.frame, labelled, perf_counter() - flight.left_s))
    return results


def _with_whatever_waits(
    first: FrameInFlight, waiting: Waiting, max_batch: int
) -> list[FrameInFlight]:
    """Frames for one call; a frame with more faces than a batch holds is alone."""
    num_faces = len(first.faces.result())

    def fits(item: FrameInFlight | SourceEvent | End) -> bool:
        nonlocal num_faces
        # One that failed stays, to be met as the first of a call: then all before it is answered.
        if (
            not isinstance(item, FrameInFlight)
            or not item.faces.done()
            or item.faces.exception() is not None
        ):
            return False
        num_faces += len(item.faces.result())
        return num_faces <= max_batch

    more = waiting.get_while(fits, most=max_batch - 1)
    return [first, *(item for item in more if isinstance(item, FrameInFlight))]


def _probabilities(frames: list[FrameInFlight], classifier: Classifier) -> Float32Array:
    """(N, C) over the faces of all frames, in order."""
    looked_at = [flight.faces.result() for flight in frames]
    first_chunks = [faces.first_nhwc for faces in looked_at if len(faces)]
    if not first_chunks:
        return np.empty((0, len(classifier.labels)), np.float32)
    if len(first_chunks) > 1:
        return classifier.classify(np.concatenate(first_chunks))
    answers = [classifier.classify(first_chunks[0])]
    answers += [classifier.classify(chunk) for faces in looked_at for chunk in faces.rest()]
    return np.concatenate(answers)


def labelled_faces(
    faces: FrameFaces, rows: Float32Array, labels: LabelSet
) -> tuple[LabelledFace, ...]:
    """The faces of a frame by itself.

    Args:
        faces: N of them.
        rows: (N, C) probabilities.
        labels: the classes.
    """
    classes = labels.classes
    return tuple(
        LabelledFace(
            box=box,
            score=score,
            track=None,
            label=classes[best],
            probabilities=tuple(row),
            frame_label=classes[best],
        )
        for box, score, best, row in zip(
            faces.boxes, faces.scores, rows.argmax(axis=1).tolist(), rows.tolist(), strict=True
        )
    )


def _followed_faces(
    faces: FrameFaces,
    rows: Float32Array,
    labels: LabelSet,
    *,
    tracked: TrackedLabels,
    time_s: float,
) -> tuple[LabelledFace, ...]:
    """The faces of a video's frame, each with its track and its smoothed label."""
    # Called for a frame without faces as well: that is how a track learns that its face is gone.
    answers = tracked.update(faces.boxes, rows, time_s)
    classes = labels.classes
    return tuple(
        LabelledFace(
            box=box,
            score=score,
            track=answer.track,
            label=classes[answer.class_index],
            probabilities=answer.probabilities,
            frame_label=classes[answer.frame_class_index],
        )
        for box, score, answer in zip(faces.boxes, faces.scores, answers, strict=True)
    )
