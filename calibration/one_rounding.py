"""The INT8 graph with half of its rounding taken out: what do weights cost, what activations?

Both graphs are made from the very file that ships, so they have its scales and its placement.

1. Weights only: every pair of QuantizeLinear and DequantizeLinear on an activation is bypassed. The
   weights stay behind theirs, on their int8 grid.
2. Activations only: every pair on a weight is bypassed, and weight and bias are FP32's own again,
   because the file that ships stores the one rounded and the other corrected for it. Channels that
   the calibration equalized are equalized in the FP32 model first.

Neither graph is for a device: TensorRT wants both inputs of a Conv quantized or none.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import onnx

from edge_arm.calibration.equalization import equalized
from edge_arm.calibration.graph import WEIGHTED, initializer_names, producers
from edge_arm.calibration.table import CALIBRATION_NAME, factors_from_table
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.manifest import Bundle, Precision


class Rounded(Enum):
    """What is still rounded to int8."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"


def graphs_with_one_rounding(bundle: Bundle, folder: Path) -> dict[Rounded, Path]:
    """Write both graphs.

    Args:
        bundle: with FP32 and INT8.
        folder: for the files; exists.

    Returns:
        Their paths.

    Raises:
        BundleError: if the bundle lacks one of the models or its bytes changed.
        CalibrationError: if the INT8 model is not made from the FP32 model.
    """
    fp32 = onnx.load(bundle.model(Precision.FP32)[0])
    int8 = onnx.load(bundle.model(Precision.INT8)[0])
    if CALIBRATION_NAME in bundle.manifest.files:
        fp32 = equalized(fp32, factors_from_table(bundle.verified(CALIBRATION_NAME)))
    paths = {}
    for rounded in Rounded:
        paths[rounded] = folder / f"model.int8.{rounded.value}-only.onnx"
        onnx.save(graph_with_one_rounding(int8, fp32, rounded), paths[rounded])
    return paths


def graph_with_one_rounding(
    int8: onnx.ModelProto, fp32: onnx.ModelProto, rounded: Rounded
) -> onnx.ModelProto:
    """The INT8 graph with only its weights or only its activations rounded.

    Args:
        int8: with Q/DQ pairs; it is not changed.
        fp32: the model that it was made from, with its channels equalized alike.
        rounded: what stays rounded.

    Returns:
        A new graph with the same inputs, outputs and opset.

    Raises:
        CalibrationError: if there is nothing quantized of the one kind or the other, or the FP32
            model lacks a weight.
    """
    result = onnx.ModelProto()
    result.CopyFrom(int8)
    sources = _dequantized_sources(result)
    stored = initializer_names(result)
    weights = {name: source for name, source in sources.items() if source in stored}
    activations = {name: source for name, source in sources.items() if source not in stored}
    if not weights or not activations:
        raise CalibrationError(
            f"the INT8 model has {len(weights)} quantized weights and {len(activations)} quantized "
            "activations, expected some of each; calibrate again with 'edge-arm calibrate'"
        )
    if rounded is Rounded.WEIGHTS:  # rule 1
        _bypass(result, activations)
    else:  # rule 2
        _bypass(result, weights)
        names = set(weights.values())
        biases = {
            name
            for node in int8.graph.node
            if node.op_type in WEIGHTED and sources.get(node.input[1]) in names
            for name in node.input[2:]
        }
        _restore(result, fp32, sorted(names | biases))
    onnx.checker.check_model(result, full_check=True)
    return result


def _dequantized_sources(model: onnx.ModelProto) -> dict[str, str]:
    """The tensor that each DequantizeLinear stands for, by the name of its output."""
    made_by = producers(model)
    nodes = model.graph.node
    sources = {}
    for node in nodes:
        if node.op_type != "DequantizeLinear":
            continue
        source = node.input[0]
        if source in made_by and nodes[made_by[source]].op_type == "QuantizeLinear":
            source = nodes[made_by[source]].input[0]
        sources[node.output[0]] = source
    return sources


def _bypass(model: onnx.ModelProto, sources: dict[str, str]) -> None:
    graph = model.graph
    kept = []
    for node in graph.node:
        if node.output[0] in sources:
            continue
        for position, name in enumerate(node.input):
            if name in sources:
                node.input[position] = sources[name]
        kept.append(node)
    used = {name for node in kept for name in node.input}
    kept = [node for node in kept if node.op_type != "QuantizeLinear" or node.output[0] in used]
    used = {name for node in kept for name in node.input}
    constants = [item for item in graph.initializer if item.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)


def _restore(model: onnx.ModelProto, fp32: onnx.ModelProto, names: list[str]) -> None:
    originals = {item.name: item for item in fp32.graph.initializer}
    for item in model.graph.initializer:
        if item.name not in names:
            continue
        if item.name not in originals:
            raise CalibrationError(
                f"the FP32 model has no weight {item.name!r}, which the INT8 model quantizes; "
                "expected the model it was made from: calibrate again with 'edge-arm calibrate'"
            )
        item.CopyFrom(originals[item.name])
