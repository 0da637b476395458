"""What the user chooses about an export."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_arm.runtime.errors import UsageError

OPSETS = (17, 18, 19, 20)
"""Operator sets that can be written: what TensorRT 8.6 (up to 17) and 10 (up to 20) read."""


class HeadForm(Enum):
    """How everything after layer4 is written. Both compute the same function."""

    FOLDED = "folded"
    EXPLICIT = "explicit"

    @property
    def other(self) -> HeadForm:
        """The form that is exported beside the one asked for."""
        return HeadForm.EXPLICIT if self is HeadForm.FOLDED else HeadForm.FOLDED


@dataclass(frozen=True)
class ExportConfig:
    """What to export.

    Attributes:
        head: of the main model; the other form is exported beside it.
        opset: ONNX operator set version, exactly.
        fp16: also make the FP16 model.

    Raises:
        UsageError: if the opset cannot be written.
    """

    head: HeadForm = HeadForm.FOLDED
    opset: int = 17
    fp16: bool = False

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise UsageError(
                f"got opset {self.opset}, expected one of {', '.join(map(str, OPSETS))}; "
                "17 loads in every TensorRT since 8.4"
            )
