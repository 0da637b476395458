"""The report as a whole: its facts, what is wrong in any case, its JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version

from seen_machines import (
    ABSENT,
    ADA,
    DESKTOP,
    GIB,
    JETSON,
    NO_LIBRARY,
    with_findings,
    with_machine,
    without_packages,
)

from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.look_over import Diagnosis, diagnosis_of, diagnosis_to_json
from edge_arm.runtime.doctor.modules import ModuleFinding, OnnxRuntimeFinding
from edge_arm.runtime.gpu_driver import GpuFinding
from edge_arm.runtime.tensorrt_probe import TensorRTFinding


def _facts(seen: Inventory) -> dict[str, str]:
    return {fact.name: fact.value for fact in diagnosis_of(seen).facts}


def test_the_facts_of_a_jetson() -> None:
    assert _facts(JETSON) == {
        "edge-arm": version("edge-arm"),
        "Python": "3.10.12 (/home/user/.venv/bin/python)",
        "system": "Ubuntu 22.04.5 LTS, 5.15.148-tegra, aarch64",
        "board": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        "JetPack": "6.2 (L4T 36.4.3)",
        "power mode": "MAXN (mode 0)",
        "clocks": "gpu 306 MHz of at most 918 MHz",
        "free memory": "12.0 of 16.0 GiB, swap 8.0 of 8.0 GiB",
        "GPU": "Orin, compute capability 8.7, memory shared",
        "driver": "540.4.0, CUDA 12.6",
        "CUDA toolkit": "12.6.68 (/usr/local/cuda)",
        "TensorRT": "10.3.0",
        "DLA cores": "2",
        "pycuda": "2026.1",
        "cuda-python": "none",
        "ONNX Runtime": "none",
        "TensorRT-RTX plugin": "none",
        "OpenVINO": "none",
        "OpenCV": "4.11.0",
        "numpy": "1.26.4",
        "torch": "none",
        "Model Optimizer": "none",
    }


def test_the_facts_of_a_desktop_that_differ_in_form() -> None:
    facts = _facts(with_findings(DESKTOP, gpu=replace(ADA, count=2)))
    assert facts["GPU"] == (
        "NVIDIA GeForce RTX 4090, compute capability 8.9, 24.0 GiB; the first of 2"
    )
    assert facts["ONNX Runtime"] == "1.24.4 (onnxruntime-gpu): Tensorrt, CUDA, CPU"
    assert (facts["JetPack"], facts["board"], facts["DLA cores"]) == ("none", "none", "none")


def test_a_machine_of_which_nothing_is_known_has_facts_all_the_same() -> None:
    nothing = Inventory(
        machine=replace(
            JETSON.machine,
            **dict.fromkeys(("system", "board", "l4t", "jetpack", "power_mode", "driver"), ""),
            clocks={},
            memory_total_bytes=0,
        ),
        python=replace(JETSON.python, packages={}, system_tensorrt=()),
        surroundings=replace(JETSON.surroundings, toolkit="", toolkit_version=""),
        findings=replace(
            JETSON.findings,
            gpu=GpuFinding(error=NO_LIBRARY),
            tensorrt=TensorRTFinding(installed=False, error="No module named 'tensorrt'"),
            pycuda=ABSENT,
            opencv=ABSENT,
        ),
    )
    facts = _facts(nothing)
    assert facts["system"] == "unknown, 5.15.148-tegra, aarch64"
    assert facts["free memory"] == "unknown"
    others = {
        name: text for name, text in facts.items() if name not in ("edge-arm", "system", "Python")
    }
    assert set(others.values()) == {"none", "unknown"}


def test_what_is_broken_is_told_beside_its_version() -> None:
    seen = with_findings(
        DESKTOP,
        gpu=GpuFinding(True, "13.0", error="cuInit answers 999 (unknown error)"),
        tensorrt=TensorRTFinding(version="11.1.0", error="does not start"),
        pycuda=ModuleFinding(error="no symbol x"),
        onnxruntime=OnnxRuntimeFinding(version="1.24.4", error="no symbol y"),
    )
    facts = _facts(seen)
    assert facts["GPU"] == "none"
    assert facts["driver"] == "580.65.06, CUDA 13.0; cuInit answers 999 (unknown error)"
    assert facts["TensorRT"] == "11.1.0; does not start"
    assert facts["pycuda"] == "2026.1; no symbol x"
    assert facts["ONNX Runtime"] == "1.24.4 (onnxruntime-gpu); no symbol y"


def test_a_container_that_hides_the_release_is_told() -> None:
    facts = _facts(with_machine(JETSON, l4t="", jetpack=""))
    assert facts["JetPack"] == "unknown: this container does not show /etc/nv_tegra_release"


def _faults(seen: Inventory) -> list[tuple[str, str]]:
    return [(fault.what, fault.fix) for fault in diagnosis_of(seen).faults]


def test_whole_machines_have_nothing_wrong_in_any_case() -> None:
    assert _faults(JETSON) == []
    assert _faults(DESKTOP) == []


def test_opencv_5_is_wrong_in_any_case() -> None:
    (fault,) = _faults(with_findings(DESKTOP, opencv=ModuleFinding(version="5.0.0")))
    assert fault == (
        "OpenCV 5.0.0 has no face cascades any more, 4.x has",
        "pip install --force-reinstall 'opencv-python-headless>=4.8,<5'",
    )


def test_two_opencvs_are_wrong_in_any_case() -> None:
    seen = without_packages(DESKTOP, opencv_python="4.11.0.86", opencv_python_headless="4.14.0.94")
    (fault,) = _faults(seen)
    assert fault == (
        "opencv-python and opencv-python-headless are installed together and overwrite each "
        "other's files",
        "pip uninstall -y opencv-python opencv-python-headless && "
        "pip install 'opencv-python-headless>=4.8,<5'",
    )


def test_both_onnxruntimes_are_wrong_even_where_they_still_load() -> None:
    (fault,) = _faults(without_packages(DESKTOP, onnxruntime="1.27.0"))
    assert fault[1].startswith("pip uninstall -y onnxruntime && ")


def test_jetpack_5_is_wrong_and_no_command_helps() -> None:
    (fault,) = _faults(with_machine(JETSON, l4t="35.6.1", jetpack="5.1.x"))
    assert fault[0].startswith("JetPack 5.1.x is older than 6")
    assert fault[1] == ""


def test_little_memory_is_wrong_on_a_jetson_only() -> None:
    little = {"memory_available_bytes": 1.5 * GIB}
    (fault,) = _faults(with_machine(JETSON, **little))
    assert fault[0].startswith("only 1.5 GiB of memory is free")
    assert fault[1] == "sudo systemctl isolate multi-user.target"
    assert _faults(with_machine(DESKTOP, **little)) == []


def test_the_json_says_all_that_the_report_does() -> None:
    diagnosis: Diagnosis = diagnosis_of(
        with_findings(DESKTOP, opencv=ModuleFinding(version="5.0.0"))
    )
    value = json.loads(json.dumps(diagnosis_to_json(diagnosis)))
    assert value["schema_version"] == 1
    assert value["facts"]["TensorRT"] == "10.13.3.9"
    assert len(value["facts"]) == len(diagnosis.facts)
    assert set(value["faults"][0]) == {"what", "fix"}
    assert [set(ability) for ability in value["abilities"]] == [
        {"name", "works", "because", "fix"} for _ in diagnosis.abilities
    ]
