"""Draws one synthetic face.

Back to front: background, hair behind, neck and ears, the head with its relief, features, hair in
front, glasses; then light, what stands in the way, and the camera. Everything is a function of
the parameters, so one face can be drawn again at another size or with another expression.
"""

from functools import partial

import cv2
import numpy as np

from edge_arm.data.action_units import Expression
from edge_arm.data.face_canvas import Canvas, Image
from edge_arm.data.face_degradation import lit, occluded, photographed
from edge_arm.data.face_geometry import (
    Eye,
    Mouth,
    Points,
    View,
    brow_line,
    eye_of,
    head_outline,
    mouth_of,
    ribbon,
    smooth,
)
from edge_arm.data.face_hair import draw_back_hair, draw_facial_hair, draw_front_hair
from edge_arm.data.face_parameters import RGB, FaceParameters, Identity
from edge_arm.data.face_relief import skin_relief

# Drawn this many times larger and shrunk; with anti-aliased edges more is not worth its time.
_OVERSAMPLING = 2
_SIDES = (-1, 1)


def draw_face(parameters: FaceParameters, *, size: int = 100) -> Image:
    """Draw one face.

    Args:
        parameters: what to draw.
        size: side of the square picture in pixels; blur and noise keep their look.

    Returns:
        (size, size, 3) uint8 RGB, before JPEG.
    """
    shot = parameters.shot
    view = View(shot.pose, size * _OVERSAMPLING)
    canvas = Canvas(_background(view.size, shot.texture_seed), view)
    paint_person(canvas, parameters.identity, parameters.expression)
    lit(canvas, shot.light)
    occluded(canvas, parameters.identity, shot)
    return photographed(canvas.image, shot, size)


def paint_person(canvas: Canvas, identity: Identity, expression: Expression) -> None:
    """Paint head, neck and collar over what is on a canvas, in even light.

    What is painted covers the canvas or is mixed into it by its share of a pixel, so the same
    person on black and on white tells how much of each pixel is person.
    """
    draw_back_hair(canvas, identity)
    _draw_neck_and_ears(canvas, identity)
    _draw_head(canvas, identity, expression)
    for side in _SIDES:
        _draw_eye(canvas, identity, eye_of(identity, expression, side))
    _draw_nostrils(canvas, identity, expression)
    mouth = mouth_of(identity, expression)
    draw_facial_hair(canvas, identity, expression, mouth)
    _draw_mouth(canvas, identity, mouth)
    for side in _SIDES:
        _draw_brow(canvas, identity, brow_line(identity, expression.side(side), side), side)
    draw_front_hair(canvas, identity)
    if identity.glasses:
        _draw_glasses(canvas, identity)


def _background(size: int, seed: int) -> Image:
    """Blurred patches of two or three colours, as behind a photographed head."""
    rng = np.random.default_rng([seed, 10])
    colour = rng.uniform(30.0, 215.0) + rng.normal(0.0, 22.0, 3)
    coarse = colour + rng.normal(0.0, float(rng.uniform(3.0, 45.0)), (5, 5, 3))
    coarse = np.clip(coarse, 0.0, 255.0).astype(np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 4))):
        low = rng.integers(-size // 4, size, 2)
        high = low + rng.integers(size // 8, size // 2, 2)
        shade = np.clip(colour + rng.normal(0.0, 50.0, 3), 0.0, 255.0).tolist()
        cv2.rectangle(image, low.tolist(), high.tolist(), shade, thickness=-1)
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 4.0)) * size / 200.0)
    return np.asarray(blurred, dtype=np.uint8)


def _shade(colour: RGB, factor: float) -> RGB:
    red, green, blue = (min(255.0, value * factor) for value in colour)
    return (red, green, blue)


def _mirrored(half: Points) -> Points:
    return np.concatenate([half, (half * [-1.0, 1.0])[::-1]])


def _draw_neck_and_ears(canvas: Canvas, identity: Identity) -> None:
    rng = np.random.default_rng([identity.texture_seed, 11])
    neck = smooth([(0.0, 0.6), (0.45, 0.6), (0.46, 1.05), (0.6, 1.25), (1.6, 1.5)])
    canvas.fill(_mirrored(neck), _shade(identity.skin, 0.72))
    red, green, blue = rng.uniform(20.0, 235.0, 3).tolist()
    collar = smooth([(0.0, 1.32), (0.4, 1.2), (0.7, 1.16), (1.6, 1.4), (1.6, 2.0)])
    canvas.fill(_mirrored(collar), (red, green, blue))
    ear = smooth(
        [(0.70, -0.22), (0.83, -0.27), (0.90, -0.14), (0.85, 0.08), (0.76, 0.19), (0.70, 0.1)]
    )
    for side in _SIDES:
        shape = ear * [side * identity.face_width, 1.0]
        canvas.fill(shape, _shade(identity.skin, 0.86))
        inner = shape * 0.72 + 0.28 * shape.mean(axis=0)
        canvas.fill(inner, _shade(identity.skin, 0.7))


def _draw_head(canvas: Canvas, identity: Identity, expression: Expression) -> None:
    """The skin: base colour, blood in cheeks and nose, uneven texture, relief."""
    view = canvas.view
    rng = np.random.default_rng([identity.texture_seed, 12])
    relief = skin_relief(identity, expression, view)
    coarse = rng.normal(0.0, 0.025, (9, 9)).astype(np.float32)
    relief = relief + cv2.resize(coarse, (view.size, view.size), interpolation=cv2.INTER_LINEAR)
    grain = rng.normal(0.0, 0.02 + 0.025 * identity.age, (100, 100)).astype(np.float32)
    relief = relief + cv2.resize(grain, (view.size, view.size), interpolation=cv2.INTER_LINEAR)
    skin = np.empty((view.size, view.size, 3), dtype=np.float32)
    # Blood shows in the shadows of skin: red fades less than green and blue.
    for channel, weight in enumerate((0.88, 1.04, 1.10)):
        skin[:, :, channel] = identity.skin[channel] * np.exp(relief * np.float32(weight))
    painted = np.clip(skin, 0.0, 255.0).astype(np.uint8)

    def skin_on(inner: Canvas) -> None:
        inner.image[:] = painted

    canvas.blended(head_outline(identity, expression.action_units), skin_on, 1.0)
    if identity.freckles > 0.0:
        _draw_freckles(canvas, identity, rng)


def _draw_freckles(canvas: Canvas, identity: Identity, rng: np.random.Generator) -> None:
    diamond = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])
    for _ in range(int(60 * identity.freckles)):
        centre = rng.normal(0.0, 1.0, 2) * [0.32, 0.10] + [0.0, 0.06]
        canvas.fill(diamond * float(rng.uniform(0.006, 0.014)) + centre, _shade(identity.skin, 0.8))


def _circle(centre: tuple[float, float], radius: float) -> Points:
    angle = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
    circle: Points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(circle * radius + centre, dtype=np.float64)


def _draw_eye(canvas: Canvas, identity: Identity, eye: Eye) -> None:
    opening = np.concatenate([eye.upper, eye.lower[::-1]])

    def ball(inner: Canvas) -> None:
        inner.image[:] = (226, 220, 216)
        x, y = eye.iris_centre
        inner.fill(_circle((x, y), eye.iris_radius), _shade(identity.iris, 0.55))
        inner.fill(_circle((x, y), eye.iris_radius * 0.82), identity.iris)
        inner.fill(_circle((x, y), eye.iris_radius * 0.42), (12.0, 10.0, 10.0))
        inner.fill(_circle((x - 0.022, y - 0.024), 0.016), (250.0, 250.0, 250.0))
        # The upper lid and its lashes throw a shadow on the eyeball.
        shadow = np.concatenate([eye.upper, eye.upper[::-1] + [0.0, 0.022]])
        inner.blended(shadow, _darkness, 0.45)

    canvas.blended(opening, ball, 1.0)
    lash = _shade(identity.skin, 0.18)
    taper = np.linspace(0.014, 0.030, len(eye.upper))
    canvas.fill(ribbon(eye.upper - [0.0, 0.006], taper), lash)
    canvas.stroke(eye.lower, _shade(identity.skin, 0.55), 0.012)


def _darkness(canvas: Canvas) -> None:
    canvas.image[:] = 20


def _draw_brow(canvas: Canvas, identity: Identity, line: Points, side: int) -> None:
    rng = np.random.default_rng([identity.texture_seed, 13, side + 1])
    along = np.linspace(0.0, 1.0, len(line))
    widths = 0.078 * identity.brow_thickness * (0.75 + 0.5 * along) * (1.0 - along**2.5 * 0.85)
    colour = _shade(identity.hair, 0.8)
    dark = max(colour) > 0.75 * max(identity.skin)  # fair or grey brows need to stand out
    shape = ribbon(line, widths)

    def hairs(inner: Canvas) -> None:
        inner.image[:] = _shade(identity.skin, 0.55) if dark else colour
        for _ in range(8):
            start = line[int(rng.integers(len(line)))] + rng.normal(0.0, 0.015, 2)
            hair = np.array([start, start + [0.03 * side, -0.02], start + [0.06 * side, -0.025]])
            inner.stroke(hair, _shade(identity.skin, float(rng.uniform(0.3, 0.8))), 0.008)

    canvas.blended(shape, hairs, 0.88)


def _draw_nostrils(canvas: Canvas, identity: Identity, expression: Expression) -> None:
    au = expression.action_units
    y = 0.215 * identity.nose_length - 0.055 * au.au9 - 0.018 * au.au10
    for side in _SIDES:
        x = 0.062 * identity.nose_width * side
        nostril = _circle((0.0, 0.0), 1.0) * [0.034 * (1 + 0.25 * au.au9), 0.015] + [x, y]
        canvas.fill(nostril, _shade(identity.skin, 0.3))


def _draw_mouth(canvas: Canvas, identity: Identity, mouth: Mouth) -> None:
    upper = np.concatenate([mouth.upper_outer, mouth.upper_inner[::-1]])
    lower = np.concatenate([mouth.lower_inner, mouth.lower_outer[::-1]])
    canvas.fill(lower, identity.lips)
    canvas.fill(upper, _shade(identity.lips, 0.82))
    middle = 0.5 * (mouth.lower_inner + mouth.lower_outer)[7:-7]
    canvas.blended(
        ribbon(middle, np.full(len(middle), 0.02)),
        partial(_paint, colour=_shade(identity.lips, 1.35)),
        0.5,
    )
    gap = np.concatenate([mouth.upper_inner, mouth.lower_inner[::-1]])
    canvas.blended(gap, partial(_draw_inside, mouth=mouth), 1.0)
    line = 0.5 * (mouth.upper_inner + mouth.lower_inner)
    height = mouth.lower_inner[:, 1] - mouth.upper_inner[:, 1]
    if float(height.max()) < 0.03:
        canvas.stroke(line, _shade(identity.lips, 0.38), 0.016)
    for corner in (line[:3], line[-3:]):
        canvas.stroke(corner, _shade(identity.lips, 0.42), 0.018)


def _paint(canvas: Canvas, colour: RGB) -> None:
    canvas.image[:] = colour


def _draw_inside(canvas: Canvas, mouth: Mouth) -> None:
    """Tongue and teeth in the dark of the open mouth."""
    canvas.image[:] = (52, 18, 20)
    middle = len(mouth.lower_inner) // 2
    floor = float(mouth.lower_inner[middle, 1])
    depth = floor - float(mouth.upper_inner[middle, 1])
    half = float(mouth.lower_inner[-1, 0] - mouth.lower_inner[0, 0]) / 2.0
    tongue = _circle((0.0, 0.0), 1.0) * [0.6 * half, 0.45 * depth]
    canvas.fill(tongue + [0.0, floor + 0.08 * depth], (156.0, 72.0, 76.0))
    along = np.linspace(-1.0, 1.0, len(mouth.upper_inner))
    bite = (1.0 - along**4)[:, None] * [0.0, 1.0]
    for edge, height in (
        (mouth.upper_inner, mouth.upper_teeth),
        (mouth.lower_inner, -mouth.lower_teeth),
    ):
        if height != 0.0:
            row = np.concatenate([edge, (edge + bite * height)[::-1]])
            canvas.fill(row, (232.0, 226.0, 214.0))
            for x in np.linspace(-0.7, 0.7, 7) * half:
                gap = np.array([[x, -1.0], [x, 1.0]]) * [1.0, 0.0] + [0.0, float(edge[middle, 1])]
                gap[1, 1] += height * 0.9
                canvas.stroke(gap, (196.0, 186.0, 174.0), 0.006)


def _draw_glasses(canvas: Canvas, identity: Identity) -> None:
    rng = np.random.default_rng([identity.texture_seed, 14])
    grey = float(rng.uniform(15.0, 110.0))
    frame = (grey, grey * float(rng.uniform(0.6, 1.0)), grey * float(rng.uniform(0.5, 1.0)))
    width = float(rng.uniform(0.018, 0.042))
    angle = np.linspace(0.0, 2.0 * np.pi, 33)
    square = float(rng.uniform(0.5, 1.0))
    rim = np.stack(
        [np.sign(t) * np.abs(t) ** square for t in (np.cos(angle), np.sin(angle))], axis=1
    )
    for side in _SIDES:
        lens = rim * [0.235, 0.175] + [0.35 * side * identity.eye_spacing, -0.18]
        canvas.stroke(lens, frame, width)
        bow = np.array([[0.585 * side, -0.22], [0.80 * side, -0.24]])
        canvas.stroke(bow, frame, width)
        glare = np.array([[-0.12, -0.1], [0.0, -0.14], [0.05, -0.12], [-0.09, 0.06]])
        canvas.blended(glare + lens.mean(axis=0), partial(_paint, colour=(240.0,) * 3), 0.16)
    bridge = smooth([(-0.12, -0.19), (0.0, -0.23), (0.12, -0.19)])
    canvas.stroke(bridge, frame, width)
