"""Memory before a build: hand-made machines, and what each is told."""

from __future__ import annotations

import pytest

from edge_arm.export.engine_preflight import (
    FreeMemory,
    memory_need,
    require_memory,
    workspace_bytes,
)
from edge_arm.runtime.errors import EngineError

MIB = 1 << 20
MODEL = 45 * MIB


def _jetson(host_mib: int, swap_mib: int = 0) -> FreeMemory:
    return FreeMemory(True, host_mib * MIB, swap_mib * MIB, host_mib * MIB)


def test_the_estimate_is_the_sum_of_its_parts() -> None:
    need = memory_need(MODEL, image_size=224, max_batch=32, workspace=128 * MIB)
    # conv1's output at 224 pixels: 32 * 64 * 112 * 112 * 4 bytes, four of them alive; two copies
    # of the model on the GPU and three in main memory beside the libraries.
    assert need.device_bytes == 4 * 102_760_448 + 128 * MIB + 90 * MIB
    assert need.host_bytes == 600 * MIB + 135 * MIB


def test_a_jetson_gets_a_limit_for_the_workspace_and_a_desktop_keeps_tensorrts() -> None:
    assert workspace_bytes(None, _jetson(4000)) == 512 * MIB
    assert workspace_bytes(None, FreeMemory(False, 1, 1, 1)) is None
    assert workspace_bytes(64 * MIB, _jetson(4000)) == 64 * MIB


def test_enough_memory_is_written_down() -> None:
    need = memory_need(MODEL, image_size=224, max_batch=32, workspace=128 * MIB)
    assert require_memory(need, _jetson(4000, 100)) == {
        "free_host_bytes": 4000 * MIB,
        "free_swap_bytes": 100 * MIB,
        "free_device_bytes": 4000 * MIB,
        "needed_host_bytes": need.host_bytes,
        "needed_device_bytes": need.device_bytes,
    }


def test_a_full_jetson_is_told_what_would_help() -> None:
    need = memory_need(MODEL, image_size=224, max_batch=32, workspace=512 * MIB)
    with pytest.raises(EngineError) as refused:
        require_memory(need, _jetson(900, 0))
    for word in ("900 MiB", "--workspace", "--builder-level", "--batch", "isolate", "swapon"):
        assert word in str(refused.value)


def test_swap_counts_for_the_cpus_part_and_not_for_the_gpus() -> None:
    need = memory_need(MODEL, image_size=224, max_batch=32, workspace=512 * MIB)
    require_memory(need, _jetson(1200, 2000))
    with pytest.raises(EngineError, match=r"the build needs about \d+ MiB, 994 of them"):
        require_memory(need, _jetson(900, 8000))


def test_a_full_gpu_of_a_desktop_is_refused_whatever_main_memory_it_has() -> None:
    need = memory_need(MODEL, image_size=224, max_batch=32, workspace=512 * MIB)
    free = FreeMemory(False, 64_000 * MIB, 0, 500 * MIB)
    with pytest.raises(EngineError, match="994 MiB of the GPU's.*end other programs"):
        require_memory(need, free)
