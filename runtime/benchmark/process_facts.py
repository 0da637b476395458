"""What Linux says about this process and about the load that others put on the machine.

Memory is VmRSS and VmHWM of /proc/self/status: what is resident now, and the most that ever was.
Load is the processors' busy time in /proc/stat less the time of this process and of its children
that have ended, so a child that still runs counts as somebody else.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

QUIET_CORES = 0.15
"""Load of others, in cores, up to which a machine is called quiet."""


@dataclass(frozen=True)
class ResidentMemory:
    """Of one process.

    Attributes:
        now_bytes: resident now.
        most_bytes: the most that was ever resident.
    """

    now_bytes: int
    most_bytes: int


def resident_memory(root: Path = Path("/")) -> ResidentMemory | None:
    """Memory of this process; None where the system does not tell.

    Args:
        root: where its file system begins; another one only in tests.
    """
    try:
        lines = (root / "proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if not all(fields.get(name, ["x"])[0].isdigit() for name in ("VmRSS", "VmHWM")):
        return None
    # proc(5) writes kB and means KiB.
    return ResidentMemory(int(fields["VmRSS"][0]) * 1024, int(fields["VmHWM"][0]) * 1024)


@dataclass(frozen=True)
class ProcessorTimes:
    """A moment in the processors' books.

    Attributes:
        at_s: the moment, on the clock of `time.monotonic`.
        all_busy_s: time that all processors have worked, for anybody.
        own_s: time of it that was this process's and its ended children's.
    """

    at_s: float
    all_busy_s: float
    own_s: float


def processor_times(root: Path = Path("/")) -> ProcessorTimes | None:
    """The books now; None where the system does not tell.

    Args:
        root: where its file system begins; another one only in tests.
    """
    try:
        first, _, _ = (root / "proc/stat").read_text(encoding="utf-8").partition("\n")
    except OSError:
        return None
    name, *ticks = first.split()
    if name != "cpu" or len(ticks) < 8 or not all(tick.isdigit() for tick in ticks):
        return None
    # proc(5): user nice system idle iowait irq softirq steal; the rest is counted in user already.
    user, nice, system, _, _, irq, softirq, steal = (int(tick) for tick in ticks[:8])
    busy = user + nice + system + irq + softirq + steal
    own = os.times()
    return ProcessorTimes(
        at_s=time.monotonic(),
        all_busy_s=busy / os.sysconf("SC_CLK_TCK"),
        own_s=own.user + own.system + own.children_user + own.children_system,
    )


def load_of_others(before: ProcessorTimes | None, after: ProcessorTimes | None) -> float | None:
    """Cores that others kept busy between two moments; None where it cannot be told.

    Args:
        before: the earlier moment.
        after: the later one.
    """
    if before is None or after is None or after.at_s <= before.at_s:
        return None
    theirs = (after.all_busy_s - before.all_busy_s) - (after.own_s - before.own_s)
    return max(0.0, theirs / (after.at_s - before.at_s))
