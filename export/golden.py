"""`golden.npz`: a few drawn faces with their FP32 logits, so that a device can check itself.

Only synthetic faces go in: a bundle is copied around, and most face data sets may not be.
"""

from __future__ import annotations

from pathlib import Path

from edge_arm.export.check_images import DrawnFaces
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.npz import write_npz

GOLDEN_NAME = "golden.npz"


def write_golden(path: Path, drawn: DrawnFaces, logits: Float32Array) -> None:
    """Write the file; the same arrays give the same bytes.

    Args:
        path: of the file.
        drawn: (32, S, S, 3) uint8 faces and their seeds.
        logits: (32, C) float32 of the main FP32 model.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_npz(path, {"images": drawn.images_nhwc, "logits": logits, "seeds": drawn.seeds})
