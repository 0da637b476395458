"""The fake TensorRT refuses to build what TensorRT refuses, in each version by its own rules.

What needs no GPU is compared with real bindings in `test_fake_against_real.py`; here are the older
versions and what their flags do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from device_fakes.bench import FACE
from device_fakes.bench import TensorRTBench as Bench
from onnx import helper, numpy_helper
from tiny_bundle import tiny_model

WEAK = ("8.6.1", "10.3.0")


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    version = getattr(request, "param", "10.3.0")
    with installed(FakeMachine(tensorrt=version, num_dla_cores=2)) as machine:
        yield Bench(machine)


def on(*versions: str) -> Any:
    return pytest.mark.parametrize("bench", versions, indirect=True)


every_version = on(*ALL_VERSIONS)


@every_version
def test_an_fp32_model_is_an_fp32_engine_whatever_was_meant(bench: Bench) -> None:
    plan = bench.builder.build_serialized_network(bench.network(tiny_model()), bench.config())
    kinds = " ".join(bench.precisions(plan))
    assert "FP16" not in kinds
    assert "Int8" not in kinds.replace("UInt8", "")


@on(*WEAK)
def test_weak_typing_takes_the_precision_from_flags(bench: Bench) -> None:
    plan = bench.builder.build_serialized_network(bench.network(tiny_model()), bench.config("FP16"))
    assert any("FP16" in kind for kind in bench.precisions(plan))


@on("10.3.0", "10.13.3", "10.16.0")
@pytest.mark.parametrize("flag", ["FP16", "INT8"])
def test_strong_typing_and_a_precision_flag_are_refused(bench: Bench, flag: str) -> None:
    network = bench.network(tiny_model(), "STRONGLY_TYPED")
    assert bench.builder.build_serialized_network(network, bench.config(flag)) is None
    assert f"condition: !config.getFlag(BuilderFlag::k{flag})" in bench.last_error


@on(*WEAK)
def test_quantized_models_need_the_int8_flag_in_weak_typing(bench: Bench) -> None:
    network = bench.network(tiny_model(int8=True))
    assert bench.builder.build_serialized_network(network, bench.config("FP16")) is None
    assert "int8 is not configured in the builder" in bench.last_error
    plan = bench.builder.build_serialized_network(network, bench.config("FP16", "INT8"))
    assert any(kind.startswith("Thirty-two") for kind in bench.precisions(plan))


@every_version
def test_fp16_scales_are_nothing_for_eight(bench: Bench) -> None:
    bench.network(tiny_model(half=True, int8=True, opset=19))
    assert bench.parsed is (bench.machine.tensorrt != "8.6.1")


@on("8.6.1")
def test_eight_needs_the_explicit_batch_flag(bench: Bench) -> None:
    network = bench.builder.create_network()
    parser = bench.trt.OnnxParser(network, bench.logger)
    assert parser.parse(tiny_model().SerializeToString()) is False
    assert "explicit batch dimension" in parser.get_error(0).desc()


@every_version
def test_the_parser_names_the_node_that_it_refuses(bench: Bench) -> None:
    model = tiny_model()
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Celu"
    bench.network(model)
    error = bench.parser.get_error(0)
    place = list(model.graph.node).index(node)
    assert (bench.parsed, bench.parser.num_errors, error.node()) == (False, 1, place)
    if bench.machine.tensorrt == "8.6.1":
        with pytest.raises(AttributeError, match="node_name"):
            error.node_name()
    else:
        assert (error.node_name(), error.node_operator()) == (node.name, "Celu")


@every_version
def test_uint8_must_feed_a_cast(bench: Bench) -> None:
    nodes = [
        helper.make_node("Transpose", ["faces"], ["t"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["y"], "cast", to=onnx.TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("faces", onnx.TensorProto.UINT8, ["N", *FACE])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )
    bench.network(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert not bench.parsed
    assert "turn: first input has type UInt8" in bench.parser.get_error(0).desc()


@every_version
def test_a_zero_point_that_is_not_zero_is_refused(bench: Bench) -> None:
    model = tiny_model(int8=True)
    quantize = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    zero = next(item for item in model.graph.initializer if item.name == quantize.input[2])
    values = numpy_helper.to_array(zero)
    zero.CopyFrom(numpy_helper.from_array(np.full_like(values, 3), zero.name))
    bench.network(model)
    assert not bench.parsed
    assert "shiftIsAllZeros" in bench.parser.get_error(0).desc()


@on("8.6.1", "10.3.0", "10.16.0")
def test_batch_sizes_in_disorder_are_an_error_at_once_before_11(bench: Bench) -> None:
    profile = bench.builder.create_optimization_profile()
    with pytest.raises(RuntimeError, match="inconsistent"):
        profile.set_shape("faces", (4, *FACE), (2, *FACE), (8, *FACE))


@on(*WEAK)
def test_deprecated_names_warn_where_the_record_says_so(bench: Bench) -> None:
    config = bench.config("INT8")
    warns = bench.machine.tensorrt == "10.3.0"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config.int8_calibrator = None
        bench.trt.BuilderFlag.INT8  # noqa: B018  # reading a flag never warns
    assert [item.category for item in caught] == [DeprecationWarning] * warns


def calibrator(bench: Bench, cache: bytes | None, *, started: bool = True) -> Any:
    class FromCache(bench.trt.IInt8EntropyCalibrator2):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            if started:
                super().__init__()

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes | None:
            return cache

        def write_calibration_cache(self, content: Any) -> None:
            raise AssertionError("there is nothing to write")

    return FromCache()


@on(*WEAK)
@pytest.mark.parametrize("header", ["right", "other", "none"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_implicit_int8_takes_its_ranges_from_a_cache_of_its_own_version(
    bench: Bench, header: str
) -> None:
    network = bench.network(tiny_model())
    conv = next(
        layer for layer in map(network.get_layer, range(9)) if layer.type.name[:4] == "CONV"
    )
    number = {"8.6.1": 8601, "10.3.0": 100300}[bench.machine.tensorrt or ""]
    number += header == "other"
    line = f"TRT-{number}-EntropyCalibration2\n{conv.get_input(0).name}: 3c010a14\n"
    config = bench.config("INT8", "FP16")
    config.int8_calibrator = calibrator(bench, None if header == "none" else line.encode())
    assert bench.builder.build_serialized_network(network, config) is None
    assert "Calibration profile is not defined" in bench.last_error
    profile = bench.builder.create_optimization_profile()
    profile.set_shape("faces", *[(1, *FACE)] * 3)
    config.set_calibration_profile(profile)
    plan = bench.builder.build_serialized_network(network, config)
    if header == "right":
        assert any(kind.startswith("Thirty-two") for kind in bench.precisions(plan))
    else:
        assert plan is None
        assert "Calibration failure" in bench.last_error


@on("10.3.0")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_base_class_that_was_not_started_is_an_error(bench: Bench) -> None:
    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        bench.config("INT8").int8_calibrator = calibrator(bench, b"", started=False)

    class Forgetful(bench.trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            """It should have called super().__init__()."""

    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        bench.trt.Runtime(Forgetful())


@every_version
def test_dla_cores_are_there_up_to_10_7(bench: Bench) -> None:
    assert bench.builder.num_DLA_cores == (2 if bench.machine.tensorrt in WEAK else 0)


def on_dla(bench: Bench, *flags: str, batches: tuple[int, ...] = (2, 2, 2), core: int = 0) -> Any:
    config = bench.config(*flags, batches=batches)
    config.default_device_type = bench.trt.DeviceType.DLA
    config.DLA_core = core
    return bench.builder.build_serialized_network(bench.network(tiny_model()), config)


@on(*WEAK)
def test_a_dla_takes_what_it_can_and_needs_leave_for_the_rest(bench: Bench) -> None:
    assert on_dla(bench, "FP16", "GPU_FALLBACK") is not None
    assert on_dla(bench, "FP16") is None
    assert "GPU fallback is not enabled" in bench.last_error
    assert on_dla(bench, "GPU_FALLBACK") is None
    assert "FP16 and INT8 precision only" in bench.last_error
    assert on_dla(bench, "FP16", "GPU_FALLBACK", batches=(1, 2, 2)) is None
    assert "does not support dynamic shapes" in bench.last_error
    assert on_dla(bench, "FP16", "GPU_FALLBACK", core=2) is None
    assert "DLA core 2 is not available" in bench.last_error


@pytest.mark.parametrize("driver", ["missing", "old"])
def test_without_a_driver_there_is_no_builder(driver: str) -> None:
    with installed(FakeMachine(driver=driver)):  # noqa: SIM117  # two things, not one
        with pytest.raises(TypeError, match="factory function returned nullptr"):
            Bench(FakeMachine())


def test_another_logger_is_ignored_with_a_warning(bench: Bench) -> None:
    bench.trt.Runtime(bench.trt.Logger())
    assert "differs from one already provided" in bench.messages[-1][1]


def test_memory_that_is_short_ends_each_step() -> None:
    with installed(FakeMachine(memory_bytes=30_000)) as machine:
        bench = Bench(machine)
        network = bench.network(tiny_model())
        assert bench.builder.build_serialized_network(network, bench.config()) is None
        assert "OutOfMemory" in bench.last_error
    with installed(FakeMachine()) as machine:
        plan = Bench(machine).sound_plan()
    with installed(FakeMachine(memory_bytes=1_000)) as machine:
        bench = Bench(machine)
        assert bench.engine(plan) is None
        assert "OutOfMemory" in bench.last_error


@pytest.mark.parametrize("step", ["parse", "build", "deserialize", "create_execution_context"])
def test_each_step_can_be_made_to_fail_once(bench: Bench, step: str) -> None:
    bench.machine.fail_next(step)
    network = bench.network(tiny_model())
    if step == "parse":
        assert not bench.parsed
        network = bench.network(tiny_model())
    plan = bench.builder.build_serialized_network(network, bench.config())
    if step == "build":
        assert plan is None
        assert "Could not find any implementation" in bench.last_error
        plan = bench.builder.build_serialized_network(network, bench.config())
    engine = bench.engine(plan)
    if step == "deserialize":
        assert engine is None
        engine = bench.engine(plan)
    if step == "create_execution_context":
        assert engine.create_execution_context() is None
    assert engine.create_execution_context() is not None
