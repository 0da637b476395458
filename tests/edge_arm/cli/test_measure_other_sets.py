"""A model measured on the faces of another set: by name, by box, and contempt only when told."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from miniature_affectnet import Row, write_csv_release

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.manifest import Precision

Lab = Any
"""The fixture of conftest.py, which no test file can import."""

AFFECTNET = {"fear": 4, "anger": 6, "neutral": 0, "contempt": 7}
YELLOW = [200, 200, 30]
FACES = 6


def _affectnet(lab: Lab) -> Path:
    """Faces in their class's colour on grey, in files that keep colours exactly."""
    colors = dict(zip(lab.classes, lab.colors.astype(int).tolist(), strict=True))
    colors["contempt"] = YELLOW
    kinds = (2, 3)  # PNG and BMP, see Row.path
    rows = [
        Row(5 * number + kinds[number % 2], AFFECTNET[name], color=colors[name])
        for number, name in enumerate(name for name in AFFECTNET for _ in range(FACES))
    ]
    training = [Row(1000, 0)]
    root: Path = write_csv_release(lab.folder / "AffectNet", training, rows)
    return root


def _measure(lab: Lab, bundle: Path, data: str, root: Path, *words: object) -> tuple[int, str]:
    found: tuple[int, str] = lab.run(
        "measure", "--data", data, "--root", root, "--bundle", bundle, *words
    )
    return found


def _accuracy(text: str, precision: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith(precision))


def test_classes_are_matched_by_name_and_faces_by_their_box(lab: Lab) -> None:
    root = _affectnet(lab)
    status, text = _measure(lab, lab.bundle(lab.swapped), "affectnet7", root)
    assert status == 0
    assert f"affectnet7, test: {3 * FACES} faces" in text
    assert _accuracy(text, "FP32") == "100.00"
    assert _accuracy(text, "INT8") == "33.33"


def test_contempt_is_refused_for_a_model_that_does_not_know_it(lab: Lab) -> None:
    root = _affectnet(lab)
    expected = (
        r"got the expression 'contempt' on 6 faces of the test split of 'affectnet8', expected "
        r"only expressions of the model \(fear, anger, neutral\); leave these faces out with "
        "--drop-classes contempt, or use another data set"
    )
    with pytest.raises(DataError, match=expected):
        _measure(lab, lab.bundle(lab.same), "affectnet8", root)


def test_contempt_is_left_out_when_told_and_the_report_says_so(lab: Lab) -> None:
    root, path = _affectnet(lab), lab.folder / "report.json"
    status, text = _measure(
        *(lab, lab.bundle(lab.same), "affectnet8", root),
        *("--drop-classes", "Contempt", "--json", path),
    )
    assert status == 0
    assert f"affectnet8, test: {3 * FACES} faces" in text
    sentence = (
        "Faces left out with --drop-classes: 6 of 'contempt'; every figure is about the other "
        "faces of the test split of 'affectnet8', and none compares with a published one."
    )
    assert sentence in text
    assert sentence in json.loads(path.read_text(encoding="utf-8"))["not_measured"]


@pytest.mark.parametrize("name", ["joy", "happiness"])
def test_only_expressions_of_the_set_can_be_dropped(lab: Lab, name: str) -> None:
    expected = f"got --drop-classes {name}, expected an expression of 'folder' .*fear, anger, neut"
    with pytest.raises(UsageError, match=expected):
        lab.measure(lab.bundle(lab.same), "--drop-classes", name)


def test_not_every_face_can_be_dropped(lab: Lab) -> None:
    words = [word for name in lab.classes for word in ("--drop-classes", name)]
    with pytest.raises(DataError, match="no face of the test split of 'folder' is left without 'f"):
        lab.measure(lab.bundle(lab.same), *words)


def test_an_expression_that_no_face_has_stays_an_answer_and_is_named(lab: Lab) -> None:
    # The model of four classes takes what is red for contempt and fear for something far away.
    colors = np.array([[255, 0, 255], *lab.colors[1:], lab.colors[0]], np.float32)
    models = {Precision.FP32: colors, Precision.INT8: colors}
    bundle = lab.bundle(models, classes=(*lab.classes, "contempt"))
    status, text = lab.measure(bundle)
    assert status == 0
    assert _accuracy(text, "FP32") == "66.67"
    assert (
        "Expressions of the model without a face in the test split of 'folder': 'contempt'; where "
        "the model answers one of them, it counts as wrong."
    ) in text


def test_a_model_with_contempt_is_measured_on_all_eight_without_a_remark(lab: Lab) -> None:
    root = _affectnet(lab)
    colors = np.array([YELLOW, *lab.colors], np.float32)
    models = {Precision.FP32: colors, Precision.INT8: colors}
    bundle = lab.bundle(models, classes=("contempt", *lab.classes))
    status, text = _measure(lab, bundle, "affectnet8", root)
    assert status == 0
    assert f"affectnet8, test: {4 * FACES} faces" in text
    assert _accuracy(text, "FP32") == "100.00"
    assert "without a face" not in text


def test_the_contact_sheet_shows_the_face_and_not_the_photograph(lab: Lab) -> None:
    root, page = _affectnet(lab), lab.folder / "report.html"
    _measure(lab, lab.bundle(lab.swapped), "affectnet7", root, "--html", page)
    pictures = re.findall(r"data:image/jpeg;base64,([\w+/=]+)", page.read_text(encoding="utf-8"))
    assert len(pictures) == 2 * FACES
    for picture in pictures:
        image = cv2.imdecode(np.frombuffer(b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(image.astype(int) - 128).max(axis=2).min() > 60  # JPEG; nowhere grey
