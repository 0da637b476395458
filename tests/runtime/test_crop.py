"""Boxes in pictures; the readers of AffectNet and RAF-DB test them on files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_arm.runtime.crop import CropBox, cropped
from edge_arm.runtime.errors import DataError, ImageError
from edge_arm.runtime.faces import FaceSample

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_a_box_is_columns_from_x_and_rows_from_y() -> None:
    np.testing.assert_array_equal(cropped(IMAGE, CropBox(1, 2, 3, 1), "x"), IMAGE[2:3, 1:4])


def test_the_face_does_not_keep_the_photograph_in_memory() -> None:
    assert cropped(IMAGE, CropBox(1, 2, 3, 1), "x").base is None


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (CropBox(-2, -1, 4, 3), slice(0, 2), slice(0, 2)),
        (CropBox(4, 3, 9, 9), slice(3, 4), slice(4, 6)),
        (CropBox(-9, -9, 99, 99), slice(0, 4), slice(0, 6)),
    ],
)
def test_a_box_over_the_edge_is_cut(box: CropBox, rows: slice, columns: slice) -> None:
    np.testing.assert_array_equal(cropped(IMAGE, box, "x"), IMAGE[rows, columns])


@pytest.mark.parametrize("box", [CropBox(6, 0, 1, 1), CropBox(0, 4, 1, 1), CropBox(-3, 0, 3, 4)])
def test_a_box_outside_is_refused(box: CropBox) -> None:
    with pytest.raises(ImageError, match="'x' has 6 x 4 pixels and the face box x .* is outside"):
        cropped(IMAGE, box, "x")


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, -1)])
def test_a_box_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"got a face box of {size[0]} x {size[1]} pixels, expec"):
        CropBox(0, 0, *size)


def test_a_name_says_its_box_in_the_form_of_media_fragments() -> None:
    assert CropBox(12, -8, 200, 210).fragment == "#xywh=12,-8,200,210"


def test_a_face_whose_name_hides_its_box_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        FaceSample("a.jpg", Path("a.jpg"), 0, CropBox(1, 2, 3, 4))
