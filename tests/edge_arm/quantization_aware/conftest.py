"""A few faces on disk, split."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from small_checkpoints import LABELS

from edge_arm.quantization_aware.fine_tuning import SplitFaces
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.preprocess import PreprocessSpec


def _faces(folder: Path, count: int, split: Split) -> FaceIndex:
    folder.mkdir()
    random = np.random.default_rng(count)
    samples = []
    for number in range(count):
        coarse = random.integers(0, 256, (5, 5, 3), np.uint8)
        path = folder / f"{number:03}.png"
        cv2.imwrite(str(path), cv2.resize(coarse, (32, 32)))
        samples.append(FaceSample(path.name, path, number % len(LABELS)))
    return FaceIndex("blots", split, LABELS, tuple(samples))


@pytest.fixture(scope="session")
def split_faces(tmp_path_factory: pytest.TempPathFactory) -> SplitFaces:
    folder = tmp_path_factory.mktemp("blots")
    train = _faces(folder / "train", 24, Split.TRAIN)
    return SplitFaces(train, _faces(folder / "validation", 12, Split.VALIDATION), seed=0)


@pytest.fixture(scope="session")
def pixels(split_faces: SplitFaces) -> np.ndarray:
    """(12, 32, 32, 3) uint8, the validation faces."""
    batches = face_batches(split_faces.validation, PreprocessSpec(size=32), 12)
    return next(iter(batches)).images_nhwc
