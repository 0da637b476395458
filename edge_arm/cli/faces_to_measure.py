"""The test split beside a training split: what must not calibrate."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.faces import FaceIndex

_log = logging.getLogger(__name__)


def faces_to_measure(data: str, root: Path) -> FaceIndex | None:
    """The test split of a data set, as far as it can be read.

    A set without one, or with a broken one, calibrates all the same; a line says that nobody
    looked for test faces among the calibration faces.

    Args:
        data: its name.
        root: its folder.
    """
    from edge_arm.data.registry import face_index
    from edge_arm.runtime.errors import DataError
    from edge_arm.runtime.faces import Split

    try:
        return face_index(data, root, Split.TEST)
    except DataError as error:
        _log.warning("calibration faces were not looked for among test faces: %s", error)
        return None
