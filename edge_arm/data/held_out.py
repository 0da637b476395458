"""The faces that a temperature is fitted on: those that the training held out, told by hash."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from edge_arm.data.split import split_validation
from edge_arm.runtime.calibration_faces import calibration_faces, calibration_index
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.temperature import FittedOn, TemperatureFaces

MAX_FACES = 512
"""So many tell a temperature to about 5 per cent, and more would take the time of a calibration
again. Measured by simulation: logits normal with deviation 3 or 6, seven classes, T = 1.5."""

_USUAL_FRACTION = 0.1
_log = logging.getLogger(__name__)


def temperature_faces(
    bundle: Bundle,
    train_index: FaceIndex,
    *,
    own_validation: FaceIndex | None = None,
    seed: int = 0,
) -> TemperatureFaces:
    """The validation faces of the bundle's training, else its calibration faces.

    The bundle says how many faces were held out, with which seed, and the hash of their list; the
    split is made again, and taken only if it has that hash.

    Args:
        bundle: with an INT8 model, if the validation faces cannot be told.
        train_index: the training split, in the label order of its data set.
        own_validation: the validation part that the data set comes with, if it does.
        seed: of the draw, where there are more than `MAX_FACES`.

    Returns:
        The faces, with the model's class indices.

    Raises:
        DataError: if neither can be found in `train_index`.
    """
    held_out = validation_faces(bundle.manifest.source, train_index, own_validation)
    if held_out is not None:
        faces, kind = held_out, FittedOn.VALIDATION
    else:
        calibrated = calibration_faces(bundle)
        if calibrated is None:
            raise DataError(
                f"the train split of {train_index.name!r} is not the one that this model was "
                "trained on, and the bundle has no calibration faces, expected one of the two to "
                "fit a temperature on; name the training set with --data and --root"
            )
        faces, kind = calibration_index(calibrated, train_index), FittedOn.CALIBRATION
        _log.warning(
            "the validation faces of this model's training are not known here, so temperatures are "
            "fitted on calibration faces, on which a model is surer than on new ones"
        )
    if len(faces) > MAX_FACES:
        chosen = np.random.default_rng(seed).permutation(len(faces))[:MAX_FACES]
        faces = faces.subset(np.sort(chosen))
    return TemperatureFaces(faces.relabelled(bundle.manifest.labels), kind)


def validation_faces(
    source: dict[str, Any], train_index: FaceIndex, own_validation: FaceIndex | None = None
) -> FaceIndex | None:
    """The faces that a training held out; None if they cannot be told with certainty.

    Args:
        source: of the manifest, as 'edge-arm train' and 'edge-arm export' hand it on.
        train_index: the training split, in the label order of its data set.
        own_validation: the validation part that the data set comes with, if it does.
    """
    data, metrics = source.get("data"), source.get("metrics")
    if not isinstance(data, dict) or not isinstance(metrics, dict):
        return None
    seed, num_faces = metrics.get("seed"), data.get("validation_faces")
    expected = data.get("validation_sha256")
    if own_validation is not None and own_validation.sha256 == expected:
        return own_validation
    if not isinstance(seed, int) or not isinstance(num_faces, int) or seed < 0:
        return None
    if not 0 < num_faces < len(train_index):
        return None
    # The fraction itself is not recorded: the usual one, and what was typed if it was a round one.
    share = num_faces / len(train_index)
    fractions = [_USUAL_FRACTION, *(round(share, digits) for digits in range(1, 5)), share]
    for fraction in dict.fromkeys(fractions):
        if not 0 < fraction < 1:
            continue
        try:
            _, validation = split_validation(train_index, fraction, seed)
        except DataError:  # too few faces to split: another set than the one that was trained on
            return None
        if validation.sha256 == expected:
            return validation
    return None
