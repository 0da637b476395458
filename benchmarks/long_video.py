"""Does `edge-arm run` stay flat for hours, and does it account for every frame?

    python benchmarks/long_video.py build/bundle [--minutes 20] [--seed 0] [--json FILE]

One endless source runs at full speed through the pipeline that `edge-arm run` uses (decode, find,
crop, classify, follow), in one process. It is put together of passes over files, a folder and a
camera on the network that are opened, break and are closed all the time: `long_video_source.py`.

Every frame has a number. A frame is accounted for if it comes out of the pipeline or if an event
counts it; of a file, all of its frames must be. What is sampled every few seconds: resident memory
(VmRSS), threads, open files. The first fifth of the samples is warm-up.

The slope of memory over simulated video (30 frames are a second of it) is a least-squares line
through the medians of 20 stretches; the 95 % interval is Student's.

The exit status is 1 if a frame is not accounted for, if the median of memory grew by over 10 MB
from the second to the last fifth, or if threads or open files grew.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from long_video_source import VIDEO_RATE, EndlessSource

from edge_arm.runtime.benchmark.process_facts import resident_memory
from edge_arm.runtime.classifier.opening import open_classifier
from edge_arm.runtime.detection.detection_config import DetectionConfig, SmallestFace
from edge_arm.runtime.errors import EdgeArmError, UsageError
from edge_arm.runtime.live.face_finding import face_finding
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.live.pipeline import PipelineConfig, classified_frames
from edge_arm.runtime.manifest import open_bundle
from edge_arm.runtime.sources.frame import EventKind
from edge_arm.runtime.statistics.student_t import student_quantile
from edge_arm.runtime.storage import write_json

CONFIDENCE = 0.95
SMALLEST_FACE_PX = 60
"""Faces of the clip are larger; looking for smaller ones would only make it slower."""
MOST_GROWTH_BYTES = 10e6
STRETCHES = 20


@dataclass(frozen=True)
class Sample:
    """The process at one moment.

    Attributes:
        at_s: since the run began.
        frames: that came out of the pipeline or were counted by events so far.
        rss_bytes: resident memory.
        threads: that the process has, those of native libraries too.
        open_files: descriptors.
    """

    at_s: float
    frames: int
    rss_bytes: int
    threads: int
    open_files: int


@dataclass(frozen=True)
class Verdict:
    """What the samples and the counts say.

    Attributes:
        growth_bytes: of the median of memory, from the second fifth of the samples to the last.
        slope_mb_per_hour: of memory, per hour of simulated video.
        slope_interval: 95 %.
        faults: sentences about what must not be; none if the run passed.
    """

    growth_bytes: float
    slope_mb_per_hour: float
    slope_interval: tuple[float, float]
    faults: tuple[str, ...]


def sample(start_s: float, frames: int) -> Sample:
    """The process now.

    Raises:
        UsageError: where the system has no /proc.
    """
    memory = resident_memory()
    if memory is None:
        raise UsageError("this system has no /proc/self/status, expected Linux; run it there")
    return Sample(
        at_s=time.monotonic() - start_s,
        frames=frames,
        rss_bytes=memory.now_bytes,
        threads=len(list(Path("/proc/self/task").iterdir())),
        open_files=len(list(Path("/proc/self/fd").iterdir())),
    )


def judge(samples: Sequence[Sample], faults: Sequence[str]) -> Verdict:
    """Whether a run was flat and lost nothing.

    Raises:
        UsageError: if there are too few samples.
    """
    if len(samples) < 2 * STRETCHES:
        raise UsageError(
            f"got {len(samples)} samples, expected at least {2 * STRETCHES}; run it for longer"
        )
    fifth = len(samples) // 5
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    growth = _median(early, late, "rss_bytes")
    found = list(faults)
    if growth > MOST_GROWTH_BYTES:
        found.append(
            f"memory grew by {growth / 1e6:.1f} MB, expected at most {MOST_GROWTH_BYTES / 1e6:g}"
        )
    for name in ("threads", "open_files"):
        # Passes differ in what they have open, so medians of a fifth may differ by one.
        more = _median(early, late, name)
        found += [f"{name.replace('_', ' ')} grew by {more:g}, expected at most 1"] * (more > 1)
    slope, interval = slope_of(samples[fifth:])
    return Verdict(growth, slope, interval, tuple(found))


def _median(early: Sequence[Sample], late: Sequence[Sample], name: str) -> float:
    return statistics.median(getattr(one, name) for one in late) - statistics.median(
        getattr(one, name) for one in early
    )


def slope_of(samples: Sequence[Sample]) -> tuple[float, tuple[float, float]]:
    """MB of memory per hour of simulated video, with its 95 % interval.

    Ordinary least squares through the medians of stretches: b = Sxy / Sxx, its standard error
    sqrt(SSE / (n - 2) / Sxx). Medians of stretches, because neighbouring samples are much alike.
    """
    edges = np.linspace(0, len(samples), STRETCHES + 1).astype(int)
    stretches = [samples[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    hours = np.array([statistics.median(s.frames for s in part) for part in stretches])
    hours = hours / VIDEO_RATE / 3600
    megabytes = np.array([statistics.median(s.rss_bytes for s in part) for part in stretches]) / 1e6
    x, y = hours - hours.mean(), megabytes - megabytes.mean()
    sxx = float(x @ x)
    slope = float(x @ y) / sxx
    residual = y - slope * x
    standard_error = math.sqrt(float(residual @ residual) / (STRETCHES - 2) / sxx)
    half = student_quantile(CONFIDENCE, STRETCHES - 2) * standard_error
    return slope, (slope - half, slope + half)


def run(bundle: Path, source: EndlessSource, interval_s: float) -> tuple[list[Sample], list[str]]:
    """Take everything out of the pipeline, sampling now and then.

    Returns:
        The samples, and sentences about frames that are not accounted for.
    """
    faults: list[str] = []
    taken: Counter[str] = Counter()
    expected = 0
    samples: list[Sample] = []
    detection = DetectionConfig(smallest=SmallestFace(pixels=SMALLEST_FACE_PX))
    config = PipelineConfig(face_finding(open_bundle(bundle), detection))
    with open_classifier(bundle) as classifier:
        start_s = time.monotonic()
        due_s = start_s
        with closing(classified_frames(source, classifier, config)) as items:
            for item in items:
                if isinstance(item, FrameResult):
                    number, count, name = item.frame.number, 1, "frame"
                    taken["face"] += len(item.faces)
                else:
                    number, count, name = item.number, item.count, item.kind.value
                taken[name] += count or 1
                if number != expected:
                    faults.append(f"the pipeline went from frame {expected} to {number}")
                expected = number + count
                if time.monotonic() >= due_s:
                    samples.append(sample(start_s, expected))
                    due_s += interval_s
        samples.append(sample(start_s, expected))
    faults += [
        f"{source.given[name]} of {name!r} went into the pipeline and {taken[name]} came out, "
        "expected the same"
        for name in ("frame", *(kind.value for kind in EventKind))
        if taken[name] != source.given[name]
    ]
    if not taken["face"]:
        faults.append("no face was found, expected the faces of the clip")
    print(f"faces labelled: {taken['face']}")
    return samples, faults


def main() -> int:
    """Run it, print it, judge it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        source = EndlessSource(Path(folder), seconds=seconds, seed=arguments.seed)
        samples, faults = run(arguments.bundle, source, min(3.0, seconds / 100))
    verdict = judge(samples, [*source.faults, *faults])
    last = samples[-1]
    hours = last.frames / VIDEO_RATE / 3600
    memory = [one.rss_bytes / 1e6 for one in samples]
    print(
        f"ran {last.at_s / 60:.1f} min, {last.frames} frames, {last.frames / last.at_s:.0f} a "
        f"second: {hours:.2f} hours of video at {VIDEO_RATE:g} frames per second"
    )
    for name, count in sorted(source.given.items()):
        print(f"  {name}: {count}")
    print(
        f"memory: {min(memory):.1f} to {max(memory):.1f} MB, median grew by "
        f"{verdict.growth_bytes / 1e6:+.2f} MB from the second to the last fifth; slope "
        f"{verdict.slope_mb_per_hour:+.2f} MB per hour of video "
        f"({verdict.slope_interval[0]:+.2f} to {verdict.slope_interval[1]:+.2f})"
    )
    for name in ("threads", "open_files"):
        values = [getattr(one, name) for one in samples]
        print(f"{name.replace('_', ' ')}: {min(values)} to {max(values)}, {values[-1]} at the end")
    for fault in verdict.faults[:20]:
        print(f"FAULT: {fault}")
    print("FAILED" if verdict.faults else "passed: flat, and every frame accounted for")
    if arguments.json is not None:
        write_json(
            arguments.json,
            {
                "minutes": arguments.minutes,
                "seed": arguments.seed,
                "hours_of_video": hours,
                "given": dict(sorted(source.given.items())),
                "verdict": asdict(verdict),
                "samples": [asdict(one) for one in samples],
            },
        )
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeArmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
