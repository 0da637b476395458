"""The end of `edge-arm calibrate`, on real models and pictures, tiny ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_arm.cli.temperatures import with_temperatures
from edge_arm.data.registry import face_index
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.manifest import Precision, open_bundle
from edge_arm.runtime.temperature import FittedOn, stored_temperatures


def _mislabelled(faces: Path, number: int) -> None:
    """Some faces of fear in the colour of anger, so that no certainty fits."""
    folder = faces / "train"
    (folder / "fear" / f"{number:02d}.png").write_bytes(
        (folder / "anger" / f"{number:02d}.png").read_bytes()
    )


def _calibrated_with(faces: Path) -> dict[str, Path]:
    paths = sorted((faces / "train").rglob("*.png"))
    return {f"train/{path.parent.name}/{path.name}": path for path in paths}


def test_every_model_of_the_bundle_gets_its_temperature(lab: Any) -> None:
    for number in range(4):
        _mislabelled(lab.faces, number)
    weak = lab.colors / np.float32(10_000)  # logits of some units, as a network's
    models = {Precision.FP32: weak, Precision.INT8: weak * np.float32(1.1)}
    bundle = open_bundle(lab.bundle(models, calibrated_with=_calibrated_with(lab.faces)))
    train_index = face_index("folder", lab.faces, Split.TRAIN)
    stored = stored_temperatures(with_temperatures(bundle, train_index))
    assert stored is not None
    assert list(stored.models) == [Precision.FP32, Precision.INT8]
    assert (stored.kind, stored.num_faces) == (FittedOn.CALIBRATION, 36)
    for item in stored.models.values():
        assert item.nll_after < item.nll_before


def test_faces_of_another_set_are_refused(lab: Any) -> None:
    bundle = open_bundle(lab.bundle(lab.same))
    train_index = face_index("folder", lab.faces, Split.TRAIN)
    with pytest.raises(DataError, match=r"has no 'gone.png', expected all 1 faces that calibrated"):
        with_temperatures(bundle, train_index)
