from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split, require_every_class
from edge_arm.runtime.labels import LabelSet

LABELS = LabelSet("three", ("fear", "anger", "neutral"))


def _index(*targets: int, folder: str = "here") -> FaceIndex:
    samples = tuple(
        FaceSample(f"{position}.jpg", Path(folder) / f"{position}.jpg", target)
        for position, target in enumerate(targets)
    )
    return FaceIndex("mini", Split.TEST, LABELS, samples)


def test_the_hash_is_over_ids_and_class_names_in_order() -> None:
    expected = sha256(b"0.jpg\tneutral\n1.jpg\tfear\n").hexdigest()
    assert _index(2, 0).sha256 == expected


def test_the_hash_does_not_depend_on_the_machines_folders() -> None:
    assert _index(2, 0).sha256 == _index(2, 0, folder="elsewhere").sha256


def test_the_hash_depends_on_the_order() -> None:
    index = _index(1, 1)
    assert index.subset([1, 0]).sha256 != index.sha256


def test_targets_and_counts_cover_every_class() -> None:
    index = _index(2, 0, 2)
    assert len(index) == 3
    assert index.targets.tolist() == [2, 0, 2]
    assert index.counts().tolist() == [1, 0, 2]


def test_an_empty_index_counts_nothing() -> None:
    assert _index().counts().tolist() == [0, 0, 0]


def test_a_subset_keeps_the_order_that_was_asked_for() -> None:
    chosen = _index(2, 0, 1).subset([2, 0])
    assert [sample.sample_id for sample in chosen.samples] == ["2.jpg", "0.jpg"]
    assert chosen.targets.tolist() == [1, 2]


def test_relabelling_goes_by_name() -> None:
    model = LabelSet("model", ("neutral", "happiness", "fear", "anger"))
    relabelled = _index(0, 1, 2).relabelled(model)
    assert relabelled.labels is model
    assert relabelled.targets.tolist() == [2, 3, 0]


def test_relabelling_to_the_same_classes_keeps_the_targets() -> None:
    same = LabelSet("another name", LABELS.classes)
    relabelled = _index(0, 2).relabelled(same)
    assert relabelled.labels is same
    assert relabelled.targets.tolist() == [0, 2]


def test_relabelling_does_not_change_what_the_hash_says() -> None:
    model = LabelSet("model", ("neutral", "fear", "anger"))
    assert _index(0, 1, 2).relabelled(model).sha256 == _index(0, 1, 2).sha256


def test_relabelling_refuses_a_class_that_the_model_does_not_know() -> None:
    model = LabelSet("model", ("anger", "neutral"))
    with pytest.raises(DataError, match="got the expression 'fear', expected one of anger, neut"):
        _index(0, 1).relabelled(model)


def test_relabelling_ignores_an_unknown_class_without_faces() -> None:
    model = LabelSet("model", ("anger", "neutral"))
    assert _index(1, 2).relabelled(model).targets.tolist() == [0, 1]


def test_a_class_without_faces_is_named_with_the_purpose() -> None:
    expected = (
        "calibration needs faces of every class, found none for 'fear', 'neutral' in the test"
    )
    with pytest.raises(DataError, match=expected):
        require_every_class(_index(1, 1), "calibration")


def test_an_index_with_every_class_passes() -> None:
    require_every_class(_index(0, 1, 2), "calibration")
