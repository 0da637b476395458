"""Hair on the head and around the mouth, and headscarves."""

import numpy as np
import numpy.typing as npt

from edge_arm.data.action_units import Expression
from edge_arm.data.face_canvas import Canvas
from edge_arm.data.face_geometry import Mouth, Points, chin_drop, ribbon, smooth
from edge_arm.data.face_parameters import RGB, FacialHair, HairStyle, Identity

_BEARD_OPACITY = {FacialHair.STUBBLE: 0.32, FacialHair.MOUSTACHE: 0.88, FacialHair.BEARD: 0.85}

# Image-right half of the hairline, from the middle of the forehead to the temple.
_HAIRLINES: dict[HairStyle, list[tuple[float, float]]] = {
    HairStyle.SHORT: [(0.0, -0.88), (0.34, -0.86), (0.56, -0.70), (0.68, -0.42), (0.75, -0.14)],
    HairStyle.FRINGE: [(0.0, -0.60), (0.30, -0.58), (0.54, -0.50), (0.66, -0.24), (0.73, 0.0)],
    HairStyle.LONG: [(0.0, -0.94), (0.24, -0.88), (0.50, -0.66), (0.66, -0.30), (0.71, 0.05)],
    HairStyle.CURLY: [(0.0, -0.84), (0.34, -0.82), (0.56, -0.66), (0.69, -0.40), (0.76, -0.12)],
}


def _shade(colour: RGB, factor: float) -> RGB:
    red, green, blue = (min(255.0, value * factor) for value in colour)
    return (red, green, blue)


def draw_back_hair(canvas: Canvas, identity: Identity) -> None:
    """Hair or cloth behind the head, before neck and face."""
    if identity.hair_style in (HairStyle.LONG, HairStyle.FRINGE):
        long = identity.hair_style is HairStyle.LONG
        width, bottom = 0.92 + 0.14 * identity.hair_volume, 1.5 if long else 0.75
        right = [(0.0, -1.36), (0.6, -1.2), (width, -0.6), (width + 0.04, 0.1), (0.84, bottom)]
        _fill_mirrored(canvas, smooth(right), _shade(identity.hair, 0.72))
    elif identity.hair_style is HairStyle.CURLY:
        _curls(canvas, identity, _shade(identity.hair, 0.8))
    elif identity.hair_style is HairStyle.SCARF:
        right = [(0.0, -1.38), (0.62, -1.2), (0.93, -0.6), (0.95, 0.2), (0.9, 1.0), (1.1, 1.6)]
        _fill_mirrored(canvas, smooth(right), _scarf_colour(identity))


def draw_front_hair(canvas: Canvas, identity: Identity) -> None:
    """Hair or cloth that lies on the forehead and beside the cheeks."""
    rng = np.random.default_rng([identity.texture_seed, 1])
    style = identity.hair_style
    if style is HairStyle.BALD:
        return
    if style is HairStyle.SCARF:
        _scarf_front(canvas, identity)
        return
    half = smooth(_HAIRLINES[style]) * [identity.face_width, 1.0]
    half[:, 1] -= 0.10 * (identity.age if identity.facial_hair is not FacialHair.NONE else 0.0)
    left_drop = float(rng.uniform(-0.06, 0.06))
    left = half * [-1.0, 1.0] + [0.0, left_drop] * np.linspace(1, 0, len(half))[:, None]
    hairline = np.concatenate([left[::-1], half[1:]])
    grow = 0.04 + 0.12 * identity.hair_volume
    end_y = float(half[-1, 1])
    right = [
        (0.0, -1.30 - grow),
        (0.52, -1.18 - grow),
        (0.76 * identity.face_width + grow, -0.75),
        (0.79 * identity.face_width + 0.8 * grow, -0.40),
        (0.78 * identity.face_width + 0.4 * grow, end_y),
    ]
    outer = smooth(right)
    canvas.fill(np.concatenate([hairline, outer[::-1], (outer * [-1.0, 1.0])[1:]]), identity.hair)
    if style is HairStyle.LONG:
        _curtains(canvas, identity)
    _strands(canvas, identity, hairline, rng)


def draw_facial_hair(
    canvas: Canvas, identity: Identity, expression: Expression, mouth: Mouth
) -> None:
    """Stubble, moustache or beard on the skin, before the lips are drawn."""
    kind = identity.facial_hair
    if kind is FacialHair.NONE:
        return
    drop = chin_drop(expression.action_units)
    rng = np.random.default_rng([identity.texture_seed, 2])
    colour = _shade(identity.hair, 0.95)

    def hair(inner: Canvas) -> None:
        inner.image[:] = colour
        _speckle(inner.image, rng, 16.0)

    if kind in (FacialHair.STUBBLE, FacialHair.BEARD):
        cheek_y = 0.28 if kind is FacialHair.BEARD else 0.33
        right = [
            (0.0, 0.60),
            (0.24, 0.62),
            (0.42, cheek_y + 0.14),
            (0.70, cheek_y - 0.2),
            (0.66, 0.50 + 0.3 * drop),
            (0.44 * identity.jaw_width, 0.84 * identity.face_length + drop),
            (0.18, 1.02 * identity.face_length + drop),
            (0.0, 1.04 * identity.face_length + drop),
        ]
        half = smooth(right)
        shape = np.concatenate([half, (half * [-1.0, 1.0])[-2:0:-1]])
        canvas.blended(shape, hair, _BEARD_OPACITY[kind])
    lip = mouth.upper_outer * [1.08, 1.0]
    top = smooth([(-0.20, 0.36), (-0.11, 0.315), (0.0, 0.30), (0.11, 0.315), (0.20, 0.36)])
    top[:, 1] += 0.5 * (float(lip[len(lip) // 2, 1]) - 0.44)
    ends = np.array([[float(lip[-1, 0]) + 0.03, float(lip[-1, 1]) + 0.03]])
    starts = np.array([[float(lip[0, 0]) - 0.03, float(lip[0, 1]) + 0.03]])
    canvas.blended(np.concatenate([starts, top, ends, lip[::-1]]), hair, _BEARD_OPACITY[kind])


def _curtains(canvas: Canvas, identity: Identity) -> None:
    """Long hair in front of the ears and the edge of the cheeks."""
    inner = 0.70 * identity.face_width
    for side in (-1, 1):
        edge = smooth([(inner - 0.03, -0.3), (inner, 0.1), (inner - 0.01, 0.6), (0.66, 1.5)])
        outer = smooth([(1.0, 1.5), (0.95, 0.5), (0.9, -0.4)])
        canvas.fill(np.concatenate([edge, outer]) * [side, 1.0], identity.hair)


def _strands(
    canvas: Canvas, identity: Identity, hairline: Points, rng: np.random.Generator
) -> None:
    """A few lighter and darker strands, so that hair is not paint."""
    curly = identity.hair_style is HairStyle.CURLY
    for _ in range(26):
        end = hairline[int(rng.integers(len(hairline)))] + rng.normal(0.0, 0.015, 2)
        root = np.array([end[0] * 0.75 + rng.normal(0.0, 0.1), -1.25])
        middle = 0.5 * (end + root) + [0.05 * np.sign(end[0]), -0.02] + rng.normal(0.0, 0.03, 2)
        if curly:
            root, middle = (
                end + [0.0, -0.14] + rng.normal(0.0, 0.05, 2),
                end + rng.normal(0.0, 0.05, 2),
            )
        line = smooth(np.array([root, middle, end]), steps=4)
        width = float(rng.uniform(0.012, 0.035)) * np.linspace(1.0, 0.3, len(line))
        canvas.fill(ribbon(line, width), _shade(identity.hair, float(rng.uniform(0.65, 1.5))))


def _curls(canvas: Canvas, identity: Identity, colour: RGB) -> None:
    rng = np.random.default_rng([identity.texture_seed, 3])
    reach = 0.86 + 0.3 * identity.hair_volume
    circle = np.linspace(0.0, 2.0 * np.pi, 14, endpoint=False)
    unit = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    for angle in np.linspace(-0.15 * np.pi, 1.15 * np.pi, 22):
        centre = np.array([np.cos(angle), -1.35 * np.sin(angle)]) * reach + [0.0, -0.2]
        radius = float(rng.uniform(0.14, 0.24))
        canvas.fill(unit * radius + centre * 0.9, _shade(colour, float(rng.uniform(0.85, 1.15))))


def _scarf_colour(identity: Identity) -> RGB:
    rng = np.random.default_rng([identity.texture_seed, 4])
    red, green, blue = rng.uniform(30.0, 220.0, 3).tolist()
    return (red, green, blue)


def _scarf_front(canvas: Canvas, identity: Identity) -> None:
    colour = _scarf_colour(identity)
    outer = smooth([(0.0, -1.4), (0.6, -1.2), (0.92, -0.6), (0.93, 0.3), (0.7, 1.1), (0.0, 1.5)])
    inner = smooth(
        [(0.0, -0.80), (0.42, -0.72), (0.64, -0.35), (0.66, 0.2), (0.5, 0.7), (0.3, 1.0)]
    )
    half = np.concatenate([outer, inner[::-1]])
    for side in (-1.0, 1.0):
        canvas.fill(half * [side, 1.0], _shade(colour, 1.0))
        canvas.fill(ribbon(inner * [side, 1.0], np.full(len(inner), 0.025)), _shade(colour, 0.7))


def _fill_mirrored(canvas: Canvas, half: Points, colour: RGB) -> None:
    canvas.fill(np.concatenate([half, (half * [-1.0, 1.0])[::-1]]), colour)


def _speckle(image: npt.NDArray[np.uint8], rng: np.random.Generator, deviation: float) -> None:
    height, width = image.shape[:2]
    noise = rng.normal(0.0, deviation, (height // 2 + 1, width // 2 + 1, 1))
    noise = noise.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    image[:] = np.clip(image + noise, 0, 255).astype(np.uint8)
