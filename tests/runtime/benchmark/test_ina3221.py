"""Sensors as the kernel shows them: trees written by hand, with the rails of NVIDIA's modules.

Labels and channels are those of the kernel's device trees (tegra234-p3701, -p3767) and of users'
listings; not read on a Jetson by us.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.runtime.benchmark.ina3221 import PowerSensor, power_sensor
from edge_arm.runtime.errors import MeasurementError

Chip = dict[str, str]


def _channel(number: int, label: str, millivolts: int, milliamperes: int) -> Chip:
    return {
        f"in{number}_label": label,
        f"in{number}_enable": "1",
        f"in{number}_input": str(millivolts),
        f"curr{number}_input": str(milliamperes),
    }


SUM_OF_SHUNTS = {"in4_input": "5", "in7_label": "sum of shunt voltages", "in7_input": "12000"}

ORIN_NANO = {
    "name": "ina3221",
    "update_interval": "80",
    **_channel(1, "VDD_IN", 4920, 1000),
    **_channel(2, "VDD_CPU_GPU_CV", 4920, 200),
    **_channel(3, "VDD_SOC", 4920, 300),
    **SUM_OF_SHUNTS,
}
AGX_ORIN_FIRST = {
    "name": "ina3221",
    "update_interval": "40",
    **_channel(1, "VDD_GPU_SOC", 20000, 250),
    **_channel(2, "VDD_CPU_CV", 20000, 100),
    **_channel(3, "VIN_SYS_5V0", 5000, 900),
    **SUM_OF_SHUNTS,
}
AGX_ORIN_SECOND = {
    "name": "ina3221",
    "update_interval": "90",
    "in1_label": "NC",
    "in1_input": "0",
    "curr1_input": "0",
    **_channel(2, "VDDQ_VDD2_1V8AO", 5000, 200),
    "in3_label": "NC",
}
THOR = {
    "name": "ina3221",
    **_channel(1, "VDD_GPU", 20000, -20),  # switched off, and the sensor a little below 0
    **_channel(2, "VDD_CPU_SOC_MSS", 20000, 320),
    **_channel(3, "VIN_SYS_5V0", 5000, 1300),
}
THOR_INPUT = {"name": "ina238", "label": "VIN", "power1_input": "23000000"}


def _sensor(root: Path, *chips: Chip) -> PowerSensor | None:
    for number, chip in enumerate(chips):
        folder = root / "sys/class/hwmon" / f"hwmon{number}"
        folder.mkdir(parents=True)
        for name, text in chip.items():
            (folder / name).write_text(f"{text}\n", encoding="utf-8")
    return power_sensor(root)


def test_the_input_of_an_orin_nano_is_its_power(tmp_path: Path) -> None:
    sensor = _sensor(tmp_path, {"name": "pwmfan"}, ORIN_NANO)
    assert sensor is not None
    assert sensor.name == "VDD_IN"
    assert sensor.power_w() == pytest.approx(4.92)  # 4.92 V * 1 A; the other rails are behind it
    assert [rail.label for rail in sensor.rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert sensor.rails[1].power_w() == pytest.approx(0.984)


def test_the_rails_of_an_agx_orin_are_added_up_and_its_memory_is_counted_once(
    tmp_path: Path,
) -> None:
    sensor = _sensor(tmp_path, AGX_ORIN_FIRST, AGX_ORIN_SECOND)
    assert sensor is not None
    assert sensor.name == "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    assert sensor.power_w() == pytest.approx(5.0 + 2.0 + 4.5)
    assert sensor.rails[3].label == "VDDQ_VDD2_1V8AO"


def test_a_rail_whose_source_is_not_seen_is_counted(tmp_path: Path) -> None:
    sensor = _sensor(tmp_path, AGX_ORIN_SECOND)
    assert sensor is not None
    assert sensor.power_w() == pytest.approx(1.0)


def test_a_thors_board_input_is_another_sensor_and_not_counted(tmp_path: Path) -> None:
    sensor = _sensor(tmp_path, THOR_INPUT, THOR)
    assert sensor is not None
    assert sensor.name == "VDD_GPU + VDD_CPU_SOC_MSS + VIN_SYS_5V0"
    assert sensor.power_w() == pytest.approx(-0.4 + 6.4 + 6.5)


def test_the_slowest_chip_says_how_often_a_reading_is_new(tmp_path: Path) -> None:
    sensor = _sensor(tmp_path, AGX_ORIN_FIRST, AGX_ORIN_SECOND)
    assert sensor is not None
    assert sensor.update_interval_s == pytest.approx(0.09)


def test_a_chip_that_does_not_tell_its_interval_is_no_error(tmp_path: Path) -> None:
    sensor = _sensor(tmp_path, THOR)
    assert sensor is not None
    assert sensor.update_interval_s is None


def test_rails_that_are_switched_off_or_incomplete_are_left_out(tmp_path: Path) -> None:
    chip = {**AGX_ORIN_FIRST, "in1_enable": "0"}
    del chip["curr2_input"]
    sensor = _sensor(tmp_path, chip)
    assert sensor is not None
    assert sensor.name == "VIN_SYS_5V0"


@pytest.mark.parametrize(
    "chips",
    [
        (),
        ({"name": "coretemp", "in1_label": "VDD_IN", "in1_input": "1", "curr1_input": "1"},),
        ({"name": "ina3221", "in1_label": "NC", "in1_input": "0", "curr1_input": "0"},),
        ({"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "", "curr1_input": "x"},),
    ],
    ids=["nothing", "another chip", "nothing connected", "no numbers"],
)
def test_a_machine_without_sensors_has_none(tmp_path: Path, chips: tuple[Chip, ...]) -> None:
    assert _sensor(tmp_path, *chips) is None


def test_a_sensor_that_goes_away_is_an_error_with_its_file(tmp_path: Path) -> None:
    sensor = _sensor(tmp_path, ORIN_NANO)
    assert sensor is not None
    (tmp_path / "sys/class/hwmon/hwmon0/curr1_input").unlink()
    with pytest.raises(
        MeasurementError,
        match=r"sensor of VDD_IN stopped answering: got no number from '.*curr1_input'; measure",
    ):
        sensor.power_w()
