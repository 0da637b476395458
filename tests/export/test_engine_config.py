"""Contradictions are refused before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from edge_arm.export.engine_config import BuildConfig, batch_from_text
from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.manifest import Precision


def test_the_gpu_takes_1_to_32_and_a_dla_takes_1_unless_told_otherwise() -> None:
    assert BuildConfig(Precision.FP16).profile == BatchRange(1, 8, 32)
    assert BuildConfig(Precision.FP16, dla_core=0).profile == BatchRange(1, 1, 1)
    assert BuildConfig(Precision.FP16, batch=BatchRange(2, 4, 6)).profile == BatchRange(2, 4, 6)


def test_the_workspace_is_told_in_mib() -> None:
    assert BuildConfig(Precision.FP16, workspace_mib=2).workspace_bytes == 2_097_152
    assert BuildConfig(Precision.FP16).workspace_bytes is None


@dataclass(frozen=True)
class Refused:
    """Options that cannot be, and what is said."""

    id: str
    options: dict[str, Any]
    says: str


REFUSED = (
    Refused("min above opt", {"batch": BatchRange(9, 8, 32)}, "got --batch 9,8,32, expected 1 <="),
    Refused("opt above max", {"batch": BatchRange(1, 64, 32)}, "got --batch 1,64,32"),
    Refused("no face at all", {"batch": BatchRange(0, 8, 32)}, "got --batch 0,8,32"),
    Refused("no workspace", {"workspace_mib": 0}, "got --workspace 0, expected at least 1 MiB"),
    Refused("level 6", {"builder_level": 6}, r"got --builder-level 6, expected 0 .* to 5"),
    Refused("no build", {"builds": 0}, "got --rebuild 0, expected the number of builds"),
    Refused("core -1", {"dla_core": -1}, "got --dla -1, expected the number of a core"),
    Refused(
        "dynamic DLA",
        {"dla_core": 0, "batch": BatchRange(1, 8, 32)},
        r"got --batch 1,8,32 with --dla 0, expected one size.*--batch 8,8,8",
    ),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_contradiction_is_refused(case: Refused) -> None:
    with pytest.raises(UsageError, match=case.says):
        BuildConfig(Precision.INT8, **case.options)


def test_a_dla_does_not_compute_in_fp32() -> None:
    with pytest.raises(UsageError, match="got --precision fp32 with --dla 0, expected fp16 or"):
        BuildConfig(Precision.FP32, dla_core=0)


def test_a_batch_is_three_numbers_or_one() -> None:
    assert batch_from_text("1,8,32") == BatchRange(1, 8, 32)
    assert batch_from_text("4") == BatchRange(4, 4, 4)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "one", "1,2,x", "1.5"])
def test_anything_else_is_no_batch(text: str) -> None:
    with pytest.raises(UsageError, match=r"got --batch .*, expected MIN,OPT,MAX or one number"):
        batch_from_text(text)
