"""`temperature.json`: one number per model that makes its confidence believable.

Temperature scaling (statistics/temperature.py) divides all logits of a face by the same number. The
largest stays the largest, so **no answer and no accuracy can change by it**; only probabilities do.

Which faces it is fitted on decides what it is worth:

1. Never test faces: it would be fitted to what it is then judged by.
2. Validation faces, where they can be told again: the weights were not fitted to them. They chose
   the epoch, and some may have chosen INT8 ranges, which matters little.
3. Else the calibration faces. They are training faces, on which a network is surer than on new
   ones, so the temperature comes out too low and the model stays too sure of itself.

Shapes: N faces, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.bundle_file import bundle_with_file, versioned_json
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.predictions import PredictConfig, Predictions, predict_all
from edge_arm.runtime.statistics import fit_temperature
from edge_arm.runtime.storage import write_json

TEMPERATURE_NAME = "temperature.json"
SCHEMA_VERSION = 1
_MAKE = "calibrate again with 'edge-arm calibrate --data NAME'"
_log = logging.getLogger(__name__)


class FittedOn(Enum):
    """The kind of faces; see the numbered rules above."""

    VALIDATION = "validation"
    CALIBRATION = "calibration"


@dataclass(frozen=True)
class TemperatureFaces:
    """Faces to fit on.

    Attributes:
        index: the faces, with the model's class indices.
        kind: what they are to the model.
    """

    index: FaceIndex
    kind: FittedOn

    def __post_init__(self) -> None:
        if self.index.split is Split.TEST:  # rule 1
            raise UsageError(
                f"got the test split of {self.index.name!r} to fit a temperature on, expected "
                "training or validation faces: it would be judged by what it was fitted to"
            )


@dataclass(frozen=True)
class ModelTemperature:
    """What one model's logits are divided by.

    Attributes:
        temperature: above 1 for a model that is too sure of itself.
        nll_before: on the faces that it was fitted on, in nats.
        nll_after: with it, never larger.
        model_sha256: of the model file.
    """

    temperature: float
    nll_before: float
    nll_after: float
    model_sha256: str


@dataclass(frozen=True)
class StoredTemperatures:
    """The content of `temperature.json`.

    Attributes:
        models: by precision.
        left_out: why a model has none, by precision.
        kind: of the faces.
        data_name: of their data set.
        num_faces: N.
        data_sha256: over ids, labels and file contents of the faces, in order.
    """

    models: Mapping[Precision, ModelTemperature]
    left_out: Mapping[Precision, str]
    kind: FittedOn
    data_name: str
    num_faces: int
    data_sha256: str

    @property
    def origin(self) -> str:
        """What the temperatures were fitted on, for a report."""
        faces = f"{self.num_faces:,} {self.kind.value} faces of {self.data_name}"
        if self.kind is FittedOn.VALIDATION:
            return faces
        return f"{faces}, which the model was trained on, so it stays too sure"  # rule 3


def add_temperatures(
    bundle: Bundle,
    faces: TemperatureFaces,
    backends: Mapping[Precision, Backend],
    *,
    config: PredictConfig | None = None,
    progress: Callable[[int], None] | None = None,
) -> Bundle:
    """Fit the temperature of every model and put them into the bundle.

    Args:
        bundle: whose models they are.
        faces: to fit on, never test faces.
        backends: the bundle's model files, by precision.
        config: how faces are fed.
        progress: called with the number of faces after each call of each model.

    Returns:
        The bundle as it is now. Earlier temperatures are replaced, all of them.

    Raises:
        BundleError: if a backend runs another file than the bundle's.
        DataError, ImageError, InferenceError: see `predict_all`.
        StorageError: if the operating system refuses the write.
    """
    for precision, backend in backends.items():
        expected = bundle.manifest.artifact(precision).sha256
        if backend.info.model_sha256 != expected:
            raise BundleError(
                f"got the {precision.value} model {backend.info.model_sha256[:12]}... to fit a "
                f"temperature for, expected the bundle's, {expected[:12]}...; open that one"
            )
    answers = predict_all(
        backends, faces.index, config=config or PredictConfig(), progress=progress
    )
    stored = _fitted(answers, faces)
    for precision, reason in stored.left_out.items():
        _log.warning("no temperature for the %s model: %s", precision.value, reason)
    return bundle_with_file(
        bundle, TEMPERATURE_NAME, lambda path: write_json(path, _to_json(stored))
    )


def stored_temperatures(bundle: Bundle) -> StoredTemperatures | None:
    """The temperatures of a bundle; None if none were ever fitted.

    Args:
        bundle: whose file is verified and read.

    Raises:
        BundleError: if the file changed, is damaged, or of another version.
    """
    if TEMPERATURE_NAME not in bundle.manifest.files:
        return None
    try:
        value = versioned_json(bundle, TEMPERATURE_NAME, SCHEMA_VERSION, make=_MAKE)
        return _from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{str(bundle.path / TEMPERATURE_NAME)!r} does not hold together "
            f"({type(error).__name__}: {error}), expected fitted temperatures; {_MAKE}"
        ) from error


def usable_temperatures(bundle: Bundle) -> tuple[dict[Precision, float], tuple[str, ...]]:
    """The temperatures that belong to the models as they are now.

    Returns:
        Temperatures by precision, and a sentence for each precision that has none.

    Raises:
        BundleError: see `stored_temperatures`.
    """
    stored = stored_temperatures(bundle)
    usable: dict[Precision, float] = {}
    missing = []
    for precision in bundle.manifest.precisions():
        fitted = None if stored is None else stored.models.get(precision)
        if fitted is not None and fitted.model_sha256 == bundle.manifest.artifact(precision).sha256:
            usable[precision] = fitted.temperature
            continue
        if fitted is not None:
            reason = f"it was fitted for an earlier model; {_MAKE}"
        elif stored is not None and precision in stored.left_out:
            reason = stored.left_out[precision]
        else:
            reason = f"the bundle has none; {_MAKE}"
        missing.append(f"Temperature of {precision.value}: {reason}.")
    return usable, tuple(missing)


def _fitted(
    answers: Mapping[Precision, Predictions], faces: TemperatureFaces
) -> StoredTemperatures:
    models: dict[Precision, ModelTemperature] = {}
    left_out: dict[Precision, str] = {}
    for precision, given in answers.items():
        fit = fit_temperature(given.logits, given.targets)
        if given.right.all():
            # However sure the model is, surer is likelier; where the search ends says nothing.
            left_out[precision] = (
                f"all {len(given)} faces are answered rightly, which fits any certainty; "
                "fit it on more faces"
            )
        elif fit.at_limit:
            left_out[precision] = (
                f"{len(given)} faces give {fit.temperature:g}, the end of what is believed; "
                "fit it on more faces"
            )
        if precision in left_out:
            continue
        models[precision] = ModelTemperature(
            fit.temperature, fit.nll_before, fit.nll_after, given.info.model_sha256
        )
    some = next(iter(answers.values()))
    return StoredTemperatures(
        models=models,
        left_out=left_out,
        kind=faces.kind,
        data_name=faces.index.name,
        num_faces=len(faces.index),
        data_sha256=some.data_sha256,
    )


def _to_json(stored: StoredTemperatures) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "data": {
            "name": stored.data_name,
            "faces": stored.kind.value,
            "num_faces": stored.num_faces,
            "sha256": stored.data_sha256,
        },
        "models": {
            precision.value: {
                "temperature": item.temperature,
                "nll_before": item.nll_before,
                "nll_after": item.nll_after,
                "model_sha256": item.model_sha256,
            }
            for precision, item in stored.models.items()
        },
        "left_out": {precision.value: reason for precision, reason in stored.left_out.items()},
    }


def _from_json(value: dict[str, Any]) -> StoredTemperatures:
    """A KeyError, TypeError or ValueError says what is wrong."""
    return StoredTemperatures(
        models={
            Precision(name): ModelTemperature(
                temperature=_positive(item["temperature"]),
                nll_before=float(item["nll_before"]),
                nll_after=float(item["nll_after"]),
                model_sha256=str(item["model_sha256"]),
            )
            for name, item in value["models"].items()
        },
        left_out={Precision(name): str(reason) for name, reason in value["left_out"].items()},
        kind=FittedOn(value["data"]["faces"]),
        data_name=str(value["data"]["name"]),
        num_faces=int(value["data"]["num_faces"]),
        data_sha256=str(value["data"]["sha256"]),
    )


def _positive(value: Any) -> float:
    number = float(value)
    if not 0.0 < number < float("inf"):
        raise ValueError(f"the temperature is {value!r}")
    return number
