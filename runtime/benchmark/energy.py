"""Energy per face: what the work draws beyond the idle machine, from a power sensor.

A thread reads the sensor all the time, idle and busy, so that its own cost is in both; whoever
times something notes from when to when, and the energy is taken out of the record afterwards.

With P(t) the power as a line through the readings, I the idle power (the mean of a stretch before
and one after) and a busy window from a to b with n faces::

    energy per face = (integral of P from a to b  -  I (b - a)) / n

The interval is Student's over the windows, plus what half of the drift of I would make of a face.
It covers chance in these windows and that drift, not the sensor's own error (1 % of an INA3221's
shunt resistor and more) nor what lies outside of the sensor.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import EdgeArmError, MeasurementError, UsageError
from edge_arm.runtime.statistics.student_t import student_quantile

FloatArray = npt.NDArray[np.float64]

MIN_READINGS = 10
"""Of a window: with fewer, its first and last step weigh too much."""

MIN_WINDOWS = 3
"""Two have a spread, and Student's t for it is 12.7."""

MAX_IDLE_DRIFT = 0.25
"""Of what the work draws. Beyond it, the figure would be about the drift."""


class PowerSource(Protocol):
    """Anything that says what is drawn at this moment."""

    @property
    def name(self) -> str:
        """What is measured."""
        ...

    @property
    def update_interval_s(self) -> float | None:
        """Time between two readings that can differ; None if it is not known."""
        ...

    def power_w(self) -> float:
        """Watts now.

        Raises:
            MeasurementError: if it cannot be read.
        """
        ...


@dataclass(frozen=True)
class Span:
    """A stretch of time, by `time.perf_counter`.

    Attributes:
        start_s: its begin.
        end_s: its end.
    """

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        assert self.start_s < self.end_s, "a stretch of time ends after it began"

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class BusySpan:
    """A window of work.

    Attributes:
        span: from the first face's begin to the last one's answer.
        faces: that were answered in it.
    """

    span: Span
    faces: int


@dataclass(frozen=True, eq=False)
class PowerTrace:
    """Readings of a sensor, R of them.

    Attributes:
        source: name of the sensor.
        update_interval_s: of the sensor, None if it is not known.
        times_s: (R,) float64, by `time.perf_counter`, ascending; the middle of each reading.
        power_w: (R,) float64.
    """

    source: str
    update_interval_s: float | None
    times_s: FloatArray
    power_w: FloatArray

    def energy_j(self, span: Span) -> float:
        """Integral of the power over a stretch, by the trapezoid rule.

        Raises:
            MeasurementError: if the record does not reach over the whole stretch.
        """
        if not len(self.times_s) or not (
            self.times_s[0] <= span.start_s and span.end_s <= self.times_s[-1]
        ):
            raise MeasurementError(
                f"the record of {self.source} does not reach over the {span.seconds:.2f} s that "
                "were timed, expected the meter to run from before to after; measure again"
            )
        inside = (self.times_s > span.start_s) & (self.times_s < span.end_s)
        ends = np.array([span.start_s, span.end_s])
        at_ends = np.interp(ends, self.times_s, self.power_w)
        times = np.concatenate([ends[:1], self.times_s[inside], ends[1:]])
        power = np.concatenate([at_ends[:1], self.power_w[inside], at_ends[1:]])
        return float((np.diff(times) * (power[1:] + power[:-1]) / 2).sum())

    def readings(self, span: Span) -> int:
        """How many readings of the sensor's own a stretch holds.

        A sensor that is asked more often than it measures repeats itself. Where its interval is not
        known, only readings that differ from the one before are counted.
        """
        inside = (self.times_s >= span.start_s) & (self.times_s <= span.end_s)
        power = self.power_w[inside]
        if self.update_interval_s is None:
            return int((np.diff(power) != 0).sum()) + 1 if len(power) else 0
        return min(len(power), int(span.seconds / self.update_interval_s))


@dataclass(frozen=True)
class FaceEnergy:
    """What a face costs, beyond the idle machine.

    Attributes:
        source: what was measured.
        mj_per_face: millijoules, the mean of the windows.
        low_mj: lower limit.
        high_mj: upper limit.
        confidence: of the limits, two-sided.
        idle_w: mean of the stretches before and after.
        idle_drift_w: after minus before.
        busy_w: mean over the windows, the idle power included.
        windows: how many.
        faces: in all of them.
        readings: of the sensor, in the window that has the fewest.
    """

    source: str
    mj_per_face: float
    low_mj: float
    high_mj: float
    confidence: float
    idle_w: float
    idle_drift_w: float
    busy_w: float
    windows: int
    faces: int
    readings: int


class EnergyMeter:
    """Reads a sensor in a thread, from entering the block to leaving it."""

    def __init__(self, source: PowerSource, interval_s: float = 0.02) -> None:
        self._source = source
        self._interval_s = interval_s
        self._times_s: list[float] = []
        self._power_w: list[float] = []
        self._error: EdgeArmError | None = None
        self._end = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._read, name="energy-meter", daemon=True)

    def __enter__(self) -> EnergyMeter:
        self._thread.start()
        self._first.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def trace(self) -> PowerTrace:
        """The record so far; inside the block it may end a reading before now.

        Raises:
            MeasurementError: if the sensor stopped answering.
        """
        if self._error is not None:
            raise self._error
        count = len(self._power_w)  # appended last, so that this many times are there too
        return PowerTrace(
            source=self._source.name,
            update_interval_s=self._source.update_interval_s,
            times_s=np.array(self._times_s[:count], np.float64),
            power_w=np.array(self._power_w[:count], np.float64),
        )

    def _read(self) -> None:
        try:
            while True:
                ends = self._end.is_set()
                began = time.perf_counter()
                power = self._source.power_w()
                took = time.perf_counter() - began
                self._times_s.append(began + took / 2)
                self._power_w.append(power)
                self._first.set()
                # One more reading after the end, so that the record reaches over all of the block.
                if ends:
                    return
                self._end.wait(max(self._interval_s - took, 0))
        except EdgeArmError as error:
            self._error = error
        finally:
            self._first.set()


def face_energy(
    trace: PowerTrace,
    busy: Sequence[BusySpan],
    *,
    idle_before: Span,
    idle_after: Span,
    confidence: float = 0.95,
) -> FaceEnergy:
    """Energy per face over repeated windows of work.

    Args:
        trace: the record; it reaches over all the stretches.
        busy: windows of work, each some seconds long.
        idle_before: a stretch of some seconds in which nothing ran, before the work.
        idle_after: another one, after it.
        confidence: of the interval.

    Raises:
        UsageError: for fewer than `MIN_WINDOWS` windows, or one without a face.
        MeasurementError: if a stretch is too short for the sensor, the idle power drifted, the work
            drew no more than the idle machine, or the record does not reach that far.
    """
    if len(busy) < MIN_WINDOWS or any(window.faces < 1 for window in busy):
        raise UsageError(
            f"got {len(busy)} windows of {[window.faces for window in busy]} faces for the energy, "
            f"expected at least {MIN_WINDOWS} with a face in each; measure more rounds"
        )
    spans = [idle_before, *(window.span for window in busy), idle_after]
    readings = min(_enough_readings(trace, span) for span in spans)

    before_w, after_w = (trace.energy_j(s) / s.seconds for s in (idle_before, idle_after))
    idle_w, drift_w = (before_w + after_w) / 2, after_w - before_w
    net_j = np.array([trace.energy_j(w.span) - idle_w * w.span.seconds for w in busy])
    seconds = np.array([window.span.seconds for window in busy])
    faces = np.array([window.faces for window in busy])
    net_w = float(net_j.sum() / seconds.sum())
    _require_signal(net_w, idle_w=idle_w, drift_w=drift_w)

    per_face_mj = 1e3 * net_j / faces
    mean = float(per_face_mj.mean())
    by_chance = student_quantile(confidence, len(busy) - 1) * float(
        per_face_mj.std(ddof=1) / math.sqrt(len(busy))
    )
    by_drift = 1e3 * abs(drift_w) / 2 * float(seconds.sum() / faces.sum())
    return FaceEnergy(
        source=trace.source,
        mj_per_face=mean,
        low_mj=mean - by_chance - by_drift,
        high_mj=mean + by_chance + by_drift,
        confidence=confidence,
        idle_w=idle_w,
        idle_drift_w=drift_w,
        busy_w=idle_w + net_w,
        windows=len(busy),
        faces=int(faces.sum()),
        readings=readings,
    )


def _enough_readings(trace: PowerTrace, span: Span) -> int:
    readings = trace.readings(span)
    if readings < MIN_READINGS:
        raise MeasurementError(
            f"a window of {span.seconds:.2f} s holds {readings} readings of {trace.source}, "
            f"expected at least {MIN_READINGS}; measure for longer"
        )
    return readings


def _require_signal(net_w: float, *, idle_w: float, drift_w: float) -> None:
    if net_w <= 0:
        raise MeasurementError(
            f"the work drew {idle_w + net_w:.2f} W and the idle machine {idle_w:.2f} W, expected "
            "more for the work; let nothing else run, and measure for longer"
        )
    if abs(drift_w) > MAX_IDLE_DRIFT * net_w:
        raise MeasurementError(
            f"the idle power went from {idle_w - drift_w / 2:.2f} to {idle_w + drift_w / 2:.2f} W "
            f"and the work drew {net_w:.2f} W more than that, expected a drift of at most "
            f"{100 * MAX_IDLE_DRIFT:.0f} % of it; let nothing else run, and the machine warm up"
        )
