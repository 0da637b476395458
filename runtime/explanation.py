"""Where a drop comes from: the same faces with one source of error at a time.

Each source runs by itself over all faces and is compared with the same FP32 answers. The control
says how much of what is seen is arithmetic alone: FP32 against FP32, computed in another order.

Shapes: N faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edge_arm.runtime.accuracy_drop import DEFAULT_CONFIDENCE, require_same_faces
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import (
    Interval,
    compare_answers,
    drop_interval,
    paired_counts,
)


class Source(Enum):
    """One thing that is done to FP32, in the order of a report; the value is its name there."""

    CONTROL = "FP32 again"
    FP16 = "FP16"
    WEIGHTS = "weights rounded"
    ACTIVATIONS = "activations rounded"
    INT8 = "INT8: both"
    FP16_DEVICE = "FP16 on the device"
    INT8_DEVICE = "INT8 on the device"


_MEANINGS = {
    Source.CONTROL: "The same FP32 weights, computed in another order: what arithmetic alone does.",
    Source.FP16: "The FP16 model as it is in its file.",
    Source.WEIGHTS: "The INT8 model with float activations: only its weights are on the int8 grid.",
    Source.ACTIVATIONS: "The INT8 model with FP32's weights: only its activations are rounded.",
    Source.INT8: "The INT8 model as it is in its file, weights and activations rounded.",
    Source.FP16_DEVICE: "The FP16 engine: FP16 and the engine's own arithmetic.",
    Source.INT8_DEVICE: "The INT8 engine: both roundings and the engine's own arithmetic.",
}


@dataclass(frozen=True)
class DropSource:
    """One step from FP32 towards what ships.

    Attributes:
        name: such as "weights rounded".
        meaning: what was changed against FP32, in one sentence.
        flips: faces with another top-1 than FP32.
        drop: fraction of accuracy lost against FP32.
        interval: of the drop.
        mean_kl: of the probabilities from FP32's.
        num_faces: that were run.
    """

    name: str
    meaning: str
    flips: int
    drop: float
    interval: Interval
    mean_kl: float
    num_faces: int


def drop_sources(
    reference: Predictions,
    sources: Mapping[Source, Predictions],
    *,
    confidence: float = DEFAULT_CONFIDENCE,
) -> tuple[DropSource, ...]:
    """What each source does by itself.

    Args:
        reference: FP32.
        sources: over the same faces.
        confidence: of the intervals, two-sided.

    Returns:
        In the order of `Source`.

    Raises:
        DataError: if a source is not about the same faces.
    """
    return tuple(
        _drop_source(source, reference, sources[source], confidence)
        for source in Source
        if source in sources
    )


def _drop_source(
    source: Source, reference: Predictions, predictions: Predictions, confidence: float
) -> DropSource:
    require_same_faces(reference, predictions)
    counts = paired_counts(reference.right, predictions.right)
    agreement = compare_answers(reference.logits, predictions.logits)
    return DropSource(
        name=source.value,
        meaning=f"{_MEANINGS[source]} Run by {predictions.info.name}.",
        flips=int(agreement.flipped_faces.size),
        drop=counts.drop,
        interval=drop_interval(counts, confidence=confidence),
        mean_kl=agreement.mean_kl,
        num_faces=len(reference),
    )
