"""What runs on a device imports without the workstation's packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = (
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "openvino",
    "onnxscript",
    "tensorrt",
    "tensorrt_rtx",
    "pycuda",
    "cuda",
    "modelopt",
    "matplotlib",
    "scipy",
    "safetensors",
)

# Runs in a fresh interpreter: argv[1] is the package to import whole, argv[2] the blocked names.
PROBE = """
import importlib, importlib.abc, json, pkgutil, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is blocked in this test")
        return None

blocked = set(json.loads(sys.argv[2]))
sys.meta_path.insert(0, Blocked())
before = {name.split(".")[0] for name in sys.modules}
def fail(name):
    raise
package = importlib.import_module(sys.argv[1])
modules = [sys.argv[1]]
for found in pkgutil.walk_packages(getattr(package, "__path__", []), sys.argv[1] + ".", fail):
    importlib.import_module(found.name)
    modules.append(found.name)
# Compiled modules register helpers that have no file, such as cython_runtime.
with_file = [name for name, module in sys.modules.items() if getattr(module, "__file__", None)]
after = {name.split(".")[0] for name in with_file} - before - sys.stdlib_module_names
print(json.dumps({"modules": sorted(modules), "packages": sorted(after)}))
"""


def _import_whole(package: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROBE, package, json.dumps(BLOCKED)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("package", ["edge_arm.runtime", "edge_arm.data"])
def test_every_module_imports_with_the_heavy_packages_blocked(
    package: str, module_paths: dict[str, Path], tmp_path: Path
) -> None:
    done = _import_whole(package, tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    expected = {name for name in module_paths if f"{name}.".startswith(f"{package}.")}
    assert set(result["modules"]) == expected
    assert set(result["packages"]) <= {"edge_arm", "numpy", "cv2"}


def test_a_blocked_package_cannot_be_imported(tmp_path: Path) -> None:
    done = _import_whole("onnx", tmp_path)
    assert done.returncode != 0
    assert "onnx is blocked in this test" in done.stderr
