"""benchmarks/cpu_int8.py: its arithmetic, and a run on a tiny bundle."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tiny_bundle import tiny_bundle, with_cpu_variant


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "cpu_int8.py"
    spec = importlib.util.spec_from_file_location("cpu_int8", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cpu_int8"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["cpu_int8"]
    return module


def test_ratios_are_taken_turn_by_turn(benchmark: ModuleType) -> None:
    # The machine got three times slower half-way: the ratio is 4 all along.
    seconds = {benchmark.BASE: [0.4, 0.4, 1.2, 1.2], "INT8": [0.1, 0.1, 0.3, 0.3]}
    fp32, int8 = benchmark.rows_from_seconds(seconds, batch_size=8)
    assert (fp32.ratio, fp32.ratio_low, fp32.ratio_high) == (1.0, 1.0, 1.0)
    assert (int8.ratio, int8.ratio_low, int8.ratio_high) == pytest.approx((4.0, 4.0, 4.0))
    assert int8.latency_ms == pytest.approx(1e3 * 0.2 / 8)


def test_models_take_turns_after_warming_up(benchmark: ModuleType) -> None:
    calls: list[str] = []

    class Counted:
        def __init__(self, name: str) -> None:
            self.name = name

        def infer(self, images_nhwc: Any) -> None:
            calls.append(self.name)

    ticks = iter(range(100))
    models = {name: Counted(name) for name in "ab"}
    seconds = benchmark.timed(models, np.zeros(1), 2, clock=lambda: next(ticks))
    assert "".join(calls) == "aaabbb" + "abab"
    assert seconds == {"a": [1, 1], "b": [1, 1]}


def test_every_model_has_a_row_for_each_batch_size(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("openvino")
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    words = ["cpu_int8.py", str(bundle.path), "--turns", "3", "--threads", "1"]
    monkeypatch.setattr("sys.argv", [*words, "--json", str(tmp_path / "rows.json")])
    assert benchmark.main() == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    names = [line.split(" | ")[1] for line in table[1:]]
    assert names == 2 * [
        f"{runtime} {model}"
        for runtime in ("ONNX Runtime", "OpenVINO")
        for model in ("FP32", "INT8 signed", "INT8 unsigned")
    ]
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["batch_size"] for row in rows] == 6 * [8] + 6 * [1]
    assert all(row["latency_ms"] > 0 for row in rows)


def test_a_bundle_without_the_form_for_cpus_is_refused_with_the_command(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    monkeypatch.setattr("sys.argv", ["cpu_int8.py", str(bundle.path)])
    assert benchmark.main() == 2
    assert "has no int8 model (cpu), it has fp32 (main)" in capsys.readouterr().err
