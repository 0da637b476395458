"""The C++ example, built once by its own CMakeLists.txt with a TensorRT and a CUDA that are not
there. The compiler, the program, the bundle and its hashes are real.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cpp_device import Device, Programs
from tiny_bundle import golden_faces
from triton_bundles import bundle_to_serve

REPOSITORY = Path(__file__).parents[3]
SOURCES = REPOSITORY / "runtime" / "cpp"
FAKES = REPOSITORY / "tests" / "fakes" / "cpp"
STRICT = ("-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")


@pytest.fixture(scope="session")
def compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        pytest.skip("no g++ here")
    return found


@pytest.fixture(scope="session")
def cmake() -> str:
    found = shutil.which("cmake")
    if found is None:
        pytest.skip("no CMake here")
    return found


def run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def programs(compiler: str, cmake: str, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """What a user gets from CMake, and a probe for the parts that the programs do not show."""
    root, out = tmp_path_factory.mktemp("tensorrt"), tmp_path_factory.mktemp("built")
    (root / "include").symlink_to(FAKES)
    (root / "lib").mkdir()
    fake, library = root / "fake_device.o", root / "lib" / "libnvinfer.a"
    run(compiler, *STRICT, f"-I{FAKES}", "-c", FAKES / "fake_device.cpp", "-o", fake)
    run("ar", "rcs", library, fake)
    options = {
        "TENSORRT_ROOT": root,
        "CMAKE_MODULE_PATH": FAKES / "cmake",
        "CMAKE_CXX_COMPILER": compiler,
        "CMAKE_CXX_FLAGS": " ".join(STRICT),
        "CMAKE_BUILD_TYPE": "Debug",
    }
    run(cmake, "-S", SOURCES, "-B", out, *(f"-D{name}={value}" for name, value in options.items()))
    run(cmake, "--build", out, "--parallel", "2")
    probe, bundle = out / "probe", out / "libedge_arm_bundle.a"
    run(compiler, *STRICT, f"-I{SOURCES}", FAKES / "probe.cpp", bundle, "-o", probe)
    return Programs(out / "edge-arm-classify", out / "edge-arm-verify", probe)


@pytest.fixture
def device(programs: Programs, tmp_path: Path) -> Device:
    return Device(programs, bundle_to_serve(tmp_path / "bundle"))


@pytest.fixture
def raw_faces(tmp_path: Path) -> Path:
    """The golden faces as RGB bytes without a head."""
    path = tmp_path / "golden.raw"
    path.write_bytes(golden_faces().tobytes())
    return path
