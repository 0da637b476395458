"""`golden.npz`: a few drawn faces with their FP32 logits, so that a device can check itself.

Only synthetic faces go in: a bundle is copied around, and most face data sets may not be.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from edge_arm.export.check_images import DrawnFaces
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.storage import written_atomically

GOLDEN_NAME = "golden.npz"
_OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_golden(path: Path, drawn: DrawnFaces, logits: Float32Array) -> None:
    """Write the file; the same arrays give the same bytes.

    `numpy.savez` stamps the time into the archive, so the archive is put together here; nothing is
    compressed, because the bytes of a compressor change with its version.

    Args:
        path: of the file.
        drawn: (32, S, S, 3) uint8 faces and their seeds.
        logits: (32, C) float32 of the main FP32 model.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    arrays = {"images": drawn.images_nhwc, "logits": logits, "seeds": drawn.seeds}
    with (
        written_atomically(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _OLDEST_ZIP_TIME), content.getvalue())
