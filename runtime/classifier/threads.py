"""How many threads a model gets: what this process may use, not what the machine has.

ONNX Runtime's own default is one thread per physical core of the machine. In a container with a
quota it then has more threads than processor time, and each call waits for one that is asleep.

1. Cores: those that the process is allowed to run on (`sched_getaffinity`), two hyperthreads
   counted as one: they share the units that multiply.
2. Never more than the control group's quota allows, rounded down: the kernel stops all threads of
   a group that has used up its share of a period.
3. From four cores on, one is left for reading, decoding and finding faces, which go on beside the
   model. On two cores all are used: measured, 720 faces/s with two threads and 435 with one, while
   another thread decoded the next faces. Above two this is argued, not measured;
   `benchmarks/cpu_threads.py` measures it.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_arm.runtime.errors import UsageError

MOST_THREADS = 256
"""More than any board has cores; each takes memory and a moment to start, used or not."""

FEW_CORES = 3
"""Up to so many are all used."""


def inference_threads(named: int | None = None, *, root: Path = Path("/")) -> int:
    """Threads for a model on the CPU.

    Args:
        named: by the user, taken as it is.
        root: where the file system begins; another one only in tests.

    Raises:
        UsageError: if the number named is not from 1 to `MOST_THREADS`.
    """
    if named is not None:
        if not 1 <= named <= MOST_THREADS:
            raise UsageError(
                f"got {named} threads for the model, expected 1 to {MOST_THREADS}; leave the "
                "number out for what suits this machine"
            )
        return named
    cores = usable_cores(root=root)
    return cores if cores <= FEW_CORES else cores - 1  # rule 3


def usable_cores(*, root: Path = Path("/")) -> int:
    """Physical cores that this process may use, at least 1.

    Args:
        root: where the file system begins; another one only in tests.
    """
    allowed = os.sched_getaffinity(0)
    cores = {_siblings(root, number) or str(number) for number in allowed}  # rule 1
    quota = _quota(root)
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))  # rule 2


def _siblings(root: Path, number: int) -> str:
    """The hyperthreads of a core, such as "0,4"; empty where the system does not tell."""
    folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
    return _text(folder / "core_cpus_list") or _text(folder / "thread_siblings_list")


def _quota(root: Path) -> float | None:
    """Cores' worth of time that the control groups allow, the tightest of them; None for no limit.

    Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (cpu.max) and
    scheduler/sched-bwc.rst (cpu.cfs_quota_us, version 1).
    """
    limits = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if not controllers:
            base, read = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            base, read = root / "sys/fs/cgroup" / controllers, _quota_v1
            if not base.is_dir():
                base = root / "sys/fs/cgroup/cpu"
        else:
            continue
        # A container may show its own group as the root while /proc still names it in full.
        own = base / path.lstrip("/")
        folders = [own, *own.parents[: len(own.parts) - len(base.parts)]]
        limits += [limit for folder in folders if (limit := read(folder)) is not None]
    return min(limits, default=None)


def _quota_v2(folder: Path) -> float | None:
    """Of a cpu.max such as "150000 100000" or "max 100000"."""
    words = _text(folder / "cpu.max").split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    """Of cpu.cfs_quota_us, -1 for no limit."""
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    if quota.isdigit() and period.isdigit() and int(period) > 0 and int(quota) > 0:
        return int(quota) / int(period)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
