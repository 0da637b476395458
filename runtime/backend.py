"""The one seam of the runtime: something that turns uint8 faces into logits.

Everything above it (predict, measure, benchmark, run) is written against `Backend` and does not
know whether ONNX Runtime or TensorRT answers.

Shapes: N faces in a call, S model input size, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import InferenceError
from edge_arm.runtime.preprocess import Uint8Array

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BackendInfo:
    """What runs, for reports.

    Attributes:
        name: such as "onnxruntime/cpu".
        version: of the library.
        model_sha256: of the very file that answers.
        size_bytes: of that file.
        input_size: S.
        num_classes: C.
        file: name of that file.
    """

    name: str
    version: str
    model_sha256: str
    size_bytes: int
    input_size: int
    num_classes: int
    file: str = ""


class Backend(Protocol):
    """A loaded model. Use it as a context manager, so that device memory is given back."""

    @property
    def info(self) -> BackendInfo:
        """What runs, for reports."""
        ...

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        """Logits of some faces.

        Args:
            images_nhwc: (N, S, S, 3) uint8 RGB, N >= 1.

        Returns:
            (N, C) float32, a fresh array that the caller owns.

        Raises:
            InferenceError: if the shape or type is wrong, or the device fails.
        """
        ...

    def __enter__(self) -> Backend: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, eq=False)
class StagedAnswer:
    """Logits, and where the time went.

    Attributes:
        logits: (N, C) float32, as `Backend.infer` gives them.
        copy_in_s: the faces into memory that the device reads.
        compute_s: the model.
        copy_out_s: the logits back into ordinary memory.
    """

    logits: Float32Array
    copy_in_s: float
    compute_s: float
    copy_out_s: float


@runtime_checkable
class StagedBackend(Backend, Protocol):
    """A backend that can wait after each of its steps, for whoever asks what takes how long."""

    def infer_in_stages(self, images_nhwc: Uint8Array) -> StagedAnswer:
        """The answer of `infer`, each step awaited before the next begins.

        That costs a few waits more than `infer`, and nothing overlaps.

        Args:
            images_nhwc: (N, S, S, 3) uint8 RGB; N must fit into one run of the model.

        Raises:
            InferenceError: see `infer`; also for more faces than one run takes.
        """
        ...


def check_input(images_nhwc: Uint8Array, size: int) -> None:
    """Refuse what is not a batch of faces of the model's size, before a device sees it.

    Args:
        images_nhwc: expected (N, S, S, 3) uint8.
        size: S.

    Raises:
        InferenceError: naming the shape and type that were got.
    """
    shape = images_nhwc.shape
    if (
        images_nhwc.dtype != np.uint8
        or len(shape) != 4
        or shape[1:] != (size, size, 3)
        or shape[0] < 1
    ):
        raise InferenceError(
            f"got an input of shape {shape} and type {images_nhwc.dtype}, "
            f"expected (N, {size}, {size}, 3) uint8 RGB with N >= 1; resize with resize_face"
        )
