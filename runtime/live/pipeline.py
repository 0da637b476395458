"""Frames to labelled faces, each stage in threads of its own.

The stages::

    source -> read -> find (several threads) -> classify and follow -> whoever iterates

Threads suffice because OpenCV and the backends release the interpreter lock. Between the stages
stand queues that hold little, so what is faster waits for what is slower and memory stays flat: a
file waits too, a camera drops frames itself and says so. Finding may overtake; a frame's place is
kept by the queue that its future stands in.

Whatever ends the run (the end of the source, an error anywhere, the consumer's leaving) ends every
thread and closes the source. An error reaches the consumer behind the frames before it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from time import perf_counter
from typing import Any

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.interrupt import interrupt_kept
from edge_arm.runtime.live.answering import (
    Answered,
    Classifier,
    End,
    FrameInFlight,
    Waiting,
    answer_frames,
)
from edge_arm.runtime.live.bounded_queue import BoundedQueue, QueueClosed
from edge_arm.runtime.live.frame_faces import FaceFinding, FrameFaces, LookAtFrame, look_at_frame
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.sources.frame import Frame, FrameSource, SourceEvent
from edge_arm.runtime.tracking.smoothing import SmoothingConfig
from edge_arm.runtime.tracking.tracked_labels import TrackedLabels

QUEUE_BYTES = 48 << 20
"""Of pictures in each of the two queues: 8 frames of 1080p, 2 of 4K."""

SMALL_BYTES = 1 << 20
"""Results are handed over together up to so many bytes of pictures: aligned faces are."""

_LEAVE_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PipelineConfig:
    """What happens to a frame.

    Attributes:
        find: how faces are found; None if each frame is one aligned face.
        smoothing: of the labels where frames follow each other; None for none.
        max_batch: faces in one call of the model at most.
        finders: threads that look for faces; None for one per core, four at most.
    """

    find: FaceFinding | None
    smoothing: SmoothingConfig | None = SmoothingConfig()
    max_batch: int = 32
    finders: int | None = None

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise UsageError(
                f"got batches of {self.max_batch} faces, expected at least 1; 32 is usual"
            )
        if self.finders is not None and self.finders < 1:
            raise UsageError(
                f"got {self.finders} threads that look for faces, expected at least 1; leave it "
                "out for one per core"
            )


def classified_frames(
    source: FrameSource,
    classifier: Classifier,
    config: PipelineConfig,
    *,
    tracked: TrackedLabels | None = None,
) -> Generator[FrameResult | SourceEvent, None, None]:
    """Every frame of a source with its labelled faces, in order, and what the source reports.

    Close the iterator (`contextlib.closing`) to end early; running out or raising does so too.

    Args:
        source: is closed at the end.
        classifier: the model; it is called from one other thread.
        config: what happens to a frame.
        tracked: follows the faces of a moving source, for callers that ask it for its flicker
            afterwards; made from the config if absent.

    Yields:
        A result for each frame, faces or not, and the source's events at their places.

    Raises:
        EdgeArmError: from the source, the detector or the model, behind what came before it.
    """
    finders = config.finders or _one_per_core()
    # A camera's frames should not grow old in a queue; a file's may pile up to a full batch.
    ahead = finders if source.live else 2 * config.max_batch
    waiting: Waiting = BoundedQueue(ahead, QUEUE_BYTES)
    answered: Answered = BoundedQueue(ahead, QUEUE_BYTES)
    following = (tracked or TrackedLabels(config.smoothing)) if source.moving else None
    look = look_at_frame(config.find, classifier.size, chunk=config.max_batch)
    pool = ThreadPoolExecutor(finders, thread_name_prefix="find")
    # Resizing an aligned face takes less time than handing it to another thread.
    hand_over = _done if config.find is None else pool.submit
    threads = (
        _thread(
            "read",
            waiting,
            lambda: _read_frames(source, waiting, lambda frame: hand_over(look, frame)),
        ),
        _thread(
            "classify",
            answered,
            lambda: answer_frames(
                waiting,
                answered,
                classifier=classifier,
                tracked=following,
                max_batch=config.max_batch,
            ),
        ),
    )
    try:
        for thread in threads:
            thread.start()
        while True:
            for item in answered.get_some(most_bytes=SMALL_BYTES):
                if not isinstance(item, End):
                    yield item
                elif item.error is None:
                    return
                else:
                    raise item.error
    finally:
        with interrupt_kept("the threads of this run have ended"):
            waiting.close()
            answered.close()
            source.close()
            # Frames that nobody has looked at yet need not be: whoever waits for one is woken.
            pool.shutdown(wait=True, cancel_futures=True)
            for thread in threads:
                if thread.ident is not None:  # Ctrl-C may come while they are started
                    thread.join(_LEAVE_S)
                if thread.is_alive():
                    _log.warning("the thread %r does not end, it is left behind", thread.name)


def _read_frames(
    source: FrameSource, waiting: Waiting, look_at: Callable[[Frame], Future[FrameFaces]]
) -> None:
    for item in source:
        if isinstance(item, SourceEvent):
            waiting.put(item)
            continue
        left_s = perf_counter()
        flight = FrameInFlight(item, left_s, look_at(item))
        waiting.put(flight, item.image_hwc.nbytes)


def _done(look: LookAtFrame, frame: Frame) -> Future[FrameFaces]:
    """What `ThreadPoolExecutor.submit` gives, but looked at in this thread."""
    faces: Future[FrameFaces] = Future()
    try:
        faces.set_result(look(frame))
    except Exception as error:  # as in the pool: it belongs to whoever asks for the faces
        faces.set_exception(error)
    return faces


def _thread(name: str, results: BoundedQueue[Any], work: Callable[[], None]) -> Thread:
    """A thread that does its work and puts an `End` behind it, with the error if there was one."""

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except QueueClosed:
            return  # the consumer has gone
        except BaseException as raised:  # every one of them belongs to the consumer
            error = raised
        with suppress(QueueClosed):
            results.put(End(error))

    # Daemon: a source that never returns from its driver must not keep the process alive.
    return Thread(target=run, name=name, daemon=True)


def _one_per_core() -> int:
    # Finding takes longer than anything else on a small board; more threads would only keep more
    # pictures in memory.
    return min(4, len(os.sched_getaffinity(0)))
