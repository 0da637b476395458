"""The fake TensorRT against real bindings, in everything that needs no GPU.

A fake that is kinder than the real thing hides mistakes. TensorRT-RTX has the API of TensorRT 11
and works without a GPU up to the finished plan, so the same probes run on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from device_fakes import FakeMachine, installed
from tiny_bundle import SIZE, tiny_model

rtx: Any = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64"
)

GOOD = ((1, SIZE, SIZE, 3), (4, SIZE, SIZE, 3), (8, SIZE, SIZE, 3))
REVERSED = ((4, SIZE, SIZE, 3), (1, SIZE, SIZE, 3), (8, SIZE, SIZE, 3))


@dataclass
class Bench:
    """A TensorRT with a parsed network on the table."""

    trt: Any
    builder: Any
    network: Any
    parser: Any
    config: Any
    name: str

    def profile(self, shapes: Any, name: str | None = None) -> Any:
        profile = self.builder.create_optimization_profile()
        profile.set_shape(name or self.name, *shapes)
        return profile

    def build(self, *profiles: Any) -> Any:
        for profile in profiles:
            self.config.add_optimization_profile(profile)
        return self.builder.build_serialized_network(self.network, self.config)


def bench(trt: Any) -> Bench:
    class Silent(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Any, message: str) -> None:
            """Nothing."""

    logger = Silent()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(tiny_model().SerializeToString())
    config = builder.create_builder_config()
    return Bench(trt, builder, network, parser, config, str(network.get_input(0).name))


@pytest.fixture(scope="module")
def real() -> Any:
    return rtx


@pytest.fixture
def fake() -> Iterator[Any]:
    with installed(FakeMachine(tensorrt="11.1.0", gpu="NVIDIA RTX", integrated=False)):
        import tensorrt

        yield tensorrt


def shapes(tensor: Any) -> tuple[Any, ...]:
    return str(tensor.name), tuple(tensor.shape), str(tensor.dtype)


def layers(on: Bench) -> list[tuple[str, str]]:
    every = (on.network.get_layer(index) for index in range(on.network.num_layers))
    named = [(str(layer.name), str(layer.type)) for layer in every]
    # Constants and the arithmetic of shapes have names of the parser's own making.
    return [(name, kind) for name, kind in named if name.startswith("/")]


def junk_errors(on: Bench) -> Any:
    network = on.builder.create_network(0)
    parser = on.trt.OnnxParser(network, on.builder.logger)
    assert parser.parse(b"junk") is False
    error = parser.get_error(0)
    return parser.num_errors, str(error.code()), error.node(), error.node_name()


def parse_after_failure(on: Bench) -> Any:
    network = on.builder.create_network(0)
    parser = on.trt.OnnxParser(network, on.builder.logger)
    return parser.parse(b"junk"), parser.parse(tiny_model().SerializeToString())


def clipped_level(on: Bench) -> Any:
    on.config.builder_optimization_level = 9
    return on.config.builder_optimization_level


def host_memory(on: Bench) -> Any:
    plan = on.build(on.profile(GOOD))
    return plan.nbytes == len(bytes(plan)) == memoryview(plan).nbytes, str(plan.dtype)


def no_length(on: Bench) -> Any:
    return len(on.build(on.profile(GOOD)))


def workspace(on: Bench) -> Any:
    pool = on.trt.MemoryPoolType.WORKSPACE
    on.config.set_memory_pool_limit(pool, 1 << 20)
    return on.config.get_memory_pool_limit(pool)


def tf32_cleared(on: Bench) -> Any:
    flag = on.trt.BuilderFlag.TF32
    before = on.config.get_flag(flag)
    on.config.clear_flag(flag)
    return before, on.config.get_flag(flag)


def misspelt(on: Bench) -> Any:
    on.config.builder_optimisation_level = 3


def typed_flag(on: Bench) -> Any:
    flag = on.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    return int(flag), on.builder.create_network(1 << int(flag)) is not None


PROBES: dict[str, Callable[[Bench], Any]] = {
    "input": lambda on: shapes(on.network.get_input(0)),
    "output": lambda on: shapes(on.network.get_output(0)),
    "numbers": lambda on: (on.network.num_inputs, on.network.num_outputs),
    "layers": layers,
    "junk": junk_errors,
    "parsing after a failure": parse_after_failure,
    "parsing twice": lambda on: on.parser.parse(tiny_model().SerializeToString()),
    "building without a profile": lambda on: on.build(),
    "a good profile": lambda on: on.config.add_optimization_profile(on.profile(GOOD)),
    "a reversed profile": lambda on: on.config.add_optimization_profile(on.profile(REVERSED)),
    "a profile of nothing": lambda on: on.config.add_optimization_profile(
        on.profile(GOOD, "no such input")
    ),
    "shapes of a profile": lambda on: [
        tuple(shape) for shape in on.profile(GOOD).get_shape(on.name)
    ],
    "a level out of range": clipped_level,
    "the plan": host_memory,
    "the plan has no length": no_length,
    "the workspace": workspace,
    "TF32": tf32_cleared,
    "a misspelt property": misspelt,
    "a wrong argument": lambda on: on.builder.create_network(flag=0),
    "too many arguments": lambda on: on.builder.create_optimization_profile(1),
    "a flag that is gone": lambda on: on.trt.BuilderFlag.FP16,
    "calibrators": lambda on: on.trt.IInt8EntropyCalibrator2,
    "strong typing": typed_flag,
    "explicit batch": lambda on: on.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH,
    "a read-only property": lambda on: setattr(on.network, "num_layers", 3),
    "a broken plan": lambda on: on.trt.Runtime(on.builder.logger).deserialize_cuda_engine(
        b"x" * 99
    ),
}


def outcome(probe: Callable[[Bench], Any], trt: Any) -> Any:
    try:
        return probe(bench(trt))
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("name", PROBES)
def test_the_fake_does_what_the_real_bindings_do(name: str, real: Any, fake: Any) -> None:
    assert outcome(PROBES[name], fake) == outcome(PROBES[name], real)
