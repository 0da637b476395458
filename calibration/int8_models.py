"""The INT8 models of one calibration: written together, checked against the FP32 model.

All come from the very same plan and ranges. `main` (qdq.py) is read by every TensorRT and ONNX
Runtime; `typed` (typed_qdq.py) is for strongly typed networks, TensorRT 10.12 and newer; `cpu`
(cpu_qdq.py) is made from `main` for ONNX Runtime on CPUs.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edge_arm.calibration.cpu_qdq import CpuGraph, cpu_graph
from edge_arm.calibration.half_range import nodes_in_float32
from edge_arm.calibration.opset import opset_of
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.placement_check import check_placement
from edge_arm.calibration.qdq import int8_graph, weight_bytes
from edge_arm.calibration.typed_check import check_typed
from edge_arm.calibration.typed_qdq import TypedGraph, typed_graph
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.manifest import CPU_VARIANT, Artifact, Manifest, Precision
from edge_arm.runtime.storage import sha256_of_file

INT8_NAME = "model.int8.onnx"
TYPED_NAME = "model.int8.typed.onnx"
CPU_NAME = "model.int8.cpu.onnx"
TYPED_VARIANT = "typed"
_HALF_BYTES = 2


@dataclass(frozen=True)
class Int8Models:
    """The finished graphs.

    Attributes:
        float32: the graph that they were made from.
        plan: what is quantized.
        main: with an FP32 float part, in the FP32 model's opset.
        typed: with an FP16 float part, in opset 19 or newer.
        cpu: with unsigned activations, otherwise as `main`.
        float32_nodes: what stays in FP32 in `typed`, by node name, with the reason.
    """

    float32: onnx.ModelProto
    plan: QuantPlan
    main: onnx.ModelProto
    typed: TypedGraph
    cpu: CpuGraph
    float32_nodes: dict[str, str]

    def save(self, folder: Path) -> None:
        """Write the files."""
        onnx.save(self.main, folder / INT8_NAME)
        onnx.save(self.typed.model, folder / TYPED_NAME)
        onnx.save(self.cpu.model, folder / CPU_NAME)

    def artifacts(
        self,
        folder: Path,
        *,
        main_checks: dict[str, float],
        typed_checks: dict[str, float],
        cpu_checks: dict[str, float],
    ) -> tuple[Artifact, ...]:
        """The manifest's records of the files that `save` wrote, with what was measured."""
        plan = self.plan
        main = Artifact(
            file=INT8_NAME,
            precision=Precision.INT8,
            variant="main",
            opset=opset_of(self.main),
            sha256=sha256_of_file(folder / INT8_NAME),
            size_bytes=(folder / INT8_NAME).stat().st_size,
            checks={**main_checks, "weight_bytes": float(weight_bytes(self.float32, plan))},
            float_nodes=plan.float_nodes,
        )
        typed = Artifact(
            file=TYPED_NAME,
            precision=Precision.INT8,
            variant=TYPED_VARIANT,
            opset=opset_of(self.typed.model),
            sha256=sha256_of_file(folder / TYPED_NAME),
            size_bytes=(folder / TYPED_NAME).stat().st_size,
            checks={
                **typed_checks,
                "largest_scale_rounding": self.typed.scale_rounding,
                "weight_bytes": float(weight_bytes(self.float32, plan, float_bytes=_HALF_BYTES)),
            },
            float_nodes={**plan.float_nodes, **self.float32_nodes},
        )
        cpu = Artifact(
            file=CPU_NAME,
            precision=Precision.INT8,
            variant=CPU_VARIANT,
            opset=opset_of(self.cpu.model),
            sha256=sha256_of_file(folder / CPU_NAME),
            size_bytes=(folder / CPU_NAME).stat().st_size,
            checks=cpu_checks,
            float_nodes={**plan.float_nodes, **self.cpu.float_nodes},
        )
        return main, typed, cpu


def int8_models(
    float32: onnx.ModelProto,
    plan: QuantPlan,
    amax: Mapping[str, float],
    *,
    implicit_amax: Mapping[str, float],
    absmax: Mapping[str, float],
    manifest: Manifest,
) -> Int8Models:
    """Quantize, and prove the placement of all.

    Args:
        float32: the FP32 graph; it is not changed.
        plan: what is quantized.
        amax: range of each quantized activation.
        implicit_amax: see implicit.py; the CPU form rounds outputs of convolutions too.
        absmax: largest |x| of the float tensors on faces, for what FP16 cannot hold.
        manifest: of the bundle, which knows what its FP16 model keeps in FP32.

    Raises:
        CalibrationError: if no usable graph comes out.
    """
    main = int8_graph(float32, plan, amax)
    check_placement(main, kept_float=plan.kept_float)
    float32_nodes = nodes_in_float32(float32, absmax, known=_fp16_float_nodes(manifest))
    typed = typed_graph(float32, plan, amax, float32_nodes=frozenset(float32_nodes))
    check_typed(typed.model, float32_nodes, kept_float=plan.kept_float)
    cpu = cpu_graph(main, implicit_amax)
    return Int8Models(float32, plan, main, typed, cpu, float32_nodes)


def difference(faces: str, fp32: Float32Array, int8: Float32Array) -> dict[str, float]:
    """How far a model is from another on the same faces.

    Agreement is the share of equal top-1 classes. Faces that made the ranges are kinder than
    unseen ones: a figure on them can show that something is wrong, never that all is well.

    Args:
        faces: what they are called in the figures' names.
        fp32: (N, C) logits of the reference.
        int8: (N, C) logits of the model.

    Raises:
        CalibrationError: if a logit of the model is NaN or infinite.
    """
    if not np.isfinite(int8).all():
        raise CalibrationError(
            f"the INT8 model answers NaN or infinity on the {faces} faces, expected numbers; try "
            "another --method, and train the model again if that does not help"
        )
    apart = np.abs(int8.astype(np.float64) - fp32)
    return {
        f"{faces}_agreement": float((int8.argmax(1) == fp32.argmax(1)).mean()),
        f"{faces}_max_logit_difference": float(apart.max()),
        f"{faces}_mean_logit_difference": float(apart.mean()),
    }


def _fp16_float_nodes(manifest: Manifest) -> dict[str, str]:
    return next(
        (
            item.float_nodes
            for item in manifest.artifacts
            if item.precision is Precision.FP16 and item.variant == "main"
        ),
        {},
    )
