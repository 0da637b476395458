"""Where and in which precision a training computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edge_arm.runtime.errors import UsageError
from edge_arm.training.arithmetic import Arithmetic, arithmetic_for
from edge_arm.training.training_config import Device


def test_bfloat16_on_the_cpu_is_used_where_the_kernel_reports_the_instructions() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("no /proc/cpuinfo here")
    expected = bool(set(cpuinfo.read_text(encoding="utf-8").split()) & {"avx512_bf16", "amx_bf16"})
    assert arithmetic_for(Device.CPU).mixed is expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_not_replaced_by_the_cpu() -> None:
    with pytest.raises(UsageError, match=r"--device cuda, .*sees no GPU.*--device cpu"):
        arithmetic_for(Device.CUDA)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_auto_is_the_cpu_without_a_gpu() -> None:
    assert arithmetic_for(Device.AUTO) == arithmetic_for(Device.CPU)


@pytest.mark.parametrize(
    ("mixed", "dtype", "name"),
    [(True, torch.bfloat16, "cpu, bfloat16"), (False, torch.float32, "cpu, float32")],
)
def test_autocast_is_what_the_name_says(mixed: bool, dtype: torch.dtype, name: str) -> None:
    arithmetic = Arithmetic(torch.device("cpu"), mixed)
    with arithmetic.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype
    assert arithmetic.name == name


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="at least 3 processes on a machine with 2 GPUs"):
        arithmetic_for(Device.AUTO, local_rank=2)
