"""A few small pictures whose class can be seen from their colour."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet

LABELS = LabelSet("three", ("fear", "anger", "neutral"))

MakeIndex = Callable[..., FaceIndex]


@pytest.fixture(scope="session")
def make_index(tmp_path_factory: pytest.TempPathFactory) -> MakeIndex:
    """Write `count` pictures and list them: `make_index(count, seed, split)`."""

    def make(count: int, seed: int = 0, split: Split = Split.TRAIN) -> FaceIndex:
        folder = tmp_path_factory.mktemp("faces")
        rng = np.random.default_rng(seed)
        samples = []
        for number in range(count):
            target = number % len(LABELS)
            picture = rng.integers(0, 120, (24, 24, 3), np.uint8)
            picture[..., target] += 120
            path = folder / f"{number:04}.png"
            cv2.imwrite(str(path), picture)
            samples.append(FaceSample(path.name, path, target))
        return FaceIndex("colours", split, LABELS, tuple(samples))

    return make


@pytest.fixture(scope="session")
def train_faces(make_index: MakeIndex) -> FaceIndex:
    return make_index(24, seed=1)


@pytest.fixture(scope="session")
def validation_faces(make_index: MakeIndex) -> FaceIndex:
    return make_index(9, seed=2, split=Split.VALIDATION)
