from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_arm.runtime.benchmark.process_facts import (
    ProcessorTimes,
    load_of_others,
    processor_times,
    resident_memory,
)


def written(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def test_memory_is_read_in_bytes(tmp_path: Path) -> None:
    text = "Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t  200 kB\nVmRSS:\t  150 kB\n"
    memory = resident_memory(written(tmp_path, "proc/self/status", text))
    assert memory is not None
    assert (memory.now_bytes, memory.most_bytes) == (150 * 1024, 200 * 1024)


def test_the_most_that_was_resident_stays_after_it_is_given_back() -> None:
    # In a process of its own, because what came before in this one may have been larger.
    code = (
        "from edge_arm.runtime.benchmark.process_facts import resident_memory\n"
        "before = resident_memory()\n"
        "block = bytearray(b'x') * (64 << 20)\n"
        "del block\n"
        "after = resident_memory()\n"
        "print(after.most_bytes - before.most_bytes, after.now_bytes - before.now_bytes)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    most, now = map(int, done.stdout.split())
    assert most >= 60 << 20
    assert now < 30 << 20


@pytest.mark.parametrize("text", [None, "VmRSS:\t150 kB\n", "VmRSS:\tx kB\nVmHWM:\t1 kB\n"])
def test_memory_that_is_not_told_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        written(tmp_path, "proc/self/status", text)
    assert resident_memory(tmp_path) is None


def test_busy_time_is_all_but_idle_and_waiting(tmp_path: Path) -> None:
    # user nice system idle iowait irq softirq steal guest guest_nice
    line = "cpu  100 10 20 5000 300 1 2 3 50 5\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    times = processor_times(written(tmp_path, "proc/stat", line))
    assert times is not None
    assert times.all_busy_s == (100 + 10 + 20 + 1 + 2 + 3) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("text", [None, "intr 1 2 3\n", "cpu  1 2 x 4 5 6 7 8\n", "cpu  1 2\n"])
def test_load_that_is_not_told_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        written(tmp_path, "proc/stat", text)
    assert processor_times(tmp_path) is None
    assert load_of_others(None, processor_times()) is None


def test_what_others_did_is_all_less_our_own() -> None:
    before = ProcessorTimes(at_s=10.0, all_busy_s=100.0, own_s=5.0)
    after = ProcessorTimes(at_s=14.0, all_busy_s=107.0, own_s=8.0)
    assert load_of_others(before, after) == pytest.approx(1.0)  # 7 - 3 in 4 s
    # Ticks are rounded: a process can seem to have worked more than all together.
    quiet = ProcessorTimes(at_s=14.0, all_busy_s=102.9, own_s=8.0)
    assert load_of_others(before, quiet) == 0.0
    assert load_of_others(after, before) is None


def test_our_own_work_is_not_the_work_of_others() -> None:
    before = processor_times()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        sum(range(1000))
    after = processor_times()
    assert before is not None
    assert after is not None
    assert after.own_s - before.own_s >= 0.05  # of 0.3 s, on a machine that others use too
