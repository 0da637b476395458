"""The end of `edge-arm calibrate`: temperatures for every model of the bundle."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle


def with_temperatures(
    bundle: Bundle, train_index: FaceIndex, own_validation: FaceIndex | None = None
) -> Bundle:
    """Fit and store them, on ONNX Runtime's CPU, with a progress bar.

    Args:
        bundle: calibrated.
        train_index: the training split, in the label order of its data set.
        own_validation: the validation part that the data set comes with, if it does.

    Returns:
        The bundle as it is now.

    Raises:
        DataError: if the faces to fit on cannot be found.
        EdgeArmError: see `add_temperatures`.
    """
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.held_out import temperature_faces
    from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
    from edge_arm.runtime.temperature import add_temperatures

    faces = temperature_faces(bundle, train_index, own_validation=own_validation)
    precisions = bundle.manifest.precisions()
    with ExitStack() as stack:
        backends = {
            precision: stack.enter_context(OnnxRuntimeBackend(bundle.model(precision)[0]))
            for precision in precisions
        }
        advance = stack.enter_context(
            progress_bar("temperatures", len(faces.index) * len(precisions))
        )
        return add_temperatures(bundle, faces, backends, progress=advance)
