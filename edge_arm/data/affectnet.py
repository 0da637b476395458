"""AffectNet, in whichever of its releases is there: which one, and where.

`affectnet7` has the seven expressions that most papers report, `affectnet8` also contempt. The
validation part is the test split here: the test part was never published, and accuracies in papers
are on validation. So the validation part that chooses an epoch is split off the training part.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_arm.data.affectnet_annotations import has_annotations_release, read_annotations_release
from edge_arm.data.affectnet_csv import find_csv_release, read_csv_release
from edge_arm.data.affectnet_faces import PART_NAME, SEVEN_NAME, AffectNetFaces
from edge_arm.data.affectnet_sorted import has_sorted_faces, read_sorted_faces
from edge_arm.data.exclude_list import EXCLUDE_NAME, read_exclude_list
from edge_arm.data.listing import Listing, folder_entries, names_in_short
from edge_arm.runtime.errors import DataError

_RELEASES = (
    "'Manually_Annotated_Images' with 'Manually_Annotated_file_lists/training.csv' and "
    "'validation.csv' (2017), or 'train_set' and 'val_set' with 'images' and 'annotations' in each "
    "(2021), or 'train/0..7' and 'val/0..7'"
)
_Read = Callable[[AffectNetFaces], None]


def looks_like_affectnet(root: Path) -> bool:
    """Whether a folder holds a release, itself or one level down."""
    return root.is_dir() and bool(_found(root))


def list_affectnet(root: Path, name: str = SEVEN_NAME) -> Listing:
    """Find the faces of the release that is there; no picture is opened.

    Args:
        root: the folder of one of the releases, or the folder above it. A file `exclude.txt` in it
            names pictures to leave out.
        name: "affectnet7", or "affectnet8" with contempt.

    Returns:
        The listing: the training part as the training split, validation as the test split, classes
        in the order of `RAFDB`, contempt behind them.

    Raises:
        DataError: if the folder has another layout, or holds two releases.
    """
    found = _found(root)
    if len(found) > 1:
        raise DataError(
            f"{str(root)!r} holds {len(found)} releases of AffectNet "
            f"({', '.join(what for what, _ in found)}), expected one; point --root at one of them"
        )
    if not found:
        raise DataError(
            f"{str(root)!r} holds {names_in_short(folder_entries(root))}, expected {_RELEASES}; "
            f"{_nearly(root)}point --root at the folder that holds them"
        )
    faces = AffectNetFaces(name, root, read_exclude_list(root))
    _, read = found[0]
    read(faces)
    for split, samples in faces.samples.items():
        if not samples and not any(problem.concerns(split) for problem in faces.problems):
            faces.report(
                f"{str(root)!r} has no face in AffectNet's {PART_NAME[split]} part, expected some "
                f"of each expression; restore its pictures, or look into {EXCLUDE_NAME!r}",
                split,
            )
    return faces.listing()


def _found(root: Path) -> list[tuple[str, _Read]]:
    """The releases in a folder, else those in the folders below."""
    if here := _found_in(root):
        return here
    below = [root / name for name, entry in folder_entries(root).items() if entry.is_dir()]
    return [release for folder in below for release in _found_in(folder)]


def _found_in(home: Path) -> list[tuple[str, _Read]]:
    found: list[tuple[str, _Read]] = []
    release = find_csv_release(home)
    if release is not None:
        found.append((repr(str(release.pictures)), partial(read_csv_release, release)))
    if has_annotations_release(home):
        found.append((f"annotations in {str(home)!r}", partial(read_annotations_release, home)))
    if has_sorted_faces(home):
        found.append((f"numbered folders in {str(home)!r}", partial(read_sorted_faces, home)))
    return found


def _nearly(root: Path) -> str:
    """What is missing where half of the first release is there."""
    names = folder_entries(root)
    if any(name.startswith("Manually_Annotated_Images") for name in names):
        return "add its two csv files, "
    if "training.csv" in names or "validation.csv" in names:
        return "unpack its pictures beside the csv files, "
    return ""
