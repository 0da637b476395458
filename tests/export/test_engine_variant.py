"""Which file each TensorRT builds from: all versions, precisions and both kinds of device."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_variant import choose_variant
from edge_arm.runtime.errors import BundleError, EngineError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Artifact, Manifest, Precision
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.tensorrt_versions import capabilities_of

WEAK = ("8.6.1", "10.3.0")
TYPED = ("10.13.3", "10.16.0", "11.1.0")
WITHOUT_DLA = TYPED


def _artifact(precision: Precision, variant: str = "main", opset: int = 17) -> Artifact:
    name = precision.value if variant == "main" else f"{precision.value}.{variant}"
    return Artifact(f"model.{name}.onnx", precision, variant, opset, "0" * 64, 1)


def _manifest(*, typed: bool = True, cache: bool = True, int8: bool = True) -> Manifest:
    artifacts = [_artifact(Precision.FP32), _artifact(Precision.FP16)]
    artifacts += [_artifact(Precision.INT8)] if int8 else []
    artifacts += [_artifact(Precision.INT8, "typed", 19)] if typed else []
    return Manifest(
        labels=RAFDB,
        preprocess=PreprocessSpec(96),
        artifacts=tuple(artifacts),
        files={"calibration.cache": "0" * 64} if cache else {},
        source={},
        tool_versions={},
    )


@dataclass(frozen=True)
class Case:
    """A request, and the file, typing and flags that follow."""

    versions: tuple[str, ...]
    precision: Precision
    dla: int | None
    file: str
    typed: bool
    flags: tuple[bool, bool]  # FP16, INT8


CASES = (
    Case(WEAK, Precision.FP32, None, "model.fp32.onnx", False, (False, False)),
    Case(TYPED, Precision.FP32, None, "model.fp32.onnx", True, (False, False)),
    Case(WEAK, Precision.FP16, None, "model.fp16.onnx", False, (True, False)),
    Case(TYPED, Precision.FP16, None, "model.fp16.onnx", True, (False, False)),
    Case(WEAK, Precision.INT8, None, "model.int8.onnx", False, (True, True)),
    Case(TYPED, Precision.INT8, None, "model.int8.typed.onnx", True, (False, False)),
    Case(WEAK, Precision.FP16, 1, "model.fp32.onnx", False, (True, False)),
    Case(WEAK, Precision.INT8, 1, "model.fp32.onnx", False, (True, True)),
)


@pytest.mark.parametrize(
    ("version", "case"),
    [
        pytest.param(
            version,
            case,
            id=f"{version}-{case.precision.value}-{'gpu' if case.dla is None else 'dla'}",
        )
        for case in CASES
        for version in case.versions
    ],
)
def test_each_version_builds_each_precision_from_its_file(version: str, case: Case) -> None:
    config = BuildConfig(case.precision, dla_core=case.dla)
    choice = choose_variant(_manifest(), config, capabilities_of(version))
    assert choice.artifact.file == case.file
    assert choice.typed is case.typed
    assert (choice.fp16_flag, choice.int8_flag) == case.flags
    assert choice.dla_core == case.dla
    assert choice.calibration_cache is (case.dla is not None and case.precision is Precision.INT8)
    assert choice.tf32 is (case.precision is not Precision.FP32)


@pytest.mark.parametrize("version", [*WEAK, *TYPED])
def test_the_fp32_engine_does_not_round_to_tf32_and_says_so(version: str) -> None:
    choice = choose_variant(_manifest(), BuildConfig(Precision.FP32), capabilities_of(version))
    assert "TF32 is off" in choice.reason


@pytest.mark.parametrize(
    ("version", "words"),
    [("10.3.0", "weakly typed: flags allow INT8 and FP16"), ("11.1.0", "file alone decides")],
)
def test_the_reason_says_who_decides_the_precision(version: str, words: str) -> None:
    choice = choose_variant(_manifest(), BuildConfig(Precision.INT8), capabilities_of(version))
    assert words in choice.reason


@pytest.mark.parametrize("version", TYPED)
def test_without_the_typed_file_the_cost_and_the_remedy_are_said(version: str) -> None:
    choice = choose_variant(
        _manifest(typed=False), BuildConfig(Precision.INT8), capabilities_of(version)
    )
    assert choice.artifact.file == "model.int8.onnx"
    assert "float layers stay in FP32" in choice.reason
    assert "'edge-arm calibrate'" in choice.reason


def test_a_missing_precision_names_the_command_that_makes_it() -> None:
    manifest = _manifest(typed=False, int8=False)
    with pytest.raises(BundleError, match=r"no int8 model.*'edge-arm calibrate --data NAME'"):
        choose_variant(manifest, BuildConfig(Precision.INT8), capabilities_of("10.3.0"))


@pytest.mark.parametrize("version", WITHOUT_DLA)
def test_a_version_without_dla_names_those_that_have_it(version: str) -> None:
    config = BuildConfig(Precision.FP16, dla_core=0)
    with pytest.raises(EngineError, match=r"expected one that runs on a DLA: 8\.6 .* or 10\.3"):
        choose_variant(_manifest(), config, capabilities_of(version))


def test_int8_on_a_dla_needs_the_calibration_cache() -> None:
    config = BuildConfig(Precision.INT8, dla_core=0)
    with pytest.raises(BundleError, match=r"no 'calibration\.cache'.*'edge-arm calibrate"):
        choose_variant(_manifest(cache=False), config, capabilities_of("10.3.0"))
