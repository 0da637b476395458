"""What works on machines that are whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from seen_machines import (
    ADA,
    DESKTOP,
    JETSON,
    ORIN,
    with_findings,
    with_machine,
    without_packages,
)

from edge_arm.runtime.doctor.abilities import Ability, abilities_of
from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.modules import ModuleFinding, OnnxRuntimeFinding
from edge_arm.runtime.tensorrt_probe import TensorRTFinding


def _ability(seen: Inventory, name: str) -> Ability:
    (found,) = (ability for ability in abilities_of(seen) if ability.name == name)
    return found


def _working(seen: Inventory) -> set[str]:
    return {ability.name for ability in abilities_of(seen) if ability.works}


def test_a_jetson_with_the_device_install_builds_and_runs_every_engine() -> None:
    assert _working(JETSON) == {
        "build + run engines, FP16",
        "build + run engines, INT8",
        "build + run engines, DLA",
    }
    assert _ability(JETSON, "build + run engines, FP16").because == (
        "TensorRT 10.3.0 on Orin, with pycuda"
    )
    assert _ability(JETSON, "build + run engines, INT8").because == ("by flags, from the Q/DQ file")
    assert _ability(JETSON, "build + run engines, DLA").because == (
        "2 cores, FP16, and INT8 from calibration.cache"
    )


def test_a_whole_workstation_does_everything_but_a_dla() -> None:
    assert {ability.name for ability in abilities_of(DESKTOP)} - _working(DESKTOP) == {
        "build + run engines, DLA"
    }
    assert _ability(DESKTOP, "build + run engines, INT8").because == (
        "strongly typed, from the typed INT8 file"
    )
    assert _ability(DESKTOP, "build + run engines, DLA") == Ability(
        "build + run engines, DLA", False, "only a Jetson AGX Orin or Orin NX has DLA cores"
    )


def test_what_works_has_no_fix_and_every_ability_has_a_reason() -> None:
    for seen in (JETSON, DESKTOP):
        for ability in abilities_of(seen):
            assert ability.because
            assert not (ability.works and ability.fix)


def test_cuda_python_alone_is_enough_and_its_option_is_named() -> None:
    seen = with_findings(JETSON, pycuda=ModuleFinding(installed=False), cuda_python=ModuleFinding())
    ability = _ability(seen, "build + run engines, FP16")
    assert ability.works
    assert ability.because.endswith("with --cuda cuda-python")


def test_a_module_without_dla_cores_says_so() -> None:
    seen = with_findings(JETSON, tensorrt=TensorRTFinding(version="10.3.0"))
    ability = _ability(seen, "build + run engines, DLA")
    assert (ability.works, ability.fix) == (False, "")
    assert "this module has no DLA core" in ability.because


def test_jetpack_7_has_no_dla() -> None:
    seen = with_findings(JETSON, tensorrt=TensorRTFinding(version="10.16.0"))
    ability = _ability(seen, "build + run engines, DLA")
    assert "TensorRT 10.16.0 has no DLA" in ability.because


def test_a_gpu_without_int8_arithmetic_still_runs_fp16() -> None:
    old = replace(ORIN, name="Tegra X2", compute_capability=(6, 2))
    seen = with_findings(JETSON, gpu=old)
    assert _ability(seen, "build + run engines, FP16").works
    assert "no fast INT8" in _ability(seen, "build + run engines, INT8").because


def test_a_workstations_work_is_not_asked_of_a_jetson() -> None:
    ability = _ability(JETSON, "train")
    assert ability.because == (
        "torch and safetensors not installed; a workstation does this, copy build/bundle from it"
    )
    assert ability.fix == ""


def test_missing_packages_of_the_workstation_are_named_with_the_extra() -> None:
    seen = without_packages(DESKTOP, "nvidia-modelopt")
    assert _ability(seen, "train").works
    assert _ability(seen, "export, FP16 too") == Ability(
        "export, FP16 too",
        False,
        "nvidia-modelopt not installed",
        "pip install 'edge-arm[workstation]'",
    )
    # Calibration places Q/DQ by rules of its own.
    assert _ability(seen, "calibrate INT8").works


def test_the_workstations_extra_first_removes_the_onnxruntime_that_it_would_collide_with() -> None:
    seen = without_packages(DESKTOP, "onnxruntime-gpu", "torch", onnxruntime="1.24.4")
    assert _ability(seen, "train").fix == (
        "pip uninstall -y onnxruntime && pip install 'edge-arm[workstation]'"
    )


def test_an_opencv_that_does_not_load_stops_whatever_reads_faces() -> None:
    error = "numpy.core.multiarray failed to import"
    seen = with_findings(DESKTOP, opencv=ModuleFinding(error=error))
    for name in ("train", "calibrate INT8", "measure, ONNX Runtime on CPU"):
        ability = _ability(seen, name)
        assert ability.because == f"OpenCV does not load: {error}"
        assert ability.fix == "pip install --force-reinstall 'opencv-python-headless>=4.8,<5'"
    assert _ability(seen, "build + run engines, FP16").works


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (
            "libcublasLt.so.12: cannot open shared object file: No such file or directory",
            "sudo apt install cuda-libraries-12-9",
        ),
        ("libcublas.so.13: cannot open", "sudo apt install cuda-libraries-13-0"),
        ("libcurand.so.10: cannot open", "sudo apt install cuda-libraries-12-9"),
        ("libcudnn.so.9: cannot open", "sudo apt install cudnn9-cuda-12"),
        (
            "libnvinfer.so.10: cannot open",
            "sudo apt install libnvinfer-plugin10 libnvonnxparsers10",
        ),
        ("libsomething.so.1: cannot open", ""),
    ],
)
def test_a_library_that_a_provider_lacks_is_named_with_its_package(
    error: str, command: str
) -> None:
    broken = replace(DESKTOP.findings.onnxruntime, cuda_error=error)
    ability = _ability(with_findings(DESKTOP, onnxruntime=broken), "measure, ONNX Runtime on CUDA")
    assert (ability.works, ability.because, ability.fix) == (False, error, command)


def test_the_cpu_package_of_onnxruntime_is_replaced_by_the_one_with_gpu_providers() -> None:
    cpu_only = OnnxRuntimeFinding(version="1.24.4", providers=("CPUExecutionProvider",))
    seen = without_packages(
        with_findings(DESKTOP, onnxruntime=cpu_only), "onnxruntime-gpu", onnxruntime="1.24.4"
    )
    ability = _ability(seen, "measure, ONNX Runtime on TensorRT")
    assert ability.because == "this ONNX Runtime has no such provider"
    assert ability.fix == "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"


def test_a_jetson_is_sent_to_engines_for_its_gpu() -> None:
    cpu_only = OnnxRuntimeFinding(version="1.24.4", providers=("CPUExecutionProvider",))
    ability = _ability(with_findings(JETSON, onnxruntime=cpu_only), "measure, ONNX Runtime on CUDA")
    assert ability.fix == ""
    assert "use TensorRT engines" in ability.because


def test_an_absent_onnxruntime_is_one_extra_away() -> None:
    ability = _ability(JETSON, "measure, ONNX Runtime on CPU")
    assert ability.fix == "pip install 'edge-arm[onnxruntime]'"


RTX = "measure, TensorRT-RTX (FP32, FP16)"


def test_openvino_is_one_extra_away_and_a_broken_one_is_installed_again() -> None:
    name = "measure, OpenVINO on CPU"
    assert _ability(DESKTOP, name) == Ability(name, True, "OpenVINO 2026.4.1")
    assert _ability(JETSON, name) == Ability(
        name, False, "OpenVINO is not installed", "pip install 'edge-arm[openvino]'"
    )
    broken = with_findings(DESKTOP, openvino=ModuleFinding(error="libtbb.so.12: cannot open"))
    assert _ability(broken, name) == Ability(
        name,
        False,
        "libtbb.so.12: cannot open",
        "pip install --force-reinstall --no-deps openvino",
    )


def test_the_rtx_plugin_is_one_extra_away() -> None:
    absent = ModuleFinding(installed=False)
    seen = with_findings(
        without_packages(DESKTOP, "onnxruntime-gpu"),
        rtx=absent,
        onnxruntime=OnnxRuntimeFinding(installed=False),
    )
    assert _ability(seen, RTX).fix == "pip install 'edge-arm[rtx]'"


def test_beside_onnxruntime_gpu_the_plugin_is_installed_alone() -> None:
    seen = with_findings(DESKTOP, rtx=ModuleFinding(installed=False))
    assert _ability(seen, RTX).fix == "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"


@pytest.mark.parametrize(
    ("seen", "because"),
    [
        (JETSON, "TensorRT-RTX is for desktops with x86-64; use TensorRT engines"),
        (
            with_findings(DESKTOP, gpu=replace(ADA, compute_capability=(7, 5))),
            "TensorRT-RTX needs an RTX card, Ampere or newer; use TensorRT engines",
        ),
        (
            with_findings(DESKTOP, gpu=replace(ADA, cuda="12.8")),
            "the driver runs CUDA 12.8, TensorRT-RTX needs 13",
        ),
        (with_findings(DESKTOP, rtx=ModuleFinding(error="accepts no GPU")), "accepts no GPU"),
    ],
)
def test_why_the_rtx_plugin_does_not_work(seen: Inventory, because: str) -> None:
    ability = _ability(seen, RTX)
    assert (ability.works, ability.because) == (False, because)


def test_a_server_of_another_architecture_is_no_jetson() -> None:
    seen = with_machine(DESKTOP, architecture="aarch64")
    assert not _ability(seen, RTX).works
    assert _ability(seen, "build + run engines, FP16").works
