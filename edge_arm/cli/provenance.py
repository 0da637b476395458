"""How a report came about, as the command line knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.manifest import Bundle, Precision
    from edge_arm.runtime.predictions import Predictions
    from edge_arm.runtime.report.report import Provenance


def provenance_of(bundle: Bundle, predictions: Mapping[Precision, Predictions]) -> Provenance:
    """Command, date, versions, and what the bundle says about itself.

    Args:
        bundle: whose models ran.
        predictions: of these models.
    """
    import platform
    import shlex
    import sys
    from datetime import datetime, timezone

    import cv2
    import numpy as np

    from edge_arm import __version__
    from edge_arm.runtime.report.report import Provenance

    return Provenance(
        command=shlex.join(["edge-arm", *sys.argv[1:]]),
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={
            "edge-arm": __version__,
            "Python": platform.python_version(),
            "numpy": np.__version__,
            "OpenCV": cv2.__version__,
            **{item.info.name: item.info.version for item in predictions.values()},
        },
        bundle_versions=bundle.manifest.tool_versions,
        source=bundle.manifest.source,
        calibration=bundle.manifest.calibration,
    )
