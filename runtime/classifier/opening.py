"""From a bundle to a model that answers: choose, open, say which."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_arm.runtime.classifier.face_classifier import ClassifierConfig, FaceClassifier
from edge_arm.runtime.classifier.model_choice import ModelChoice, choose_model
from edge_arm.runtime.classifier.wanted_model import WantedModel
from edge_arm.runtime.detection.detection_config import HAAR, DetectionConfig
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle
from edge_arm.runtime.model_spec import open_model
from edge_arm.runtime.temperature import usable_temperatures

DEFAULT_BUNDLE = "build/bundle"
_log = logging.getLogger(__name__)


def open_classifier(
    bundle: str | Path = DEFAULT_BUNDLE,
    *,
    precision: str | None = None,
    backend: str | None = None,
    detector: str | None = HAAR,
    threads: int | None = None,
) -> FaceClassifier:
    """Open the model of a bundle that suits this machine.

    ::

        with open_classifier("build/bundle") as faces:
            print(faces.faces_in("photo.jpg"))

    Which model runs, and why, is logged and in `FaceClassifier.choice`; what is named here is run
    as it is named, or an error.

    Args:
        bundle: folder made by `edge-arm export`.
        precision: fp32, fp16 or int8.
        backend: onnxruntime, tensorrt or openvino.
        detector: "haar", or a file as `edge-arm run --detector` takes it; None if every picture is
            one face already, cut as the training faces were. Looked at when the first picture is.
        threads: of the CPU.

    Raises:
        BundleError: if the bundle cannot be trusted or lacks what was named.
        BackendError: if it cannot be run here.
        UsageError: for a word that means nothing, or words that do not go together.
    """
    wanted = WantedModel(_precision(precision), backend=backend, threads=threads)
    config = ClassifierConfig(None if detector is None else DetectionConfig(detector))
    return classifier_from_bundle(open_bundle(Path(bundle)), wanted, config)


def classifier_from_bundle(
    bundle: Bundle, wanted: WantedModel, config: ClassifierConfig | None = None
) -> FaceClassifier:
    """Open what a user wants of a bundle; for all options of the command line.

    Args:
        bundle: whose model.
        wanted: what they named.
        config: how it is fed.

    Raises:
        BundleError, BackendError, UsageError: see `open_classifier`.
    """
    choice = choose_model(bundle, wanted)
    temperature = _temperature(bundle, choice)
    backend = open_model(bundle, choice.spec)
    _log.info("%s", choice.sentence)
    for note in choice.notes:
        _log.warning("%s", note)
    return FaceClassifier(
        bundle,
        backend,
        choice=choice,
        temperature=temperature,
        config=config,
    )


def _precision(word: str | None) -> Precision | None:
    if word is None:
        return None
    try:
        return Precision(word)
    except ValueError as error:
        names = ", ".join(item.value for item in Precision)
        raise UsageError(
            f"got the precision {word!r}, expected one of {names}; leave it out for what suits "
            "this machine"
        ) from error


def _temperature(bundle: Bundle, choice: ModelChoice) -> float:
    """Of the precision's main model: variants and engines are made from it and answer alike."""
    usable, missing = usable_temperatures(bundle)
    precision = choice.spec.precision
    if precision in usable:
        return usable[precision]
    for sentence in missing:
        if sentence.startswith(f"Temperature of {precision.value}:"):
            _log.info("%s", sentence)
    return 1.0
