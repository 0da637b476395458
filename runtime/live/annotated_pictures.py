"""Pictures with the faces marked: one file, or a folder with the names of the source's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.annotation import annotated
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.storage import written_atomically

_JPEG_QUALITY = 95


class AnnotatedPictures:
    """Writes each frame to a file of its own, at once.

    Args:
        target: the file of a frame, by its `Frame.source`.
        labels: of the model.
    """

    def __init__(self, target: Callable[[str], Path], labels: LabelSet) -> None:
        self._target, self._labels = target, labels

    def write(self, result: FrameResult) -> None:
        """Write a frame's picture.

        Raises:
            StorageError: if the operating system or OpenCV refuses it.
        """
        path = self._target(result.frame.source)
        bgr = cv2.cvtColor(annotated(result, self._labels), cv2.COLOR_RGB2BGR)
        try:
            done, encoded = cv2.imencode(
                path.suffix.lower(), bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            )
        except cv2.error:
            done = False
        if not done:
            height, width = bgr.shape[:2]
            raise StorageError(
                f"OpenCV cannot write {width} x {height} pixels as {path.name!r}, expected a size "
                "that the format holds (JPEG: 65,500, WebP: 16,383 pixels a side); write .png"
            )
        with written_atomically(path) as temporary:
            # Through Python and not imwrite, which says nothing when the disk is full.
            temporary.write_bytes(encoded.tobytes())

    def close(self) -> None:
        """Nothing is left to do: every file is finished."""


def require_picture_name(path: Path) -> None:
    """Refuse a name by which no picture can be written.

    Raises:
        UsageError: naming the suffixes.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(
            f"got {str(path)!r} as an annotated picture, expected a name that ends in "
            f"{', '.join(IMAGE_SUFFIXES)}, or a folder that exists; choose one"
        )
