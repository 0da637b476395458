"""States as the files tell them: trees written by hand, changed, and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.runtime.benchmark.machine_state import (
    Clock,
    MachineState,
    changes,
    state_facts,
    state_now,
)

GPU = "sys/class/devfreq/17000000.gpu"
CPU = "sys/devices/system/cpu/cpufreq"
THERMAL = "sys/class/thermal"

# Formats as published for JetPack 6.2 on an Orin Nano; not read on one by us.
ORIN_NANO = {
    "var/lib/nvpmodel/status": "pmode:0000",
    "etc/nvpmodel.conf": (
        "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n"
        "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
    ),
    "sys/devices/system/cpu/online": "0-5\n",
    f"{CPU}/policy0/scaling_cur_freq": "729600\n",
    f"{CPU}/policy0/scaling_min_freq": "729600\n",
    f"{CPU}/policy0/scaling_max_freq": "1728000\n",
    f"{CPU}/policy0/scaling_governor": "schedutil\n",
    f"{CPU}/policy4/scaling_cur_freq": "1344000\n",
    f"{CPU}/policy4/scaling_min_freq": "729600\n",
    f"{CPU}/policy4/scaling_max_freq": "1728000\n",
    f"{CPU}/policy4/scaling_governor": "schedutil\n",
    f"{GPU}/cur_freq": "306000000\n",
    f"{GPU}/min_freq": "306000000\n",
    f"{GPU}/max_freq": "1020000000\n",
    f"{GPU}/governor": "nvhost_podgov\n",
    "sys/class/devfreq/13e10000.host1x/cur_freq": "204000000\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
    f"{THERMAL}/thermal_zone0/temp": "48250\n",
    f"{THERMAL}/thermal_zone1/type": "gpu-thermal\n",
    f"{THERMAL}/thermal_zone1/temp": "-256000\n",
    f"{THERMAL}/thermal_zone8/type": "tj-thermal\n",
    f"{THERMAL}/thermal_zone8/temp": "51062\n",
    f"{THERMAL}/cooling_device0/type": "cpufreq-cpu0\n",
    f"{THERMAL}/cooling_device0/cur_state": "0\n",
    f"{THERMAL}/cooling_device2/type": "devfreq-17000000.gpu\n",
    f"{THERMAL}/cooling_device2/cur_state": "0\n",
    f"{THERMAL}/cooling_device5/type": "gpu-throttle-alert\n",
    f"{THERMAL}/cooling_device5/cur_state": "0\n",
    f"{THERMAL}/cooling_device10/type": "pwm-fan\n",
    f"{THERMAL}/cooling_device10/cur_state": "2\n",
    "sys/class/hwmon/hwmon0/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon0/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon0/oc1_throt_en": "1\n",
    "sys/class/hwmon/hwmon0/oc3_event_cnt": "37\n",
    "sys/class/hwmon/hwmon1/name": "ina3221\n",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN\n",
    "sys/class/hwmon/hwmon1/curr1_crit_alarm": "0\n",
    "sys/class/hwmon/hwmon1/curr1_max_alarm": "0\n",
}


def _state(root: Path, files: dict[str, str]) -> MachineState:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return state_now(root)


def _changes(root: Path, after: dict[str, str], before: dict[str, str] = ORIN_NANO) -> list[str]:
    earlier = _state(root, before)
    return list(changes(earlier, _state(root, after)))


def test_the_state_of_a_jetson_is_read_from_its_files(tmp_path: Path) -> None:
    cores = {
        f"cpu policy{number}": Clock(now, 729_600_000, 1_728_000_000, "schedutil")
        for number, now in ((0, 729_600_000), (4, 1_344_000_000))
    }
    assert _state(tmp_path, ORIN_NANO) == MachineState(
        power_mode="15W (mode 0)",
        cpus_online="0-5",
        clocks={
            **cores,
            "17000000.gpu": Clock(306_000_000, 306_000_000, 1_020_000_000, "nvhost_podgov"),
        },
        temperatures_c={"cpu-thermal": 48.25, "tj-thermal": 51.062},
        throttles={"cpufreq-cpu0": 0, "devfreq-17000000.gpu": 0, "gpu-throttle-alert": 0},
        events={"over-current event oc1": 0, "over-current event oc3": 37},
        alarms=(),
    )


def test_the_state_is_told_in_a_line_each(tmp_path: Path) -> None:
    assert state_facts(_state(tmp_path, ORIN_NANO)) == {
        "power mode": "15W (mode 0)",
        "CPUs online": "0-5",
        "clocks": (
            "cpu policy0, cpu policy4: 1344 MHz, 730 MHz to 1728 MHz, schedutil; "
            "17000000.gpu: 306 MHz, 306 MHz to 1020 MHz, nvhost_podgov"
        ),
        "temperature": "51.1 C (tj-thermal)",
        "throttled": "no",
    }


def test_a_machine_that_tells_nothing_is_unknown_and_never_changes(tmp_path: Path) -> None:
    state = state_now(tmp_path)
    assert set(state_facts(state).values()) == {"unknown"}
    assert not state.throttled
    assert changes(state, state_now(tmp_path)) == ()


def test_what_is_told_at_one_of_two_looks_only_is_no_change(tmp_path: Path) -> None:
    silent, telling = state_now(tmp_path), _state(tmp_path, ORIN_NANO)
    assert changes(silent, telling) == ()
    assert changes(telling, silent) == ()


def test_files_that_are_not_what_they_should_be_are_unknown(tmp_path: Path) -> None:
    nonsense = {name: "nonsense" for name in ORIN_NANO if not name.endswith(("online", "type"))}
    state = _state(tmp_path, nonsense)
    assert (state.clocks, state.temperatures_c, state.throttles, state.events) == ({}, {}, {}, {})


def test_this_very_machine_is_read_and_compared() -> None:
    state = state_now()
    assert set(state_facts(state)) == {
        "power mode",
        "CPUs online",
        "clocks",
        "temperature",
        "throttled",
    }
    assert changes(state, state) == () or state.alarms


def test_clocks_that_follow_the_load_and_a_warmer_chip_are_no_change(tmp_path: Path) -> None:
    busy = {
        f"{GPU}/cur_freq": "1020000000\n",
        f"{CPU}/policy0/scaling_cur_freq": "1728000\n",
        f"{THERMAL}/thermal_zone0/temp": "61000\n",
        f"{THERMAL}/cooling_device10/cur_state": "3\n",  # the fan turns faster
    }
    assert _changes(tmp_path, busy) == []


def test_clocks_that_cannot_move_are_fixed(tmp_path: Path) -> None:
    fixed = _state(tmp_path, {**ORIN_NANO, f"{GPU}/min_freq": "1020000000\n"})
    assert fixed.clocks["17000000.gpu"].fixed
    assert not fixed.clocks["cpu policy0"].fixed
    assert "17000000.gpu: 306 MHz, fixed" in state_facts(fixed)["clocks"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"var/lib/nvpmodel/status": "pmode:0002"},
            "the power mode changed from 15W (mode 0) to MAXN_SUPER (mode 2)",
        ),
        (
            {"sys/devices/system/cpu/online": "0-3\n"},
            "the set of CPUs that are online changed from 0-5 to 0-3",
        ),
        (
            {f"{GPU}/max_freq": "624750000\n"},
            "the highest clock was lowered from 1020 MHz to 625 MHz: 17000000.gpu",
        ),
        (
            {f"{GPU}/min_freq": "1020000000\n"},
            "the lowest clock was raised from 306 MHz to 1020 MHz: 17000000.gpu",
        ),
        (
            {f"{CPU}/policy{n}/scaling_max_freq": "1344000\n" for n in (0, 4)},
            "the highest clock was lowered from 1728 MHz to 1344 MHz: cpu policy0, cpu policy4",
        ),
        (
            {f"{CPU}/policy4/scaling_governor": "performance\n"},
            "the clock's governor changed from schedutil to performance: cpu policy4",
        ),
        (
            {f"{THERMAL}/cooling_device5/cur_state": "1\n"},
            "the machine was throttled: gpu-throttle-alert went from level 0 to 1",
        ),
        (
            {"sys/class/hwmon/hwmon0/oc3_event_cnt": "40\n"},
            "the machine was throttled: 3 x over-current event oc3",
        ),
        (
            {"sys/class/hwmon/hwmon1/curr1_max_alarm": "1\n"},
            "the current was beyond its limit: VDD_IN (warning)",
        ),
        (
            {"sys/class/hwmon/hwmon1/curr1_crit_alarm": "1\n"},
            "the current was beyond its limit: VDD_IN (critical)",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_changed_is_one_sentence(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    assert _changes(tmp_path, files) == [sentence]


def test_a_throttling_that_ends_is_a_change_too(tmp_path: Path) -> None:
    hot = {**ORIN_NANO, f"{THERMAL}/cooling_device0/cur_state": "4\n"}
    assert _changes(tmp_path, {f"{THERMAL}/cooling_device0/cur_state": "0\n"}, hot) == [
        "the machine was throttled less: cpufreq-cpu0 went from level 4 to 0"
    ]


def test_a_machine_that_is_throttled_all_along_says_so(tmp_path: Path) -> None:
    hot = _state(tmp_path, {**ORIN_NANO, f"{THERMAL}/cooling_device5/cur_state": "1\n"})
    assert hot.throttled
    assert changes(hot, state_now(tmp_path)) == ()
    assert state_facts(hot)["throttled"] == "gpu-throttle-alert (level 1)"


def test_an_alarm_about_a_limit_that_nobody_set_is_none(tmp_path: Path) -> None:
    alarm = {"sys/class/hwmon/hwmon1/curr1_max_alarm": "1\n"}
    assert _changes(tmp_path, {**alarm, "sys/class/hwmon/hwmon1/curr1_max": "0\n"}) == []
    assert _changes(tmp_path, {**alarm, "sys/class/hwmon/hwmon1/curr1_max": "4968\n"}) != []


def test_a_counter_that_began_anew_is_no_event(tmp_path: Path) -> None:
    assert _changes(tmp_path, {"sys/class/hwmon/hwmon0/oc3_event_cnt": "0\n"}) == []


def test_an_intel_processors_thermal_events_are_counted_once_for_each_package(
    tmp_path: Path,
) -> None:
    cpu = "sys/devices/system/cpu"
    before = {f"{cpu}/cpu{n}/topology/physical_package_id": f"{n // 2}\n" for n in range(4)}
    before |= {f"{cpu}/cpu{n}/thermal_throttle/package_throttle_count": "7\n" for n in range(4)}
    after = {f"{cpu}/cpu{n}/thermal_throttle/package_throttle_count": "9\n" for n in (0, 1)}
    assert _changes(tmp_path, after, before) == [
        "the machine was throttled: 2 x thermal event of the processor"
    ]


def test_many_cores_that_change_alike_are_one_sentence(tmp_path: Path) -> None:
    def limits(most: str) -> dict[str, str]:
        values = {"cur": "800000", "min": "800000", "max": most}
        return {
            f"{CPU}/policy{core}/scaling_{name}_freq": value
            for core in range(12)
            for name, value in values.items()
        }

    assert _changes(tmp_path, limits("2000000"), limits("3000000")) == [
        "the highest clock was lowered from 3000 MHz to 2000 MHz: "
        "cpu policy0, cpu policy1, cpu policy2 and 9 more"
    ]


def test_devices_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    files = {f"{THERMAL}/cooling_device{n}/type": "Processor\n" for n in range(3)}
    files |= {f"{THERMAL}/cooling_device{n}/cur_state": f"{n}\n" for n in range(3)}
    assert _state(tmp_path, files).throttles == {
        "Processor": 0,
        "Processor #2": 1,
        "Processor #3": 2,
    }
