from __future__ import annotations

import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.labels import (
    RAFDB,
    LabelSet,
    canonical_name,
    labels_from_json,
    labels_to_json,
)


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("Happy", "happiness"),
        (" SAD ", "sadness"),
        ("Angry", "anger"),
        ("surprised", "surprise"),
        ("fearful", "fear"),
        ("Disgusted", "disgust"),
        ("Neutral", "neutral"),
        ("contempt", "contempt"),
        ("Contemptuous", "contempt"),
    ],
)
def test_other_spellings_are_read_as_the_noun(spelling: str, canonical: str) -> None:
    assert canonical_name(spelling) == canonical


def test_rafdb_numbers_the_expressions_as_its_readme_does() -> None:
    # 1 Surprise, 2 Fear, 3 Disgust, 4 Happiness, 5 Sadness, 6 Anger, 7 Neutral; less one here.
    assert [RAFDB.index(name) for name in ("surprise", "happy", "neutral")] == [0, 3, 6]
    assert len(RAFDB) == 7


def test_an_unknown_expression_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"got the expression 'joy', expected one of surprise, "):
        RAFDB.index("joy")


def test_a_single_class_is_no_label_set() -> None:
    with pytest.raises(DataError, match=r"'one' has classes \['fear'\], expected at least 2"):
        LabelSet("one", ("fear",))


def test_a_class_cannot_be_named_twice() -> None:
    with pytest.raises(DataError, match="'two' names a class twice"):
        LabelSet("two", ("fear", "anger", "fear"))


def test_labels_survive_json() -> None:
    assert labels_from_json(labels_to_json(RAFDB)) == RAFDB


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"name": "x"},
        {"name": 1, "classes": ["a", "b"]},
        {"name": "x", "classes": "ab"},
        {"name": "x", "classes": ["a", 1]},
    ],
)
def test_labels_in_another_form_are_refused(value: object) -> None:
    with pytest.raises(DataError, match="as labels, expected an object with 'name' and a list"):
        labels_from_json(value)
