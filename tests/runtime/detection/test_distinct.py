from __future__ import annotations

import numpy as np

from edge_arm.runtime.detection.distinct import distinct


def _distinct(*boxes: tuple[float, float, float, float], scores: list[float]) -> list[int]:
    return distinct(np.array(boxes, np.float64).reshape(-1, 4), np.array(scores))


def test_a_box_that_lies_in_a_surer_one_goes() -> None:
    # The second lies wholly in the first; the third has 40 of its 100 pixels in it, which is not
    # more than half.
    boxes = [(0, 0, 20, 20), (5, 5, 10, 10), (16, 0, 10, 10)]
    assert _distinct(*boxes, scores=[3.0, 2.0, 1.0]) == [0, 2]


def test_a_large_box_around_a_surer_small_one_goes_as_well() -> None:
    assert _distinct((0, 0, 20, 20), (5, 5, 10, 10), scores=[1.0, 2.0]) == [1]


def test_a_box_is_not_dropped_for_one_that_was_dropped() -> None:
    # A row of boxes, each overlapping the next by 6 of 10: the first, third and fifth stay.
    boxes = [(4.0 * place, 0.0, 10.0, 10.0) for place in range(5)]
    assert _distinct(*boxes, scores=[5.0, 4.0, 3.0, 2.0, 1.0]) == [0, 2, 4]


def test_half_and_not_more_stays() -> None:
    assert _distinct((0, 0, 10, 10), (5, 0, 10, 10), scores=[2.0, 1.0]) == [0, 1]
    assert _distinct((0, 0, 10, 10), (4.9, 0, 10, 10), scores=[2.0, 1.0]) == [0]


def test_of_equally_sure_ones_the_first_stays() -> None:
    assert _distinct((1, 1, 9, 9), (0, 0, 10, 10), scores=[1.0, 1.0]) == [0]


def test_boxes_apart_in_one_direction_alone_are_two_faces() -> None:
    assert _distinct((0, 0, 10, 10), (0, 40, 10, 10), (40, 40, 10, 10), scores=[1, 2, 3]) == [
        2,
        1,
        0,
    ]


def test_no_boxes_are_no_faces() -> None:
    assert _distinct(scores=[]) == []
