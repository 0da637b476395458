"""Whether labels flicker in a video, and what smoothing does about it and costs.

    python benchmarks/flicker.py build/bundle --seeds 0 1 2 3

Drawn people whose expression is known in every frame (`edge-arm data clip`) are found by the
detector that `edge-arm run` uses, once; each model of the bundle answers the same crops. Then:

* A **false flip** is a change of label that does not go to the true expression, or goes to it again
  after leaving it. The first arrival at each new expression is no false flip.
* The **delay** of a true change goes from the middle of the transition to the first frame with the
  new label. A change is **missed** if that does not come before the next one.
* **Accuracy** counts frames outside transitions, frames that wait for a delayed label included.
* INT8 against FP32: the difference in false flips per minute, on the same tracks, with a percentile
  bootstrap interval over tracks.

Shapes: N faces of a frame, C classes, S model input size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.clip import ClipConfig, FaceTruth, clip_frames
from edge_arm.runtime.backend import Backend
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detector_choice import detector_factory
from edge_arm.runtime.detection.framing import faces_in
from edge_arm.runtime.detection.stored_framing import framing_of
from edge_arm.runtime.errors import EdgeArmError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Bundle, Precision, open_bundle
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.statistics import softmax
from edge_arm.runtime.temperature import usable_temperatures
from edge_arm.runtime.tracking.smoothing import SmoothingConfig
from edge_arm.runtime.tracking.tracked_labels import TrackedLabels

BASE = "FP32"
_MODELS = {
    "FP32": (Precision.FP32, MAIN_VARIANT),
    "FP16": (Precision.FP16, MAIN_VARIANT),
    "INT8": (Precision.INT8, MAIN_VARIANT),
    "INT8 cpu": (Precision.INT8, CPU_VARIANT),
}
_TIMES_S = (0.1, 0.2, 0.3, 0.5, 0.8)
_HYSTERESES = (0.0, 0.05, 0.1, 0.2, 0.3)
_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Watched:
    """The faces that the detector found in one frame.

    Attributes:
        time_s: of the frame.
        boxes: of the N faces.
        truths: of each; None for a box that is on no face.
    """

    time_s: float
    boxes: tuple[CropBox, ...]
    truths: tuple[FaceTruth | None, ...]


@dataclass(frozen=True)
class Moment:
    """One frame of one track.

    Attributes:
        time_s: of the frame.
        shown: label that was given out.
        alone: label of this frame alone.
        truth: true label.
        in_transition: the expression is changing.
    """

    time_s: float
    shown: str
    alone: str
    truth: str
    in_transition: bool


@dataclass(frozen=True)
class TrackScore:
    """One track judged.

    Attributes:
        seconds: from its first to its last frame.
        flips: changes of label.
        false_flips: those among them that are false.
        settled: frames outside transitions.
        right: of those, with the true label.
        delays_ms: of the true changes that were followed.
        missed: true changes that were not.
    """

    seconds: float
    flips: int
    false_flips: int
    settled: int
    right: int
    delays_ms: tuple[float, ...]
    missed: int


@dataclass(frozen=True)
class Summary:
    """All tracks of one model with one smoothing.

    Attributes:
        false_per_minute: false flips per minute of track.
        flips_per_minute: all flips, true changes included.
        accuracy: 0..1, outside transitions.
        delay_ms: median; None if no change was followed.
        late_delay_ms: nine tenths of the delays are shorter; None likewise.
        missed: share of the true changes, 0..1.
    """

    false_per_minute: float
    flips_per_minute: float
    accuracy: float
    delay_ms: float | None
    late_delay_ms: float | None
    missed: float


def score(moments: Sequence[Moment], labels: Sequence[str]) -> TrackScore:
    """Judge one track.

    Args:
        moments: its frames in order.
        labels: that are judged, one for each moment: those shown, or those of the frames alone.
    """
    # The stretches of one true label; a change lies between them, in the middle of a transition.
    stretch, stretches = [], [moments[0].truth]
    for before, moment in zip((moments[0], *moments), moments, strict=False):
        if moment.truth != before.truth:
            stretches.append(moment.truth)
        stretch.append(len(stretches) - 1)
    coming = list(stretch)  # in a transition's first half its end is right as well
    for place in range(len(moments) - 2, -1, -1):
        if moments[place].in_transition and moments[place + 1].in_transition:
            coming[place] = max(coming[place], coming[place + 1])
    reached: dict[int, float] = {}  # stretch -> when its label was first shown
    flips = false = 0
    for place, (moment, label) in enumerate(zip(moments, labels, strict=True)):
        flipped = place > 0 and label != labels[place - 1]
        arrived = False
        for number in range(stretch[place], coming[place] + 1):
            if stretches[number] == label and number not in reached:
                reached[number] = moment.time_s
                arrived = True
        flips += flipped
        false += flipped and not arrived
    delays, missed = [], 0
    for number in range(1, len(stretches)):
        changed_s = moments[stretch.index(number)].time_s
        if number in reached:
            delays.append(1e3 * (reached[number] - changed_s))
        else:
            missed += 1
    settled = [
        moment.truth == label
        for moment, label in zip(moments, labels, strict=True)
        if not moment.in_transition
    ]
    seconds = moments[-1].time_s - moments[0].time_s
    return TrackScore(seconds, flips, false, len(settled), sum(settled), tuple(delays), missed)


def summary(scores: Sequence[TrackScore]) -> Summary:
    """Tracks together, each by its length."""
    minutes = sum(track.seconds for track in scores) / 60.0
    delays = [delay for track in scores for delay in track.delays_ms]
    missed = sum(track.missed for track in scores)
    return Summary(
        false_per_minute=sum(track.false_flips for track in scores) / minutes,
        flips_per_minute=sum(track.flips for track in scores) / minutes,
        accuracy=sum(track.right for track in scores) / sum(track.settled for track in scores),
        delay_ms=float(np.median(delays)) if delays else None,
        late_delay_ms=float(np.quantile(delays, 0.9)) if delays else None,
        missed=missed / max(missed + len(delays), 1),
    )


def paired_difference(
    before: Sequence[TrackScore], after: Sequence[TrackScore], rng: np.random.Generator
) -> tuple[float, float, float]:
    """False flips per minute of `after` minus `before`, and its interval.

    Args:
        before: tracks of one model.
        after: the same tracks of another.
        rng: source of the resamples.

    Returns:
        The difference, and the limits of the 95 % percentile bootstrap over tracks.
    """
    minutes = np.array([track.seconds / 60.0 for track in before])
    more = np.array(
        [b.false_flips - a.false_flips for a, b in zip(before, after, strict=True)], dtype=float
    )
    drawn = rng.integers(0, len(more), (_RESAMPLES, len(more)))
    rates = more[drawn].sum(axis=1) / np.maximum(minutes[drawn].sum(axis=1), 1e-9)
    tail = 0.5 * (1.0 - _CONFIDENCE)
    low, high = np.quantile(rates, [tail, 1.0 - tail])
    return float(more.sum() / minutes.sum()), float(low), float(high)


def tracks_of(
    clips: Sequence[Sequence[Watched]],
    probabilities: Sequence[Sequence[npt.NDArray[np.float64]]],
    classes: Sequence[str],
    config: SmoothingConfig | None,
) -> list[list[Moment]]:
    """The tracks of all clips. Boxes alone decide them, so models share them.

    Args:
        clips: frames of each clip.
        probabilities: (N, C) for each frame of each clip.
        classes: C names.
        config: of the smoothing; None for none.

    Returns:
        Tracks of people; those of false boxes have no truth and are left out.
    """
    tracks: list[list[Moment]] = []
    for frames, rows in zip(clips, probabilities, strict=True):
        labels = TrackedLabels(config)
        found: dict[int, list[Moment]] = {}
        for frame, row in zip(frames, rows, strict=True):
            answers = labels.update(frame.boxes, row, frame.time_s)
            for answer, truth in zip(answers, frame.truths, strict=True):
                if truth is None:
                    continue
                moment = Moment(
                    frame.time_s,
                    classes[answer.class_index],
                    classes[answer.frame_class_index],
                    truth.label,
                    truth.in_transition,
                )
                found.setdefault(answer.track, []).append(moment)
        tracks += [moments for moments in found.values() if len(moments) > 1]
    return tracks


def truth_of(box: CropBox, faces: Sequence[FaceTruth]) -> FaceTruth | None:
    """The face that a box is on: the one with the largest overlap, if it is a third or more."""

    def overlap(face: FaceTruth) -> float:
        across = min(box.x + box.width, face.box.x + face.box.width) - max(box.x, face.box.x)
        down = min(box.y + box.height, face.box.y + face.box.height) - max(box.y, face.box.y)
        common = max(across, 0) * max(down, 0)
        return common / (box.width * box.height + face.box.width * face.box.height - common)

    best = max(faces, key=overlap, default=None)
    return best if best is not None and overlap(best) >= 1 / 3 else None


def watched(bundle: Bundle, config: ClipConfig) -> Iterator[tuple[Watched, npt.NDArray[np.uint8]]]:
    """Find the faces of a clip.

    Yields:
        Each frame, and its faces (N, S, S, 3) uint8 RGB.
    """
    detector = detector_factory()()
    framing = framing_of(bundle, detector.name)
    size = bundle.manifest.preprocess.size
    for number, (image, faces) in enumerate(clip_frames(config)):
        found, crops = faces_in(image, detector, framing, size)
        boxes = tuple(face.box for face in found)
        truths = tuple(truth_of(framing.crop_of(face), faces) for face in found)
        yield Watched(number / config.frames_per_s, boxes, truths), crops


def opened(stack: ExitStack, bundle: Bundle, threads: int) -> dict[str, Backend]:
    """The bundle's models by name: FP32, and what else there is."""
    have = {(item.precision, item.variant) for item in bundle.manifest.artifacts}
    return {
        name: stack.enter_context(OnnxRuntimeBackend(bundle.model(*which)[0], threads=threads))
        for name, which in _MODELS.items()
        if which in have or name == BASE
    }


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def markdown_tables(
    by_model: Mapping[str, tuple[Summary, Summary]],
    differences: Mapping[str, tuple[float, float, float]],
    sweep: Mapping[tuple[float, float], Summary],
) -> str:
    """The three tables for docs/measurements.md."""
    lines = [
        "| model | false flips/min, single frames | smoothed | accuracy, single frames | smoothed "
        "| delay, ms: median, 90 % | missed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (raw, smooth) in by_model.items():
        lines.append(
            f"| {name} | {raw.false_per_minute:.1f} | {smooth.false_per_minute:.1f} | "
            f"{100 * raw.accuracy:.1f} % | {100 * smooth.accuracy:.1f} % | "
            f"{_text(smooth.delay_ms)}, {_text(smooth.late_delay_ms)} | "
            f"{100 * smooth.missed:.0f} % |"
        )
    lines += ["", f"| false flips/min more than {BASE} | difference | 95 % interval |"]
    lines.append("|---|---:|---|")
    for name, (middle, low, high) in differences.items():
        lines.append(f"| {name} | {middle:+.2f} | {low:+.2f} to {high:+.2f} |")
    hystereses = sorted({hysteresis for _, hysteresis in sweep})
    head = " | ".join(f"hysteresis {hysteresis:g}" for hysteresis in hystereses)
    lines += ["", f"| tau, s | {head} |", "|---:|" + "---|" * len(hystereses)]
    for tau in sorted({tau for tau, _ in sweep}):
        cells = []
        for hysteresis in hystereses:
            cell = sweep[tau, hysteresis]
            cells.append(
                f"{cell.false_per_minute:.1f}/min, {_text(cell.delay_ms)} ms, "
                f"{100 * cell.accuracy:.1f} %"
            )
        lines.append(f"| {tau:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3], help="a clip each")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip")
    parser.add_argument("--faces", type=int, default=3, help="people in each clip")
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, help="write the figures for programs")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    clips: list[list[Watched]] = []
    rows: dict[str, list[list[npt.NDArray[np.float64]]]] = {}
    try:
        bundle = open_bundle(arguments.bundle)
        classes = bundle.manifest.labels.classes
        temperatures, _ = usable_temperatures(bundle)
        with ExitStack() as stack:
            models = opened(stack, bundle, arguments.threads)
            for seed in arguments.seeds:
                config = ClipConfig(
                    frames_per_s=arguments.fps,
                    seconds=arguments.seconds,
                    faces=arguments.faces,
                    seed=seed,
                )
                clips.append([])
                for name in models:
                    rows.setdefault(name, []).append([])
                for frame, crops in watched(bundle, config):
                    clips[-1].append(frame)
                    for name, backend in models.items():
                        answer = np.zeros((0, len(classes)))
                        if len(crops):
                            temperature = temperatures.get(_MODELS[name][0], 1.0)
                            answer = softmax(backend.infer(crops) / temperature)
                        rows[name][-1].append(answer)
                print(f"clip {seed} watched", file=sys.stderr)
    except EdgeArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def scores(name: str, config: SmoothingConfig | None) -> list[TrackScore]:
        tracks = tracks_of(clips, rows[name], classes, config)
        return [score(track, [moment.shown for moment in track]) for track in tracks]

    default = SmoothingConfig()
    raw = {name: scores(name, None) for name in rows}
    if sum(track.settled for track in raw[BASE]) == 0:
        print("error: nobody was found in two frames; use more seconds or faces", file=sys.stderr)
        return 2
    smooth = {name: scores(name, default) for name in rows}
    by_model = {name: (summary(raw[name]), summary(smooth[name])) for name in rows}
    differences = {}
    for name in rows:
        if name != BASE:
            for which, kind in (("single frames", raw), ("smoothed", smooth)):
                rng = np.random.default_rng(0)
                differences[f"{name}, {which}"] = paired_difference(kind[BASE], kind[name], rng)
    sweep = {
        (tau, hysteresis): summary(scores(BASE, SmoothingConfig(tau, hysteresis)))
        for tau in _TIMES_S
        for hysteresis in _HYSTERESES
    }
    seconds = sum(track.seconds for track in raw[BASE])
    changes = sum(len(track.delays_ms) + track.missed for track in raw[BASE])
    print(
        f"{len(arguments.seeds)} clips of {arguments.seconds:g} s, {arguments.faces} people, "
        f"{arguments.fps:g} frames/s: {len(raw[BASE])} tracks, {seconds:.0f} s, {changes} true "
        f"changes; smoothing {default.time_constant_s:g} s, hysteresis {default.hysteresis:g}; "
        f"{platform.machine()}\n"
    )
    print(markdown_tables(by_model, differences, sweep))
    if arguments.json is not None:
        content = {
            "seeds": arguments.seeds,
            "tracks": len(raw[BASE]),
            "seconds_tracked": seconds,
            "true_changes": changes,
            "smoothing": asdict(default),
            "models": {
                name: {"single_frames": asdict(alone), "smoothed": asdict(calm)}
                for name, (alone, calm) in by_model.items()
            },
            "difference_to_fp32": differences,
            "sweep": [
                {"time_constant_s": tau, "hysteresis": hysteresis, **asdict(cell)}
                for (tau, hysteresis), cell in sweep.items()
            ],
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
