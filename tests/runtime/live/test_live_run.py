"""A whole run: sources one after the other, what is written, what is said, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_fakes import ListedSource, PixelReader, frame

from edge_arm.runtime.errors import DataError, InferenceError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live import live_run
from edge_arm.runtime.live.live_run import RunConfig, RunOutcome, run_sources
from edge_arm.runtime.live.pipeline import PipelineConfig
from edge_arm.runtime.live.run_header import RunHeader
from edge_arm.runtime.sources.frame import EventKind, Frame, FrameSource, SourceEvent
from edge_arm.runtime.tracking.smoothing import SmoothingConfig

ALIGNED = PipelineConfig(find=None)
HEADER = RunHeader("m.onnx", "fp32", "main", "ab", "onnxruntime/cpu", "named", RAFDB, None, None)


def event(kind: EventKind, number: int, count: int = 1) -> SourceEvent:
    return SourceEvent(kind, "listed", number, count, number / 30, f"{kind.value} at {number}")


def run(
    folder: Path, *sources: FrameSource | Callable[[], FrameSource], config: RunConfig | None = None
) -> tuple[RunOutcome, list[dict[str, Any]]]:
    """The outcome, and the lines."""
    path = folder / "lines.jsonl"
    openers = [source if callable(source) else lambda source=source: source for source in sources]
    config = config or RunConfig(ALIGNED, json_lines=path)
    outcome = run_sources(
        openers, PixelReader(), config, header=HEADER, watch=lambda source: lambda steps: None
    )
    return outcome, [json.loads(line) for line in path.read_text().splitlines()]


def missing() -> FrameSource:
    raise DataError("there is no such clip")


def test_a_run_counts_frames_faces_and_what_is_missing(tmp_path: Path) -> None:
    items = [
        frame(0),
        event(EventKind.BROKEN, 1, count=3),
        frame(4),
        event(EventKind.DROPPED, 5, count=2),
        event(EventKind.LOST, 7, count=0),
        event(EventKind.RECONNECTED, 7, count=0),
        frame(7),
    ]
    outcome, lines = run(tmp_path, ListedSource(items, live=True))
    summary = outcome.summary
    assert (summary.frames, summary.faces) == (3, 3)
    assert (summary.broken, summary.dropped, summary.lost) == (3, 2, 1)
    kinds = [line.get("event", line.get("frame")) for line in lines]
    assert kinds == ["start", 0, "broken", 4, "dropped", "lost", "reconnected", 7, "end"]
    assert not outcome.interrupted


def test_flips_are_counted_over_all_sources(tmp_path: Path) -> None:
    def flickering() -> ListedSource:
        return ListedSource([frame(number, red=number % 2) for number in range(31)])

    pipeline = PipelineConfig(None, SmoothingConfig(0.5, 0.1))
    config = RunConfig(pipeline, json_lines=tmp_path / "lines.jsonl")
    outcome, _ = run(tmp_path, flickering(), flickering(), config=config)
    # 30 flips in each second of two.
    assert outcome.summary.frame_flips_per_minute == pytest.approx(1800)
    assert outcome.summary.flips_per_minute is not None
    assert outcome.summary.flips_per_minute < 180


def test_a_source_that_gives_nothing_does_not_end_a_run_of_several(tmp_path: Path) -> None:
    outcome, lines = run(tmp_path, ListedSource([frame(0)]), missing, ListedSource([frame(1)]))
    assert outcome.summary.frames == 2
    assert [str(error) for error in outcome.failures] == ["there is no such clip"]
    assert lines[-1]["event"] == "end"


def test_a_run_ends_after_so_many_frames(tmp_path: Path) -> None:
    config = RunConfig(ALIGNED, json_lines=tmp_path / "lines.jsonl", max_frames=5)
    first, second = (ListedSource([frame(number) for number in range(50)]) for _ in range(2))
    outcome, _ = run(tmp_path, first, second, config=config)
    assert outcome.summary.frames == 5
    assert first.closed.is_set()
    assert second.given == 0


def test_ctrl_c_finishes_what_was_begun(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Frame]:
        yield from (frame(number, side=48) for number in range(5))
        raise KeyboardInterrupt  # as a signal would, seen from whoever iterates

    config = RunConfig(ALIGNED, json_lines=tmp_path / "lines.jsonl", annotate=tmp_path / "out.avi")
    outcome, lines = run(tmp_path, ListedSource(interrupted()), config=config)
    assert outcome.interrupted
    assert (lines[-1]["event"], lines[-1]["frames"]) == ("end", 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.jsonl", "out.avi"]


def test_what_is_no_fault_of_a_source_ends_the_run_and_what_was_written_stays(
    tmp_path: Path,
) -> None:
    def failing() -> Iterator[Frame]:
        yield frame(0, side=48)
        raise InferenceError("the device has gone")

    config = RunConfig(ALIGNED, json_lines=tmp_path / "lines.jsonl", annotate=tmp_path / "out.avi")
    with pytest.raises(InferenceError, match="the device has gone"):
        run(tmp_path, ListedSource(failing()), config=config)
    lines = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert [json.loads(line).get("event") for line in lines] == ["start", None]
    assert (tmp_path / "out.avi").is_file()


def test_events_are_said_a_few_times_and_those_of_a_lost_camera_always(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items: list[Frame | SourceEvent] = [event(EventKind.BROKEN, number) for number in range(20)]
    items += [event(EventKind.LOST, 20 + number, count=0) for number in range(5)]
    outcome, _ = run(tmp_path, ListedSource([*items, frame(30)]))
    said = [record.getMessage() for record in caplog.records]
    assert said[:3] == [f"broken: broken at {number}" for number in range(3)]
    assert said[3].startswith("broken: more of these")
    assert said[4:] == [f"lost: lost at {20 + number}" for number in range(5)]
    assert outcome.summary.broken == 20


def test_a_window_that_is_closed_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    class ThreeLooks:
        def __init__(self, *arguments: object) -> None: ...
        def __enter__(self) -> ThreeLooks:
            return self

        def __exit__(self, *error: object) -> None: ...
        def show(self, result: object, *, wait_ms: int) -> bool:
            shown.append(wait_ms)
            return len(shown) < 3

    monkeypatch.setattr(live_run, "Window", ThreeLooks)
    config = RunConfig(ALIGNED, json_lines=tmp_path / "lines.jsonl", show=True)
    source = ListedSource([frame(number) for number in range(50)])
    outcome, _ = run(tmp_path, source, config=config)
    assert outcome.summary.frames == 3
    # Each is shown until the next one's time, a thirtieth of a second later.
    assert shown[0] == 1
    assert all(1 <= wait_ms <= 67 for wait_ms in shown)


def test_no_frame_at_most_is_refused() -> None:
    with pytest.raises(UsageError, match="got --max-frames 0, expected at least 1"):
        RunConfig(ALIGNED, max_frames=0)
