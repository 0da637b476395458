"""Makes the FP16 model with NVIDIA ModelOpt's AutoCast, and checks what came out.

TensorRT 11 takes every type from the file, so the file must say FP16 wherever FP16 is meant; input
and output keep their types (uint8 and float32), so that clients need not know the precision.
Which nodes stay in FP32 is decided here, from ranges measured on pictures, not by AutoCast's own
rule, which looks at one random input.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_arm.export.activation_range import FP16_MAX, HEADROOM, nodes_beyond_fp16
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import ExportError

INPUT_STAGE = "/input/"
_INPUT_REASON = (
    "pixels minus mean: in FP16 the mean 116.28 becomes 116.25, which moves the logits as much as "
    "FP16 weights do"
)
_UNPLANNED_REASON = "AutoCast keeps it in FP32"


def fp16_from_onnx(path: Path, absmax: dict[str, float]) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Convert a float32 model.

    Args:
        path: the ONNX file in float32.
        absmax: largest absolute value of every tensor on real pictures.

    Returns:
        The model, and the reason for each node that stays in FP32, by name.

    Raises:
        ExportError: if AutoCast fails, or changes what it must not: the opset, the input's or the
            output's type, or the precision of a node that has to stay in FP32.
    """
    original = onnx.load(path)
    reasons = {
        node.name: _INPUT_REASON
        for node in original.graph.node
        if node.name.startswith(INPUT_STAGE)
    }
    reasons.update(nodes_beyond_fp16(original, absmax))
    opset = opset_of(original)
    try:
        converted: onnx.ModelProto = _autocast()(
            str(path),
            low_precision_type="fp16",
            nodes_to_exclude=[f"^{re.escape(name)}$" for name in reasons],
            data_max=np.inf,  # no run of its own on random input
            keep_io_types=True,
            opset=opset,
        )
    except Exception as error:  # ModelOpt raises whatever onnx and onnxruntime raise
        raise ExportError(
            f"ModelOpt's AutoCast failed on {path.name!r} ({type(error).__name__}: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}), "
            "expected an FP16 model; install the versions of constraints.txt"
        ) from error
    del converted.graph.value_info[:]  # its order changes from run to run
    converted.producer_name, converted.producer_version = "edge-arm", original.producer_version
    helper.set_model_props(converted, {item.key: item.value for item in original.metadata_props})
    onnx.checker.check_model(converted, full_check=True)
    require_same_contract(converted, opset)
    return converted, nodes_in_float32(original, converted, reasons)


def fp16_checks(
    logits: Float32Array,
    reference: Float32Array,
    absmax: dict[str, float],
    float_nodes: dict[str, str],
) -> dict[str, float]:
    """What FP16 changes, on the same pictures.

    ONNX Runtime's CPU computes FP16 nodes in float32 between FP16 roundings, so these figures show
    the rounding of weights and activations, not a GPU's accumulation.

    Args:
        logits: (N, C) of the FP16 model.
        reference: (N, C) of the FP32 model.
        absmax: largest absolute value of every tensor.
        float_nodes: what stayed in FP32, by node name.

    Raises:
        ExportError: if a logit is infinite or NaN.
    """
    if not np.isfinite(logits).all():
        raise ExportError(
            "the FP16 model gives logits that are infinite or NaN, expected finite ones; "
            "nothing was kept, export without --fp16 and report this with the checkpoint"
        )
    kept = {name.removeprefix("/") for name in float_nodes}  # a tensor is named after its node
    return {
        "fp32_difference": float(np.abs(logits.astype(np.float64) - reference).max()),
        "fp32_agreement": float((logits.argmax(axis=1) == reference.argmax(axis=1)).mean()),
        "fp16_activation_absmax": max(
            (value for tensor, value in absmax.items() if tensor not in kept), default=0.0
        ),
        "fp16_activation_limit": FP16_MAX / HEADROOM,
    }


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the ONNX operator set that a model is written in."""
    return next(int(item.version) for item in model.opset_import if item.domain in ("", "ai.onnx"))


def _autocast() -> Callable[..., Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations among ModelOpt's own dependencies
        from modelopt.onnx.autocast import convert_to_mixed_precision
    # On import ModelOpt gives its loggers handlers that write to stdout, where our results go.
    for name in ("modelopt.onnx", "modelopt.onnx.autocast"):
        chatty = logging.getLogger(name)
        chatty.handlers.clear()
        chatty.setLevel(logging.ERROR)
    function: Callable[..., Any] = convert_to_mixed_precision
    return function


def require_same_contract(model: onnx.ModelProto, opset: int) -> None:
    """Refuse a converted model that clients or TensorRT would have to treat differently.

    Args:
        model: after the conversion.
        opset: before it.

    Raises:
        ExportError: if the input is not uint8 into a Cast, the output not float32, or the opset
            another one.
    """
    (source,), (result,) = model.graph.input, model.graph.output
    types = (source.type.tensor_type.elem_type, result.type.tensor_type.elem_type)
    if types != (TensorProto.UINT8, TensorProto.FLOAT):
        names = tuple(TensorProto.DataType.Name(item) for item in types)
        raise ExportError(
            f"AutoCast made the input and output {names}, expected uint8 and float32; "
            "install the nvidia-modelopt of constraints.txt"
        )
    readers = {node.op_type for node in model.graph.node if source.name in node.input}
    if readers != {"Cast"}:
        raise ExportError(
            f"after AutoCast the uint8 input feeds {sorted(readers)}, expected only a Cast "
            "(TensorRT takes nothing else); install the nvidia-modelopt of constraints.txt"
        )
    if opset_of(model) != opset:
        raise ExportError(
            f"AutoCast wrote opset {opset_of(model)}, expected {opset}; "
            "install the nvidia-modelopt of constraints.txt"
        )


def nodes_in_float32(
    original: onnx.ModelProto, converted: onnx.ModelProto, reasons: dict[str, str]
) -> dict[str, str]:
    """The nodes whose result really is float32, read off the converted graph.

    Args:
        original: before the conversion.
        converted: after it.
        reasons: for the nodes that had to stay, by name.

    Returns:
        The reason for every node that stayed, asked for or not.

    Raises:
        ExportError: if a node that had to stay did not.
    """
    inferred = onnx.shape_inference.infer_shapes(converted, strict_mode=True, data_prop=True)
    types = {
        item.name: item.type.tensor_type.elem_type
        for item in (*inferred.graph.value_info, *inferred.graph.output)
    }
    ours = {node.name for node in original.graph.node}
    kept = {
        node.name: reasons.get(node.name, _UNPLANNED_REASON)
        for node in converted.graph.node
        if node.name in ours and types[node.output[0]] == TensorProto.FLOAT
    }
    if lowered := [name for name in reasons if name not in kept]:
        raise ExportError(
            f"AutoCast put {', '.join(lowered)} into FP16, expected FP32 "
            f"({reasons[lowered[0]]}); install the nvidia-modelopt of constraints.txt"
        )
    return kept
