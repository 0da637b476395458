from __future__ import annotations

import pytest

from edge_arm.runtime.detection.detection_config import (
    DetectionConfig,
    SmallestFace,
    look_px_from_text,
    smallest_face_from_text,
)
from edge_arm.runtime.errors import UsageError


def test_the_larger_limit_counts() -> None:
    assert SmallestFace(pixels=50, share=0.1).side_px(480, 640) == 64.0
    assert SmallestFace(pixels=80, share=0.1).side_px(480, 640) == 80.0
    assert SmallestFace(pixels=0, share=0.1).side_px(1000, 200) == 100.0


def test_how_much_is_looked_at_is_read_from_text() -> None:
    assert look_px_from_text("640") == 640
    assert look_px_from_text("full") is None


@pytest.mark.parametrize("text", ["31", "0", "-640", "6.4", "all", ""])
def test_another_size_to_look_at_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"as the size to look at, expected 'full' or pixels of"):
        look_px_from_text(text)


def test_the_smallest_face_is_read_from_text() -> None:
    assert smallest_face_from_text("40") == SmallestFace(pixels=40, share=0.0)
    assert smallest_face_from_text("5%").share == pytest.approx(0.05)
    assert smallest_face_from_text("12.5%") == SmallestFace(pixels=0, share=0.125)


@pytest.mark.parametrize("text", ["0", "-4", "0%", "101%", "nan%", "big", "", "%", "4.5"])
def test_another_smallest_face_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"as the smallest face, expected pixels or a share of"):
        smallest_face_from_text(text)


def test_a_look_that_no_face_survives_is_refused() -> None:
    with pytest.raises(UsageError, match="got 31 pixels to look at, expected at least 32; use 640"):
        DetectionConfig(look_px=31)
