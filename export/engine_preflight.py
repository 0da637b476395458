"""Is there memory for the build? Asked before it, because the kernel's answer is "Killed".

On a Jetson, CPU and GPU share one memory, and a build that runs out of it is ended by the kernel
after minutes, without a word. The estimate is coarse on purpose and made of parts that can be
argued about; none was measured on a Jetson yet.

Shapes: N faces, S model input size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edge_arm.export.engine_config import MIB
from edge_arm.runtime.errors import EngineError

LIBRARIES_BYTES = 600 * MIB
"""CUDA's context and kernels, TensorRT's libraries and its builder, before any model."""

MODEL_COPIES = 5
"""The file, the parser's weights, the builder's, the engine's, and one for the acceptance run."""

LIVE_ACTIVATIONS = 4
"""Tensors of the largest size alive at once: a residual block's input, two inside, one output."""

SHARED_WORKSPACE_MIB = 512
"""Default limit where CPU and GPU share the memory. ResNet-18's kernels ask for less, and
TensorRT's own limit is all of the device's memory."""

ASSUMED_WORKSPACE_MIB = 512
"""Counted where the limit is left to TensorRT."""


@dataclass(frozen=True)
class FreeMemory:
    """What was free before the build.

    Attributes:
        shared: CPU and GPU use the same memory.
        host_bytes: of main memory.
        swap_bytes: of swap; the CPU's part of a build can move there, the GPU's cannot.
        device_bytes: of the GPU's, as CUDA tells it.
    """

    shared: bool
    host_bytes: int
    swap_bytes: int
    device_bytes: int


@dataclass(frozen=True)
class MemoryNeed:
    """An estimate.

    Attributes:
        host_bytes: in main memory.
        device_bytes: in the GPU's.
    """

    host_bytes: int
    device_bytes: int


def workspace_bytes(asked: int | None, free: FreeMemory) -> int | None:
    """The limit of the workspace: what was asked for, or one that leaves a Jetson alive.

    Args:
        asked: by the user, None if left open.
        free: before the build.
    """
    if asked is None and free.shared:
        return SHARED_WORKSPACE_MIB * MIB
    return asked


def memory_need(
    model_bytes: int, *, image_size: int, max_batch: int, workspace: int | None
) -> MemoryNeed:
    """Estimate what a build needs.

    Args:
        model_bytes: of the ONNX file.
        image_size: S.
        max_batch: of the profile.
        workspace: limit in bytes, None for TensorRT's own.
    """
    # The largest tensor of a ResNet is conv1's output, (N, 64, S/2, S/2) float32.
    activation = max_batch * 64 * (image_size // 2) ** 2 * 4
    if workspace is None:
        workspace = ASSUMED_WORKSPACE_MIB * MIB
    return MemoryNeed(
        host_bytes=LIBRARIES_BYTES + (MODEL_COPIES - 2) * model_bytes,
        device_bytes=LIVE_ACTIVATIONS * activation + workspace + 2 * model_bytes,
    )


def require_memory(need: MemoryNeed, free: FreeMemory) -> dict[str, int]:
    """Refuse a build that would be killed.

    Args:
        need: the estimate.
        free: what there is.

    Returns:
        All figures, for the record of the engine.

    Raises:
        EngineError: with what would help, in the order in which it costs least.
    """
    host, device = need.host_bytes, need.device_bytes
    if free.shared:
        short = host + device > free.host_bytes + free.swap_bytes or device > free.host_bytes
        text = (
            f"about {_mib(host + device)} MiB, {_mib(device)} of them for the GPU, with "
            f"{_mib(free.host_bytes)} MiB of memory and {_mib(free.swap_bytes)} MiB of swap free"
        )
    else:
        short = host > free.host_bytes + free.swap_bytes or device > free.device_bytes
        text = (
            f"about {_mib(host)} MiB of memory and {_mib(device)} MiB of the GPU's, with "
            f"{_mib(free.host_bytes)} + {_mib(free.swap_bytes)} swap and "
            f"{_mib(free.device_bytes)} free"
        )
    if short:
        raise EngineError(f"the build needs {text}, expected that much free; {_advice(free)}")
    return {
        **{f"free_{name}": int(value) for name, value in asdict(free).items() if name != "shared"},
        "needed_host_bytes": host,
        "needed_device_bytes": device,
    }


def _advice(free: FreeMemory) -> str:
    options = "try --workspace 128, --builder-level 1, a smaller --batch MIN,OPT,MAX"
    if not free.shared:
        return f"{options}, or end other programs that use the GPU"
    return (
        f"{options}; stop the desktop with 'sudo systemctl isolate multi-user.target'; add swap "
        "with 'sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile "
        "&& sudo swapon /swapfile'"
    )


def _mib(number: int) -> int:
    return round(number / MIB)
