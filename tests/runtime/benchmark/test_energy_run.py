from __future__ import annotations

import time

import pytest
from clocked_backend import FACES, ClockedBackend

from edge_arm.runtime.benchmark.energy_run import EnergyPlan, measured_energy
from edge_arm.runtime.errors import MeasurementError


class TwoWattsAndThreeMore:
    """A board that draws 2 W idle and 5 W while the model computes."""

    name = "a made-up rail"
    update_interval_s = 0.01

    def __init__(self) -> None:
        self.busy = False

    def sleep(self, seconds: float) -> None:
        """The model's way to pass time."""
        self.busy = True
        time.sleep(seconds)
        self.busy = False

    def power_w(self) -> float:
        return 5.0 if self.busy else 2.0


def test_a_face_costs_what_the_model_draws_beyond_the_idle_board() -> None:
    board = TwoWattsAndThreeMore()
    model = ClockedBackend(lambda _: 0.020, board.sleep)
    energy = measured_energy(model, FACES, board, EnergyPlan(window_s=0.5, settle_s=0.1))
    # 3 W for 20 ms are 60 mJ; sleeping ends late by some 0.1 ms, on a busy machine by more, and a
    # reading that comes late lets a busy moment reach into the idle stretch.
    assert energy.mj_per_face == pytest.approx(60, rel=0.15)
    assert energy.idle_w == pytest.approx(2.0, abs=0.15)
    assert energy.busy_w == pytest.approx(5.0, rel=0.05)
    assert energy.windows == 3


def test_windows_that_are_too_short_for_the_sensor_give_no_figure() -> None:
    board = TwoWattsAndThreeMore()
    board.update_interval_s = 0.1
    model = ClockedBackend(lambda _: 0.001, board.sleep)
    with pytest.raises(MeasurementError, match=r"a window of 0\.\d+ s holds \d readings"):
        measured_energy(model, FACES, board, EnergyPlan(window_s=0.1, settle_s=0))
