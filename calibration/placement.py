"""Where Q/DQ pairs go: NVIDIA Model Optimizer's placement, read back as a plan.

Model Optimizer knows TensorRT's fusions (Conv + Add + Relu, MaxPool, the skip branch), so it says
*where*; it does not get to say *how much*. It cannot write our file: it raises the opset to 19,
which TensorRT 8.6 does not read, and its ranges depend on how batches are cut. So it quantizes a
throw-away copy, and only the edges with a DequantizeLinear are kept.

The stages take the same plan from `placement_rules`, which costs nothing; this one is what that is
held against in the tests.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import onnx

from edge_arm.calibration.graph import (
    WEIGHTED,
    Edge,
    head_nodes,
    initializer_names,
    producers,
    refuse_quantized,
)
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.storage import storage_error

HEAD_IN_FLOAT = (
    "the head stays in float: its error would go straight into the logits, and it is a tiny part "
    "of the work"
)
"""Why no node of the head is quantized."""


@dataclass(frozen=True)
class QuantPlan:
    """What is quantized; for what is not, the reason.

    Attributes:
        activations: edges that get a DequantizeLinear with one scale for the tensor.
        weights: edges whose initializer gets one scale per output channel.
        float_nodes: weighted nodes that stay in float, by name, with the reason.
        kept_float: those of them that could be in int8 and are kept in float for their accuracy.
    """

    activations: tuple[Edge, ...]
    weights: tuple[Edge, ...]
    float_nodes: dict[str, str]
    kept_float: frozenset[str] = frozenset()

    def ranges_from(self, model: onnx.ModelProto) -> dict[str, str]:
        """Which tensor's values decide the range of each quantized activation.

        Its own, except before a MaxPool: there the pool's output decides, because clipping and
        taking the maximum commute, what the pool drops is never used, and only with equal scales
        can TensorRT move the pair through the pool.

        Args:
            model: the FP32 graph of the plan.

        Returns:
            The deciding tensor by quantized tensor, in graph order.
        """
        nodes = model.graph.node
        own = {nodes[edge.node].input[edge.input] for edge in self.activations}
        source: dict[str, str] = {}
        for edge in self.activations:
            node = nodes[edge.node]
            name = node.input[edge.input]
            pooled = node.op_type == "MaxPool" and node.output[0] in own
            source[name] = node.output[0] if pooled else source.get(name, name)
        return source


def plan_from_modelopt(model: onnx.ModelProto, images_nhwc: Uint8Array) -> QuantPlan:
    """Ask Model Optimizer where it would quantize.

    Args:
        model: the FP32 graph; it is not changed.
        images_nhwc: (N, S, S, 3) uint8, a face or two; Model Optimizer needs some to run at all,
            and the ranges it gets from them are thrown away.

    Returns:
        The plan, in terms of positions in `model`.

    Raises:
        CalibrationError: if the model is quantized already, or Model Optimizer fails on it.
    """
    refuse_quantized(model)
    head = head_nodes(model)
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    for position, node in enumerate(twin.graph.node):
        node.name = f"node{position}"
    # Left to itself Model Optimizer would quantize its Conv: its error would go straight into the
    # logits, and it is one in a thousand of the work.
    excluded = [f"node{position}" for position in sorted(head)]
    quantized = _quantize_copy(twin, images_nhwc, excluded)
    edges = _dequantized_edges(quantized)
    constants = initializer_names(model)
    nodes = model.graph.node
    activations = [edge for edge in edges if nodes[edge.node].input[edge.input] not in constants]
    weights = [edge for edge in edges if nodes[edge.node].input[edge.input] in constants]
    in_int8 = {edge.node for edge in weights}
    return QuantPlan(
        activations=tuple(activations),
        weights=tuple(weights),
        float_nodes={
            node.name: (
                HEAD_IN_FLOAT
                if position in head
                else "Model Optimizer expects no gain from int8 here"
            )
            for position, node in enumerate(nodes)
            if node.op_type in WEIGHTED and position not in in_int8
        },
    )


def _quantize_copy(
    model: onnx.ModelProto, images_nhwc: Uint8Array, excluded: list[str]
) -> onnx.ModelProto:
    with _quiet():
        try:
            from modelopt.onnx.quantization import quantize
        except ImportError as error:
            raise CalibrationError(
                f"NVIDIA Model Optimizer is not installed ({error}), expected nvidia-modelopt; "
                "run: pip install 'edge-arm[workstation]'"
            ) from error
        folder: Path | None = None
        try:
            with tempfile.TemporaryDirectory(prefix="edge-arm-") as name:
                folder = Path(name)
                onnx.save(model, folder / "model.onnx")
                quantize(
                    str(folder / "model.onnx"),
                    quantize_mode="int8",
                    calibration_data={model.graph.input[0].name: images_nhwc},
                    calibration_method="max",
                    calibration_eps=["cpu"],
                    nodes_to_exclude=excluded,
                    output_path=str(folder / "quantized.onnx"),
                    high_precision_dtype="fp32",
                    log_level="CRITICAL",
                )
                return onnx.load(folder / "quantized.onnx")
        except OSError as error:
            raise storage_error(folder or Path(tempfile.gettempdir()), error) from error
        except Exception as error:  # it documents none, and passes on ONNX Runtime's
            raise CalibrationError(
                f"NVIDIA Model Optimizer cannot place Q/DQ in this model ({error}), expected a "
                "graph as 'edge-arm export' writes it; export it again"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    # Importing it imports torch, with its warnings; it logs and prints to stdout, where our
    # results go; and it leaves a handler on its logger.
    logger = logging.getLogger("modelopt.onnx")
    handlers, level = list(logger.handlers), logger.level
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.handlers[:] = handlers
            logger.setLevel(level)


def _dequantized_edges(quantized: onnx.ModelProto) -> list[Edge]:
    made_by = producers(quantized)
    nodes = quantized.graph.node
    found = []
    for node in nodes:
        if not node.name.removeprefix("node").isdecimal():
            continue  # a Q or DQ of Model Optimizer's own
        for position, name in enumerate(node.input):
            if name in made_by and nodes[made_by[name]].op_type == "DequantizeLinear":
                found.append(Edge(int(node.name.removeprefix("node")), position))
    return sorted(found, key=lambda edge: (edge.node, edge.input))
