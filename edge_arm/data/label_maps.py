"""The faces of one data set for a model of another, matched by the names of expressions.

Every name is in the project's one spelling by then (`runtime.labels.canonical_name`), so what is
left are expressions that only one of the two knows:

1. Faces of an expression that the model cannot answer are refused, unless the user drops that
   expression by name. Left in, each would be wrong by definition; left out in silence, the accuracy
   would be of another set than the name says.
2. An expression of the model that no face has stays in its answers. A face on which the model
   gives it counts as wrong, as it would in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.labels import LabelSet, canonical_name


@dataclass(frozen=True)
class MappedFaces:
    """Faces that a model can be measured on.

    Attributes:
        index: with the model's class indices.
        notes: what differs between the two, a sentence each; empty if nothing does.
    """

    index: FaceIndex
    notes: tuple[str, ...]


def faces_for_model(
    index: FaceIndex, labels: LabelSet, *, drop_classes: Sequence[str] = ()
) -> MappedFaces:
    """Give the faces of a data set the class indices of a model.

    Args:
        index: the faces, with the class indices of their data set.
        labels: the model's.
        drop_classes: expressions whose faces are left out, in any usual spelling.

    Raises:
        UsageError: if an expression to drop is none of the data set's.
        DataError: if the model does not know an expression that is left, or no face is.
    """
    dropped = _known(drop_classes, index)
    kept = _without(index, dropped) if dropped else index
    unknown = [
        name
        for name, count in zip(kept.labels.classes, kept.counts().tolist(), strict=True)
        if count and name not in labels.classes
    ]
    if unknown:  # rule 1
        count = int(kept.counts()[kept.labels.index(unknown[0])])
        options = " ".join(f"--drop-classes {name}" for name in unknown)
        raise DataError(
            f"got the expression {unknown[0]!r} on {count} faces of {_place(index)}, expected only "
            f"expressions of the model ({', '.join(labels.classes)}); leave these faces out with "
            f"{options}, or use another data set"
        )
    mapped = kept.relabelled(labels)
    return MappedFaces(mapped, (*_dropped_notes(index, dropped), *_absent_notes(mapped)))


def _known(names: Sequence[str], index: FaceIndex) -> tuple[str, ...]:
    dropped = tuple(dict.fromkeys(canonical_name(name) for name in names))
    for given, name in zip(names, map(canonical_name, names), strict=True):
        if name not in index.labels.classes:
            raise UsageError(
                f"got --drop-classes {given}, expected an expression of {index.name!r} "
                f"({', '.join(index.labels.classes)}); correct the name or leave the option out"
            )
    return dropped


def _without(index: FaceIndex, dropped: tuple[str, ...]) -> FaceIndex:
    targets = [index.labels.index(name) for name in dropped]
    kept = index.subset(np.flatnonzero(~np.isin(index.targets, targets)))
    if not len(kept):
        raise DataError(
            f"no face of {_place(index)} is left without {', '.join(map(repr, dropped))}, expected "
            "some to measure on; drop fewer expressions"
        )
    return kept


def _dropped_notes(index: FaceIndex, dropped: tuple[str, ...]) -> tuple[str, ...]:
    if not dropped:
        return ()
    counts = index.counts()
    faces = ", ".join(f"{int(counts[index.labels.index(name)])} of {name!r}" for name in dropped)
    return (
        f"Faces left out with --drop-classes: {faces}; every figure is about the other faces of "
        f"{_place(index)}, and none compares with a published one.",
    )


def _absent_notes(mapped: FaceIndex) -> tuple[str, ...]:
    absent = [  # rule 2
        name
        for name, count in zip(mapped.labels.classes, mapped.counts().tolist(), strict=True)
        if not count
    ]
    if not absent:
        return ()
    return (
        f"Expressions of the model without a face in {_place(mapped)}: "
        f"{', '.join(map(repr, absent))}; where the model answers one of them, it counts as wrong.",
    )


def _place(index: FaceIndex) -> str:
    return f"the {index.split.value} split of {index.name!r}"
