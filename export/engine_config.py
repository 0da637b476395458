"""What the user chooses about an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.manifest import Precision

MIB = 1 << 20
GPU_BATCH = BatchRange(1, 8, 32)
DLA_BATCH = BatchRange(1, 1, 1)
"""A DLA takes no dynamic shape: one batch size, fixed when the engine is built."""

BUILDER_LEVELS = range(6)
"""TensorRT's optimization levels; it takes 3 by itself, 5 searches longest."""


@dataclass(frozen=True)
class BuildConfig:
    """What to build.

    Attributes:
        precision: of the heavy layers.
        batch: the optimization profile; `GPU_BATCH`, or `DLA_BATCH` on a DLA, if None.
        workspace_mib: limit of the memory for intermediate results of a layer; None leaves it to
            `engine_preflight.workspace_bytes`.
        builder_level: one of `BUILDER_LEVELS`; TensorRT's own if None.
        dla_core: run on this DLA core, with the GPU for what it cannot; the GPU alone if None.
        timing_cache: file of kernel timings; `timing.cache` beside the engine if None.
        builds: how many times to build; the fastest accepted engine is kept.
        cuda: library that the acceptance run uses, see `runtime.cuda_device`.

    Raises:
        UsageError: if the choices contradict each other.
    """

    precision: Precision
    batch: BatchRange | None = None
    workspace_mib: int | None = None
    builder_level: int | None = None
    dla_core: int | None = None
    timing_cache: Path | None = None
    builds: int = 1
    cuda: str = "pycuda"

    def __post_init__(self) -> None:
        batch = self.profile
        if not 1 <= batch.min <= batch.opt <= batch.max:
            raise UsageError(
                f"got --batch {batch.min},{batch.opt},{batch.max}, expected "
                "1 <= MIN <= OPT <= MAX; for example --batch 1,8,32"
            )
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(
                f"got --workspace {self.workspace_mib}, expected at least 1 MiB; "
                "for example --workspace 512"
            )
        if self.builder_level is not None and self.builder_level not in BUILDER_LEVELS:
            raise UsageError(
                f"got --builder-level {self.builder_level}, expected "
                f"{BUILDER_LEVELS[0]} (quick build) to {BUILDER_LEVELS[-1]} (quick engine)"
            )
        if self.builds < 1:
            raise UsageError(
                f"got --rebuild {self.builds}, expected the number of builds to choose from; "
                "1 builds once"
            )
        if self.dla_core is not None:
            self._check_dla(self.dla_core)

    @property
    def profile(self) -> BatchRange:
        """The batch sizes, the default filled in."""
        return self.batch or (GPU_BATCH if self.dla_core is None else DLA_BATCH)

    @property
    def workspace_bytes(self) -> int | None:
        """The limit in bytes, None if it was left open."""
        return None if self.workspace_mib is None else self.workspace_mib * MIB

    def _check_dla(self, core: int) -> None:
        batch = self.profile
        if core < 0:
            raise UsageError(f"got --dla {core}, expected the number of a core; the first is 0")
        if self.precision is Precision.FP32:
            raise UsageError(
                f"got --precision fp32 with --dla {core}, expected fp16 or int8: a DLA computes in "
                "nothing else; choose one of them or leave --dla out"
            )
        if not batch.min == batch.opt == batch.max:
            raise UsageError(
                f"got --batch {batch.min},{batch.opt},{batch.max} with --dla {core}, expected one "
                f"size: a DLA takes no dynamic batch; for example "
                f"--batch {batch.opt},{batch.opt},{batch.opt}"
            )


def batch_from_text(text: str) -> BatchRange:
    """Read `--batch`: "MIN,OPT,MAX", or one number for all three.

    Args:
        text: as typed.

    Raises:
        UsageError: if it is neither.
    """
    parts = text.split(",")
    try:
        sizes = [int(part) for part in parts]
    except ValueError:
        sizes = []
    if len(sizes) == 1:
        sizes *= 3
    if len(sizes) != 3:
        raise UsageError(
            f"got --batch {text!r}, expected MIN,OPT,MAX or one number; for example --batch 1,8,32"
        )
    return BatchRange(*sizes)
