"""What is said of a drawn face is what it was drawn from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_arm.data.face_parameters import FaceParameters, Occlusion, sample_face, sample_identity
from edge_arm.data.registry import face_attributes, face_index
from edge_arm.data.synthesize import SynthesisConfig, face_of, synthesize
from edge_arm.data.synthetic_attributes import attributes_of
from edge_arm.runtime.faces import Split


@pytest.fixture(scope="module")
def face() -> FaceParameters:
    rng = np.random.default_rng(0)
    return sample_face(rng, "neutral", sample_identity(rng))


def _with(face: FaceParameters, **changes: object) -> FaceParameters:
    return replace(face, identity=replace(face.identity, **changes))


@pytest.mark.parametrize(
    ("skin", "group"),
    [
        ((247.0, 220.0, 204.0), "light"),
        ((190.0, 140.0, 104.0), "medium"),
        ((76.0, 50.0, 39.0), "deep"),
    ],
)
def test_skin_goes_by_its_colour(
    face: FaceParameters, skin: tuple[float, float, float], group: str
) -> None:
    assert attributes_of(_with(face, skin=skin))["skin"] == group


@pytest.mark.parametrize(("age", "group"), [(0.1, "young"), (0.5, "middle"), (0.9, "old")])
def test_age_goes_by_thirds(face: FaceParameters, age: float, group: str) -> None:
    assert attributes_of(_with(face, age=age))["age"] == group


def test_glasses_and_what_hides_the_face_are_said(face: FaceParameters) -> None:
    shown = _with(face, glasses=True)
    assert attributes_of(shown)["glasses"] == "yes"
    hidden = replace(shown, shot=replace(shown.shot, occlusion=Occlusion.HAND))
    bare = replace(shown, shot=replace(shown.shot, occlusion=Occlusion.NONE))
    assert attributes_of(hidden)["hidden"] == "yes"
    assert attributes_of(bare)["hidden"] == "no"


def test_the_three_depths_of_skin_are_about_as_frequent() -> None:
    rng = np.random.default_rng(1)
    drawn = Counter(
        attributes_of(sample_face(rng, "neutral", sample_identity(rng)))["skin"] for _ in range(600)
    )
    # A third each; 6 standard deviations of a share of 1/3 among 600 are 0.12.
    assert all(abs(count / 600 - 1 / 3) < 0.12 for count in drawn.values())
    assert len(drawn) == 3


def test_a_drawn_set_has_the_attributes_of_its_faces(tmp_path: Path) -> None:
    root = synthesize(tmp_path / "set", SynthesisConfig(70, 3), workers=1)
    index = face_index("synthetic", root, Split.TEST)
    skin, *others = face_attributes(root, index)
    assert [skin.name, *(item.name for item in others)] == ["skin", "age", "glasses", "hidden"]
    for number, sample in enumerate(index.samples, start=1):
        drawn = face_of(3, "test", number, sample.target, num_identities=5)  # 14 faces, 3 each
        assert skin.by_sample[sample.sample_id] == attributes_of(drawn)["skin"]

    before = (root / "attributes.csv").read_bytes()
    (root / "attributes.csv").unlink()  # as in a set drawn by an earlier version
    synthesize(root, SynthesisConfig(70, 3), workers=1)
    assert (root / "attributes.csv").read_bytes() == before
