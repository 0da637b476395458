"""Boxes and labels in a picture: inside it, seen on any ground, the same colour for a class."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest
from live_fakes import labelled, result

from edge_arm.runtime.labels import RAFDB, LabelSet
from edge_arm.runtime.live.annotation import annotated
from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
from edge_arm.runtime.preprocess import Uint8Array

HAPPINESS = (240, 228, 66)
"""Okabe and Ito's yellow."""


def changed(ground: Uint8Array, *faces: LabelledFace) -> np.ndarray:
    """(H, W) bool: where something was drawn."""
    drawn = annotated(result(ground, *faces), RAFDB)
    return (drawn != ground).any(axis=2)


@dataclass(frozen=True)
class Ground:
    id: str
    level: int


@pytest.mark.parametrize(
    "ground", [Ground("black", 0), Ground("grey", 128), Ground("white", 255)], ids=lambda g: g.id
)
def test_every_class_is_seen_on_any_ground(ground: Ground) -> None:
    picture = np.full((240, 320, 3), ground.level, np.uint8)
    for name in RAFDB.classes:
        drawn = annotated(result(picture, labelled(100, 100, 80, 80, label=name)), RAFDB)
        # Brightness by BT.601: the box and its edge, and the letters and their ground, must differ.
        luma = drawn @ np.array([0.299, 0.587, 0.114])
        outline, letters = luma[140, 96:106], luma[75:100, 100:200]
        assert np.ptp(outline) > 60
        assert np.ptp(letters) > 60


def test_the_picture_of_the_frame_is_left_as_it_was() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    annotated(result(picture, labelled(10, 10, 50, 50)), RAFDB)
    assert not picture.any()


def test_nothing_is_drawn_without_faces() -> None:
    assert not changed(np.full((50, 60, 3), 7, np.uint8)).any()


def test_the_box_is_drawn_where_the_face_is() -> None:
    rows, columns = np.nonzero(
        changed(np.zeros((480, 640, 3), np.uint8), labelled(99, 200, 90, 70))
    )
    # Columns from 99, rows up to 269, and half of a line of four pixels; the words are above.
    assert (columns.min(), rows.max()) == (97, 271)


def test_a_label_is_whole_wherever_the_face_is() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)

    def colored(x: int, y: int) -> int:
        drawn = annotated(result(picture, labelled(x, y, 60, 60)), RAFDB)
        return int((drawn == HAPPINESS).all(axis=2).sum())

    in_the_middle = colored(100, 100)
    for x, y in ((-20, -20), (290, 100), (100, 220), (290, 215), (0, 0)):
        # Lines of the box are cut off with it, the much larger ground of the words is not.
        assert colored(x, y) > 0.8 * in_the_middle


def test_lines_and_letters_grow_with_the_picture() -> None:
    small = changed(np.zeros((480, 640, 3), np.uint8), labelled(200, 200, 100, 100))
    large = changed(np.zeros((1920, 2560, 3), np.uint8), labelled(800, 800, 400, 400))
    # Sixteen times the pixels: what is drawn takes about the same share of the picture.
    assert large.mean() == pytest.approx(small.mean(), rel=0.4)


def test_a_picture_too_small_for_words_has_the_box_alone() -> None:
    drawn = changed(np.full((12, 12, 3), 90, np.uint8), labelled(0, 0, 12, 12))
    assert drawn[0].all()
    assert not drawn[5:7, 5:7].any()


def test_one_pixel_can_be_annotated() -> None:
    assert changed(np.full((1, 1, 3), 90, np.uint8), labelled(0, 0, 1, 1)).all()


def test_faces_of_a_few_pixels_in_a_crowd_have_no_words() -> None:
    ground = np.full((200, 200, 3), 90, np.uint8)
    drawn = changed(ground, *(labelled(x, y, 10, 10) for x in (20, 60) for y in (50, 90)))
    assert drawn[50, 20]
    for y, x in ((50, 20), (50, 60), (90, 20), (90, 60)):
        assert not drawn[y + 3 : y + 7, x + 3 : x + 7].any()
        drawn[y - 2 : y + 12, x - 2 : x + 12] = False
    assert not drawn.any()


def test_a_label_that_the_font_lacks_is_shown_by_its_number() -> None:
    labels = LabelSet("own", ("радость", "грусть"))
    ground = np.zeros((240, 320, 3), np.uint8)
    face = LabelledFace(labelled(50, 50, 80, 80).box, 1.0, None, "грусть", (0.1, 0.9), "грусть")
    plain = LabelSet("own", ("class 0", "class 1"))
    same = LabelledFace(face.box, 1.0, None, "class 1", (0.1, 0.9), "class 1")
    frame = result(ground).frame
    drawn = annotated(FrameResult(frame, (face,), 0.0), labels)
    assert (drawn == annotated(FrameResult(frame, (same,), 0.0), plain)).all()


def test_no_text_covers_another_face() -> None:
    picture = np.full((400, 400, 3), 90, np.uint8)
    # A wall of faces, each beside the next.
    faces = [labelled(x, y, 40, 40) for x in range(0, 400, 40) for y in range(0, 400, 40)]
    drawn = changed(picture, *faces)
    for face in faces:
        # The lower half of every face is seen, but for its lines.
        assert not drawn[face.box.y + 20 : face.box.y + 37, face.box.x + 3 : face.box.x + 37].any()
        # And its own words are in the upper one.
        assert drawn[face.box.y + 3 : face.box.y + 17, face.box.x + 3 : face.box.x + 30].any()


def test_large_faces_that_lie_on_each_other_have_a_label_each() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    one = changed(picture, labelled(100, 60, 120, 120)).sum()
    both = changed(picture, labelled(100, 60, 120, 120), labelled(110, 70, 120, 120)).sum()
    assert both > 1.6 * one


def test_thousands_of_faces_are_marked_in_seconds() -> None:
    picture = np.full((2000, 2000, 3), 90, np.uint8)
    faces = [labelled(x, y, 38, 38) for x in range(0, 2000, 40) for y in range(0, 2000, 40)]
    started = time.process_time()
    assert changed(picture, *faces).any()
    assert time.process_time() - started < 5.0  # 2,500 faces; seen: 1.3 s
