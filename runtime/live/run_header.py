"""What runs: the model, what finds faces, how labels are smoothed; for the head of a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.frame_faces import FaceFinding
from edge_arm.runtime.live.pipeline import PipelineConfig
from edge_arm.runtime.tracking.smoothing import SmoothingConfig

if TYPE_CHECKING:
    from edge_arm.runtime.classifier.face_classifier import FaceClassifier

_SHARE_DIGITS = 4


@dataclass(frozen=True)
class RunHeader:
    """What runs.

    Attributes:
        model: name of the file that answers.
        precision: of it, such as "int8".
        variant: of it, such as "cpu".
        sha256: of it.
        backend: such as "onnxruntime/cpu".
        choice: why this model answers, in a sentence.
        labels: the expressions.
        find: how faces are found; None for aligned faces.
        smoothing: of the labels of moving sources; None for none.
    """

    model: str
    precision: str
    variant: str
    sha256: str
    backend: str
    choice: str
    labels: LabelSet
    find: FaceFinding | None
    smoothing: SmoothingConfig | None


def run_header(classifier: FaceClassifier, config: PipelineConfig) -> RunHeader:
    """What runs when this model answers in this pipeline."""
    info, spec = classifier.info, classifier.choice.spec
    return RunHeader(
        model=info.file,
        precision=spec.precision.value,
        variant=spec.variant,
        sha256=info.model_sha256,
        backend=info.name,
        choice=classifier.choice.sentence,
        labels=classifier.labels,
        find=config.find,
        smoothing=config.smoothing,
    )


def run_header_to_json(header: RunHeader) -> dict[str, Any]:
    """The JSON form, for people and programs that keep results apart by it."""
    detector: str | None = None
    framing: dict[str, Any] | None = None
    if header.find is not None:
        shares = header.find.framing
        detector = shares.detector
        framing = {
            name: round(getattr(shares, name), _SHARE_DIGITS)
            for name in ("left", "top", "width", "height", "aspect")
        }
        framing["faces"] = shares.faces
    smoothing = header.smoothing
    return {
        "model": header.model,
        "precision": header.precision,
        "variant": header.variant,
        "sha256": header.sha256,
        "backend": header.backend,
        "choice": header.choice,
        "labels": list(header.labels.classes),
        "detector": detector,
        "framing": framing,
        "smoothing": None
        if smoothing is None
        else {"seconds": smoothing.time_constant_s, "hysteresis": smoothing.hysteresis},
    }
