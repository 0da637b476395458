"""`edge-arm --help` answers at once, and every command's help needs the base install alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "pycuda",
    "modelopt",
    "matplotlib",
    "scipy",
    "safetensors",
    "cv2",
    "numpy",
)
# The workstation's packages: blocked, not only watched for, while the commands print their help.
NOT_IN_THE_BASE_INSTALL = tuple(name for name in HEAVY if name not in ("cv2", "numpy"))
LIMIT_S = 0.3

HELP = """
import json, sys
from edge_arm.cli.main import main
sys.argv = ["edge-arm", "--help"]
try:
    status = main()
except SystemExit as stop:
    status = stop.code
print(json.dumps({"status": status or 0, "modules": sorted(sys.modules)}), file=sys.stderr)
"""

# A command's path of names in argv[1]; the packages that must not be importable in argv[2].
COMMAND_HELP = """
import importlib.abc, json, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is blocked in this test")
        return None

blocked = set(json.loads(sys.argv[2]))
sys.meta_path.insert(0, Blocked())
from edge_arm.cli.main import main
failed = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["edge-arm", *command, "--help"]
    try:
        status = main()
    except SystemExit as stop:
        status = stop.code
    if status:
        failed.append([" ".join(command), status])
print(json.dumps(failed), file=sys.stderr)
"""


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_imports_none_of_the_heavy_packages() -> None:
    done = _run(HELP)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stderr.splitlines()[-1])
    assert result["status"] == 0
    assert "Usage" in done.stdout
    assert not set(HEAVY) & set(result["modules"])


def test_help_answers_within_the_limit() -> None:
    script = Path(sys.executable).with_name("edge-arm")
    times_s = []
    # The best of several: another process on the machine only ever makes one slower.
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([script, "--help"], capture_output=True, check=True)
        times_s.append(time.perf_counter() - start)
    assert min(times_s) <= LIMIT_S, (
        f"edge-arm --help took {min(times_s):.2f} s, at most {LIMIT_S} s expected; "
        "`python -X importtime -m edge_arm.cli.main --help` shows which import is slow"
    )


def test_the_help_of_every_command_needs_the_base_install_alone(
    command_paths: list[tuple[str, ...]],
) -> None:
    assert command_paths, "edge_arm.cli.main.app has no commands"
    done = _run(COMMAND_HELP, json.dumps(command_paths), json.dumps(NOT_IN_THE_BASE_INSTALL))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_the_block_stops_an_import() -> None:
    done = _run(f"{COMMAND_HELP}\nimport safetensors", "[]", json.dumps(["safetensors"]))
    assert done.returncode != 0
    assert "safetensors is blocked in this test" in done.stderr
