"""The driver's answers through ctypes, from small libraries compiled with cuda.h's signatures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_arm.runtime.gpu_driver import GpuFinding, look_at_gpu

# CUresult and CUdevice are int; the memory is a size_t.
DRIVER = """
#include <string.h>
#include <stddef.h>
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuInit(unsigned flags) { return flags == 0 ? INIT : 1; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal == 0 ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) {
    if (device != 7) return 101;
    strncpy(name, "Orin", length);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = (size_t)7990161408; return device == 7 ? 0 : 101;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 7) return 101;
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? 1 : -1;
    return 0;
}
int cuGetErrorString(int error, const char **text) {
    *text = error == 999 ? "unknown error" : "no such error"; return 0;
}
"""


def _compiled(folder: Path, source: str) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here to make a driver library with")
    (folder / "driver.c").write_text(source, encoding="utf-8")
    library = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "driver.c"], check=True)
    return str(library)


def _driver(folder: Path, *, init: int = 0, count: int = 1) -> str:
    return _compiled(folder, f"#define INIT {init}\n#define COUNT {count}\n{DRIVER}")


def test_the_first_gpu_is_told_as_the_driver_tells_it(tmp_path: Path) -> None:
    found = look_at_gpu(_driver(tmp_path))
    assert found == GpuFinding(
        library=True,
        cuda="12.6",
        count=1,
        name="Orin",
        compute_capability=(8, 7),
        memory_bytes=7_990_161_408,
        integrated=True,
    )
    assert found.answers


@pytest.mark.parametrize(
    ("init", "count", "error"),
    [
        (100, 1, "the driver shows no GPU"),
        (0, 0, "the driver shows no GPU"),
        (999, 1, "cuInit answers 999 (unknown error)"),
    ],
)
def test_a_driver_without_a_gpu_says_why(tmp_path: Path, init: int, count: int, error: str) -> None:
    found = look_at_gpu(_driver(tmp_path, init=init, count=count))
    assert (found.library, found.cuda, found.error) == (True, "12.6", error)
    assert not found.answers


def test_a_machine_without_a_driver_is_no_error() -> None:
    found = look_at_gpu("libcuda-that-is-not-there.so.1")
    assert not found.library
    assert "libcuda-that-is-not-there.so.1" in found.error


def test_a_library_that_is_no_driver_is_no_error(tmp_path: Path) -> None:
    found = look_at_gpu(_compiled(tmp_path, "int answer(void) { return 42; }\n"))
    assert (found.library, found.answers) == (True, False)
    assert found.error == "libcuda.so.1 has no cuDriverGetVersion"


@pytest.mark.gpu
def test_the_gpu_of_this_machine_answers() -> None:
    found = look_at_gpu()
    assert found.answers
    assert found.name
    assert found.compute_capability >= (5, 0)
    assert found.memory_bytes > 1 << 30
