from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.preprocess import (
    PreprocessSpec,
    preprocess_from_json,
    preprocess_to_json,
    resize_face,
)

GOOD = {
    "size": 112,
    "layout": "NHWC",
    "dtype": "uint8",
    "color_order": "RGB",
    "interpolation": "area-or-linear",
    "mean": [0.5, 0.25, 0.125],
    "std": [1.0, 2.0, 4.0],
}


def test_a_face_of_the_right_size_is_returned_untouched() -> None:
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    assert resize_face(image, 4) is image


def test_shrinking_by_two_is_the_mean_of_each_block() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    blocks = image.reshape(4, 2, 4, 2, 3).mean((1, 3))
    # atol 0.5: the mean of four integers is rounded to one.
    np.testing.assert_allclose(resize_face(image, 4), blocks, rtol=0, atol=0.5)


def test_growing_is_bilinear() -> None:
    # Two columns, 0 and 100, to four: samples at -0.25, 0.25, 0.75, 1.25 of the distance,
    # clamped at the border.
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 100
    assert resize_face(image, 4)[0, :, 0].tolist() == [0, 25, 75, 100]


def test_a_face_that_shrinks_in_one_direction_only_is_bilinear() -> None:
    image = np.zeros((2, 8, 3), np.uint8)
    image[:, 4:] = 80
    resized = resize_face(image, 4)
    assert resized.shape == (4, 4, 3)
    assert resized[0, :, 0].tolist() == [0, 0, 80, 80]


def test_channels_stay_in_their_order() -> None:
    image = np.broadcast_to(np.array([10, 20, 30], np.uint8), (9, 5, 3))
    assert (resize_face(np.ascontiguousarray(image), 4) == [10, 20, 30]).all()


def test_the_json_form_says_the_whole_contract() -> None:
    spec = PreprocessSpec(size=112, mean=(0.5, 0.25, 0.125), std=(1.0, 2.0, 4.0))
    assert preprocess_to_json(spec) == GOOD
    assert preprocess_from_json(GOOD) == spec


@pytest.mark.parametrize(
    ("key", "value"), [("layout", "NCHW"), ("dtype", "float32"), ("color_order", "BGR")]
)
def test_another_contract_is_refused(key: str, value: str) -> None:
    with pytest.raises(BundleError, match=f"preprocessing has {key} '{value}', expected"):
        preprocess_from_json({**GOOD, key: value})


@pytest.mark.parametrize(
    "changed",
    [
        {"mean": [0.5, 0.5]},
        {"std": [1, 1, "x"]},
        {"std": [1, 1, 0]},
        {"std": [1, 1, math.nan]},
        {"size": 0},
        {"size": None},
        {"interpolation": "cubic"},
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="as preprocessing, expected size, layout, dtype"):
        preprocess_from_json({**GOOD, **changed})


@pytest.mark.parametrize("value", [None, [], {}])
def test_no_contract_at_all_is_refused(value: object) -> None:
    with pytest.raises(BundleError, match="as preprocessing, expected size, layout, dtype"):
        preprocess_from_json(value)
