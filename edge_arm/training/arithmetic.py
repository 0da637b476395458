"""On what a training computes, and in which precision.

bfloat16 has float32's range, so it needs no loss scaling; where the hardware has it, convolutions
run twice as fast. Where PyTorch would only imitate it, float32 is faster, and is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from edge_arm.runtime.errors import UsageError
from edge_arm.training.training_config import Device


@dataclass(frozen=True)
class Arithmetic:
    """Device and precision of the backbone.

    Attributes:
        device: where the model lives.
        mixed: bfloat16 by autocast for the backbone; weights and head stay float32.
    """

    device: torch.device
    mixed: bool

    @property
    def name(self) -> str:
        """Such as "cpu, bfloat16"."""
        return f"{self.device.type}, {'bfloat16' if self.mixed else 'float32'}"

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Automatic mixed precision, if it is used."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            yield


def arithmetic_for(device: Device, local_rank: int = 0) -> Arithmetic:
    """The fastest sound arithmetic of this machine.

    Args:
        device: what was asked for.
        local_rank: which of the processes on this machine asks; each takes a GPU of its own.

    Raises:
        UsageError: if a GPU was asked for and PyTorch sees none, or fewer than processes.
    """
    has_gpu = torch.cuda.is_available()
    if device is Device.CUDA and not has_gpu:
        raise UsageError(
            "got --device cuda, but this PyTorch "
            f"({torch.__version__}) sees no GPU, expected an NVIDIA GPU with its driver and a CUDA "
            "build of PyTorch; use --device cpu"
        )
    if has_gpu and device is not Device.CPU:
        gpus = torch.cuda.device_count()
        if local_rank >= gpus:
            raise UsageError(
                f"got at least {local_rank + 1} processes on a machine with {gpus} GPUs, expected "
                f"one for each GPU; use torchrun --nproc-per-node {gpus}, or --device cpu"
            )
        # Batches have at most two sizes, so trying cuDNN's ways out for each of them pays.
        torch.backends.cudnn.benchmark = True
        torch.cuda.set_device(local_rank)
        return Arithmetic(
            torch.device("cuda", local_rank),
            torch.cuda.is_bf16_supported(including_emulation=False),
        )
    return Arithmetic(torch.device("cpu"), _cpu_has_bfloat16())


def _cpu_has_bfloat16() -> bool:
    # PyTorch's own, but underscored, and not all of them are in every version.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)
