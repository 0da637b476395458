"""The C++ example builds with each TensorRT and CUDA's own headers, or says what is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SOURCES = REPOSITORY / "runtime" / "cpp"
FAKES = REPOSITORY / "tests" / "fakes" / "cpp"


def complaints(compiler: str, *words: str) -> str:
    """What the compiler has against the only file that sees TensorRT and CUDA."""
    strict = ("-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    done = subprocess.run(
        [compiler, *strict, *words, f"-I{FAKES}", str(SOURCES / "engine.cpp")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


# 10.3 is what the programs of these tests are built with; 11 has what 10.13 has of these calls.
@pytest.mark.parametrize("version", [806, 1013])
def test_the_engine_compiles_with_other_versions_of_tensorrt(compiler: str, version: int) -> None:
    assert complaints(compiler, f"-DFAKE_TENSORRT={version}") == ""


def test_the_engine_compiles_with_the_headers_of_cuda(compiler: str) -> None:
    toolkits = [Path("/usr/local/cuda"), Path(shutil.which("nvcc") or "/-/-").resolve().parents[1]]
    headers = [path / "include" for path in toolkits]
    found = [path for path in headers if (path / "cuda_runtime_api.h").exists()]
    if not found:
        pytest.skip("no CUDA toolkit here")
    # Before the fakes, and a system folder comes after them all.
    assert complaints(compiler, f"-I{found[0]}") == ""


def configured(cmake: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """CMake on a machine that has no TensorRT, whatever this one has."""
    nowhere = [
        "-DCMAKE_FIND_ROOT_PATH=/nonexistent",
        "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY",
        "-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY",
    ]
    return subprocess.run(
        [cmake, "-S", str(SOURCES), "-B", str(folder), *nowhere, *options],
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_tensorrt_the_build_says_what_to_do(
    cmake: str, compiler: str, tmp_path: Path
) -> None:
    done = configured(cmake, tmp_path / "a")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "found no NvInfer.h or no libnvinfer, expected TensorRT 8.6 to 11" in said
    assert "-DEDGE_ARM_WITHOUT_TENSORRT=ON" in said
    done = configured(cmake, tmp_path / "b", "-DEDGE_ARM_WITHOUT_TENSORRT=ON")
    assert done.returncode == 0, done.stderr
