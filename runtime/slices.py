"""The drop in parts of the test set that people differ by: gender, age, race as annotated.

Quantization need not cost every group the same, and an average does not show it. The groups come
from the data set's annotators: they are what somebody saw in a picture, nothing that the people
said of themselves.

Shapes: N faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.face_attributes import FaceAttribute, FaceAttributes
from edge_arm.runtime.manifest import MAIN_VARIANT, Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import (
    ClassRules,
    Interval,
    PairedCounts,
    drop_interval,
    holm_adjusted,
    inferiority_p,
    minimum_detectable_drop,
    paired_counts,
)


@dataclass(frozen=True)
class SliceDrop:
    """A candidate against the reference on the faces of one slice.

    Attributes:
        precision: of the candidate.
        attribute: such as "gender".
        value: such as "female".
        counts: who is right where, on these faces.
        interval: of the drop, as a fraction, not corrected for the number of slices.
        drop_p: Holm-adjusted over all slices of the precision, of "there is no drop".
        too_small: too few faces to show a drop of the size that a class is judged by.
        minimum_detectable_drop: smallest margin these faces could certify, as a fraction.
        variant: of the model file, see `Artifact`.
    """

    precision: Precision
    attribute: str
    value: str
    counts: PairedCounts
    interval: Interval
    drop_p: float
    too_small: bool
    minimum_detectable_drop: float = 1.0
    variant: str = MAIN_VARIANT


def slice_drops(
    reference: Predictions,
    candidate: Predictions,
    attributes: FaceAttributes,
    *,
    rules: ClassRules | None = None,
) -> tuple[SliceDrop, ...]:
    """Compare two models on every slice.

    A group without faces has no slice. "Some group is worse" is claimed if any of the tests says
    so, so their p-values go through Holm over all slices of all attributes, as those of classes do.

    Args:
        reference: of the higher precision.
        candidate: the same faces, in the same order.
        attributes: of at least these faces; none gives no slices.
        rules: confidence, and which drop a slice must be able to show.

    Returns:
        In the order of the attributes and of their values.

    Raises:
        DataError: if the models answered different faces, or an attribute does not know a face.
    """
    rules = rules or ClassRules()
    if reference.sample_ids != candidate.sample_ids:
        raise DataError(
            f"{reference.precision.value} and {candidate.precision.value} answered different "
            "faces, expected the same in the same order; run both over one index"
        )
    tables = {
        (attribute.name, value): paired_counts(reference.right[chosen], candidate.right[chosen])
        for attribute in attributes
        for value, chosen in _members(attribute, reference.sample_ids).items()
    }
    adjusted = holm_adjusted([inferiority_p(table) for table in tables.values()])
    slices = []
    for ((attribute_name, value), table), drop_p in zip(tables.items(), adjusted, strict=True):
        smallest = minimum_detectable_drop(
            table.num_faces, table.num_discordant, confidence=rules.confidence
        )
        slices.append(
            SliceDrop(
                precision=candidate.precision,
                attribute=attribute_name,
                value=value,
                counts=table,
                interval=drop_interval(table, confidence=rules.confidence),
                drop_p=drop_p,
                too_small=smallest > rules.smallest_of_interest,
                minimum_detectable_drop=smallest,
                variant=candidate.variant,
            )
        )
    return tuple(slices)


def _members(
    attribute: FaceAttribute, sample_ids: tuple[str, ...]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """(N,) bool for each value that some face has."""
    unknown = [name for name in sample_ids if name not in attribute.by_sample]
    if unknown:
        raise DataError(
            f"the {attribute.name} of {unknown[0]!r} is not known ({len(unknown)} of "
            f"{len(sample_ids)} faces), expected it for every face; complete the annotation"
        )
    values = np.array([attribute.by_sample[name] for name in sample_ids])
    members = {value: values == value for value in attribute.values}
    return {value: chosen for value, chosen in members.items() if chosen.any()}
