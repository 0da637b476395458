"""How the conformance check reads a file, on small sources."""

from __future__ import annotations

import ast
import textwrap

import pytest
from device_fakes import ALL_VERSIONS
from device_fakes.conformance import check
from device_fakes.conformance_values import Package

OLD, NEW = "8.6.1", "11.1.0"
PACKAGE = Package(
    any_fields=frozenset({"engine"}),
    functions={"layers_of": "Iterator[Any]", "anything": "Any", "engines": "dict[str, Engine]"},
)


def findings(source: str, version: str, library: str = "tensorrt") -> tuple[str, ...]:
    return check(ast.parse(textwrap.dedent(source)), library, version, package=PACKAGE).findings


GUARDED = {
    "if": """
        def build(trt: Any, capabilities: TensorRTCapabilities):
            if capabilities.precision_flags:
                trt.BuilderFlag.FP16
    """,
    "else": """
        def build(trt: Any, capabilities: TensorRTCapabilities):
            if capabilities.always_typed:
                pass
            else:
                trt.BuilderFlag.FP16
    """,
    "early return": """
        def build(tensorrt: TensorRT):
            if not tensorrt.capabilities.precision_flags:
                return
            tensorrt.module.BuilderFlag.FP16
    """,
    "early raise, with something else in the condition": """
        def build(tensorrt: TensorRT, wanted: bool):
            if tensorrt.capabilities.always_typed or wanted:
                raise ValueError
            tensorrt.module.BuilderFlag.FP16
    """,
    "and": """
        def build(trt: Any, capabilities: TensorRTCapabilities, wanted: bool):
            if wanted and capabilities.precision_flags and trt.BuilderFlag.FP16:
                pass
    """,
    "conditional expression": """
        def build(trt: Any, capabilities: TensorRTCapabilities):
            flag = trt.BuilderFlag.FP16 if capabilities.precision_flags else None
    """,
    "a name for it": """
        def build(trt: Any, capabilities: TensorRTCapabilities):
            weak = capabilities.precision_flags
            if weak:
                trt.BuilderFlag.FP16
    """,
    "around the only call of a private function": """
        def build(tensorrt: TensorRT):
            if tensorrt.capabilities.precision_flags:
                _flags(tensorrt.module)

        def _flags(trt: Any):
            trt.BuilderFlag.FP16
    """,
}


@pytest.mark.parametrize("source", GUARDED.values(), ids=GUARDED)
def test_guarded_code_counts_only_where_the_guard_is_true(source: str) -> None:
    assert not [version for version in ALL_VERSIONS if findings(source, version)]
    # The same code with a guard that is true everywhere: what is guarded is looked at.
    lost = (
        source.replace("precision_flags", "version")
        .replace("tensorrt.capabilities.always_typed or wanted", "wanted")
        .replace("capabilities.always_typed", "wanted")
    )
    assert findings(lost, NEW)
    assert not findings(lost, OLD)


REFUSED = {
    "a method that is not there": "builder.build_engines(1, 2)",
    "a method that is gone": "builder.build_engine(network, builder_config)",
    "an enum value": "trt.BuilderFlag.FP61",
    "an enum": "trt.BuilderFlags.TF32",
    "a keyword": "builder.create_network(flag=0)",
    "an argument too many": "builder.create_network(0, 1)",
    "an argument too few": "builder_config.set_timing_cache(None)",
    "a property that is only read": "network.num_layers = 3",
    "a property that is not there": "builder_config.builder_optimisation_level = 3",
    "what a call gives": "network.get_layer(0).get_output(0).dtyp",
    "an item of a list": "[network.get_input(i) for i in range(2)][0].shap",
    "in a comprehension": "[item.nam for item in [network.get_input(0)]]",
    "the length of what has none": "len(builder.build_serialized_network(network, builder_config))",
    "arithmetic with an enum": "1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "a value of a value": "trt.DataType.FLOAT.size",
    "a class that is not told": "thing.create()",
    "a field that is not told": "holder.engine.get_tensor_names",
    "a result that is not told": "builder.get_plugin_registry().all_creators",
    "arguments that are not told": "builder.create_network(*things)",
    "a capability": "tensorrt.capabilities.precision_flag",
    "an item of what a function of ours gives": "[layer.nam for layer in layers_of(network)]",
    "what a function of ours gives, by its variable's name": "network = anything(); network.nam",
    "what a function of ours gives, without a name for it": "it = anything(); it.name",
    "an item of a parameter that is a list": "[layer.nam for layer in many]",
    "inside of a nested function": "def inner(): network.num_layer",
    "inside of a lambda": "lambda: network.num_layer",
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_what_is_not_in_the_record_is_found(line: str) -> None:
    source = (
        "def build(tensorrt: TensorRT, trt: Any, builder: Any, network: Any, builder_config: Any,"
        f" thing: Any, holder: Holder, many: list[Any]):\n    {line}\n"
    )
    assert findings(source, NEW)


def test_a_name_means_nothing_where_the_class_is_ours() -> None:
    source = "def run():\n    for engine in engines().values():\n        engine.plan\n"
    assert findings(source, NEW) == ()


def test_what_is_in_the_record_is_not_found() -> None:
    source = """
        def build(tensorrt: TensorRT, model: bytes):
            trt = tensorrt.module
            builder = trt.Builder(tensorrt.logger)
            network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag(0)))
            parser = trt.OnnxParser(network, logger=tensorrt.logger)
            parser.parse(model)
            for index in range(network.num_layers):
                layer = network.get_layer(index)
                if layer.type == trt.LayerType.CONVOLUTION:
                    print(layer.get_output(0).dtype.name, tuple(layer.get_output(0).shape))
    """
    assert findings(source, NEW) == ()


SUBCLASS = """
    def made(trt: Any):
        class Own(trt.ILogger):
            def __init__(self) -> None:
                super().__init__()

            def {method}:
                pass

        return Own()
"""


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("log(self, severity, message)", False),
        ("logg(self, severity, message)", True),
        ("log(self, message)", True),
    ],
)
def test_what_a_subclass_overrides_must_be_what_is_called(method: str, wrong: bool) -> None:
    assert bool(findings(SUBCLASS.format(method=method), NEW)) is wrong


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("driver.memcpy_htod_async(1, array, stream)", False),
        ("driver.memcpy_htod_async(1, array, None, stream)", True),
        ("driver.memcpy_htod_asynch(1, array, stream)", True),
        ("stream.wait_for_event(event)", False),
        ("stream.wait_for_event(event=event)", True),
        ("driver.Stream().begin_capture()", True),
        ("driver.pagelocked_empty(3, int).base.get_device_pointer()", False),
        ("driver.pagelocked_empty(3, int).base.device_pointer()", True),
    ],
)
def test_pycuda_is_held_against_its_record(line: str, wrong: bool) -> None:
    source = f"def copy(driver: Any, stream: Any, event: Any, array: Array):\n    {line}\n"
    assert bool(findings(source, "", "pycuda")) is wrong


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("driver.cuMemAlloc(3)", False),
        ("driver.cuMemAlloc(3, 4)", True),
        ("self._call('allocating', driver.cuMemAlloc, 3)", False),
        ("self._call('allocating', driver.cuMemAlloc)", True),
        ("self._call('allocating', driver.cuMemAlloc, *sizes)", True),
        ("driver.cuMemAllocate(3)", True),
        ("driver.CUstream_flags.CU_STREAM_NON_BLOCK", True),
    ],
)
def test_cuda_python_is_held_against_its_record(line: str, wrong: bool) -> None:
    source = f"def copy(driver: Any, sizes: list):\n    {line}\n"
    assert bool(findings(source, "", "cuda-python")) is wrong
