"""Clips with known truth: drawn people who move about in a room and change their expression.

They stand in for video that nobody may redistribute, where tracking, smoothing and `edge-arm run`
are tried. No face is ever in front of another. How well a model reads people is not in them.

Shapes: H, W height and width of a frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.clip_actor import Actor, Place, Position
from edge_arm.data.clip_backdrop import draw_backdrop
from edge_arm.data.clip_sprite import CutOuts, Person
from edge_arm.data.face_parameters import Light, Pose, sample_identity
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import UsageError

Uint8Array = npt.NDArray[np.uint8]

SMALLEST_FACE_PX = 48
LARGEST_SIDE_PX = 8192
# Larger ones are enlarged: nobody sees a difference, and drawings take memory by their area.
_LARGEST_DRAWN_PX = 256
# A person's part of the frame in sides of the aligned face: hair and shoulders need room too.
_CELL_WIDTH, _CELL_HEIGHT = 1.5, 1.75
_DRAWINGS_KEPT = 16
_NOISE_MARGIN = 64


@dataclass(frozen=True)
class ClipConfig:
    """What decides every pixel of a clip.

    Attributes:
        width: of a frame in pixels.
        height: of a frame in pixels.
        frames_per_s: frame rate.
        seconds: length.
        faces: people in it.
        seed: any integer from 0.
        transition_s: that a change of expression takes.
        noise: standard deviation of the sensor's noise, in grey levels of 255.
    """

    width: int = 640
    height: int = 480
    frames_per_s: float = 30.0
    seconds: float = 10.0
    faces: int = 3
    seed: int = 0
    transition_s: float = 0.3
    noise: float = 3.0

    def __post_init__(self) -> None:
        if not 0.0 < self.frames_per_s <= 1000.0 or not 0.0 < self.seconds <= 3600.0:
            raise UsageError(
                f"got {self.seconds:g} s at {self.frames_per_s:g} frames per second, expected "
                "more than 0 s and up to 3600, and up to 1000 frames per second; choose others"
            )
        if self.seed < 0:
            raise UsageError(f"got seed {self.seed}, expected 0 or more; choose another seed")
        if not 0.0 <= self.transition_s <= 5.0 or not 0.0 <= self.noise <= 50.0:
            raise UsageError(
                f"got transitions of {self.transition_s:g} s and noise of {self.noise:g}, expected "
                "0 to 5 s and 0 to 50 grey levels; choose others"
            )
        if max(self.width, self.height) > LARGEST_SIDE_PX:
            raise UsageError(
                f"got frames of {self.width} x {self.height} pixels, expected sides of at most "
                f"{LARGEST_SIDE_PX}; choose smaller frames"
            )
        if self.faces < 0 or self.width < 2 or self.height < 2 or not self._fits():
            raise UsageError(
                f"got {self.faces} faces in frames of {self.width} x {self.height} pixels, "
                f"expected room for faces of {SMALLEST_FACE_PX} pixels and more; choose larger "
                "frames or fewer faces"
            )

    @property
    def num_frames(self) -> int:
        """At least one."""
        return max(1, round(self.seconds * self.frames_per_s))

    def _fits(self) -> bool:
        return self.faces == 0 or _face_px(self) >= SMALLEST_FACE_PX


@dataclass(frozen=True)
class FaceTruth:
    """One face of one frame.

    Attributes:
        box: the aligned face: what a training picture of it would show. It may reach over the edge.
        label: canonical name of the expression; in a transition the nearer end.
        identity: number of the person in the clip, from 0.
        in_transition: the expression is changing.
        visible: share of the box that is in the frame, above 0.
    """

    box: CropBox
    label: str
    identity: int
    in_transition: bool
    visible: float


class ClipFrame(NamedTuple):
    """A frame and the truth about it.

    Attributes:
        image_hwc: (H, W, 3) uint8 RGB of its own.
        faces: that are at least partly in it, by identity.
    """

    image_hwc: Uint8Array
    faces: tuple[FaceTruth, ...]


def clip_frames(config: ClipConfig) -> Iterator[ClipFrame]:
    """Draw a clip, frame by frame.

    Args:
        config: what to draw. The same one gives the same pixels with the same versions of NumPy
            and OpenCV.

    Yields:
        Frame number n belongs to the time n / frames_per_s.
    """
    sequence = np.random.SeedSequence([config.seed, 7])
    rng = np.random.default_rng(sequence)
    backdrop = draw_backdrop(config.width, config.height, rng)
    noise = rng.normal(
        0.0, config.noise, (config.height + _NOISE_MARGIN, config.width + _NOISE_MARGIN, 3)
    )
    noise = np.rint(noise).astype(np.int16)
    cast = [
        _Performer(config, place, np.random.default_rng(child))
        for place, child in zip(_places(config), sequence.spawn(config.faces), strict=True)
    ]
    for number in range(config.num_frames):
        time_s = number / config.frames_per_s
        lamp = 1.0 + 0.02 * math.sin(2.0 * math.pi * time_s / 3.9) + 0.004 * float(rng.normal())
        image = np.asarray(cv2.convertScaleAbs(backdrop, alpha=lamp), dtype=np.uint8)
        truths = []
        for identity, performer in enumerate(cast):
            truth = performer.enter(image, time_s, identity=identity, lamp=lamp)
            if truth is not None:
                truths.append(truth)
        y, x = rng.integers(0, _NOISE_MARGIN, 2).tolist()
        grain = noise[y : y + config.height, x : x + config.width]
        noisy = cv2.add(image, grain, dtype=cv2.CV_8U)
        yield ClipFrame(np.asarray(noisy, dtype=np.uint8), tuple(truths))


class _Performer:
    """A person with a part, and their drawings."""

    def __init__(self, config: ClipConfig, place: Place, rng: np.random.Generator) -> None:
        self._frame = (config.width, config.height)
        self._actor = Actor(
            place, seconds=config.seconds, transition_s=config.transition_s, rng=rng
        )
        self._face_px = min(math.ceil(place.face_px), _LARGEST_DRAWN_PX)
        person = Person(
            sample_identity(rng),
            Pose(yaw_deg=float(rng.uniform(-9.0, 9.0)), pitch_deg=float(rng.uniform(-5.0, 5.0))),
            Light(
                azimuth=float(rng.uniform(-1.0, 1.0)),
                elevation=float(rng.uniform(0.1, 0.8)),
                directional=float(rng.uniform(0.1, 0.4)),
                exposure=1.0,
                temperature=float(rng.uniform(-0.3, 0.3)),
                saturation=float(rng.uniform(0.8, 1.1)),
            ),
            self._face_px,
        )
        self._drawn = lru_cache(maxsize=_DRAWINGS_KEPT)(CutOuts(person).showing)

    def enter(
        self, image: Uint8Array, time_s: float, *, identity: int, lamp: float
    ) -> FaceTruth | None:
        """Put the person into a frame, in place.

        Args:
            image: (H, W, 3) uint8 RGB, changed.
            time_s: of the frame.
            identity: for the truth.
            lamp: brightness of the room, about 1.

        Returns:
            The truth; None if the aligned face is out of the frame.
        """
        position = self._actor.position(time_s)
        showing = self._actor.showing(time_s)
        brightness = lamp * self._actor.brightness(time_s)
        _put_in(image, self._drawn(showing.expression), self._matrix(position), brightness)
        side = round(position.face_px)
        corner = (round(position.x - 0.5 * side), round(position.y - 0.5 * side))
        box = CropBox(*corner, side, side)
        inside = _inside(box, *self._frame)
        if inside == 0.0:
            return None
        return FaceTruth(box, showing.label, identity, showing.in_transition, inside)

    def _matrix(self, position: Position) -> npt.NDArray[np.float64]:
        """(2, 3) from pixels of the cut-out to pixels of the frame."""
        # The face is in the middle of the P x P cut-out, P = 2 F; pixel centres are whole numbers.
        middle = self._face_px - 0.5
        scale = position.face_px / self._face_px
        turned = cv2.getRotationMatrix2D((middle, middle), -position.roll_deg, scale)
        matrix = np.asarray(turned, dtype=np.float64)
        matrix[:, 2] += np.array([position.x, position.y]) - 0.5 - middle
        return matrix


def _put_in(
    image: Uint8Array, cut_out: Uint8Array, matrix: npt.NDArray[np.float64], brightness: float
) -> None:
    """Mix a cut-out (rows, P, 4) into a frame; its last row goes on down to the floor."""
    height, width = image.shape[:2]
    rows, columns = cut_out.shape[:2]
    corners = np.array([(0, 0), (columns, 0), (0, rows), (columns, rows)]) @ matrix[:, :2].T
    corners += matrix[:, 2]
    # The trunk leans with the person, so it may come out at the side of the upper corners.
    lean = abs(matrix[0, 1] / matrix[0, 0]) * height
    left = max(math.floor(corners[:, 0].min() - lean), 0)
    right = min(math.ceil(corners[:, 0].max() + lean), width)
    top = max(math.floor(corners[:, 1].min()), 0)
    if left >= right or top >= height:
        return
    shifted = matrix.copy()
    shifted[:, 2] -= (left, top)
    part = image[top:, left:right]
    person = cv2.warpAffine(
        cut_out,
        shifted,
        (right - left, height - top),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    behind = 1.0 - person[:, :, 3:] * np.float32(1.0 / 255.0)
    mixed = part * behind + person[:, :, :3] * np.float32(brightness)
    part[:] = np.clip(mixed + 0.5, 0.0, 255.0).astype(np.uint8)


def _inside(box: CropBox, width: int, height: int) -> float:
    """Share of a box that is in the frame."""
    across = min(box.x + box.width, width) - max(box.x, 0)
    down = min(box.y + box.height, height) - max(box.y, 0)
    return max(across, 0) * max(down, 0) / (box.width * box.height)


def _grid(config: ClipConfig) -> tuple[int, int]:
    """Rows and columns of people that leave each the largest face."""
    best = max(
        range(1, config.faces + 1),
        key=lambda rows: _cell_face_px(config, rows, math.ceil(config.faces / rows)),
    )
    return best, math.ceil(config.faces / best)


def _cell_face_px(config: ClipConfig, rows: int, columns: int) -> float:
    across = config.width / columns / _CELL_WIDTH
    return min(across, config.height / rows / _CELL_HEIGHT)


def _face_px(config: ClipConfig) -> float:
    return _cell_face_px(config, *_grid(config))


def _places(config: ClipConfig) -> list[Place]:
    """Where each person stands: the back row first, because the next row stands before it."""
    if config.faces == 0:
        return []
    rows, columns = _grid(config)
    face_px = _face_px(config)
    cell_width, cell_height = config.width / columns, config.height / rows
    places = []
    for number in range(config.faces):
        row, column = divmod(number, columns)
        in_row = min(columns, config.faces - row * columns)
        # A last row that is not full stands in the middle.
        x = 0.5 * config.width + (column - 0.5 * (in_row - 1)) * cell_width
        exit_x = None
        if column == 0:
            exit_x = -1.2 * face_px
        elif column == in_row - 1:
            exit_x = config.width + 1.2 * face_px
        places.append(
            Place(
                x=x,
                y=(row + 0.5) * cell_height,
                sway_x=0.5 * (cell_width - 1.2 * face_px),
                sway_y=0.08 * face_px,
                face_px=face_px,
                exit_x=exit_x,
            )
        )
    return places
