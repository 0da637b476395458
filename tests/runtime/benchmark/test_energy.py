"""Energy by hand calculation on made records, and a live meter on a sensor that is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_arm.runtime.benchmark.energy import (
    BusySpan,
    EnergyMeter,
    FaceEnergy,
    PowerTrace,
    Span,
    face_energy,
)
from edge_arm.runtime.benchmark.ina3221 import power_sensor
from edge_arm.runtime.errors import MeasurementError, UsageError


@dataclass
class MadeSource:
    """A sensor whose power is a function of how often it was read."""

    power: Callable[[int], float]
    name: str = "VDD_MADE"
    update_interval_s: float | None = None
    reads: int = field(default=0, init=False)

    def power_w(self) -> float:
        self.reads += 1
        return self.power(self.reads)


def _trace(*powers: float, interval_s: float | None = 0.01) -> PowerTrace:
    """A reading each 10 ms, `powers` for a second each, in turn."""
    steps = np.repeat(powers, 100)
    return PowerTrace("VDD_MADE", interval_s, np.arange(len(steps)) * 0.01, steps)


def _measure(trace: PowerTrace, faces: tuple[int, ...] = (100, 100, 100)) -> FaceEnergy:
    """Idle from 0.2 to 0.8 s, then a window in each second, idle in the last one."""
    busy = [BusySpan(Span(n + 1.2, n + 1.7), count) for n, count in enumerate(faces)]
    last = len(faces) + 1
    return face_energy(
        trace,
        busy,
        idle_before=Span(0.2, 0.8),
        idle_after=Span(last + 0.2, last + 0.8),
    )


def test_the_energy_of_a_ramp_is_the_area_below_it() -> None:
    trace = PowerTrace("x", None, np.array([0.0, 1.0, 3.0]), np.array([2.0, 4.0, 0.0]))
    # From 0.5 to 2: (3 + 4) / 2 * 0.5 + (4 + 2) / 2 * 1
    assert trace.energy_j(Span(0.5, 2.0)) == pytest.approx(1.75 + 3.0)


def test_a_window_between_two_readings_has_energy_too() -> None:
    trace = PowerTrace("x", None, np.array([0.0, 10.0]), np.array([1.0, 3.0]))
    assert trace.energy_j(Span(4.0, 6.0)) == pytest.approx(4.0)  # 2 W for 2 s


def test_a_record_that_ends_too_early_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"VDD_MADE does not reach over the 2.00 s"):
        _trace(5.0).energy_j(Span(0.5, 2.5))


def test_a_record_without_a_reading_is_refused() -> None:
    empty = PowerTrace("VDD_MADE", None, np.array([]), np.array([]))
    with pytest.raises(MeasurementError, match="expected the meter to run from before to after"):
        empty.energy_j(Span(0.0, 1.0))


def test_the_idle_power_is_subtracted() -> None:
    energy = _measure(_trace(5, 7, 7, 7, 5))
    # 2 W more than idle for 0.5 s are 1 J, for 100 faces 10 mJ each; the windows are alike.
    assert energy.mj_per_face == pytest.approx(10.0)
    assert (energy.low_mj, energy.high_mj) == pytest.approx((10.0, 10.0))
    assert (energy.idle_w, energy.busy_w, energy.idle_drift_w) == pytest.approx((5.0, 7.0, 0.0))
    assert (energy.windows, energy.faces, energy.source) == (3, 300, "VDD_MADE")
    assert energy.readings == 50  # 0.5 s by 10 ms


def test_windows_that_differ_make_the_interval_of_students_t() -> None:
    energy = _measure(_trace(5, 6, 7, 8, 5))
    # 5, 10 and 15 mJ: mean 10, deviation 5; scipy.stats.t.ppf(0.975, 2) = 4.302652729911275
    assert energy.mj_per_face == pytest.approx(10.0)
    reach = 4.302652729911275 * 5 / 3**0.5
    assert (energy.low_mj, energy.high_mj) == pytest.approx((10 - reach, 10 + reach))


def test_a_drift_of_the_idle_power_widens_the_interval() -> None:
    energy = _measure(_trace(5.0, 7.1, 7.1, 7.1, 5.2))
    # Idle 5.1 W, so 2 W for 0.5 s and 100 faces; 0.1 W of doubt are 0.5 mJ of a face.
    assert energy.mj_per_face == pytest.approx(10.0)
    assert (energy.low_mj, energy.high_mj) == pytest.approx((9.5, 10.5))
    assert energy.idle_drift_w == pytest.approx(0.2)


def test_an_idle_power_that_drifts_too_far_is_refused() -> None:
    with pytest.raises(
        MeasurementError, match=r"from 5.00 to 6.00 W .* 1.50 W more than that, .* at most 25 %"
    ):
        _measure(_trace(5, 7, 7, 7, 6))


def test_work_that_draws_nothing_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"drew 4.90 W and the idle machine 5.00 W"):
        _measure(_trace(5.0, 4.9, 4.9, 4.9, 5.0))


def test_windows_too_short_for_the_sensor_are_refused() -> None:
    with pytest.raises(
        MeasurementError, match=r"window of 0.60 s holds 6 readings of VDD_MADE, .* at least 10"
    ):
        _measure(_trace(5, 7, 7, 7, 5, interval_s=0.1))


def test_a_sensor_of_unknown_speed_has_to_say_something_new() -> None:
    steady = _trace(5, 7, 7, 7, 5, interval_s=None)
    assert steady.readings(Span(1.2, 1.7)) == 1
    with pytest.raises(MeasurementError, match="holds 1 readings"):
        _measure(steady)


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"got 2 windows of \[100, 100\] faces .* at least 3"):
        _measure(_trace(5, 7, 7, 5), faces=(100, 100))


def test_a_window_without_a_face_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\[100, 0, 100\] faces .* with a face in each"):
        _measure(_trace(5, 7, 7, 7, 5), faces=(100, 0, 100))


def test_a_meter_records_from_before_the_block_to_behind_it() -> None:
    source = MadeSource(lambda reads: float(reads))
    before = time.perf_counter()
    with EnergyMeter(source, interval_s=0.002) as meter:
        span = Span(time.perf_counter(), time.perf_counter() + 0.05)
        while time.perf_counter() < span.end_s:
            time.sleep(0.005)
        inside = meter.trace()
    trace = meter.trace()
    assert before < trace.times_s[0] <= span.start_s
    assert trace.times_s[-1] >= span.end_s
    assert trace.power_w.tolist() == [float(n + 1) for n in range(source.reads)]
    assert 0 < len(inside.power_w) <= len(trace.power_w)
    # The mean of what was read in between, whatever the readings were.
    mean = trace.energy_j(span) / span.seconds
    assert 1.0 <= mean <= source.reads


def test_a_sensor_that_fails_while_it_is_read_fails_the_measurement() -> None:
    def power(reads: int) -> float:
        if reads > 2:
            raise MeasurementError("the sensor has gone; measure again")
        return 5.0

    with EnergyMeter(MadeSource(power), interval_s=0.001) as meter:
        time.sleep(0.05)
    with pytest.raises(MeasurementError, match="the sensor has gone"):
        meter.trace()


def test_the_files_of_a_module_are_measured_while_they_change(tmp_path: Path) -> None:
    chip = tmp_path / "sys/class/hwmon/hwmon1"
    chip.mkdir(parents=True)
    files = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "1000"}
    for name, text in {**files, "update_interval": "1"}.items():
        (chip / name).write_text(text, encoding="utf-8")
    sensor = power_sensor(tmp_path)
    assert sensor is not None

    def draw(milliamperes: int) -> Span:
        new = chip / "new"
        new.write_text(str(milliamperes), encoding="utf-8")
        new.replace(chip / "curr1_input")
        start = time.perf_counter()
        time.sleep(0.25)
        # The thread may be late on a busy machine, so the ends are left out.
        return Span(start + 0.05, time.perf_counter() - 0.05)

    with EnergyMeter(sensor, interval_s=0.001) as meter:
        idle_before = draw(1000)
        busy = [BusySpan(draw(1400), 20) for _ in range(3)]
        idle_after = draw(1000)
    energy = face_energy(meter.trace(), busy, idle_before=idle_before, idle_after=idle_after)
    # 2 W more than idle; a window takes 0.15 s and as much longer as this machine is late.
    seconds = sum(window.span.seconds for window in busy)
    assert energy.idle_w == pytest.approx(5.0, abs=0.2)
    assert energy.mj_per_face == pytest.approx(1e3 * 2 * seconds / 60, rel=0.1)
