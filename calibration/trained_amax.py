"""Ranges that came with the weights, in the place of those that calibration faces would give.

The faces still run: they tell the ranges that implicit INT8 needs and the training did not round
(implicit.py, rule 3), what FP16 can hold, and how far INT8 is from FP32.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.placement import QuantPlan
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.trained_ranges import TrainedRanges

_SHOWN = 3


def trained_amax(
    model: onnx.ModelProto, plan: QuantPlan, trained: TrainedRanges
) -> dict[str, float]:
    """The range of each quantized activation.

    Args:
        model: the FP32 graph of the plan.
        plan: where the INT8 model is quantized.
        trained: the bundle's ranges.

    Raises:
        CalibrationError: if they are the ranges of other tensors than those of the plan.
    """
    source = plan.ranges_from(model)
    _require_same(set(source.values()), set(trained.amax))
    return {tensor: trained.amax[origin] for tensor, origin in source.items()}


def trained_implicit_amax(
    model: onnx.ModelProto,
    plan: QuantPlan,
    measured: Mapping[str, float],
    trained: TrainedRanges,
) -> dict[str, float]:
    """The range of each tensor that implicit INT8 needs.

    Args:
        model: the FP32 graph of the plan.
        plan: where the INT8 model is quantized.
        measured: what the calibration faces gave.
        trained: the bundle's ranges, which come first.
    """
    source = implicit_ranges_from(model, plan)
    return {
        tensor: trained.amax[origin] if origin in trained.amax else measured[tensor]
        for tensor, origin in source.items()
        if origin in trained.amax or tensor in measured
    }


def _require_same(needed: set[str], have: set[str]) -> None:
    apart = {"missing": needed - have, "unknown": have - needed}
    if any(apart.values()):
        listed = "; ".join(
            f"{what}: {', '.join(sorted(names)[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            for what, names in apart.items()
            if names
        )
        raise CalibrationError(
            f"the trained ranges are another model's ({listed}), expected one for each of the "
            f"{len(needed)} tensors that decide a range; export the checkpoint again with this "
            "edge-arm, or name a --method to calibrate without them"
        )
