"""Everything that decides how one synthetic face looks, as frozen data sampled from a Generator.

A face is an identity (who), an expression (what it does), and a shot (how it was photographed).
The three are independent: a clip of one person is one identity and one shot with a changing
expression (`dataclasses.replace`), and the same expression can be drawn on many people. Drawing
itself takes no random numbers from outside: texture comes from seeds that are part of the data.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np

from edge_arm.data.action_units import Expression, sample_expression

RGB = tuple[float, float, float]
T = TypeVar("T")

# Skin from very light to very deep, sRGB 0..255; a face lies anywhere on the line between them.
_SKIN_TONES: tuple[RGB, ...] = (
    (247, 220, 204),
    (236, 198, 172),
    (219, 173, 139),
    (190, 140, 104),
    (152, 103, 72),
    (112, 73, 51),
    (76, 50, 39),
)
_HAIR_COLOURS: tuple[RGB, ...] = (
    (24, 20, 19),
    (46, 33, 26),
    (84, 56, 36),
    (126, 84, 48),
    (186, 148, 92),
    (146, 70, 36),
)
_IRIS_COLOURS: tuple[RGB, ...] = ((48, 30, 20), (88, 58, 34), (98, 106, 62), (92, 126, 156))


class HairStyle(Enum):
    """How the hair frames the face; a fringe can hide the brows, as it does in photographs."""

    BALD = "bald"
    SHORT = "short"
    FRINGE = "fringe"
    LONG = "long"
    CURLY = "curly"
    SCARF = "scarf"


class FacialHair(Enum):
    """What grows around the mouth."""

    NONE = "none"
    STUBBLE = "stubble"
    MOUSTACHE = "moustache"
    BEARD = "beard"


class Occlusion(Enum):
    """What stands between the camera and the face."""

    NONE = "none"
    HAND = "hand"
    HAIR = "hair"
    SUNGLASSES = "sunglasses"
    SCARF = "scarf"
    OBJECT = "object"
    BORDER = "border"


@dataclass(frozen=True)
class Identity:
    """A person at rest. Ratios are relative to the average face (1.0), ages and depths 0..1.

    Resting brows and mouth corners differ between people, so a neutral face may look a little
    sad or angry; that is one of the confusions the set is meant to have.
    """

    face_width: float = 1.0
    face_length: float = 1.0
    jaw_width: float = 1.0
    chin_width: float = 1.0
    eye_spacing: float = 1.0
    eye_size: float = 1.0
    eye_opening: float = 1.0
    eye_slant: float = 0.0  # outer corner above the inner, in face units
    lid_crease: float = 0.6
    brow_thickness: float = 1.0
    brow_height: float = 0.0  # upwards, in face units
    brow_slant: float = 0.0  # outer end upwards, in face units
    brow_arch: float = 1.0
    nose_width: float = 1.0
    nose_length: float = 1.0
    mouth_width: float = 1.0
    lip_fullness: float = 1.0
    mouth_corner: float = 0.0  # resting mouth corners downwards, in face units
    age: float = 0.3
    skin: RGB = (219.0, 173.0, 139.0)
    lips: RGB = (186.0, 108.0, 98.0)
    hair: RGB = (46.0, 33.0, 26.0)
    iris: RGB = (88.0, 58.0, 34.0)
    hair_style: HairStyle = HairStyle.SHORT
    hair_volume: float = 0.5
    facial_hair: FacialHair = FacialHair.NONE
    glasses: bool = False
    freckles: float = 0.0
    texture_seed: int = 0


@dataclass(frozen=True)
class Pose:
    """Head pose in degrees, and the error of the face crop (shift and scale of the frame).

    Yaw is positive towards the image's right, pitch positive downwards, roll clockwise. Shifts
    are shares of half the image side.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 0.85


@dataclass(frozen=True)
class Light:
    """One directional light over ambient light, then exposure, contrast and white balance."""

    azimuth: float = 0.0  # -1 from the image's left .. 1 from its right
    elevation: float = 0.4  # -1 from below .. 1 from above
    directional: float = 0.3  # share of the light that has a direction, 0..1
    exposure: float = 1.0
    contrast: float = 1.0
    temperature: float = 0.0  # -1 blue .. 1 orange
    saturation: float = 1.0


@dataclass(frozen=True)
class Camera:
    """What lens, sensor and file format do to the picture. Lengths are in pixels of 100x100."""

    blur_px: float = 0.0
    motion_px: float = 0.0
    motion_angle_deg: float = 0.0
    noise: float = 0.0  # standard deviation, grey levels of 255
    jpeg_quality: int = 90


@dataclass(frozen=True)
class Shot:
    """Pose, light, camera, background and occlusion of one photograph.

    `texture_seed` decides the background, the place of the occlusion and the sensor's noise.
    """

    pose: Pose = Pose()
    light: Light = Light()
    camera: Camera = Camera()
    occlusion: Occlusion = Occlusion.NONE
    texture_seed: int = 0


@dataclass(frozen=True)
class FaceParameters:
    """One face, completely: the same parameters always give the same picture."""

    identity: Identity
    expression: Expression
    shot: Shot


def sample_face(rng: np.random.Generator, expression: str, identity: Identity) -> FaceParameters:
    """Draw one photograph of `identity` showing the label `expression`."""
    return FaceParameters(identity, sample_expression(rng, expression), sample_shot(rng))


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw one person; skin is uniform over the whole human range, from very light to very deep."""
    tone = float(rng.uniform(0.0, len(_SKIN_TONES) - 1.0))
    skin = _jitter(rng, _between(_SKIN_TONES, tone), 4.0)
    age = float(rng.beta(1.6, 2.4))
    darkest = float(np.clip(rng.normal(0.0, 1.6) + 3.0 - tone, 0.0, len(_HAIR_COLOURS) - 1.0))
    hair = _jitter(rng, _between(_HAIR_COLOURS, darkest), 4.0)
    grey = float(np.clip((age - 0.55) * 2.5 * rng.random(), 0.0, 1.0))
    grown = float(rng.random()) < 0.45  # about half the people can grow a beard
    hair_styles = (0.14, 0.36, 0.0, 0.16, 0.28, 0.06) if grown else (0.0, 0.2, 0.22, 0.38, 0.1, 0.1)
    beards = (0.5, 0.2, 0.1, 0.2) if grown else (1.0, 0.0, 0.0, 0.0)
    lipstick = 0.0 if grown else float(rng.random() < 0.3) * float(rng.uniform(0.3, 0.8))
    return Identity(
        face_width=_around(rng, 1.0, 0.05),
        face_length=_around(rng, 1.0, 0.04),
        jaw_width=_around(rng, 1.04 if grown else 0.96, 0.07),
        chin_width=_around(rng, 1.0, 0.15),
        eye_spacing=_around(rng, 1.0, 0.04),
        eye_size=_around(rng, 1.0, 0.07),
        eye_opening=_around(rng, 1.0, 0.12),
        eye_slant=_around(rng, 0.01, 0.015),
        lid_crease=float(rng.uniform(0.0, 1.0)),
        brow_thickness=_around(rng, 1.15 if grown else 0.85, 0.2),
        brow_height=_around(rng, 0.0, 0.018),
        brow_slant=_around(rng, 0.0, 0.014),
        brow_arch=_around(rng, 1.0, 0.3),
        nose_width=_around(rng, 0.95 + 0.06 * tone, 0.1),
        nose_length=_around(rng, 1.0, 0.07),
        mouth_width=_around(rng, 1.0, 0.06),
        lip_fullness=_around(rng, 0.85 + 0.08 * tone, 0.15),
        mouth_corner=_around(rng, 0.0, 0.012),
        age=age,
        skin=skin,
        lips=_lip_colour(rng, skin, lipstick),
        hair=_mix(hair, (172.0, 170.0, 168.0), grey),
        iris=_jitter(rng, _between(_IRIS_COLOURS, max(0.0, float(rng.normal(2.2 - tone, 1)))), 6.0),
        hair_style=_choice(rng, tuple(HairStyle), hair_styles),
        hair_volume=float(rng.random()),
        facial_hair=_choice(rng, tuple(FacialHair), beards),
        glasses=bool(rng.random() < 0.13),
        freckles=float(rng.uniform(0.3, 1.0)) * float(rng.random() < 0.12),
        texture_seed=int(rng.integers(2**31)),
    )


def sample_shot(rng: np.random.Generator) -> Shot:
    """Draw the circumstances of one photograph."""
    kinds = (0.88, 0.025, 0.025, 0.02, 0.01, 0.02, 0.02)
    return Shot(
        pose=Pose(
            yaw_deg=_clipped(rng, 10.0, 28.0),
            pitch_deg=_clipped(rng, 6.0, 16.0),
            roll_deg=_clipped(rng, 3.5, 11.0),
            shift_x=_clipped(rng, 0.025, 0.07),
            shift_y=_clipped(rng, 0.025, 0.07),
            scale=float(rng.uniform(0.92, 1.06)),
        ),
        light=Light(
            azimuth=float(rng.uniform(-1.0, 1.0)),
            elevation=float(np.clip(rng.normal(0.4, 0.35), -0.6, 1.0)),
            directional=float(rng.uniform(0.05, 0.6)),
            exposure=float(np.exp(rng.normal(0.0, 0.12))),
            contrast=float(rng.uniform(0.8, 1.2)),
            temperature=_clipped(rng, 0.35, 1.0),
            saturation=float(rng.uniform(0.5, 1.2)) * float(rng.random() > 0.06),
        ),
        camera=Camera(
            blur_px=float(rng.gamma(1.4, 0.28)),
            motion_px=float(rng.uniform(2.0, 5.0)) * float(rng.random() < 0.08),
            motion_angle_deg=float(rng.uniform(0.0, 180.0)),
            noise=float(rng.gamma(1.5, 1.7)),
            jpeg_quality=int(rng.integers(45, 97)),
        ),
        occlusion=_choice(rng, tuple(Occlusion), kinds),
        texture_seed=int(rng.integers(2**31)),
    )


def _around(rng: np.random.Generator, mean: float, deviation: float) -> float:
    """Draw from a normal cut at 2.5 deviations: no monsters."""
    return mean + deviation * float(np.clip(rng.normal(), -2.5, 2.5))


def _clipped(rng: np.random.Generator, deviation: float, limit: float) -> float:
    return float(np.clip(rng.normal(0.0, deviation), -limit, limit))


def _choice(rng: np.random.Generator, options: tuple[T, ...], weights: tuple[float, ...]) -> T:
    return options[int(rng.choice(len(options), p=weights))]


def _mix(first: RGB, second: RGB, share: float) -> RGB:
    a, b, c = (x + (y - x) * share for x, y in zip(first, second, strict=True))
    return (a, b, c)


def _between(colours: tuple[RGB, ...], position: float) -> RGB:
    """The colour at a fractional position along a row of colours."""
    low = min(int(position), len(colours) - 2)
    return _mix(colours[low], colours[low + 1], min(position - low, 1.0))


def _jitter(rng: np.random.Generator, colour: RGB, deviation: float) -> RGB:
    a, b, c = np.clip(np.asarray(colour) + rng.normal(0.0, deviation, 3), 8.0, 250.0).tolist()
    return (a, b, c)


def _lip_colour(rng: np.random.Generator, skin: RGB, lipstick: float) -> RGB:
    bare = (skin[0] * 0.86, skin[1] * 0.66, skin[2] * 0.70)
    painted = (float(rng.uniform(120, 200)), float(rng.uniform(20, 70)), float(rng.uniform(40, 90)))
    return _mix(bare, painted, lipstick)
