"""From calibration faces to everything that an INT8 graph needs.

The steps, each optional but the second: equalize channels, choose ranges, round weights. The
implicit ranges (`calibration.cache`, for a DLA) are those of the FP32 model as it is, because it
is what such an engine is built from.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edge_arm.calibration.equalization import channel_factors, equalized, streams
from edge_arm.calibration.exposure import Wanted
from edge_arm.calibration.half_range import float_tensors
from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.observe import Observation
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.prepared_model import (
    PreparedModel,
    Rounding,
    num_moment_faces,
    with_adaptive_rounding,
)
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.range_choice import (
    CHOICE_FACES,
    Candidate,
    ChoiceFaces,
    RangeChoice,
    choose_ranges,
    error_of,
    num_choice_runs,
)
from edge_arm.calibration.ranges import Method, amax_from_histogram
from edge_arm.calibration.resumable_pass import observe_faces
from edge_arm.calibration.search.sessions import Session
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.leftovers import SECOND_PASS_STATE_NAME
from edge_arm.runtime.preprocess import PreprocessSpec

_BATCH_SIZE = 8

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Recipe:
    """How a model is quantized.

    Attributes:
        method: how a range is chosen; None for what agrees best with FP32 on training faces that
            did not calibrate. Those then also decide whether rounding and equalization are kept.
        rounding: of the weights.
        equalize: whether channels are brought to like ranges.
    """

    method: Method | None = None
    rounding: Rounding = Rounding.ADAPTIVE
    equalize: bool = True

    def num_steps(self, num_images: int) -> int:
        """What `progress` adds up to, at most."""
        passes = num_images * (2 if self.equalize else 1)
        rounding = num_moment_faces(num_images) if self.rounding is Rounding.ADAPTIVE else 0
        runs = 0
        if self.method is None:
            candidates = len(Method) * (2 if self.equalize else 1)
            tried = 1 if self.rounding is Rounding.ADAPTIVE else 0
            runs = 1 + num_choice_runs(candidates) + tried  # the first is FP32's
        return passes + rounding + runs * CHOICE_FACES


@dataclass(frozen=True)
class CalibrationFaces:
    """Which faces do what.

    Attributes:
        calibration: choose the ranges and round the weights.
        held_out: choose the method; not needed for a fixed one.
        spec: the model's input.
    """

    calibration: FaceIndex
    held_out: FaceIndex | None
    spec: PreprocessSpec


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """What calibration faces say about a model.

    Attributes:
        faces: that were run, in order.
        seen: what they did in the model that is quantized.
        absmax: largest |x| of the float tensors of the FP32 model as it is.
        prepared: that model.
        method: that chose the ranges.
        rounding: of the weights, in the end.
        amax: range of each quantized activation.
        output_amax: of each tensor that a whole INT8 network has, in the model that is quantized.
        implicit_amax: the same in the FP32 model as it is.
        choice: how the method was chosen, if it was.
    """

    faces: FaceIndex
    seen: Observation
    absmax: dict[str, float]
    prepared: PreparedModel
    method: Method
    rounding: Rounding
    amax: dict[str, float]
    output_amax: dict[str, float]
    implicit_amax: dict[str, float]
    choice: RangeChoice | None

    def graph(self, plan: QuantPlan) -> onnx.ModelProto:
        """The INT8 graph of the plan or a part of it."""
        return int8_graph(self.prepared.for_plan(plan), plan, self.amax)


def calibrate_on(
    model: onnx.ModelProto,
    plan: QuantPlan,
    faces: CalibrationFaces,
    *,
    recipe: Recipe,
    state_path: Path,
    progress: Progress | None = None,
) -> CalibratedModel:
    """Run the calibration faces through the FP32 model and choose everything.

    Args:
        model: the FP32 graph of the plan.
        plan: what is quantized.
        faces: see `calibration_sample` and `held_out_sample`.
        recipe: how.
        state_path: of the file that an interrupted pass goes on from, see `pass_state`.
        progress: called with the number of faces done since the last call; see `num_steps`.

    Raises:
        ImageError: for a face that cannot be read.
        CalibrationError: if a quantized tensor has no usable range.
    """
    source = implicit_ranges_from(model, plan)
    origins = plan.ranges_from(model)
    quantized = frozenset(origins.values())
    scalable = streams(model) if recipe.equalize else ()
    first = observe_faces(
        model,
        Wanted.of(
            source.values(),
            extremes=float_tensors(model),
            channels=[name for item in scalable for name in item.tensors if name in quantized],
        ),
        faces=faces.calibration,
        spec=faces.spec,
        state_path=state_path,
        progress=progress,
    )
    forms = [_Form(PreparedModel(model, {}, {}, {}), first)]
    if factors := channel_factors(scalable, first.channel_amax):
        scaled = equalized(model, factors)
        again = observe_faces(
            scaled,
            Wanted.of(source.values(), extremes=float_tensors(model)),
            faces=faces.calibration,
            spec=faces.spec,
            state_path=state_path.with_name(SECOND_PASS_STATE_NAME),
            progress=progress,
        )
        forms.append(_Form(PreparedModel(scaled, factors, {}, {}), again))
    if recipe.method is None:
        candidates = [
            _candidate(form, plan, origins, method) for form in forms for method in Method
        ]
        choosing = _choice_faces(model, faces, progress)
        best, choice = choose_ranges(candidates, choosing, progress)
    else:
        best, choice, choosing = _candidate(forms[-1], plan, origins, recipe.method), None, None
    form, amax = forms[-1] if best.equalized else forms[0], dict(best.ranges)
    prepared, rounding = form.prepared, Rounding.NEAREST
    if recipe.rounding is Rounding.ADAPTIVE:
        adaptive = with_adaptive_rounding(
            prepared, plan, amax, faces=faces.calibration, spec=faces.spec, progress=progress
        )
        if choice is not None and choosing is not None:
            tried = error_of(int8_graph(adaptive.for_plan(plan), plan, amax), choosing, progress)
            choice = replace(choice, adaptive_error=tried)
        if choice is None or tried < choice.error:
            prepared, rounding = adaptive, Rounding.ADAPTIVE

    def of_outputs(seen: Observation) -> dict[str, float]:
        return {
            tensor: amax_from_histogram(seen.histograms[origin], best.method, tensor)
            for tensor, origin in source.items()
            # An output that nothing quantizes may be constant; implicit INT8 leaves it in FP16.
            if origin in quantized
            or seen.histograms[origin].minimum != seen.histograms[origin].maximum
        }

    return CalibratedModel(
        faces=faces.calibration,
        seen=form.seen,
        absmax=first.absmax,
        prepared=prepared,
        method=best.method,
        rounding=rounding,
        amax=amax,
        output_amax=of_outputs(form.seen),
        implicit_amax=of_outputs(first),
        choice=choice,
    )


@dataclass(frozen=True, eq=False)
class _Form:
    """The model as it is or equalized, and what the faces did in it."""

    prepared: PreparedModel
    seen: Observation


def _candidate(
    form: _Form, plan: QuantPlan, origins: Mapping[str, str], method: Method
) -> Candidate:
    ranges = {
        tensor: amax_from_histogram(form.seen.histograms[origin], method, tensor)
        for tensor, origin in origins.items()
    }
    return Candidate(
        method,
        equalized=bool(form.prepared.factors),
        ranges=ranges,
        # Weights rounded to nearest: rounding them for each candidate would change little and
        # cost more than all the rest. Nothing of the size of a model is kept until it is needed.
        build=lambda amax: int8_graph(form.prepared.for_plan(plan), plan, amax),
    )


def _choice_faces(
    model: onnx.ModelProto, faces: CalibrationFaces, progress: Progress | None
) -> ChoiceFaces:
    index = faces.held_out
    assert index is not None, "a method is chosen by held-out faces"
    batches = face_batches(index, faces.spec, _BATCH_SIZE)
    images = np.concatenate([batch.images_nhwc for batch in batches])
    fp32 = Session(model).logits(images)
    if progress is not None:
        progress(len(images))
    return ChoiceFaces(images, fp32, index.sha256)
