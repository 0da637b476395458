"""A model's configuration, read with Triton's own definition of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from edge_arm.export.triton_config import BackEnd, Device, ServedModel, config_text
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.triton_contract import ServedContract, contract_from_parameters

CONTRACT = ServedContract(
    labels=LabelSet("mine", ("joy", 'a "quoted\\ name', "Überraschung")),
    preprocess=PreprocessSpec(size=112, std=(0.2, 0.3, 0.4)),
    precision=Precision.INT8,
    model_sha256="ab" * 32,
    temperature=0.7087214114251625,
)
ON_GPU = ServedModel(
    name="fer_int8",
    source=Path("model.onnx"),
    back_end=BackEnd.ONNX_RUNTIME,
    device=Device.GPU,
    contract=CONTRACT,
    max_batch=32,
    preferred_batches=(),
    delay_us=250,
    instances=2,
    accelerated=True,
    dla_core=None,
    facts={},
)
ENGINE = replace(
    ON_GPU,
    back_end=BackEnd.TENSORRT,
    max_batch=16,
    preferred_batches=(8, 16),
    accelerated=False,
    facts={"edge_arm.gpu": "Orin", "edge_arm.tensorrt": "10.3.0"},
)

Read = Callable[[ServedModel], triton.ModelConfig]


@pytest.fixture
def read() -> Read:
    def parsed(model: ServedModel) -> triton.ModelConfig:
        return text_format.Parse(config_text(model), triton.ModelConfig())

    return parsed


def test_the_definition_refuses_a_field_that_it_does_not_have() -> None:
    with pytest.raises(text_format.ParseError, match="max_batches"):
        text_format.Parse("max_batches: 3", triton.ModelConfig())


def test_faces_and_logits_have_their_form_without_the_batch(read: Read) -> None:
    config = read(ON_GPU)
    (face,), (logits,) = config.input, config.output
    assert (face.name, face.data_type, list(face.dims)) == (
        "faces",
        triton.DataType.TYPE_UINT8,
        [112, 112, 3],
    )
    assert (logits.name, logits.data_type, list(logits.dims)) == (
        "logits",
        triton.DataType.TYPE_FP32,
        [3],
    )
    assert logits.label_filename == "labels.txt"
    assert config.max_batch_size == 32


def test_a_model_of_onnx_runtime_names_its_back_end_and_file(read: Read) -> None:
    config = read(ON_GPU)
    assert (config.name, config.backend, config.platform) == (
        "fer_int8",
        "onnxruntime",
        "onnxruntime_onnx",
    )
    assert config.default_model_filename == "model.onnx"
    assert config.version_policy.latest.num_versions == 1


def test_an_engine_names_its_back_end_and_file(read: Read) -> None:
    config = read(ENGINE)
    assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
    assert config.default_model_filename == "model.plan"


def test_requests_wait_for_others_and_for_the_sizes_of_an_engine(read: Read) -> None:
    batching = read(ENGINE).dynamic_batching
    assert list(batching.preferred_batch_size) == [8, 16]
    assert batching.max_queue_delay_microseconds == 250
    assert list(read(ON_GPU).dynamic_batching.preferred_batch_size) == []


def test_a_model_that_must_not_wait_is_batched_all_the_same(read: Read) -> None:
    config = read(replace(ON_GPU, delay_us=0))
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


def test_the_warm_up_runs_one_face_and_the_largest_batch(read: Read) -> None:
    warm_ups = read(ON_GPU).model_warmup
    assert [item.batch_size for item in warm_ups] == [1, 32]
    for item in warm_ups:
        (pixels,) = [item.inputs["faces"]]
        assert list(pixels.dims) == [112, 112, 3]
        assert pixels.data_type == triton.DataType.TYPE_UINT8
        assert pixels.WhichOneof("input_data_type") == "random_data"


def test_a_model_of_single_faces_is_warmed_up_once(read: Read) -> None:
    assert [item.batch_size for item in read(replace(ON_GPU, max_batch=1)).model_warmup] == [1]


def test_instances_stand_on_the_device(read: Read) -> None:
    (group,) = read(ON_GPU).instance_group
    assert (group.kind, group.count) == (triton.ModelInstanceGroup.KIND_GPU, 2)
    (group,) = read(replace(ON_GPU, device=Device.CPU, accelerated=False)).instance_group
    assert (group.kind, group.count) == (triton.ModelInstanceGroup.KIND_CPU, 2)
    assert not group.secondary_devices


def test_an_engine_of_a_dla_names_the_core(read: Read) -> None:
    (group,) = read(replace(ENGINE, dla_core=1)).instance_group
    (core,) = group.secondary_devices
    assert (core.kind, core.device_id) == (
        triton.ModelInstanceGroup.SecondaryDevice.KIND_NVDLA,
        1,
    )


def test_tensorrt_in_onnx_runtime_gets_the_precision(read: Read) -> None:
    (chosen,) = read(ON_GPU).optimization.execution_accelerators.gpu_execution_accelerator
    assert (chosen.name, dict(chosen.parameters)) == ("tensorrt", {"precision_mode": "INT8"})
    assert not read(replace(ON_GPU, accelerated=False)).HasField("optimization")


def test_the_parameters_carry_the_contract_and_the_facts(read: Read) -> None:
    found = {key: item.string_value for key, item in read(ENGINE).parameters.items()}
    assert contract_from_parameters(found, "fer_int8") == CONTRACT
    assert found["edge_arm.gpu"] == "Orin"
    assert found["edge_arm.temperature"] == "0.7087214114251625"


def test_a_model_without_a_temperature_names_none(read: Read) -> None:
    without = replace(ON_GPU, contract=replace(CONTRACT, temperature=None))
    found = {key: item.string_value for key, item in read(without).parameters.items()}
    assert "edge_arm.temperature" not in found
    assert contract_from_parameters(found, "fer_int8").temperature is None
