"""CUDA's errors in the words of this project, the same for both libraries."""

from __future__ import annotations

from edge_arm.runtime.errors import BackendUnavailableError, InferenceError

_DRIVER_TOO_OLD = ("insufficient", "803", "system_driver_mismatch", "system has unsupported")
_OUT_OF_MEMORY = ("out of memory", "out_of_memory")


def unavailable(reason: str) -> BackendUnavailableError:
    """No CUDA on this machine, with what would help.

    Args:
        reason: as the library says it.
    """
    low = reason.lower()
    if any(word in low for word in _DRIVER_TOO_OLD):
        return BackendUnavailableError(
            f"the NVIDIA driver is too old for this CUDA ({_line(reason)}), expected a newer one; "
            "update it: on a Jetson that means a newer JetPack, on a desktop the driver package"
        )
    if "no gpu" in low or "no_device" in low or "no cuda-capable" in low or "no device" in low:
        return BackendUnavailableError(
            f"no NVIDIA GPU is here ({_line(reason)}), expected one; run this on the device, or "
            "choose --backend onnxruntime"
        )
    return BackendUnavailableError(
        f"CUDA does not start ({_line(reason)}), expected an NVIDIA driver and a GPU; run "
        "'edge-arm doctor', or choose --backend onnxruntime"
    )


def failed(
    doing: str, error: Exception | str, *, memory: tuple[int, int] | None = None
) -> InferenceError:
    """A call that CUDA refused.

    Args:
        doing: what was tried: "allocating 12 bytes of GPU memory".
        error: as the library says it.
        memory: free and total bytes of the device, where they are known.
    """
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _OUT_OF_MEMORY):
        free = "" if memory is None else f", {memory[0]} of {memory[1]} bytes are free"
        return InferenceError(
            f"{doing} failed: out of memory{free}; use a smaller --batch or --batch-size, or end "
            "other programs that use the GPU"
        )
    return InferenceError(
        f"{doing} failed ({_line(str(error))}), expected the GPU to do it; run the command again, "
        "and 'edge-arm doctor' if that does not help"
    )


def version_text(number: int) -> str:
    """CUDA's version number as people write it: 12060 is "12.6"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _line(text: str) -> str:
    return " ".join(text.split()) or "no reason given"
