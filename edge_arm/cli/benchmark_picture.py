"""The picture that the benchmark decodes and finds a face in: drawn, so that nobody's is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.benchmark.stages import Picture

WIDTH, HEIGHT = 640, 480
FACE = 260
"""Side of the face in pixels, as of a person at arm's length from a webcam."""
QUALITY = 90


def drawn_picture() -> Picture:
    """A JPEG of 640 x 480 pixels with one face before a wall; always the same."""
    import cv2
    import numpy as np

    from edge_arm.data.face_degradation import jpeg_bytes
    from edge_arm.data.face_drawing import draw_face
    from edge_arm.data.synthesize import face_of
    from edge_arm.runtime.benchmark.stages import Picture
    from edge_arm.runtime.crop import CropBox

    rng = np.random.default_rng(0)
    rough = rng.normal(0, 14, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.float32)
    wall = cv2.resize(rough, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 4, wall.shape)  # of a sensor; a smooth picture decodes faster than any
    image = np.clip(150 + wall + noise, 0, 255).astype(np.uint8)
    left, top = (WIDTH - FACE) // 2, (HEIGHT - FACE) // 2
    face = draw_face(face_of(0, "test", 1, 3, num_identities=8), size=FACE)
    image[top : top + FACE, left : left + FACE] = face
    return Picture(jpeg_bytes(image, QUALITY), CropBox(left, top, FACE, FACE))
