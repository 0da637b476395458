"""Accuracies that papers print for a data set, to stand beside the FP32 of this bundle.

They are for orientation and no measure of anything here: other weights, the best test epoch, and
for ARM the mean over the batch at inference.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedAccuracy:
    """One figure of a paper.

    Attributes:
        model: as the paper calls it.
        accuracy: 0..1 on the data set's test part.
        source: the paper.
    """

    model: str
    accuracy: float
    source: str


_ARM = "Shi, Zhu and Liang, arXiv 2103.10189v3"
_RESNET = "ResNet-18 + ARM"

_BY_DATA_SET = {
    "rafdb": (
        PublishedAccuracy(_RESNET, 0.9042, _ARM),
        PublishedAccuracy("plain ResNet-18", 0.864, "as papers on RAF-DB print it"),
    ),
    "affectnet7": (PublishedAccuracy(_RESNET, 0.652, _ARM),),
    "sfew": (PublishedAccuracy(_RESNET, 0.5871, _ARM),),
}

_NUM_CLASSES = 7
"""All of them are over seven expressions; AffectNet's eight are another task."""


def published_accuracies(data_set: str, num_classes: int) -> tuple[PublishedAccuracy, ...]:
    """What papers report for a data set; empty if nothing is known.

    Args:
        data_set: its name as `--data` takes it.
        num_classes: of the model.
    """
    return _BY_DATA_SET.get(data_set, ()) if num_classes == _NUM_CLASSES else ()


def published_sentence(data_set: str, num_classes: int) -> str | None:
    """The same in a line; None if nothing is known.

    Args:
        data_set: its name as `--data` takes it.
        num_classes: of the model.
    """
    found = published_accuracies(data_set, num_classes)
    if not found:
        return None
    figures = ", ".join(f"{item.model} {100.0 * item.accuracy:.2f} %" for item in found)
    return f"Published, paper protocol: {figures}; of other weights, no measure of this model."
