"""What a Jetson draws, from the INA3221 sensors on its module.

The kernel's driver shows each chip as a folder in /sys/class/hwmon: three channels, each with a
label, millivolts and milliamperes (Documentation/hwmon/ina3221.rst). JetPack 5 to 7 have it so;
JetPack 4 has another layout and no Python that runs edge-arm. Reading needs no root.

What the sensors see is the **module**: a carrier board, its fan and its cameras are not in it. The
rails are NVIDIA's as published; none of this was read on a Jetson by us.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.benchmark.sysfs import in_order, number_in, word_in
from edge_arm.runtime.errors import MeasurementError

_CHANNELS = (1, 2, 3)
"""in4 to in6 are shunt voltages and in7 is their sum: no rails, although in7 has a label."""

_NOT_CONNECTED = "NC"

_MODULE_INPUTS = ("VDD_IN",)
"""The rail through which everything flows, on Orin Nano and Orin NX."""

_FED_BY = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
"""Rails behind another rail, which a sum would count twice.

Source: NVIDIA's table of AGX Orin's power monitors, where the system's 5 V include the memory's."""


@dataclass(frozen=True)
class PowerRail:
    """One channel of a sensor.

    Attributes:
        label: NVIDIA's name of the rail.
        millivolts: file with the voltage of the rail.
        milliamperes: file with the current through it.
    """

    label: str
    millivolts: Path
    milliamperes: Path

    def power_w(self) -> float:
        """What flows through the rail now, in watts; a little below 0 is the sensor's offset.

        Raises:
            MeasurementError: if a file cannot be read any more.
        """
        volts, amperes = number_in(self.millivolts), number_in(self.milliamperes)
        if volts is None or amperes is None:
            lost = self.millivolts if volts is None else self.milliamperes
            raise MeasurementError(
                f"the power sensor of {self.label} stopped answering: got no number from "
                f"{str(lost)!r}; measure again, or without energy"
            )
        return volts * amperes * 1e-6


@dataclass(frozen=True)
class PowerSensor:
    """The sensors of a module.

    Attributes:
        rails: all that are connected, in the order of chips and channels.
        counted: those whose sum is the module's power.
        update_interval_s: time between two readings that can differ; None if it is not told.
    """

    rails: tuple[PowerRail, ...]
    counted: tuple[PowerRail, ...]
    update_interval_s: float | None

    @property
    def name(self) -> str:
        """What is measured, for a result: "VDD_IN", or the rails with plus signs."""
        return " + ".join(rail.label for rail in self.counted)

    def power_w(self) -> float:
        """What the module draws now, in watts.

        Raises:
            MeasurementError: if a sensor stopped answering.
        """
        return sum(rail.power_w() for rail in self.counted)


def power_sensor(root: Path = Path("/")) -> PowerSensor | None:
    """The power sensors of this machine.

    Args:
        root: where its file system begins; another one only in tests.

    Returns:
        None on a machine without them, and in a container that does not show them.
    """
    chips = [
        folder
        for folder in in_order(root / "sys/class/hwmon", "hwmon*")
        if "ina3221" in (word_in(folder / "name") or "")
    ]
    rails = tuple(rail for chip in chips for rail in _rails(chip))
    if not rails:
        return None
    intervals = [
        interval
        for chip in chips
        if (interval := number_in(chip / "update_interval")) is not None and interval > 0
    ]
    return PowerSensor(
        rails=rails,
        counted=_counted(rails),
        update_interval_s=max(intervals) / 1e3 if intervals else None,
    )


def _rails(chip: Path) -> list[PowerRail]:
    rails = []
    for channel in _CHANNELS:
        label = word_in(chip / f"in{channel}_label")
        if label is None or label == _NOT_CONNECTED:
            continue
        if number_in(chip / f"in{channel}_enable") == 0:
            continue
        rail = PowerRail(label, chip / f"in{channel}_input", chip / f"curr{channel}_input")
        if number_in(rail.millivolts) is not None and number_in(rail.milliamperes) is not None:
            rails.append(rail)
    return rails


def _counted(rails: tuple[PowerRail, ...]) -> tuple[PowerRail, ...]:
    """The input where there is one, else every rail that no other rail feeds."""
    inputs = tuple(rail for rail in rails if rail.label in _MODULE_INPUTS)
    if inputs:
        return inputs[:1]
    labels = {rail.label for rail in rails}
    return tuple(rail for rail in rails if _FED_BY.get(rail.label) not in labels)
