"""What a machine's speed depends on, and what of it changed while something was timed.

A latency belongs to a power mode, to clocks and their limits, and to a chip that nobody throttled.
All of it is read from files without root, before and after. What a file does not tell is "unknown"
and no change; a clock that follows the load is none either, only its limits are compared.

Two looks cannot see a throttling that came and went between them, except where the machine counts:
over-current events (soctherm on a Jetson) and thermal events (Intel). Look once more in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.benchmark.sysfs import in_order, number_in, word_in
from edge_arm.runtime.machine import machine_facts

UNKNOWN = "unknown"

_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gp10b")
"""Parts of the name of a Jetson's GPU in /sys/class/devfreq, by JetPack and chip."""

_THROTTLES = ("cpu", "gpu", "throttle", "processor", *_GPU_NAMES)
"""Parts of the types of cooling devices that slow something down. A fan and a TCC offset do not."""

_CPUS_SHOWN = 3


@dataclass(frozen=True)
class Clock:
    """A clock and what it may do, in Hz.

    Attributes:
        now: its frequency when it was read.
        min: the lowest that it may take.
        max: the highest.
        governor: who chooses between them; empty if it is not told.
    """

    now: int
    min: int
    max: int
    governor: str

    @property
    def fixed(self) -> bool:
        """It cannot move, which is what `jetson_clocks` does."""
        return self.min == self.max


@dataclass(frozen=True)
class MachineState:
    """What the speed of a machine depends on, at one moment.

    Attributes:
        power_mode: of a Jetson, such as "15W (mode 0)"; "unknown" elsewhere.
        cpus_online: such as "0-5"; "unknown" if it is not told.
        clocks: by name: "cpu policy0", "gpu".
        temperatures_c: of the zones that answer, by name, in degrees Celsius.
        throttles: how far each cooling device slows its part down, by name; 0 is not at all.
        events: how often the machine slowed down since it started, by cause.
        alarms: rails whose current is beyond a limit, by name.
    """

    power_mode: str
    cpus_online: str
    clocks: dict[str, Clock]
    temperatures_c: dict[str, float]
    throttles: dict[str, int]
    events: dict[str, int]
    alarms: tuple[str, ...]

    @property
    def throttled(self) -> bool:
        """Something is slowed down at this moment; an alarm may be of any moment before."""
        return any(self.throttles.values())


def state_now(root: Path = Path("/")) -> MachineState:
    """Read the state of this machine.

    Args:
        root: where its file system begins; another one only in tests.
    """
    system = root / "sys"
    return MachineState(
        power_mode=machine_facts(root).power_mode or UNKNOWN,
        cpus_online=word_in(system / "devices/system/cpu/online") or UNKNOWN,
        clocks={**_cpu_clocks(system), **_gpu_clocks(system)},
        temperatures_c=_temperatures(system),
        throttles=_throttles(system),
        events={**_over_current_events(system), **_thermal_events(system)},
        alarms=_alarms(system),
    )


def changes(before: MachineState, after: MachineState) -> tuple[str, ...]:
    """What makes the time between two looks not one measurement, a sentence each.

    Args:
        before: the earlier look.
        after: the later one.

    Returns:
        Empty if nothing that is known changed.
    """
    found = []
    for name, old, new in (
        ("the power mode", before.power_mode, after.power_mode),
        ("the set of CPUs that are online", before.cpus_online, after.cpus_online),
    ):
        if UNKNOWN not in (old, new) and old != new:
            found.append(f"{name} changed from {old} to {new}")
    found += _clock_changes(before.clocks, after.clocks)
    for name, level in after.throttles.items():
        earlier = before.throttles.get(name, 0)
        if level != earlier:
            verb = "was throttled" if level > earlier else "was throttled less"
            found.append(f"the machine {verb}: {name} went from level {earlier} to {level}")
    for name, count in after.events.items():
        # A counter that is smaller than before began anew with a driver.
        more = count - before.events.get(name, count)
        if more > 0:
            found.append(f"the machine was throttled: {more} x {name}")
    # The sensor forgets an alarm once it was read, so one that is there now is a new one.
    found += [f"the current was beyond its limit: {name}" for name in after.alarms]
    return tuple(found)


def state_facts(state: MachineState) -> dict[str, str]:
    """The state by name, for people; every name is always there."""
    hot = max(state.temperatures_c, key=state.temperatures_c.__getitem__, default="")
    throttled = [f"{name} (level {level})" for name, level in state.throttles.items() if level]
    throttled += [f"current of {name}" for name in state.alarms]
    return {
        "power mode": state.power_mode,
        "CPUs online": state.cpus_online,
        "clocks": _clock_facts(state.clocks) or UNKNOWN,
        "temperature": f"{state.temperatures_c[hot]:.1f} C ({hot})" if hot else UNKNOWN,
        "throttled": ", ".join(throttled) or ("no" if state.throttles else UNKNOWN),
    }


def _clock_changes(before: Mapping[str, Clock], after: Mapping[str, Clock]) -> list[str]:
    """Limits and governors that differ; cores that changed alike share a sentence."""
    names_by_change: dict[str, list[str]] = {}
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            continue
        for which, was, now in (("highest", old.max, new.max), ("lowest", old.min, new.min)):
            if was != now:
                verb = "lowered" if now < was else "raised"
                text = f"the {which} clock was {verb} from {_mhz(was)} to {_mhz(now)}"
                names_by_change.setdefault(text, []).append(name)
        if old.governor != new.governor and old.governor and new.governor:
            text = f"the clock's governor changed from {old.governor} to {new.governor}"
            names_by_change.setdefault(text, []).append(name)
    return [f"{text}: {_several(names)}" for text, names in names_by_change.items()]


def _clock_facts(clocks: Mapping[str, Clock]) -> str:
    names_by_text: dict[str, list[str]] = {}
    for name, clock in clocks.items():
        governor = f", {clock.governor}" if clock.governor else ""
        limits = "fixed" if clock.fixed else f"{_mhz(clock.min)} to {_mhz(clock.max)}{governor}"
        names_by_text.setdefault(limits, []).append(name)
    texts = []
    for limits, names in names_by_text.items():
        now = max(clocks[name].now for name in names)
        texts.append(f"{_several(names)}: {_mhz(now)}, {limits}")
    return "; ".join(texts)


def _several(names: list[str]) -> str:
    rest = len(names) - _CPUS_SHOWN
    return ", ".join(names[:_CPUS_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _mhz(hertz: int) -> str:
    return f"{hertz / 1e6:.0f} MHz"


def _cpu_clocks(system: Path) -> dict[str, Clock]:
    def read(folder: Path) -> Clock | None:
        names = ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq")
        return _clock(folder, names, "scaling_governor", hertz_in_unit=1000)

    folders = in_order(system / "devices/system/cpu/cpufreq", "policy*")
    return _named(folders, read, lambda folder: f"cpu {folder.name}")


def _gpu_clocks(system: Path) -> dict[str, Clock]:
    def read(folder: Path) -> Clock | None:
        names = ("cur_freq", "min_freq", "max_freq")
        return _clock(folder, names, "governor", hertz_in_unit=1)

    folders = [
        folder
        for folder in in_order(system / "class/devfreq", "*")
        if any(part in folder.name for part in _GPU_NAMES)
    ]
    return _named(folders, read, lambda folder: folder.name)


def _named(
    folders: list[Path], read: Callable[[Path], Clock | None], name: Callable[[Path], str]
) -> dict[str, Clock]:
    return {name(folder): clock for folder in folders if (clock := read(folder)) is not None}


def _clock(
    folder: Path, names: tuple[str, str, str], governor: str, *, hertz_in_unit: int
) -> Clock | None:
    now, least, most = (number_in(folder / name) for name in names)
    if now is None or least is None or most is None:
        return None
    unit = hertz_in_unit
    return Clock(now * unit, least * unit, most * unit, word_in(folder / governor) or "")


def _temperatures(system: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for zone in in_order(system / "class/thermal", "thermal_zone*"):
        name, millidegrees = word_in(zone / "type"), number_in(zone / "temp")
        # Zones of parts that are switched off answer with the lowest number that they know.
        if name is not None and millidegrees is not None and millidegrees > -100_000:
            found[_free(name, found)] = millidegrees / 1000
    return found


def _throttles(system: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for device in in_order(system / "class/thermal", "cooling_device*"):
        name, level = word_in(device / "type"), number_in(device / "cur_state")
        if name is None or level is None or "fan" in name.lower():
            continue
        if any(part in name.lower() for part in _THROTTLES):
            found[_free(name, found)] = max(level, 0)
    return found


def _over_current_events(system: Path) -> dict[str, int]:
    """A Jetson counts what made it slow down at once: too little voltage, too much current."""
    found: dict[str, int] = {}
    for folder in in_order(system / "class/hwmon", "hwmon*"):
        if word_in(folder / "name") == "soctherm_oc":
            for path in in_order(folder, "oc*_event_cnt"):
                count = number_in(path)
                if count is not None:
                    found[f"over-current event {path.name.partition('_')[0]}"] = count
    return found


def _thermal_events(system: Path) -> dict[str, int]:
    """Intel's processors count how often they slowed down; the packages' counts, added up."""
    counts: dict[str, int] = {}
    for folder in in_order(system / "devices/system/cpu", "cpu[0-9]*"):
        package = word_in(folder / "topology/physical_package_id")
        count = number_in(folder / "thermal_throttle/package_throttle_count")
        if package is not None and count is not None:
            counts[package] = max(counts.get(package, 0), count)
    return {"thermal event of the processor": sum(counts.values())} if counts else {}


def _alarms(system: Path) -> tuple[str, ...]:
    found = []
    for folder in in_order(system / "class/hwmon", "hwmon*"):
        if "ina3221" not in (word_in(folder / "name") or ""):
            continue
        for channel in (1, 2, 3):
            rail = word_in(folder / f"in{channel}_label") or f"channel {channel}"
            for kind, limit in (("crit", "critical"), ("max", "warning")):
                # A limit of 0 was never set, and everything is beyond it.
                is_set = number_in(folder / f"curr{channel}_{kind}") != 0
                if is_set and number_in(folder / f"curr{channel}_{kind}_alarm") == 1:
                    found.append(f"{rail} ({limit})")
    return tuple(found)


def _free(name: str, taken: Mapping[str, object]) -> str:
    """The name, with a number behind it where it is there already."""
    number = sum(known == name or known.startswith(f"{name} #") for known in taken)
    return f"{name} #{number + 1}" if number else name
