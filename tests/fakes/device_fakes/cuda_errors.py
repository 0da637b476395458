"""CUDA's error codes, as the driver calls fail with them."""

from __future__ import annotations

STRINGS = {
    "CUDA_SUCCESS": (0, "no error"),
    "CUDA_ERROR_INVALID_VALUE": (1, "invalid argument"),
    "CUDA_ERROR_OUT_OF_MEMORY": (2, "out of memory"),
    "CUDA_ERROR_NOT_INITIALIZED": (3, "initialization error"),
    "CUDA_ERROR_NO_DEVICE": (100, "no CUDA-capable device is detected"),
    "CUDA_ERROR_INVALID_DEVICE": (101, "invalid device ordinal"),
    "CUDA_ERROR_INVALID_CONTEXT": (201, "invalid device context"),
    "CUDA_ERROR_INVALID_HANDLE": (400, "invalid resource handle"),
    "CUDA_ERROR_NOT_READY": (600, "device not ready"),
    "CUDA_ERROR_ILLEGAL_ADDRESS": (700, "an illegal memory access was encountered"),
    "CUDA_ERROR_CONTEXT_IS_DESTROYED": (709, "context is destroyed"),
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": (
        803,
        "system has unsupported display driver / cuda driver combination",
    ),
    "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED": (
        900,
        "operation not permitted when stream is capturing",
    ),
    "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED": (
        901,
        "operation failed due to a previous error during capture",
    ),
    "CUDA_ERROR_STREAM_CAPTURE_UNJOINED": (904, "capturing stream has unjoined work"),
}
"""Name to number and text, as cuda-bindings 12.9.5 tells them (cudaGetErrorString)."""


class CudaError(Exception):
    """A driver call that did not return CUDA_SUCCESS.

    Attributes:
        name: of the result.
        number: its value.
        text: as cuGetErrorString gives it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
        self.number, self.text = STRINGS[name]
