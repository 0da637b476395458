"""One environment for every test: threads, terminal, no data set from outside; marks that skip."""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# Read when torch and OpenMP are first imported, so set before any test module is. Two threads: the
# models in tests are tiny, and on many cores waking the threads costs more than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell lets what it runs in the background ignore Ctrl-C, and every child inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Help and tables look the same in a terminal, in a pipe and in CI.
os.environ["COLUMNS"] = "120"
os.environ["NO_COLOR"] = "1"
os.environ["TERM"] = "dumb"
# What a machine remembers of itself (which model is faster on its CPU) is not the user's.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="edge-arm-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "EDGE_ARM_DATA"):
    os.environ.pop(name, None)


def _has_gpu() -> bool:
    """Ask the driver itself: torch may be a CPU build, and nvidia-smi is missing on a Jetson."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )


def _missing_by_mark() -> dict[str, str]:
    """What this machine lacks for each mark; a mark that is not in it can run."""
    missing = {}
    if not _has_gpu():
        missing["gpu"] = "no NVIDIA GPU or driver here"
    if not _has_gpu() or importlib.util.find_spec("tensorrt") is None:
        missing["trt"] = "no TensorRT with a GPU here"
    if not Path("/etc/nv_tegra_release").exists():
        missing["jetson"] = "not a Jetson"
    return missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _missing_by_mark()
    for item in items:
        for mark, reason in missing.items():
            if item.get_closest_marker(mark) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
