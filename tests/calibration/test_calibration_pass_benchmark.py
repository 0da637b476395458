"""benchmarks/calibration_pass.py on a small model: what it times, and its table."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import onnx
import pytest

from edge_arm.calibration.exposure import Wanted
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle


@pytest.fixture(scope="module")
def benchmark_module() -> Iterator[ModuleType]:
    path = Path(__file__).parents[2] / "benchmarks" / "calibration_pass.py"
    spec = importlib.util.spec_from_file_location("calibration_pass", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def subject(
    benchmark_module: ModuleType,
    model: onnx.ModelProto,
    make_bundle: Callable[[onnx.ModelProto], Bundle],
    face_index: Callable[..., FaceIndex],
) -> object:
    faces = face_index((1,) * 7)
    return benchmark_module.Subject(make_bundle(model), faces, Wanted.of(["t5"], extremes=["t3"]))


def test_our_pass_chooses_four_ranges_of_each_tensor(
    benchmark_module: ModuleType, subject: object, monkeypatch: pytest.MonkeyPatch
):
    chosen: list[tuple[str, str]] = []
    choose = benchmark_module.amax_from_histogram

    def noted(histogram: object, method: object, tensor: str) -> float:
        chosen.append((tensor, method.value))
        return choose(histogram, method, tensor)

    monkeypatch.setattr(benchmark_module, "amax_from_histogram", noted)
    benchmark_module.work_of(benchmark_module.OURS, subject)()
    assert sorted(chosen) == [("t5", name) for name in ("entropy", "max", "mse", "percentile")]


def test_the_plain_run_and_a_peer_run_on_the_same_faces(
    benchmark_module: ModuleType, subject: object, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []
    batches = benchmark_module.face_batches

    def noted(faces: FaceIndex, spec: object, batch_size: int) -> Iterator[object]:
        for batch in batches(faces, spec, batch_size):
            seen.append(len(batch.images_nhwc))
            yield batch

    monkeypatch.setattr(benchmark_module, "face_batches", noted)
    benchmark_module.work_of("plain, batch 8", subject)()
    assert seen == [7]
    seen.clear()
    benchmark_module.work_of("ONNX Runtime minmax", subject)()
    assert seen == [1] * 7


def test_the_table_divides_by_the_plain_run_of_the_same_round(
    benchmark_module: ModuleType, capsys: pytest.CaptureFixture[str]
):
    cost = benchmark_module.Cost
    costs = {
        benchmark_module.BASE: [cost(1.0, 2.0, 100_000_000), cost(10.0, 2.0, 120_000_000)],
        "another": [cost(3.0, 4.0, 200_000_000), cost(20.0, 4.0, 200_000_000)],
    }
    benchmark_module.print_rows(costs, 64)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"| 64 | {benchmark_module.BASE} | 5.5 | 2.0 | 1.00 (1.00 to 1.00) | 120 |"
    assert lines[1] == "| 64 | another | 11.5 | 4.0 | 2.50 (2.00 to 3.00) | 200 |"
