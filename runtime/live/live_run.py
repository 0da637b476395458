"""One `edge-arm run`: every source through the pipeline, and each frame to whoever wants it.

A source that gives nothing does not end a run of several: it is kept for the end, and the next
one's turn comes. Whatever ends the run, what was written until then is finished and kept.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.live.annotated_output import WrittenNames, annotated_output
from edge_arm.runtime.live.answering import Classifier
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.live.json_lines import JsonLines
from edge_arm.runtime.live.pipeline import PipelineConfig, classified_frames
from edge_arm.runtime.live.run_header import RunHeader
from edge_arm.runtime.live.run_summary import RunSummary, RunTally
from edge_arm.runtime.live.window import Window
from edge_arm.runtime.sources.frame import EventKind, FrameSource, SourceEvent
from edge_arm.runtime.tracking.tracked_labels import TrackedLabels

_EVENTS_SAID = 3
"""Of each kind; the rest is in the JSON lines and in the sum, so that a log stays short."""

_log = logging.getLogger(__name__)

Opener = Callable[[], FrameSource]
Step = Callable[[int], None]
Watch = Callable[[FrameSource], Step]
"""Told of each source that begins; what it returns is called for each frame and event."""


@dataclass(frozen=True)
class RunConfig:
    """What becomes of the frames.

    Attributes:
        pipeline: what happens to each.
        json_lines: file for the lines; None for stdout.
        annotate: picture, folder or video to write; None for none.
        show: whether a window shows them.
        max_frames: the run ends after so many answers; None for all.
    """

    pipeline: PipelineConfig
    json_lines: Path | None = None
    annotate: Path | None = None
    show: bool = False
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.max_frames is not None and self.max_frames < 1:
            raise UsageError(
                f"got --max-frames {self.max_frames}, expected at least 1; leave it out for all"
            )


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        summary: its figures.
        interrupted: by Ctrl-C; what was written is kept.
        failures: of the sources that gave nothing.
    """

    summary: RunSummary
    interrupted: bool
    failures: tuple[DataError, ...]


def run_sources(
    openers: Sequence[Opener],
    classifier: Classifier,
    config: RunConfig,
    *,
    header: RunHeader,
    watch: Watch,
) -> RunOutcome:
    """Label every frame of every source.

    Args:
        openers: of the sources; each is called when its turn comes.
        classifier: the model.
        config: what becomes of the frames.
        header: for the first line.
        watch: for a progress bar.

    Raises:
        EdgeArmError: for what is not the fault of one source.
        BrokenPipeError: if the reader of stdout has gone.
    """
    failures: list[DataError] = []
    interrupted = False
    with ExitStack() as stack:
        lines = stack.enter_context(JsonLines(config.json_lines, classifier.labels))
        window = stack.enter_context(Window("edge-arm", classifier.labels)) if config.show else None
        lines.start(header)
        run = _Run(classifier, config, lines, window)
        try:
            for opener in openers:
                try:
                    with closing(opener()) as source:
                        step = watch(source)
                        goes_on = run.through(source, step, alone=len(openers) == 1)
                except DataError as error:
                    failures.append(error)
                    continue
                if not goes_on:
                    break
        except KeyboardInterrupt:
            interrupted = True
        summary = run.tally.summary()
        lines.end(summary)
    return RunOutcome(summary, interrupted, tuple(failures))


class _Run:
    """What the sources of a run share."""

    def __init__(
        self, classifier: Classifier, config: RunConfig, lines: JsonLines, window: Window | None
    ) -> None:
        self._classifier, self._config = classifier, config
        self._lines, self._window = lines, window
        self._said: Counter[EventKind] = Counter()
        self._names = WrittenNames()
        self.tally = RunTally()

    def through(self, source: FrameSource, step: Step, *, alone: bool) -> bool:
        """Run one source; False if the user wants no more."""
        pipeline = self._config.pipeline
        with ExitStack() as stack:
            output = None
            if self._config.annotate is not None:
                output = annotated_output(
                    self._config.annotate,
                    source,
                    self._classifier.labels,
                    alone=alone,
                    names=self._names,
                )
                stack.callback(output.close)
            tracked = TrackedLabels(pipeline.smoothing)
            stack.callback(lambda: self.tally.add_flicker(tracked.flicker()))
            items = stack.enter_context(
                closing(classified_frames(source, self._classifier, pipeline, tracked=tracked))
            )
            pace = _Pace(source)
            for item in items:
                # In this order, so that a frame whose line was read is counted and in the video,
                # whenever Ctrl-C comes.
                if output is not None and isinstance(item, FrameResult):
                    output.write(item)
                self.tally.count(item)
                self._lines.write(item, flush=source.live)
                step(1 if isinstance(item, FrameResult) else item.count)
                if isinstance(item, SourceEvent):
                    self._say(item)
                    continue
                if self._window is not None and not self._window.show(
                    item, wait_ms=pace.wait_ms(item)
                ):
                    return False
                if self.tally.frames == self._config.max_frames:
                    return False
        return True

    def _say(self, event: SourceEvent) -> None:
        self._said[event.kind] += 1
        times = self._said[event.kind]
        # A camera that comes and goes is rare and always worth a line.
        if event.kind in (EventKind.LOST, EventKind.RECONNECTED) or times <= _EVENTS_SAID:
            _log.warning("%s: %s", event.kind.value, event.reason)
        elif times == _EVENTS_SAID + 1:
            _log.warning(
                "%s: more of these; each is in the JSON lines, their sum comes at the end",
                event.kind.value,
            )


class _Pace:
    """How long a window shows a frame: a video file at its own speed, a picture until a key."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._start_s: float | None = None

    def wait_ms(self, result: FrameResult) -> int:
        """For a key, and so until the next frame; 0 waits for ever."""
        if not self._source.moving:
            return 0
        if self._source.live:
            return 1
        ahead_s = result.frame.time_s - perf_counter()
        if self._start_s is None:
            self._start_s = ahead_s
        return max(1, round(1000 * (ahead_s - self._start_s)))
