"""What a drawn face meets on its way to a file: light, occlusion, lens, sensor, JPEG."""

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.face_canvas import Canvas, Image
from edge_arm.data.face_geometry import EYE_Y, MOUTH_Y, Points, ribbon, smooth
from edge_arm.data.face_parameters import RGB, Camera, Identity, Light, Occlusion, Shot
from edge_arm.runtime.errors import DataError

Matrix = npt.NDArray[np.float32]


def lit(canvas: Canvas, light: Light) -> None:
    """Shade the whole canvas as if the head were an ellipsoid in this light."""
    view = canvas.view
    axis = (np.arange(view.size) + 0.5 - 0.5 * view.size) / view.unit_px
    nx = np.clip((axis - view.pose.shift_x) / 0.95, -0.95, 0.95).astype(np.float32)[None, :]
    ny = np.clip((axis - view.pose.shift_y) / 1.45, -0.95, 0.95).astype(np.float32)[:, None]
    squares = nx * nx + ny * ny
    nz = np.sqrt(np.maximum(1.0 - squares, np.float32(0.03)))
    source = np.array([light.azimuth, -light.elevation, 0.75])
    lx, ly, lz = (source / np.linalg.norm(source)).tolist()
    lambert = np.maximum(nx * lx + ny * ly + nz * lz, 0.0)
    gain = (1.0 - light.directional) + (light.directional * 1.35) * lambert
    gain *= 0.72 + 0.28 * nz
    # Behind the head the ellipsoid has no normal; fade to even light instead of a halo.
    inside = np.clip(3.0 - 3.0 * squares, 0.0, 1.0)
    gain = (0.85 + (gain - 0.85) * inside) * light.exposure
    picture = cv2.transform(canvas.image * gain[:, :, None].astype(np.float32), _grade(light))
    canvas.image[:] = np.clip(picture, 0.0, 255.0).astype(np.uint8)


def _grade(light: Light) -> Matrix:
    """Saturation, then contrast about mid-grey, then white balance, as one matrix (3, 4)."""
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    colour = light.contrast * (grey + (np.eye(3) - grey) * light.saturation)
    offset = np.full((3, 1), 118.0 * (1.0 - light.contrast))
    warmth = 0.16 * light.temperature * min(1.0, light.saturation * 4.0)
    balance = np.array([[1.0 + warmth], [1.0], [1.0 - warmth]])
    return np.asarray((balance * np.hstack([colour, offset])).astype(np.float32))


def occluded(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    """Put one thing between camera and face; its place comes from the shot's texture seed."""
    rng = np.random.default_rng([shot.texture_seed, 20])
    side = 1.0 if rng.random() < 0.5 else -1.0
    if shot.occlusion is Occlusion.HAND:
        _hand(canvas, identity, rng, side)
    elif shot.occlusion is Occlusion.HAIR:
        _loose_hair(canvas, identity, rng, side)
    elif shot.occlusion is Occlusion.SUNGLASSES:
        _sunglasses(canvas)
    elif shot.occlusion is Occlusion.SCARF:
        _scarf(canvas, rng)
    elif shot.occlusion is Occlusion.OBJECT:
        _object(canvas, rng)
    elif shot.occlusion is Occlusion.BORDER:
        _border(canvas, rng)


def photographed(image: Image, shot: Shot, size: int) -> Image:
    """Shrink the canvas and add what lens and sensor do.

    Args:
        image: (H, H, 3) uint8 RGB, at least `size` pixels wide.
        shot: its camera; its texture seed is also the seed of the noise.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    camera = shot.camera
    scale = size / 100.0  # camera lengths are in pixels of a 100x100 picture
    picture = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    if camera.motion_px * scale > 1.0:
        picture = cv2.filter2D(picture, -1, _motion_kernel(camera, scale))
    if camera.blur_px * scale > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), camera.blur_px * scale)
    rng = np.random.default_rng([shot.texture_seed, 21])
    noise = rng.standard_normal((size, size, 3), dtype=np.float32)
    noise = 0.75 * noise.mean(axis=2, keepdims=True) * 1.7 + 0.45 * noise  # mostly luminance
    noisy = picture.astype(np.float32) + noise * np.float32(camera.noise)
    return np.asarray(np.clip(np.rint(noisy), 0.0, 255.0).astype(np.uint8))


def jpeg_bytes(image: Image, quality: int) -> bytes:
    """Encode an RGB picture (H, W, 3) as JPEG.

    Raises:
        DataError: OpenCV could not encode it.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DataError(
            f"OpenCV could not encode a picture of shape {image.shape}, expected (H, W, 3) uint8;"
            " check that OpenCV was built with JPEG"
        )
    return encoded.tobytes()


def _motion_kernel(camera: Camera, scale: float) -> Matrix:
    length = camera.motion_px * scale
    side = int(np.ceil(length)) | 1
    kernel = np.zeros((side, side), dtype=np.float32)
    angle = np.radians(camera.motion_angle_deg)
    reach = 0.5 * (side - 1)
    for t in np.linspace(-reach, reach, 4 * side):
        x, y = int(round(reach + t * np.cos(angle))), int(round(reach + t * np.sin(angle)))
        kernel[y, x] += 1.0
    kernel /= kernel.sum()
    return kernel


def _random_colour(rng: np.random.Generator) -> RGB:
    red, green, blue = rng.uniform(15.0, 235.0, 3).tolist()
    return (red, green, blue)


def _dimmed(colour: RGB, factor: float) -> RGB:
    red, green, blue = (min(255.0, value * factor) for value in colour)
    return (red, green, blue)


def _hand(canvas: Canvas, identity: Identity, rng: np.random.Generator, side: float) -> None:
    """Four fingers from below, over a cheek or over the mouth."""
    reach = float(rng.uniform(-0.1, 0.45))
    across = float(rng.uniform(0.15, 0.75))
    for finger in range(4):
        x = side * (across + 0.15 * (finger - 1.5))
        tip = reach + (0.05, 0.0, 0.02, 0.12)[finger]
        line = smooth(np.array([[x + 0.2 * side, 1.5], [x + 0.05 * side, 0.8], [x, tip]]))
        width = np.full(len(line), 0.15)
        width[-3:] = [0.14, 0.12, 0.05]
        canvas.fill(ribbon(line, width + 0.012), _dimmed(identity.skin, 0.55))
        canvas.fill(ribbon(line, width), _dimmed(identity.skin, 0.92))


def _loose_hair(canvas: Canvas, identity: Identity, rng: np.random.Generator, side: float) -> None:
    """A lock over one eye and cheek, drawn as strands."""
    for _ in range(14):
        x = side * float(rng.uniform(0.12, 0.62))
        line = smooth(
            np.array([[0.25 * x, -1.2], [x, -0.5], [x + 0.12 * side, 0.1], [x + 0.1 * side, 0.8]])
        )
        colour = _dimmed(identity.hair, float(rng.uniform(0.7, 1.3)))
        canvas.fill(ribbon(line, np.linspace(0.07, 0.02, len(line))), colour)


def _sunglasses(canvas: Canvas) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    lens = np.stack([np.cos(angle) * 0.26, np.sin(angle) * 0.17 + 0.02], axis=1)
    for side in (-1.0, 1.0):
        canvas.fill(lens + [0.34 * side, EYE_Y], (22.0, 20.0, 22.0))
        canvas.stroke(np.array([[0.58 * side, -0.24], [0.85 * side, -0.26]]), (20.0,) * 3, 0.04)
    canvas.stroke(np.array([[-0.12, -0.22], [0.12, -0.22]]), (20.0,) * 3, 0.035)


def _scarf(canvas: Canvas, rng: np.random.Generator) -> None:
    """Cloth over chin and mouth."""
    colour, top = _random_colour(rng), float(rng.uniform(0.12, 0.42))
    edge = smooth(np.array([[-1.3, top + 0.1], [-0.5, top + 0.02], [0.4, top], [1.3, top + 0.15]]))
    canvas.fill(np.concatenate([edge, np.array([[1.6, 2.0], [-1.6, 2.0]])]), colour)
    for _ in range(5):
        fold = edge + [0.0, float(rng.uniform(0.1, 0.9))]
        canvas.stroke(fold, _dimmed(colour, 0.75), 0.02)


def _object(canvas: Canvas, rng: np.random.Generator) -> None:
    """A cup, a microphone, a telephone: a rounded patch of one colour at the edge of the face."""
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    power = float(rng.uniform(0.3, 1.0))
    unit = np.stack([np.sign(t) * np.abs(t) ** power for t in (np.cos(angle), np.sin(angle))], 1)
    centre = np.array([float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.1, 0.2)) + MOUTH_Y])
    shape: Points = unit * rng.uniform(0.16, 0.36, 2) + centre
    colour = _random_colour(rng)
    canvas.fill(shape, colour)
    canvas.fill((shape - centre) * [0.6, 0.8] + centre - [0.03, 0.02], _dimmed(colour, 1.1))


def _border(canvas: Canvas, rng: np.random.Generator) -> None:
    """A strip of one colour, as when the photograph ended before the face did."""
    size = canvas.view.size
    strip = int(size * float(rng.uniform(0.1, 0.28)))
    edge = int(rng.integers(4))
    window = (
        np.s_[:strip, :],
        np.s_[size - strip :, :],
        np.s_[:, :strip],
        np.s_[:, size - strip :],
    )
    canvas.image[window[edge]] = 0 if rng.random() < 0.7 else 255
