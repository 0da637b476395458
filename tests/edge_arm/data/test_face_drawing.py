from dataclasses import fields, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from edge_arm.data.action_units import ActionUnits, Expression, full_expression
from edge_arm.data.face_degradation import jpeg_bytes
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import (
    Camera,
    FaceParameters,
    FacialHair,
    HairStyle,
    Identity,
    Light,
    Occlusion,
    Pose,
    Shot,
    sample_face,
    sample_identity,
)
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.labels import RAFDB

MOUTH = np.s_[58:95, 25:75]
BROWS = np.s_[12:45, 15:85]


def face(units: ActionUnits, identity: Identity | None = None) -> npt.NDArray[np.uint8]:
    return draw_face(FaceParameters(identity or Identity(), Expression(units), Shot()))


def mean_difference(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def test_a_face_is_a_square_rgb_picture_of_a_hundred_pixels() -> None:
    picture = face(ActionUnits())
    assert (picture.shape, picture.dtype) == ((100, 100, 3), np.uint8)


def test_a_face_can_be_drawn_at_any_size() -> None:
    picture = draw_face(FaceParameters(Identity(), Expression(ActionUnits()), Shot()), size=37)
    assert picture.shape == (37, 37, 3)


def test_a_larger_drawing_shows_the_same_face() -> None:
    parameters = FaceParameters(Identity(), Expression(ActionUnits(au12=1.0)), Shot())
    small = draw_face(parameters)
    large = draw_face(parameters, size=200).reshape(100, 2, 100, 2, 3).mean(axis=(1, 3))
    # Skin grain and line widths round differently; another expression differs several times more.
    assert mean_difference(small, large.astype(np.uint8)) < 4.0


def test_the_same_parameters_give_the_same_pixels() -> None:
    rng = np.random.default_rng(3)
    parameters = sample_face(rng, "fear", sample_identity(rng))
    np.testing.assert_array_equal(draw_face(parameters), draw_face(parameters))


def test_sampling_is_decided_by_the_generator_alone() -> None:
    def sampled() -> FaceParameters:
        rng = np.random.default_rng(8)
        return sample_face(rng, "anger", sample_identity(rng))

    assert sampled() == sampled()


@pytest.mark.parametrize("label", [name for name in RAFDB.classes if name != "neutral"])
def test_every_expression_changes_mouth_or_brows_of_the_same_person(label: str) -> None:
    rest = face(ActionUnits())
    shown = face(full_expression(np.random.default_rng(0), label))
    change = max(mean_difference(rest[area], shown[area]) for area in (MOUTH, BROWS))
    assert change > 5.0


def test_any_two_full_expressions_of_one_person_differ() -> None:
    shown = {name: face(full_expression(np.random.default_rng(1), name)) for name in RAFDB.classes}
    for first, second in product(RAFDB.classes, repeat=2):
        if first < second:
            assert mean_difference(shown[first], shown[second]) > 1.5, (first, second)


def test_raising_the_lip_corners_leaves_the_brows_alone() -> None:
    smile = face(ActionUnits(au12=1.0))
    np.testing.assert_array_equal(smile[12:30], face(ActionUnits())[12:30])


def test_lowering_the_brows_leaves_the_mouth_alone() -> None:
    frown = face(ActionUnits(au4=1.0))
    np.testing.assert_array_equal(frown[MOUTH], face(ActionUnits())[MOUTH])


def test_a_stronger_smile_changes_the_mouth_more() -> None:
    rest = face(ActionUnits())[MOUTH]
    steps = [mean_difference(rest, face(ActionUnits(au12=s))[MOUTH]) for s in (0.3, 0.6, 1.0)]
    assert steps == sorted(steps)
    assert steps[0] > 0.5


def test_an_open_mouth_is_darker_inside() -> None:
    area = np.s_[70:80, 46:54]
    assert face(ActionUnits(au26=1.0))[area].mean() < face(ActionUnits())[area].mean() - 15.0


def test_deep_skin_is_drawn_darker_than_light_skin() -> None:
    cheek = np.s_[52:58, 26:32]
    light = face(ActionUnits(), Identity(skin=(247.0, 220.0, 204.0)))[cheek].mean()
    deep = face(ActionUnits(), Identity(skin=(76.0, 50.0, 39.0)))[cheek].mean()
    assert deep < light - 80.0


def test_skin_covers_the_whole_range_from_very_light_to_very_deep() -> None:
    reds = [sample_identity(np.random.default_rng(seed)).skin[0] for seed in range(200)]
    assert min(reds) < 95.0
    assert max(reds) > 235.0


@pytest.mark.parametrize("strength", [0.0, 1.5])
@pytest.mark.parametrize("label", RAFDB.classes)
def test_every_expression_can_be_drawn_from_nothing_to_beyond_full(
    label: str, strength: float
) -> None:
    units = full_expression(np.random.default_rng(2), label).scaled(strength)
    assert face(units).std() > 20.0


@pytest.mark.parametrize("name", [field.name for field in fields(ActionUnits)])
def test_every_action_unit_shows_in_the_picture(name: str) -> None:
    # Some only change what another has opened or folded.
    base = ActionUnits(au25=0.6)
    assert mean_difference(face(replace(base, **{name: 1.2})), face(base)) > 0.05


@pytest.mark.parametrize("style", HairStyle)
@pytest.mark.parametrize("beard", FacialHair)
def test_every_hair_can_be_drawn_and_differs_from_none(style: HairStyle, beard: FacialHair) -> None:
    bare = Identity(hair_style=HairStyle.BALD)
    if (style, beard) != (HairStyle.BALD, FacialHair.NONE):
        hairy = replace(bare, hair_style=style, facial_hair=beard)
        assert mean_difference(face(ActionUnits(), hairy), face(ActionUnits(), bare)) > 1.0


@pytest.mark.parametrize("occlusion", [kind for kind in Occlusion if kind is not Occlusion.NONE])
def test_every_occlusion_hides_a_part_of_the_face_but_not_all(occlusion: Occlusion) -> None:
    parameters = FaceParameters(Identity(), Expression(ActionUnits()), Shot())
    hidden = replace(parameters, shot=replace(parameters.shot, occlusion=occlusion))
    changed = (draw_face(parameters) != draw_face(hidden)).any(axis=2).mean()
    assert 0.02 < changed < 0.6


@pytest.mark.parametrize("corner", list(product((-1.0, 1.0), repeat=3)))
def test_extreme_pose_light_and_camera_still_give_a_picture(
    corner: tuple[float, float, float],
) -> None:
    yaw, pitch, light = corner
    shot = Shot(
        pose=Pose(40.0 * yaw, 25.0 * pitch, 25.0 * yaw, 0.3 * pitch, 0.3 * yaw, 1.3),
        light=Light(light, -light, 1.0, 1.4, 1.4, light, 0.0),
        camera=Camera(4.0, 9.0, 77.0, 30.0, 10),
    )
    identity = replace(sample_identity(np.random.default_rng(4)), glasses=True, freckles=1.0)
    picture = draw_face(FaceParameters(identity, Expression(ActionUnits(au43=1.0)), shot))
    assert picture.std() > 5.0


def test_glasses_are_drawn() -> None:
    bare = face(ActionUnits())
    assert mean_difference(face(ActionUnits(), Identity(glasses=True)), bare) > 0.5


def test_a_picture_that_jpeg_cannot_hold_is_refused() -> None:
    too_wide = np.zeros((1, 70_000, 3), dtype=np.uint8)  # JPEG ends at 65,500 here
    with pytest.raises(DataError, match=r"could not encode a picture of shape \(1, 70000, 3\)"):
        jpeg_bytes(too_wide, 90)
