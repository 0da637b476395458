"""What must hold before a training starts: errors in the first second, not after hours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_arm.runtime.errors import DataError, StorageError, UsageError
from edge_arm.runtime.faces import FaceIndex, require_every_class
from edge_arm.runtime.storage import written_atomically


@contextmanager
def output_folder(out_path: Path) -> Iterator[None]:
    """Prove that a checkpoint can be written, and make its folder.

    If the block fails, the folders made here are removed again, unless something is in them.

    Args:
        out_path: of the checkpoint.

    Raises:
        UsageError: if the name is not that of a safetensors file.
        StorageError: if nothing can be written there.
    """
    made = [folder for folder in out_path.parents if not folder.exists()]
    try:
        _require_writable(out_path)
        yield
    except BaseException:
        for folder in made:  # innermost first
            with suppress(OSError):
                folder.rmdir()
        raise


def require_usable_faces(train_index: FaceIndex, validation_index: FaceIndex) -> None:
    """Refuse faces that cannot train a model or cannot choose its best epoch.

    Args:
        train_index: faces to learn from.
        validation_index: faces that choose the epoch.

    Raises:
        DataError: if a class has no training face, or the two sets do not go together.
    """
    require_every_class(train_index, "training")
    if not len(validation_index):
        raise DataError(
            f"got no validation faces from {train_index.name!r}, expected at least one to choose "
            "the best epoch; raise --val-fraction"
        )
    if train_index.labels != validation_index.labels:
        raise DataError(
            f"got the classes {list(validation_index.labels.classes)} for validation, expected "
            f"those of training, {list(train_index.labels.classes)}; use one data set for both"
        )
    faces = {(sample.path, sample.crop) for sample in train_index.samples}
    shared = sum((sample.path, sample.crop) in faces for sample in validation_index.samples)
    if shared:
        raise DataError(
            f"got {shared} validation faces that are also trained on, expected none; "
            "split the training faces with split_validation"
        )


def require_a_face_for_each_process(step_sizes: Sequence[int], processes: int) -> None:
    """Refuse a training whose steps cannot be divided among its processes.

    Args:
        step_sizes: faces of each step of an epoch.
        processes: that train together.

    Raises:
        UsageError: if a step has fewer faces.
    """
    if min(step_sizes) < processes:
        raise UsageError(
            f"got a step of {min(step_sizes)} faces for {processes} processes, expected at least "
            "one for each; raise --batch-size, which counts the faces of all processes together, "
            "or start fewer"
        )


def _require_writable(out_path: Path) -> None:
    """Fail before hours of training, not after."""
    if out_path.suffix != ".safetensors":
        raise UsageError(
            f"got the checkpoint name {str(out_path)!r}, expected one that ends in .safetensors; "
            "use --out build/checkpoint.safetensors"
        )
    if out_path.is_dir():
        raise StorageError(
            f"cannot write {str(out_path)!r}: it is a folder; choose another name for --out"
        )
    probe = out_path.with_name(f".{out_path.stem}.probe{out_path.suffix}")
    try:
        with written_atomically(probe) as temporary:
            temporary.write_bytes(b"")
    except StorageError as error:
        raise StorageError(str(error).replace(probe.name, out_path.name)) from error
    probe.unlink(missing_ok=True)
