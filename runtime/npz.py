"""Arrays in one file that NumPy and every zip tool can open: the same arrays give the same bytes.

`numpy.savez` stamps the time into the archive, so the archive is put together here; nothing is
compressed, because the bytes of a compressor change with its version. Nothing is pickled: a pickle
runs code when it is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.storage import written_atomically

Array = npt.NDArray[Any]

_OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays, in the order given.

    Args:
        path: of the file; replaced if it exists.
        arrays: by name; numbers or text, no objects.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    with (
        written_atomically(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, array in arrays.items():
            content = io.BytesIO()
            # Not ascontiguousarray, which makes a scalar a vector.
            np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _OLDEST_ZIP_TIME), content.getvalue())


def read_npz(path: Path, names: Iterable[str]) -> dict[str, Array]:
    """Read some arrays.

    Args:
        path: of the file, whose hash the caller has checked.
        names: of the arrays that are needed.

    Raises:
        BundleError: if the file is damaged, lacks an array, or holds a pickle.
    """
    wanted = list(names)
    try:
        # By hand, because numpy.load leaves a broken archive open.
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            missing = [name for name in wanted if f"{name}.npy" not in present]
            found = {} if missing else {name: _array(archive, name) for name in wanted}
    except Exception as error:  # NumPy's header parser raises whatever Python's tokenizer does
        raise BundleError(
            f"{str(path)!r} cannot be read ({error}), expected an archive of arrays; copy it "
            "again, or make it again"
        ) from error
    if missing:
        raise BundleError(
            f"{str(path)!r} has no array {missing[0]!r}, expected {', '.join(wanted)}; make it "
            "again with this version of edge-arm"
        )
    return found


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as member:
        array: Array = np.lib.format.read_array(member, allow_pickle=False)
    return array
