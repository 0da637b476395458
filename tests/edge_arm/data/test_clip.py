from __future__ import annotations

import hashlib
from itertools import pairwise

import cv2
import numpy as np
import pytest

from edge_arm.data.clip import ClipConfig, ClipFrame, FaceTruth, clip_frames
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.labels import RAFDB

FRAMES_PER_S = 4.0
SECONDS = 10.0


def drawn(**changes: float) -> list[ClipFrame]:
    """A clip of a frame every quarter of a second."""
    given: dict[str, float] = {"frames_per_s": FRAMES_PER_S, "seconds": SECONDS, **changes}
    return list(clip_frames(ClipConfig(**given)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip() -> list[ClipFrame]:
    return drawn(seed=1, width=360, height=270)


def of(clip: list[ClipFrame], identity: int) -> list[FaceTruth]:
    return [face for frame in clip for face in frame.faces if face.identity == identity]


def overlap(first: CropBox, second: tuple[int, int, int, int]) -> float:
    """Intersection over union."""
    x, y, w, h = second
    across = min(first.x + first.width, x + w) - max(first.x, x)
    down = min(first.y + first.height, y + h) - max(first.y, y)
    common = max(across, 0) * max(down, 0)
    return common / (first.width * first.height + w * h - common)


def test_a_clip_has_the_frames_that_were_asked_for(clip: list[ClipFrame]) -> None:
    assert len(clip) == 40
    assert {(frame.image_hwc.shape, str(frame.image_hwc.dtype)) for frame in clip} == {
        ((270, 360, 3), "uint8")
    }


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    def digest(seed: int) -> str:
        frames = drawn(seed=seed, seconds=0.5, width=160, height=120, faces=1)
        return hashlib.sha256(b"".join(frame.image_hwc.tobytes() for frame in frames)).hexdigest()

    assert digest(3) == digest(3)
    assert digest(3) != digest(4)


def test_a_frame_does_not_depend_on_the_frame_rate_but_for_its_noise() -> None:
    slow = drawn(seed=2, seconds=1.0, frames_per_s=2.0, width=160, height=120, faces=1, noise=0.0)
    fast = drawn(seed=2, seconds=1.0, frames_per_s=4.0, width=160, height=120, faces=1, noise=0.0)
    assert [frame.faces for frame in slow] == [frame.faces for frame in fast[::2]]
    # The lamp's own flicker is drawn for each frame: half a per cent of brightness.
    difference = slow[1].image_hwc.astype(int) - fast[2].image_hwc
    assert np.abs(difference).mean() < 3.0


def test_everybody_begins_neutral_and_changes_expression_at_a_moment_that_is_known(
    clip: list[ClipFrame],
) -> None:
    for identity in range(3):
        faces = of(clip, identity)
        labels = [face.label for face in faces]
        assert labels[0] == "neutral"
        changes = sum(before != after for before, after in pairwise(labels))
        # An expression is held for 1.6 to 3.2 s.
        assert 2 <= changes <= 6
        assert set(labels) <= set(RAFDB.classes)


def test_a_transition_lasts_as_long_as_it_was_asked_to() -> None:
    frames = drawn(seed=5, faces=1, frames_per_s=50.0, seconds=4.0, transition_s=0.4, width=160)
    moving = [face.in_transition for face in of(frames, 0)]
    starts = [i for i in range(1, len(moving)) if moving[i] and not moving[i - 1]]
    assert starts
    length = moving[starts[0] :].index(False)
    assert length == pytest.approx(20, abs=1)  # 0.4 s at 50 frames per second


def test_the_label_changes_in_the_middle_of_a_transition() -> None:
    faces = of(drawn(seed=5, faces=1, frames_per_s=50.0, seconds=4.0, width=160), 0)
    at = next(i for i in range(1, len(faces)) if faces[i].label != faces[i - 1].label)
    assert all(face.in_transition for face in faces[at - 6 : at + 6])
    assert not faces[at - 9].in_transition
    assert not faces[at + 9].in_transition


def test_people_walk_out_of_the_frame_and_come_back(clip: list[ClipFrame]) -> None:
    for identity in (0, 2):  # those at the sides
        there = [any(face.identity == identity for face in frame.faces) for frame in clip]
        assert there[0]
        assert there[-1]
        assert not all(there)
    assert len(of(clip, 1)) == len(clip)


def test_the_visible_share_is_what_of_the_box_is_in_the_frame(clip: list[ClipFrame]) -> None:
    cut = [face for frame in clip for face in frame.faces if 0.05 < face.visible < 0.95]
    assert cut
    for face in cut:
        ground = np.zeros((270, 360))
        box = face.box
        left, top = max(box.x, 0), max(box.y, 0)
        ground[top : max(box.y + box.height, 0), left : max(box.x + box.width, 0)] = 1.0
        assert face.visible == pytest.approx(ground.sum() / (box.width * box.height), abs=1e-9)


def test_no_face_is_in_front_of_another() -> None:
    for frame in drawn(seed=3, faces=7, frames_per_s=1.0, width=480, height=320):
        boxes = [face.box for face in frame.faces]
        for number, first in enumerate(boxes):
            for second in boxes[number + 1 :]:
                rectangle = (second.x, second.y, second.width, second.height)
                assert overlap(first, rectangle) == 0.0


def test_opencvs_face_finder_finds_the_faces_where_the_truth_says() -> None:
    cascade = cv2.CascadeClassifier(
        f"{cv2.data.haarcascades}haarcascade_frontalface_alt2.xml"  # type: ignore[attr-defined]
    )
    whole, hit, false = 0, 0, 0
    for seed in (1, 7):
        for frame in drawn(seed=seed, frames_per_s=1.0, width=480, height=360):
            grey = cv2.cvtColor(frame.image_hwc, cv2.COLOR_RGB2GRAY)
            found = [tuple(box) for box in cascade.detectMultiScale(grey, 1.1, 3, minSize=(40, 40))]
            for face in frame.faces:
                if face.visible == 1.0:
                    whole += 1
                    hit += any(overlap(face.box, box) > 0.5 for box in found)
            false += sum(all(overlap(face.box, box) < 0.1 for face in frame.faces) for box in found)
    # 0.985 over 8 clips, with 0.04 false ones in a frame.
    assert whole > 40
    assert hit / whole >= 0.95
    assert false <= 3


def test_the_background_shows_at_the_edge_of_a_person_without_a_halo() -> None:
    # A face's square of background would make the picture differ left and right of every head.
    with_people = drawn(seed=6, faces=1, seconds=0.25, noise=0.0)[0]
    without = drawn(seed=6, faces=0, seconds=0.25, noise=0.0)[0]
    box = with_people.faces[0].box
    # Beside the crown of the head, inside the aligned face's square.
    corner = np.s_[box.y : box.y + 6, box.x : box.x + 6]
    difference = with_people.image_hwc[corner].astype(int) - without.image_hwc[corner]
    assert np.abs(difference).max() <= 3  # rounding, and the lamp
    face = np.s_[box.y + box.height // 2, box.x + box.width // 2]
    assert np.abs(with_people.image_hwc[face].astype(int) - without.image_hwc[face]).max() > 10


def test_a_clip_without_people_is_a_room() -> None:
    frames = drawn(faces=0, seconds=0.5, width=160, height=120)
    assert all(frame.faces == () for frame in frames)
    assert frames[0].image_hwc.std() > 10.0


def test_two_frames_of_the_same_room_differ_by_noise_and_light_alone() -> None:
    first, second = drawn(faces=0, seconds=0.5, width=160, height=120, noise=3.0)[:2]
    difference = first.image_hwc.astype(float) - second.image_hwc
    # Two draws of noise with a standard deviation of 3: 4.2.
    assert (difference - difference.mean()).std() == pytest.approx(4.2, abs=0.6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"faces": 20, "width": 160},
            "got 20 faces in frames of 160 x 480 .* room for faces of 48",
        ),
        ({"faces": -1}, "got -1 faces"),
        ({"width": 99_998}, "got frames of 99998 x 480 pixels, expected sides of at most 8192"),
        ({"seconds": 0.0}, "got 0 s at 30 frames per second, expected more than 0 s"),
        ({"frames_per_s": 2000.0}, "at 2000 frames per second"),
        ({"seed": -1}, "got seed -1, expected 0 or more"),
        ({"transition_s": -0.1}, "got transitions of -0.1 s"),
        ({"noise": 90.0}, "noise of 90, expected 0 to 5 s and 0 to 50 grey levels"),
    ],
)
def test_a_clip_that_cannot_be_drawn_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ClipConfig(**changes)  # type: ignore[arg-type]
