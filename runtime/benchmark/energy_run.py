"""Measures the energy of a model where a sensor is: idle, windows of work, idle.

Windows are seconds long, because a sensor answers every few to every hundred milliseconds. So this
is a run of its own, apart from the short turns that latencies are timed in.

Shapes: N faces in a call, S model input size.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.benchmark.energy import (
    MIN_WINDOWS,
    BusySpan,
    EnergyMeter,
    FaceEnergy,
    PowerSource,
    Span,
    face_energy,
)
from edge_arm.runtime.preprocess import Uint8Array


@dataclass(frozen=True)
class EnergyPlan:
    """How long to measure.

    Attributes:
        window_s: of each stretch, idle or busy.
        windows: of work.
        settle_s: after the work, before the idle power is read again: clocks and regulators take
            a moment to come down.
    """

    window_s: float = 2.0
    windows: int = MIN_WINDOWS
    settle_s: float = 0.5


def measured_energy(
    model: Backend, images_nhwc: Uint8Array, source: PowerSource, plan: EnergyPlan
) -> FaceEnergy:
    """Energy per face of a model that runs without a pause.

    Args:
        model: loaded and warm.
        images_nhwc: (N, S, S, 3) uint8, the faces of every call.
        source: the sensor.
        plan: for how long.

    Raises:
        MeasurementError: if the figure could not be believed; see `face_energy`.
        InferenceError: if the model fails.
    """
    with EnergyMeter(source) as meter:
        idle_before = _idle(plan)
        busy = [_busy(model, images_nhwc, plan.window_s) for _ in range(plan.windows)]
        idle_after = _idle(plan)
    return face_energy(meter.trace(), busy, idle_before=idle_before, idle_after=idle_after)


def _idle(plan: EnergyPlan) -> Span:
    time.sleep(plan.settle_s)
    start = time.perf_counter()
    time.sleep(plan.window_s)
    return Span(start, time.perf_counter())


def _busy(model: Backend, images_nhwc: Uint8Array, seconds: float) -> BusySpan:
    start = now = time.perf_counter()
    faces = 0
    while now < start + seconds:
        model.infer(images_nhwc)
        faces += len(images_nhwc)
        now = time.perf_counter()
    return BusySpan(Span(start, now), faces)
