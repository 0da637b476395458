"""What a served model says about itself, and what a client refuses."""

from __future__ import annotations

import json

import pytest

from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.triton_contract import (
    ServedContract,
    contract_from_parameters,
    contract_to_parameters,
)

FRAMINGS = (
    FaceFraming("haar", 0.04, 0.03, 0.91, 0.9, faces=200, overlap=0.9, data_name="rafdb"),
    FaceFraming("yunet", 0.08, -0.08, 0.83, 1.08),
)
CONTRACT = ServedContract(RAFDB, PreprocessSpec(112), Precision.FP16, "c" * 64, 1.25, FRAMINGS)


def test_a_contract_comes_back_as_it_was_written() -> None:
    parameters = contract_to_parameters(CONTRACT) | {"labels": "of somebody else"}
    assert contract_from_parameters(parameters, "fer_fp16") == CONTRACT


def test_a_model_of_somebody_else_is_refused() -> None:
    with pytest.raises(
        BackendUnavailableError,
        match=r"model 'resnet' on the server has no parameter 'edge_arm.schema_version', expected",
    ):
        contract_from_parameters({"gpu_mem_limit": "1"}, "resnet")


def test_a_model_of_another_version_is_refused() -> None:
    parameters = contract_to_parameters(CONTRACT) | {"edge_arm.schema_version": "2"}
    with pytest.raises(BackendUnavailableError, match="has schema version '2', this edge-arm"):
        contract_from_parameters(parameters, "fer_fp16")


def test_another_preprocessing_is_refused() -> None:
    parameters = contract_to_parameters(CONTRACT)
    spec = json.loads(parameters["edge_arm.preprocess"]) | {"color_order": "BGR"}
    with pytest.raises(BackendUnavailableError, match="color_order 'BGR', expected 'RGB'"):
        contract_from_parameters(parameters | {"edge_arm.preprocess": json.dumps(spec)}, "x")


@pytest.mark.parametrize("temperature", ["0", "nan", "warm"])
def test_a_temperature_that_is_none_is_refused(temperature: str) -> None:
    parameters = contract_to_parameters(CONTRACT) | {"edge_arm.temperature": temperature}
    with pytest.raises(BackendUnavailableError, match="do not hold together"):
        contract_from_parameters(parameters, "x")


@pytest.mark.parametrize("framings", ['[{"detector": "haar"}]', "[1]", "1", "none", "[" * 100_000])
def test_framings_that_are_none_are_refused(framings: str) -> None:
    parameters = contract_to_parameters(CONTRACT) | {"edge_arm.framings": framings}
    with pytest.raises(BackendUnavailableError, match="do not hold together"):
        contract_from_parameters(parameters, "x")
