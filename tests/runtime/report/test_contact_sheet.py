"""The pictures of a report: few, small, described, and nobody's but the user's."""

from __future__ import annotations

import re
import tracemalloc
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.contact_sheet import (
    MOST_FACES,
    THUMBNAIL_SIZE,
    contact_sheets,
    thumbnail_jpeg,
)
from edge_arm.runtime.report.html_page import html_from_report
from edge_arm.runtime.report.json_form import report_to_json
from edge_arm.runtime.report.markdown_form import markdown_from_report
from edge_arm.runtime.report.report import Report

Whole = Callable[..., Report]
IMAGE = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)" [^>]*alt="([^"]+)">')


def of(report: Report, precision: Precision) -> Report:
    """The report with the flipped faces of one precision alone."""
    flipped = tuple(face for face in report.flipped if face.precision is precision)
    return replace(report, flipped=flipped)


def test_the_largest_margins_are_shown_and_the_rest_is_counted(whole_report: Whole) -> None:
    report = of(whole_report(), Precision.INT8)
    assert len(report.flipped) > MOST_FACES
    sheet = contact_sheets(report)
    margins = sorted((face.reference_margin for face in report.flipped), reverse=True)
    shown = [float(value) for value in re.findall(r"FP32 \w+ <i [^>]*>.</i> (\d\.\d\d)<", sheet)]
    assert shown == pytest.approx(margins[:MOST_FACES], abs=0.005)  # two decimals are printed
    assert f"{len(report.flipped) - MOST_FACES:,} more are not shown" in sheet
    assert len(IMAGE.findall(sheet)) == MOST_FACES


def test_each_picture_is_the_face_at_thumbnail_size_with_its_answers_in_words(
    whole_report: Whole,
) -> None:
    report = of(whole_report(), Precision.FP16)
    images = IMAGE.findall(contact_sheets(report))
    assert len(images) == len(report.flipped)
    faces = sorted(report.flipped, key=lambda face: (-face.reference_margin, face.sample_id))
    names = report.labels.classes
    for (encoded, alternative), face in zip(images, faces, strict=True):
        assert alternative == (
            f"{face.sample_id}: {names[face.target]}, FP32 answers {names[face.reference_answer]}, "
            f"FP16 {names[face.candidate_answer]}"
        )
        shown = cv2.imdecode(np.frombuffer(b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        original = cv2.imread(str(face.path), cv2.IMREAD_COLOR)
        assert original is not None
        expected = cv2.resize(
            original, (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=cv2.INTER_AREA
        )
        # JPEG at quality 80 moves single pixels, not the picture.
        difference = np.abs(shown.astype(int) - expected.astype(int)).mean()
        assert difference < 6.0


def test_right_and_wrong_answers_are_marked_in_words_too(whole_report: Whole) -> None:
    report = of(whole_report(), Precision.INT8)
    face = next(item for item in report.flipped if item.candidate_answer == item.target)
    sheet = contact_sheets(replace(report, flipped=(face,)))
    assert re.findall(r'aria-label="(\w+)"', sheet) == ["wrong", "right"]


def test_a_picture_that_has_vanished_is_said_to_be_gone(
    whole_report: Whole, tmp_path: Path
) -> None:
    report = of(whole_report(), Precision.FP16)
    gone = replace(report.flipped[0], path=tmp_path / "gone.jpg")
    sheet = contact_sheets(replace(report, flipped=(gone, *report.flipped[1:])))
    assert sheet.count("This picture cannot be read any more.") == 1
    assert len(IMAGE.findall(sheet)) == len(report.flipped) - 1
    assert gone.sample_id in sheet


def test_the_sheet_can_be_left_out(whole_report: Whole) -> None:
    report = whole_report()
    assert "data:image/jpeg" in html_from_report(report)
    assert "data:image/jpeg" not in html_from_report(report, contact_sheet=False)


def test_pictures_go_into_no_other_form(whole_report: Whole) -> None:
    report = whole_report()
    assert "data:image" not in markdown_from_report(report)
    value = report_to_json(report)
    assert "data:image" not in str(value)
    assert "path" not in value["candidates"][1]["flipped"][0]


def test_without_flips_there_is_no_sheet(whole_report: Whole) -> None:
    assert contact_sheets(replace(whole_report(), flipped=())) == ""


def test_memory_does_not_grow_with_the_number_of_changed_answers(whole_report: Whole) -> None:
    report = of(whole_report(), Precision.INT8)

    def peak(factor: int) -> int:
        many = replace(report, flipped=report.flipped * factor)
        tracemalloc.start()
        contact_sheets(many)
        bytes_used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return bytes_used

    peak(1)  # imports and caches
    # Twenty times as many cost only the sorted list of references: 134 faces are 1 kB of them.
    assert peak(20) < peak(1) + 200_000


def test_a_thumbnail_of_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("no picture", encoding="utf-8")
    with pytest.raises(ImageError, match="is not a picture"):
        thumbnail_jpeg(path)


def test_names_of_faces_are_escaped(whole_report: Whole) -> None:
    report = of(whole_report(), Precision.FP16)
    face = replace(report.flipped[0], sample_id='"><script>alert(1)</script>.jpg')
    assert "<script" not in contact_sheets(replace(report, flipped=(face,)))
