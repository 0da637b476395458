"""The faces whose answer changed, as a contact sheet inside the page.

Pictures of people: they go into the user's own HTML file and nowhere else, small, as `data:` URIs,
and only as many as a page can bear. One is in memory at a time, beside the text of those before.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.flips import FlippedFace
from edge_arm.runtime.images import read_image
from edge_arm.runtime.preprocess import resize_face
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import faces_text, model_name

MOST_FACES = 60
"""Shown for each precision, those of the largest margins first: the changes that need a reason."""

THUMBNAIL_SIZE = 96
"""Pixels; the square that a model sees, so a picture that is not square is squeezed as for it."""

_JPEG_QUALITY = 80


def contact_sheets(report: Report) -> str:
    """A sheet for each precision with changed answers, as HTML; empty where there are none.

    Args:
        report: with its flipped faces; their pictures are read from disk now.
    """
    sheets = []
    for drop in report.drops:
        name = model_name(drop.candidate)
        flipped = sorted(
            (face for face in report.flipped if model_name(face) == name),
            key=lambda face: (-face.reference_margin, face.sample_id),
        )
        if flipped:
            sheets.append(_sheet(name, flipped, report.labels.classes))
    if not sheets:
        return ""
    return (
        "".join(sheets) + '<p class="quiet">These are pictures of your data set. Mind its terms '
        "before you pass this file on, or write it without the contact sheet.</p>"
    )


def _sheet(name: str, flipped: Sequence[FlippedFace], classes: Sequence[str]) -> str:
    shown = flipped[:MOST_FACES]
    rest = len(flipped) - len(shown)
    more = f"; {rest:,} more are not shown" if rest else ""
    figures = "".join(_figure(face, name, classes) for face in shown)
    return (
        f"<h3>{name}: {faces_text(len(flipped))} with another answer</h3>"
        f'<p class="quiet">Largest margin of FP32 first{more}. Bold: the true emotion. The figure '
        "behind an answer is its margin, the top probability minus the second: near 0 it was a "
        "toss-up.</p>"
        f'<div class="sheet">{figures}</div>'
    )


def _figure(face: FlippedFace, name: str, classes: Sequence[str]) -> str:
    truth, before, after = (
        escape(classes[label])
        for label in (face.target, face.reference_answer, face.candidate_answer)
    )
    return (
        f"<figure>{_picture(face, name, classes)}<figcaption><b>{truth}</b>"
        f"{_answer('FP32', before, face.reference_margin, face.reference_answer == face.target)}"
        f"{_answer(name, after, face.candidate_margin, face.candidate_answer == face.target)}"
        f"<small>{escape(face.sample_id)}</small></figcaption></figure>"
    )


def _answer(model: str, answer: str, margin: float, right: bool) -> str:
    mark, css = ("\u2713", "pass") if right else ("\u2717", "fail")
    word = "right" if right else "wrong"
    return (
        f'<span>{model} {answer} <i class="{css}" role="img" aria-label="{word}">{mark}</i> '
        f"{margin:.2f}</span>"
    )


def _picture(face: FlippedFace, name: str, classes: Sequence[str]) -> str:
    alternative = escape(
        f"{face.sample_id}: {classes[face.target]}, FP32 answers {classes[face.reference_answer]}, "
        f"{name} {classes[face.candidate_answer]}"
    )
    try:
        content = thumbnail_jpeg(face.path, face.crop)
    except ImageError:
        # The figures are about the picture as it was when it was measured; say that it went.
        return '<p class="gone">This picture cannot be read any more.</p>'
    encoded = b64encode(content).decode("ascii")
    size = f'width="{THUMBNAIL_SIZE}" height="{THUMBNAIL_SIZE}"'
    return f'<img src="data:image/jpeg;base64,{encoded}" {size} alt="{alternative}">'


def thumbnail_jpeg(path: Path, crop: CropBox | None = None) -> bytes:
    """A picture at thumbnail size.

    Args:
        path: of the picture.
        crop: the face in it; None for the whole picture.

    Returns:
        The bytes of a JPEG file without metadata.

    Raises:
        ImageError: if the picture is missing or cannot be read.
    """
    small = resize_face(read_image(path, crop).image_hwc, THUMBNAIL_SIZE)  # (96, 96, 3) RGB
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    return bytes(encoded.tobytes())
