"""benchmarks/long_video.py: its judgement by hand, and a short run on a tiny bundle."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tiny_bundle import tiny_bundle

from edge_arm.runtime.errors import UsageError

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    # A script finds what lies beside it; so it does here.
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("long_video")
    sys.path.remove(str(FOLDER))
    for name in ("long_video", "long_video_source"):
        sys.modules.pop(name, None)


def _samples(benchmark: ModuleType, memory_mb: list[float], **fixed: int) -> list[Any]:
    """A sample each minute of simulated video."""
    return [
        benchmark.Sample(
            at_s=float(i),
            frames=1800 * i,
            rss_bytes=round(1e6 * value),
            threads=fixed.get("threads", 5),
            open_files=fixed.get("open_files", 9),
        )
        for i, value in enumerate(memory_mb)
    ]


def test_flat_memory_passes(benchmark: ModuleType) -> None:
    verdict = benchmark.judge(_samples(benchmark, [150.0, 151.0] * 50), [])
    assert verdict.faults == ()
    assert abs(verdict.growth_bytes) <= 1e6
    low, high = verdict.slope_interval
    assert low <= 0 <= high


def test_memory_that_grows_fails_after_the_warm_up(benchmark: ModuleType) -> None:
    # 0.2 MB a minute: medians of samples 20 to 39 and 80 to 99 are 60 minutes apart.
    verdict = benchmark.judge(_samples(benchmark, [100 + 0.2 * i for i in range(100)]), [])
    assert verdict.growth_bytes == pytest.approx(12e6)
    assert verdict.slope_mb_per_hour == pytest.approx(12.0, rel=1e-6)
    assert verdict.faults == ("memory grew by 12.0 MB, expected at most 10",)


def test_memory_that_is_taken_while_warming_up_is_no_growth(benchmark: ModuleType) -> None:
    verdict = benchmark.judge(_samples(benchmark, [50.0 + 5 * min(i, 20) for i in range(100)]), [])
    assert verdict.faults == ()
    assert verdict.growth_bytes == 0


def test_files_that_stay_open_fail(benchmark: ModuleType) -> None:
    samples = [
        replace(one, open_files=9 + i // 30)
        for i, one in enumerate(_samples(benchmark, [100.0] * 100))
    ]
    assert benchmark.judge(samples, []).faults == ("open files grew by 2, expected at most 1",)


def test_what_was_lost_on_the_way_fails(benchmark: ModuleType) -> None:
    verdict = benchmark.judge(_samples(benchmark, [100.0] * 100), ["a frame is missing"])
    assert verdict.faults == ("a frame is missing",)


def test_few_samples_judge_nothing(benchmark: ModuleType) -> None:
    with pytest.raises(UsageError, match="got 39 samples, expected at least 40; run it for longer"):
        benchmark.judge(_samples(benchmark, [100.0] * 39), [])


def test_the_slope_is_that_of_scipy(benchmark: ModuleType) -> None:
    # As many samples as stretches: medians are the values themselves.
    memory = np.random.default_rng(0).normal(100, 3, 20)
    slope, (low, high) = benchmark.slope_of(_samples(benchmark, memory.tolist()))
    expected = stats.linregress(np.arange(20) / 60, np.round(1e6 * memory) / 1e6)
    half = stats.t.ppf(0.975, 18) * expected.stderr
    assert slope == pytest.approx(expected.slope, rel=1e-6)
    assert (low, high) == pytest.approx((slope - half, slope + half), rel=1e-6)


@pytest.mark.slow  # each pass opens, breaks and closes something
def test_a_short_run_accounts_for_every_frame(tmp_path: Path, benchmark: ModuleType) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    (tmp_path / "passes").mkdir()
    clip = replace(sys.modules["long_video_source"].CLIP, seconds=1.0)
    source = benchmark.EndlessSource(tmp_path / "passes", seconds=0.0, seed=3, clip=clip)
    samples, faults = benchmark.run(bundle.path, source, 0.05)
    assert [*source.faults, *faults] == []
    kinds = ("whole", "broken", "cut", "network", "pictures")
    assert [source.given[f"pass: {kind}"] for kind in kinds] == [1, 1, 1, 1, 1]
    assert source.given["broken"] > 1  # the picture, and frames
    assert source.given["reconnected"] == 1
    assert samples[-1].frames == sum(source.given[name] for name in ("frame", "broken", "dropped"))
