"""`edge-arm doctor` as users run it: whole, with the base install alone, and on broken machines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from seen_machines import ADA, DESKTOP, JETSON, with_findings, with_python, without_packages

from edge_arm.cli.doctor import report_lines
from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.look_over import diagnosis_of
from edge_arm.runtime.doctor.modules import ModuleFinding
from edge_arm.runtime.tensorrt_probe import TensorRTFinding

COMMAND = Path(sys.executable).with_name("edge-arm")
BROKEN_PACKAGES = {
    "tensorrt": "import os, signal; print('noise'); os.kill(os.getpid(), signal.SIGSEGV)",
    "pycuda": "raise RuntimeError('no symbol x')",
    "cuda": "import sys; sys.exit('no licence')",
    "onnxruntime": "import numpy_of_nobody",
    "cv2": "import os; os.write(1, b'noise'); os._exit(1)",
    "onnxruntime_ep_nv_tensorrt_rtx": "1 / 0",
    # Looked up by name and never imported: an import would end the command.
    "torch": "import os; os._exit(9)",
    "onnx": "import os; os._exit(9)",
    "modelopt": "import os; os._exit(9)",
}


def _run(*arguments: str, python_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if python_path is not None:
        environment["PYTHONPATH"] = str(python_path)
    return subprocess.run(
        [COMMAND, "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_this_machine_is_reported_on_80_columns() -> None:
    done = _run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("This machine\n")
    assert re.search(r"^  yes  measure, ONNX Runtime on CPU", done.stdout, re.M)
    assert "Traceback" not in done.stdout


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    for name, text in BROKEN_PACKAGES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_machine_on_which_every_package_is_broken_is_reported_too(broken: Path) -> None:
    done = _run("--json", python_path=broken)
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)["facts"]
    assert facts["TensorRT"] == "it crashed when it was loaded (SIGSEGV)"
    assert facts["pycuda"] == "version unknown; no symbol x"
    assert facts["cuda-python"] == "version unknown; no licence"
    assert "No module named 'numpy_of_nobody'" in facts["ONNX Runtime"]
    assert facts["OpenCV"].startswith("it ended the process that loaded it")
    works = {item["name"] for item in json.loads(done.stdout)["abilities"] if item["works"]}
    assert works <= {"check an ONNX file for TensorRT"}


def _lines(seen: Inventory) -> list[str]:
    return report_lines(diagnosis_of(seen))


LONG = "x" * 30 + " and a long reason of many words that has to be wrapped somewhere" * 3


@pytest.mark.parametrize(
    "seen",
    [
        JETSON,
        DESKTOP,
        with_python(with_findings(JETSON, tensorrt=TensorRTFinding(installed=False)), packages={}),
        with_findings(DESKTOP, pycuda=ModuleFinding(error=LONG), opencv=ModuleFinding(error=LONG)),
        without_packages(DESKTOP, "torch", "onnx", onnxruntime="1.27.0"),
        with_findings(DESKTOP, gpu=replace(ADA, error=LONG)),
    ],
    ids=["Jetson", "desktop", "hidden", "broken", "bare", "driver"],
)
def test_rows_fit_80_columns_and_commands_stay_whole(seen: Inventory) -> None:
    commands = {ability.fix for ability in diagnosis_of(seen).abilities if ability.fix}
    commands |= {fault.fix for fault in diagnosis_of(seen).faults if fault.fix}
    lines = _lines(seen)
    assert commands <= {line.strip() for line in lines}
    assert [line for line in lines if len(line) > 80 and line.strip() not in commands] == []


def test_one_command_for_several_things_is_told_once() -> None:
    seen = with_findings(JETSON, tensorrt=TensorRTFinding(installed=False))
    lines = _lines(seen)
    command = "/usr/bin/python3.10 -m venv --system-site-packages /home/user/.venv"
    at = [number for number, line in enumerate(lines) if line.strip() == command]
    assert len(at) == 1
    names = " ".join(" ".join(lines[at[0] - 2 : at[0]]).split())
    for precision in ("FP16", "INT8", "DLA"):
        assert f"build + run engines, {precision}" in names


def test_what_is_wrong_in_any_case_stands_before_what_works() -> None:
    lines = _lines(with_findings(DESKTOP, opencv=ModuleFinding(version="5.0.0")))
    wrong, works = lines.index("Wrong in any case"), lines.index("What works here")
    assert wrong < works
    assert "Wrong in any case" not in _lines(DESKTOP)


def test_a_machine_on_which_all_works_is_told_nothing_to_do() -> None:
    assert not any(line.startswith("What to do") for line in _lines(DESKTOP))
