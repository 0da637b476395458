"""AffectNet's releases in their exact layout, with drawn pictures: a colour where the face is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha224
from pathlib import Path

import cv2
import numpy as np

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
    "expression,valence,arousal"
)
LANDMARKS = ";".join(f"{20.25 + point};{7.5 + point / 2}" for point in range(68))
SUFFIXES = (".jpg", ".JPG", ".png", ".bmp", ".tif")
BOX = (20, 5, 12, 18)
"""x, y, width and height. With x and y changed places, most of it is grey."""

WIDTH, HEIGHT = 50, 30
ARRANGEMENTS = {
    "official": ("Manually_Annotated_Images", "Manually_Annotated_file_lists"),
    "beside": ("Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated"),
    "flat": ("Manually_Annotated_Images", "."),
    "above": ("Manually_Annotated/Manually_Annotated_Images", "."),
}
"""Folders of pictures and of lists."""


@dataclass(frozen=True)
class Row:
    """One face of the csv release.

    Attributes:
        number: tells pictures apart; also chooses folder and format.
        expression: as it is written.
        box: x, y, width, height as they are written.
        color: RGB of the face.
        content: of the picture's file, in place of a drawn one; None for no file at all.
    """

    number: int
    expression: object
    box: tuple[object, ...] = BOX
    color: tuple[int, int, int] = (10, 200, 90)
    content: bytes | None = field(default=b"draw")

    @property
    def path(self) -> str:
        """As the list names it: a folder and 56 hex digits."""
        name = sha224(str(self.number).encode()).hexdigest()
        return f"{self.number % 3 + 1}/{name}{SUFFIXES[self.number % len(SUFFIXES)]}"

    @property
    def text(self) -> str:
        box = ",".join(map(str, self.box))
        return f"{self.path},{box},{LANDMARKS},{self.expression},0.5,-0.25"

    @property
    def sample_id(self) -> str:
        return f"{self.path}#xywh={','.join(map(str, self.box))}"


def training_rows() -> list[Row]:
    """Two faces of each expression 0 to 7, then one of each of 8 to 10."""
    return [Row(n, n % 8) for n in range(16)] + [Row(16 + n, 8 + n) for n in range(3)]


def validation_rows() -> list[Row]:
    """One face of each of 0 to 10."""
    return [Row(100 + n, n) for n in range(11)]


def write_csv_release(
    root: Path,
    training: Iterable[Row] | None = None,
    validation: Iterable[Row] | None = None,
    arrangement: str = "official",
) -> Path:
    """The csv release; draws every picture that a row asks for."""
    pictures, lists = (root / name for name in ARRANGEMENTS[arrangement])
    pictures.mkdir(parents=True)
    lists.mkdir(parents=True, exist_ok=True)
    for name, rows in (
        ("training", training_rows() if training is None else [*training]),
        ("validation", validation_rows() if validation is None else [*validation]),
    ):
        write_list(lists / f"{name}.csv", [row.text for row in rows])
        for row in rows:
            path = pictures / row.path
            path.parent.mkdir(exist_ok=True)
            if row.content is not None:
                path.write_bytes(picture(row) if row.content == b"draw" else row.content)
    return root


def write_list(path: Path, rows: Sequence[str], header: str = HEADER) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", newline="")


def picture(row: Row) -> bytes:
    """A grey picture with the face's colour in the part of the box that is on it."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    try:
        x, y, width, height = map(int, map(float, map(str, row.box)))
    except ValueError:
        x, y, width, height = BOX
    image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = row.color[::-1]
    return cv2.imencode(Path(row.path).suffix.lower(), image)[1].tobytes()


def write_annotations_release(root: Path, train: dict[str, object], val: dict[str, object]) -> Path:
    """The .npy release: the array that each picture's `_exp.npy` holds, by picture's name."""
    for folder, faces in (("train_set", train), ("val_set", val)):
        images, annotations = root / folder / "images", root / folder / "annotations"
        images.mkdir(parents=True)
        annotations.mkdir()
        for name, value in faces.items():
            (images / name).touch()
            stem = Path(name).stem
            np.save(annotations / f"{stem}_exp.npy", np.array(value))
            np.save(annotations / f"{stem}_val.npy", np.array("0.25"))
            np.save(annotations / f"{stem}_lnd.npy", np.arange(136.0))
    return root
