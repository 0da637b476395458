"""FER2013's csv, which holds its pictures as numbers, unpacked once into picture files.

::

    emotion,pixels,Usage
    0,70 80 82 ... 106 109 82,Training           2304 grey values of 48 x 48, row by row

Everything else here takes pictures on disk, and a person who looks at a wrong answer wants to open
it. So the faces are written once as PNG files into the workspace, in a folder named after the
csv's hash: another csv gets another folder, a copy is never half (it is renamed into place), and
two commands at the same time end with one. The csv is read row by row, twice for the first copy
and once (for its hash) after that.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from edge_arm.data.grey_png import grey_png
from edge_arm.data.listing import Problem, folder_entries
from edge_arm.runtime.errors import DataError, StorageError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.storage import folder_written_atomically, storage_error, write_json

SPLIT_OF_USAGE = {
    "Training": Split.TRAIN,
    "PublicTest": Split.VALIDATION,
    "PrivateTest": Split.TEST,
}
"""FER2013's own names; papers report PrivateTest and choose with PublicTest."""

SIDE = 48
_COLUMNS = ("emotion", "pixels", "usage")
_MANIFEST = "faces.json"
_SCHEMA_VERSION = 1
_BYTES_ON_DISK = 4096
"""Of one picture: 2420 bytes in a block of most file systems."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PixelFace:
    """One good row of the csv.

    Attributes:
        number: of the face, counted from 0 over all rows, bad ones included.
        row: in the file, for messages.
        usage: a key of `SPLIT_OF_USAGE`.
        emotion: as written; its reader judges it.
    """

    number: int
    row: int
    usage: str
    emotion: str

    @property
    def sample_id(self) -> str:
        """Such as "Training/00000.png"; also its place in the folder."""
        return f"{self.usage}/{self.number:05}.png"


@dataclass(frozen=True)
class UnpackedFaces:
    """The faces of a csv as pictures on disk.

    Attributes:
        csv_path: the file.
        folder: that holds the pictures.
        faces: good rows, in order.
        num_rows: good and bad ones.
        problems: bad rows, and pictures that are gone from the folder.
    """

    csv_path: Path
    folder: Path
    faces: tuple[PixelFace, ...]
    num_rows: int
    problems: tuple[Problem, ...]


def unpacked_faces(csv_path: Path, workspace: Path = Path("build")) -> UnpackedFaces:
    """The faces of FER2013's csv; written to disk if this csv was not unpacked here before.

    Args:
        csv_path: of the file.
        workspace: the pictures go to "faces" in it, 4 kB each (147 MB for the whole set).

    Raises:
        DataError: if the file is no such csv.
        StorageError: if the pictures cannot be written, or the disk lacks the room.
    """
    digest, num_lines = _hash_and_lines(csv_path)
    folder = workspace / "faces" / f"fer2013-{digest[:16]}"
    if not (folder / _MANIFEST).is_file():
        _require_room(folder, num_lines * _BYTES_ON_DISK)
        _log.info(
            "unpacking %d faces of %r once: %.0f MB in %r",
            num_lines - 1,
            str(csv_path),
            num_lines * _BYTES_ON_DISK / 1e6,
            str(folder),
        )
        try:
            with folder_written_atomically(folder) as temporary:
                _unpack(csv_path, temporary, digest)
        except StorageError:
            # Another command may have unpacked the same file in the meantime.
            if not (folder / _MANIFEST).is_file():
                raise
    return _read(csv_path, folder, digest)


def _hash_and_lines(path: Path) -> tuple[str, int]:
    digest, lines = sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                lines += piece.count(b"\n")
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror}), expected FER2013's csv; restore it"
        ) from error
    return digest.hexdigest(), lines


def _require_room(folder: Path, needed: int) -> None:
    above = next(place for place in folder.absolute().parents if place.exists())
    free = shutil.disk_usage(above).free
    if free < needed:
        raise StorageError(
            f"the faces need {needed / 1e6:.0f} MB in {str(folder)!r}, got a disk with "
            f"{free / 1e6:.0f} MB free, expected room for them; free some space or work in another "
            "folder"
        )


def _unpack(csv_path: Path, folder: Path, digest: str) -> None:
    """Write the pictures of all good rows, and what the rows say."""
    faces: list[tuple[int, int, str, str]] = []
    bad: list[tuple[int, str | None, str]] = []
    for usage in SPLIT_OF_USAGE:
        (folder / usage).mkdir()
    number = -1
    for number, (row, fields) in enumerate(_rows(csv_path)):
        usage = fields.get("usage", "")
        try:
            if usage not in SPLIT_OF_USAGE:
                raise ValueError(_usage_problem(fields))
            content = grey_png(_grey_values(fields["pixels"]), SIDE)
        except ValueError as error:
            # Without a usage nobody knows which part lacks a face, so all of them are spoilt.
            bad.append((row, usage if usage in SPLIT_OF_USAGE else None, str(error)))
            continue
        face = PixelFace(number, row, usage, fields["emotion"])
        try:
            (folder / face.sample_id).write_bytes(content)
        except OSError as error:
            raise storage_error(folder / face.sample_id, error) from error
        faces.append((number, row, usage, face.emotion))
    write_json(
        folder / _MANIFEST,
        {
            "schema_version": _SCHEMA_VERSION,
            "csv_sha256": digest,
            "num_rows": number + 1,
            "bad_rows": bad,
            "faces": faces,
        },
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Row number and fields by column, one row at a time; no fields if their number is wrong."""
    try:
        # utf-8-sig: an editor on Windows puts a mark before the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if not set(_COLUMNS) <= set(header):
                raise DataError(
                    f"{str(path)!r} begins with {','.join(header)[:80]!r}, expected the columns "
                    "emotion, pixels and Usage; take FER2013's fer2013.csv"
                )
            for values in reader:
                if len(values) == len(header):
                    found = zip(header, (value.strip() for value in values), strict=True)
                    yield reader.line_num, dict(found)
                elif values:
                    yield reader.line_num, {}
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror}), expected FER2013's csv; restore it"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} is not text (byte {error.start}), expected FER2013's csv; restore it"
        ) from error
    except csv.Error as error:
        raise DataError(
            f"{str(path)!r}, row {reader.line_num}: {error}, expected FER2013's csv; restore it"
        ) from error


def _usage_problem(fields: dict[str, str]) -> str:
    if not fields:
        return (
            "got another number of fields than the first row has, expected emotion, pixels, Usage"
        )
    return f"got the Usage {fields['usage'][:20]!r}, expected one of {', '.join(SPLIT_OF_USAGE)}"


def _grey_values(text: str) -> bytes:
    """The pixels of one row; a ValueError says what is wrong with them."""
    words = text.split()
    expected = f"{SIDE * SIDE} grey values from 0 to 255"
    if len(words) != SIDE * SIDE:
        raise ValueError(f"got {len(words)} pixels, expected {expected}")
    # int() alone accepts signs, underscores and other scripts' digits.
    if not text.isascii() or not "".join(words).isdigit():
        wrong = next(word for word in words if not (word.isascii() and word.isdigit()))
        raise ValueError(f"got the pixel {wrong[:20]!r}, expected {expected}")
    try:
        return bytes(map(int, words))
    except ValueError:
        wrong = next(word for word in words if int(word) > 255)
        raise ValueError(f"got the pixel {wrong[:20]!r}, expected {expected}") from None


def _read(csv_path: Path, folder: Path, digest: str) -> UnpackedFaces:
    manifest = folder / _MANIFEST
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
        if (value["schema_version"], value["csv_sha256"]) != (_SCHEMA_VERSION, digest):
            raise ValueError("another version or another csv")
        faces = tuple(PixelFace(*face) for face in value["faces"])
        problems = [
            Problem(
                f"{str(csv_path)!r}, row {row}: {text}; restore the row",
                None if usage is None else SPLIT_OF_USAGE[usage],
            )
            for row, usage, text in value["bad_rows"]
        ]
        num_rows = int(value["num_rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{str(manifest)!r} cannot be used ({error}), expected the list of the faces that were "
            f"unpacked from {str(csv_path)!r}; remove {str(folder)!r}, they are unpacked again"
        ) from error
    present = {
        f"{usage}/{name}" for usage in SPLIT_OF_USAGE for name in folder_entries(folder / usage)
    }
    problems += [
        Problem(
            f"{str(folder / face.sample_id)!r} is missing, expected row {face.row} of "
            f"{str(csv_path)!r} in it; remove {str(folder)!r}, the faces are unpacked again",
            SPLIT_OF_USAGE[face.usage],
        )
        for face in faces
        if face.sample_id not in present
    ]
    return UnpackedFaces(csv_path, folder, faces, num_rows, tuple(problems))
