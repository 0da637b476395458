"""Latency when faces come on a clock, as from a camera, and not as fast as the model likes.

The latency of a frame counts **from the moment it was due**, not from the moment the model got to
it. A loop that waits for a slow answer and only then starts the next clock forgives the model what
every frame behind the slow one waited ("coordinated omission", Gil Tene, "How NOT to Measure
Latency", 2013). Nothing is dropped here: frames wait for each other, as in a queue.

When the time is up, frames that were due and have no answer count with the time that they have
waited by then, which is the least their latency can be. So a model that cannot keep up looks bad,
as it should, and not twice as long a run looks twice as bad: `keeps_up` says which it is.

Shapes: N faces in a frame, S model input size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.benchmark.latency_stats import LatencyStats, latency_stats
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.preprocess import Uint8Array


@dataclass(frozen=True)
class PacedResult:
    """What a model did with frames on a clock.

    Attributes:
        frames_per_s: of the clock.
        latency: from due to answered, of all frames that were due.
        compute: of the calls alone, for comparison with a saturated run.
        missed: frames without an answer when the next frame was due.
        unanswered: frames that were due and had no answer when time was up; part of `missed`.
        busy: share of the time in which the model computed.
    """

    frames_per_s: float
    latency: LatencyStats
    compute: LatencyStats
    missed: int
    unanswered: int
    busy: float

    @property
    def keeps_up(self) -> bool:
        """Whether frames did not pile up: at most one was waiting when time was up."""
        return self.unanswered <= 1


def paced(
    model: Backend,
    images_nhwc: Uint8Array,
    *,
    frames_per_s: float,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> PacedResult:
    """Run a model on frames that are due at a steady rate.

    Args:
        model: loaded; warm it up before.
        images_nhwc: (N, S, S, 3) uint8, the faces of every frame.
        frames_per_s: rate of the clock.
        seconds: how long frames come; what is being computed then is awaited.
        clock: in seconds.
        sleep: waits for some seconds. Waking up late counts as latency: it would for a user too.

    Raises:
        UsageError: if no frame falls into that time.
        InferenceError: if the model fails.
    """
    if not frames_per_s > 0 or not seconds * frames_per_s >= 1:
        raise UsageError(
            f"got {frames_per_s!r} frames per second for {seconds!r} seconds, expected one frame "
            "at least; give a higher --fps or more --seconds"
        )
    period = 1.0 / frames_per_s
    # A frame on the very end counts as one that came; the small part undoes binary rounding.
    num_frames = int(seconds * frames_per_s + 1e-9)
    latencies: list[float] = []
    calls: list[float] = []
    missed = 0
    start = clock()
    end = start + num_frames * period
    for number in range(num_frames):
        due = start + number * period
        if (now := clock()) >= end:
            break
        if due > now:
            sleep(due - now)
        began = clock()
        model.infer(images_nhwc)
        done = clock()
        calls.append(done - began)
        latencies.append(done - due)
        missed += done > due + period
    stopped = max(clock(), end)
    waiting = [stopped - (start + k * period) for k in range(len(latencies), num_frames)]
    return PacedResult(
        frames_per_s=frames_per_s,
        latency=latency_stats([*latencies, *waiting]),
        compute=latency_stats(calls),
        missed=missed + len(waiting),
        unanswered=len(waiting),
        busy=sum(calls) / (stopped - start),
    )
