"""Order, batches, bounds and ends of the pipeline, with real threads."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from random import Random

import numpy as np
import pytest
from live_fakes import SIZE, GridDetector, ListedSource, PixelReader, frame

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.errors import DataError, InferenceError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live import pipeline
from edge_arm.runtime.live.frame_faces import FaceFinding
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.live.pipeline import PipelineConfig, classified_frames
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent
from edge_arm.runtime.tracking.tracked_labels import TrackedLabels

WITHIN_S = 1.0
ALIGNED = PipelineConfig(find=None)
WHOLE = FaceFraming("grid", 0.0, 0.0, 1.0, 1.0)
"""A found box is what the model takes."""


def finding(detector: type[GridDetector] = GridDetector) -> FaceFinding:
    return FaceFinding(detector, WHOLE)


def numbers(results: Iterator[FrameResult | SourceEvent]) -> list[int]:
    return [
        item.frame.number if isinstance(item, FrameResult) else -item.number for item in results
    ]


def labels_of(results: Iterator[FrameResult | SourceEvent]) -> list[str]:
    return [item.faces[0].label for item in results if isinstance(item, FrameResult)]


class UnevenDetector(GridDetector):
    """Takes longer for some frames, so that later ones overtake."""

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        time.sleep(Random(int(image_hwc[0, 0, 0])).uniform(0, 0.01))
        return super().find(image_hwc)


def broken(number: int) -> SourceEvent:
    return SourceEvent(EventKind.BROKEN, "listed", number, 1, number / 30, "damaged")


def test_frames_and_events_keep_their_order_when_finding_overtakes() -> None:
    items = [broken(number) if number % 7 == 3 else frame(number) for number in range(60)]
    config = PipelineConfig(finding(UnevenDetector), finders=4)
    got = numbers(classified_frames(ListedSource(items), PixelReader(), config))
    assert got == [-number if number % 7 == 3 else number for number in range(60)]


def test_each_face_gets_its_own_answer() -> None:
    source = ListedSource([frame(number) for number in range(40)], moving=False)
    answers = labels_of(classified_frames(source, PixelReader(), ALIGNED))
    assert answers == [RAFDB.classes[number % len(RAFDB)] for number in range(40)]


def test_an_aligned_face_is_the_whole_frame_and_has_no_score_and_no_track() -> None:
    source = ListedSource([frame(3, side=20)], moving=False)
    (item,) = classified_frames(source, PixelReader(), ALIGNED)
    assert isinstance(item, FrameResult)
    (face,) = item.faces
    assert (face.box, face.score, face.track) == (CropBox(0, 0, 20, 20), None, None)
    assert sum(face.probabilities) == pytest.approx(1, abs=1e-6)  # float32
    assert face.frame_label == face.label == RAFDB.classes[3]
    assert 0 < item.ready_s < WITHIN_S


def test_a_frame_without_faces_is_a_result() -> None:
    class Nobody(GridDetector):
        def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
            return ()

    model = PixelReader()
    results = list(
        classified_frames(ListedSource([frame(0)]), model, PipelineConfig(finding(Nobody)))
    )
    assert [item.faces for item in results if isinstance(item, FrameResult)] == [()]
    assert model.batches == []


def test_all_faces_of_a_frame_are_one_call() -> None:
    model = PixelReader()
    source = ListedSource([frame(0, side=3 * SIZE)])
    (item,) = classified_frames(source, model, PipelineConfig(finding()))
    assert isinstance(item, FrameResult)
    assert len(item.faces) == 9
    assert model.batches == [9]


def test_faces_that_pile_up_run_in_full_batches() -> None:
    model = PixelReader(before=lambda: time.sleep(0.02))
    source = ListedSource([frame(number) for number in range(200)])
    list(classified_frames(source, model, PipelineConfig(None, max_batch=16)))
    assert sum(model.batches) == 200
    assert max(model.batches) == 16
    # The first calls find little waiting; the others are full, but for the last.
    assert len(model.batches) <= 200 / 16 + 4


def test_a_face_is_answered_at_once_when_nothing_else_waits() -> None:
    answered = threading.Event()

    def one_then_another() -> Iterator[Frame]:
        yield frame(0)
        assert answered.wait(WITHIN_S), "the first frame was kept back until a second one came"
        yield frame(1)

    source = ListedSource(one_then_another())
    with closing(classified_frames(source, PixelReader(), ALIGNED)) as results:
        next(results)
        answered.set()
        assert numbers(results) == [1]


def test_thousands_of_faces_in_a_frame_are_cropped_and_classified_in_chunks() -> None:
    image_hwc = np.zeros((60 * SIZE, 60 * SIZE, 3), np.uint8)
    reds = np.random.default_rng(0).integers(0, len(RAFDB), (60, 60)).astype(np.uint8)
    image_hwc[..., 0] = reds.repeat(SIZE, axis=0).repeat(SIZE, axis=1)
    model = PixelReader()
    source = ListedSource([Frame("crowd", 0, 0.0, image_hwc), frame(1)])
    crowd, after = classified_frames(source, model, PipelineConfig(finding(), max_batch=32))
    assert isinstance(crowd, FrameResult)
    assert isinstance(after, FrameResult)
    # The grid goes down the columns.
    assert [face.label for face in crowd.faces] == [RAFDB.classes[red] for red in reds.T.ravel()]
    assert max(model.batches) == 32
    assert after.frame.number == 1


def test_a_file_waits_when_nobody_takes_its_frames() -> None:
    source = ListedSource(frame(number) for number in itertools.count())
    config = PipelineConfig(None, max_batch=4)
    with closing(classified_frames(source, PixelReader(), config)) as results:
        next(results)
        time.sleep(0.1)
        # Two queues of two batches, what was in one of them with whoever iterates, one batch with
        # the model, one frame in each thread's hand.
        assert source.given <= 3 * 8 + 4 + 4


def test_large_frames_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    frame_bytes = 100 * 100 * 3
    monkeypatch.setattr(pipeline, "QUEUE_BYTES", 5 * frame_bytes)
    source = ListedSource(frame(number, side=100) for number in itertools.count())
    with closing(classified_frames(source, PixelReader(), ALIGNED)) as results:
        next(results)
        time.sleep(0.1)
        # As above, with five frames in each of the four places.
        assert source.given <= 4 * 5 + 4


def test_a_live_source_is_read_only_a_few_frames_ahead() -> None:
    source = ListedSource((frame(number) for number in itertools.count()), live=True)
    with closing(classified_frames(source, PixelReader(), PipelineConfig(None, finders=1))) as got:
        next(got)
        time.sleep(0.1)
        assert source.given <= 6


def test_two_threads_look_for_faces_at_once_and_have_their_own_detectors() -> None:
    both = threading.Barrier(2, timeout=WITHIN_S)
    made: list[GridDetector] = []

    class Together(GridDetector):
        def __init__(self) -> None:
            made.append(self)

        def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
            both.wait()
            return super().find(image_hwc)

    source = ListedSource([frame(0), frame(1)])
    assert numbers(
        classified_frames(source, PixelReader(), PipelineConfig(finding(Together), finders=2))
    ) == [0, 1]
    assert len(made) == 2


def test_faces_of_a_video_are_followed_and_those_of_pictures_are_not() -> None:
    frames = [frame(number, red=2) for number in range(3)]
    config = PipelineConfig(finding())

    def tracks(*, moving: bool) -> list[int | None]:
        source = ListedSource(frames, moving=moving)
        items = classified_frames(source, PixelReader(), config)
        return [item.faces[0].track for item in items if isinstance(item, FrameResult)]

    assert tracks(moving=True) == [1, 1, 1]
    assert tracks(moving=False) == [None, None, None]


def test_labels_of_a_video_are_smoothed_and_its_flicker_can_be_asked_for() -> None:
    # One frame of another class among thirty: gone with smoothing, two flips without.
    frames = [frame(number, red=5 if number == 15 else 2) for number in range(31)]
    tracked = TrackedLabels(PipelineConfig(None).smoothing)
    results = [
        item
        for item in classified_frames(ListedSource(frames), PixelReader(), ALIGNED, tracked=tracked)
        if isinstance(item, FrameResult)
    ]
    assert {item.faces[0].label for item in results} == {RAFDB.classes[2]}
    assert results[15].faces[0].frame_label == RAFDB.classes[5]
    assert (tracked.flicker().flips, tracked.flicker().frame_flips) == (0, 2)


def test_an_error_of_the_source_comes_behind_the_frames_before_it() -> None:
    def failing() -> Iterator[Frame]:
        yield from (frame(number) for number in range(5))
        raise DataError("the file ends here")

    source = ListedSource(failing())
    got = []
    with pytest.raises(DataError, match="the file ends here"):
        for item in classified_frames(source, PixelReader(), ALIGNED):
            assert isinstance(item, FrameResult)
            got.append(item.frame.number)
    assert got == [0, 1, 2, 3, 4]
    assert source.closed.is_set()


def test_an_error_of_a_detector_comes_behind_the_frames_before_it() -> None:
    class Failing(GridDetector):
        def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
            if image_hwc[0, 0, 0] == 6:
                raise DataError("no such cascade")
            return super().find(image_hwc)

    source = ListedSource([frame(number) for number in range(50)])
    got = []
    with pytest.raises(DataError, match="no such cascade"):
        for item in classified_frames(
            source, PixelReader(), PipelineConfig(finding(Failing), finders=3)
        ):
            assert isinstance(item, FrameResult)
            got.append(item.frame.number)
    assert got == [0, 1, 2, 3, 4, 5]
    assert source.closed.is_set()


def test_an_error_of_the_model_reaches_the_consumer() -> None:
    def fail() -> None:
        raise InferenceError("the device has gone")

    source = ListedSource(frame(number) for number in itertools.count())
    with pytest.raises(InferenceError, match="the device has gone"):
        list(classified_frames(source, PixelReader(before=fail), ALIGNED))
    assert source.closed.is_set()


def test_a_consumer_that_leaves_ends_everything_within_a_second() -> None:
    source = ListedSource(frame(number) for number in itertools.count())
    results = classified_frames(source, PixelReader(), PipelineConfig(finding()))
    assert numbers(itertools.islice(results, 10)) == list(range(10))
    started = time.perf_counter()
    results.close()
    assert time.perf_counter() - started < WITHIN_S
    assert source.closed.is_set()


def test_a_source_that_waits_for_its_next_frame_is_closed_to_end_it() -> None:
    class Waiting(ListedSource):
        def __iter__(self) -> Iterator[Frame | SourceEvent]:
            yield frame(0)
            self.closed.wait()

    with closing(classified_frames(Waiting([]), PixelReader(), ALIGNED)) as results:
        next(results)
        started = time.perf_counter()
    assert time.perf_counter() - started < WITHIN_S


def test_ctrl_c_ends_everything_within_a_second() -> None:
    class Waiting(ListedSource):
        def __iter__(self) -> Iterator[Frame | SourceEvent]:
            yield frame(0)
            os.kill(os.getpid(), signal.SIGINT)
            self.closed.wait()

    source = Waiting([])
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        list(classified_frames(source, PixelReader(), ALIGNED))
    assert time.perf_counter() - started < WITHIN_S
    assert source.closed.is_set()


@pytest.mark.parametrize("start", [0, 1])
def test_ctrl_c_while_the_threads_are_started_ends_those_that_are(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = itertools.count()

    class Interrupted(threading.Thread):
        def start(self) -> None:
            if next(starts) == start:
                raise KeyboardInterrupt
            super().start()

    monkeypatch.setattr(pipeline, "Thread", Interrupted)
    source = ListedSource(frame(number) for number in itertools.count())
    with pytest.raises(KeyboardInterrupt):
        list(classified_frames(source, PixelReader(), ALIGNED))
    assert source.closed.is_set()


def test_a_source_that_does_not_end_when_closed_is_left_behind_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = threading.Event()

    class Stuck(ListedSource):
        def __iter__(self) -> Iterator[Frame | SourceEvent]:
            yield frame(0)
            stuck.wait()

    monkeypatch.setattr(pipeline, "_LEAVE_S", 0.05)
    results = classified_frames(Stuck([]), PixelReader(), ALIGNED)
    next(results)
    results.close()
    assert "does not end" in caplog.text
    stuck.set()
    for thread in threading.enumerate():
        if thread.name == "read":
            thread.join(WITHIN_S)


def test_a_batch_of_no_face_is_refused() -> None:
    with pytest.raises(UsageError, match="got batches of 0 faces, expected at least 1"):
        PipelineConfig(None, max_batch=0)


def test_no_thread_to_look_for_faces_is_refused() -> None:
    with pytest.raises(UsageError, match="got 0 threads that look for faces, expected at least 1"):
        PipelineConfig(None, finders=0)
