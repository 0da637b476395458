"""Threads by what a process may use, told by files laid out as the kernel lays them out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_arm.runtime.classifier.threads import inference_threads, usable_cores
from edge_arm.runtime.errors import UsageError


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def allow(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(numbers))


def test_a_process_has_the_cores_that_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 0, 2, 5)
    assert usable_cores(root=tmp_path) == 3


def test_two_hyperthreads_are_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, *range(8))
    for number in range(8):
        siblings = f"{number % 4},{number % 4 + 4}\n"
        put(tmp_path, f"sys/devices/system/cpu/cpu{number}/topology/core_cpus_list", siblings)
    assert usable_cores(root=tmp_path) == 4


def test_an_older_kernel_names_hyperthreads_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 0, 1)
    for number in range(2):
        put(tmp_path, f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list", "0-1\n")
    assert usable_cores(root=tmp_path) == 1


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("350000 100000\n", 3),
        ("50000 100000\n", 1),
        ("", 8),
        ("oops\n", 8),
    ],
)
def test_a_quota_of_a_control_group_is_kept(
    limit: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, *range(8))
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", limit)
    assert usable_cores(root=tmp_path) == cores


def test_the_tightest_quota_of_all_groups_above_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, *range(8))
    put(tmp_path, "proc/self/cgroup", "0::/system.slice/faces.service\n")
    put(tmp_path, "sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n")
    put(tmp_path, "sys/fs/cgroup/system.slice/faces.service/cpu.max", "600000 100000\n")
    assert usable_cores(root=tmp_path) == 2


def test_a_container_that_shows_its_own_group_as_the_root_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, *range(8))
    put(tmp_path, "proc/self/cgroup", "4:cpu,cpuacct:/docker/0123\n1:name=systemd:/docker/0123\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
    put(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert usable_cores(root=tmp_path) == 3


def test_the_first_version_of_control_groups_without_a_limit_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, *range(8))
    put(tmp_path, "proc/self/cgroup", "1:cpu:/\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert usable_cores(root=tmp_path) == 8


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 3), (4, 3), (6, 5)])
def test_from_four_cores_on_one_is_left_for_decoding(
    cores: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, *range(cores))
    assert inference_threads(root=tmp_path) == threads


def test_a_number_that_was_named_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, 0)
    assert inference_threads(7, root=tmp_path) == 7


@pytest.mark.parametrize("named", [0, 257])
def test_no_thread_and_more_than_a_machine_bears_are_refused(named: int) -> None:
    with pytest.raises(UsageError, match=f"got {named} threads for the model, expected 1 to 256"):
        inference_threads(named)
