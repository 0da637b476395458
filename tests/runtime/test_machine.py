"""Machines as their files describe them: roots made from strings in the formats of L4T's files."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from edge_arm.runtime.machine import Machine, jetpack_of, machine_facts

# Formats as published for JetPack 6.2 on an Orin Nano; not read on one by us.
ORIN_NANO = {
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\nVERSION_ID="22.04"\n',
    "etc/nv_tegra_release": (
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n"
        "# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
    ),
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/sys/kernel/osrelease": "5.15.148-tegra\n",
    "proc/driver/nvidia/version": (
        "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  "
        "(buildbrain@mobile-u64)  Tue Jan  7 17:35:12 PST 2025\n"
        "GCC version:  collect2: error: ld returned 1 exit status\n"
    ),
    "proc/meminfo": (
        "MemTotal:        7802892 kB\nMemFree:          312044 kB\nMemAvailable:    5120000 kB\n"
        "SwapTotal:       3901440 kB\nSwapFree:        3901000 kB\n"
    ),
    "var/lib/nvpmodel/status": "pmode:0002",
    "etc/nvpmodel.conf": (
        "# < POWER_MODEL ID=id_num NAME=mode_name >\n"
        "< PARAM TYPE=FILE NAME=CPU_ONLINE >\n"
        "CORE_1 /sys/devices/system/cpu/cpu1/online\n"
        "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_1 1\n"
        "< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
        "< PM_CONFIG DEFAULT=1 >\n"
    ),
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/devfreq/13e10000.host1x/cur_freq": "204000000\n",
    "sys/class/devfreq/13e10000.host1x/min_freq": "204000000\n",
    "sys/class/devfreq/13e10000.host1x/max_freq": "400000000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1728000\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "1344000\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq": "1728000\n",
}


def _machine(root: Path, files: dict[str, str]) -> Machine:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return machine_facts(root)


def test_a_jetson_is_read_from_its_files(tmp_path: Path) -> None:
    assert _machine(tmp_path, ORIN_NANO) == Machine(
        python=platform.python_version(),
        executable=sys.executable,
        system="Ubuntu 22.04.5 LTS",
        kernel="5.15.148-tegra",
        architecture=platform.machine(),
        board="NVIDIA Jetson Orin Nano Developer Kit",
        l4t="36.4.3",
        jetpack="6.2",
        memory_total_bytes=7_990_161_408,  # 7802892 * 1024
        memory_available_bytes=5_242_880_000,
        swap_total_bytes=3_995_074_560,
        swap_free_bytes=3_994_624_000,
        power_mode="MAXN_SUPER (mode 2)",
        clocks={"cpu": "1344 MHz of at most 1728 MHz", "gpu": "306 MHz of at most 1020 MHz"},
        driver="540.4.0",
    )
    assert machine_facts(tmp_path).is_jetson


def test_clocks_that_cannot_move_are_called_fixed(tmp_path: Path) -> None:
    pinned = {
        "sys/class/devfreq/gpu-gpc-0/cur_freq": "1575000000\n",
        "sys/class/devfreq/gpu-gpc-0/min_freq": "1575000000\n",
        "sys/class/devfreq/gpu-gpc-0/max_freq": "1575000000\n",
    }
    assert _machine(tmp_path, pinned).clocks == {"gpu": "1575 MHz, fixed"}


def test_a_second_gpu_domain_keeps_its_own_name(tmp_path: Path) -> None:
    files = {
        f"sys/class/devfreq/{name}/{file}": "1000000000\n"
        for name in ("gpu-gpc-0", "gpu-nvd-0")
        for file in ("cur_freq", "min_freq", "max_freq")
    }
    assert set(_machine(tmp_path, files).clocks) == {"gpu", "gpu-nvd-0"}


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    machine = machine_facts(tmp_path)
    assert (machine.system, machine.board, machine.l4t, machine.jetpack) == ("", "", "", "")
    assert (machine.memory_total_bytes, machine.swap_total_bytes) == (0, 0)
    assert (machine.power_mode, machine.clocks, machine.is_jetson) == ("", {}, False)
    assert machine.driver == ""


def test_files_that_are_not_what_they_should_be_are_no_error(tmp_path: Path) -> None:
    for name in ORIN_NANO:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xfe\0 nonsense")
    machine = machine_facts(tmp_path)
    assert (machine.l4t, machine.memory_total_bytes, machine.power_mode) == ("", 0, "")
    assert machine.clocks == {}


def test_a_container_that_hides_the_release_file_is_still_a_jetson(tmp_path: Path) -> None:
    board = {"proc/device-tree/model": ORIN_NANO["proc/device-tree/model"]}
    machine = _machine(tmp_path, board)
    assert machine.l4t == ""
    assert machine.is_jetson


def test_a_power_mode_without_a_name_is_told_by_its_number(tmp_path: Path) -> None:
    assert _machine(tmp_path, {"var/lib/nvpmodel/status": "pmode:0003"}).power_mode == "mode 3"


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("36.3.0", "6.0"),
        ("36.4.0", "6.1"),
        ("36.4.7", "6.2.1"),
        ("36.5.0", "6.2.2"),
        ("36.9.0", "6.x"),
        ("35.1.0", "5.0.2"),
        ("35.6.1", "5.1.x"),
        ("38.2.1", "7.0"),
        ("38.4.0", "7.1"),
        ("39.2.0", "7.2"),
        ("39.9.0", "7.x"),
        ("41.0.0", ""),
        ("", ""),
    ],
)
def test_the_jetpack_of_an_l4t(l4t: str, jetpack: str) -> None:
    assert jetpack_of(l4t) == jetpack


def test_this_very_machine_tells_its_memory() -> None:
    machine = machine_facts()
    assert 0 < machine.memory_available_bytes <= machine.memory_total_bytes
    assert machine.kernel == platform.release()
