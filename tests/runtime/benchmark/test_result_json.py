from __future__ import annotations

import json

import benchmark_results
import pytest

from edge_arm.runtime.benchmark.result_json import benchmark_to_json


def test_the_json_form_has_every_figure_and_says_what_is_missing() -> None:
    value = benchmark_to_json(
        benchmark_results.benchmark(), command="edge-arm benchmark", created_at="2030-01-02"
    )
    value = json.loads(json.dumps(value, allow_nan=False))
    assert value["schema_version"] == 1
    assert value["base"] == "ONNX Runtime FP32"
    assert "executable" not in value["machine"]
    assert value["state_before"]["power_mode"] == "15W (mode 0)"
    fp32, int8 = value["models"]
    assert fp32["batches"][0]["times_base"] is None
    assert int8["batches"][0]["times_base"]["ratio"] == 5.0
    assert int8["batches"][0]["latency"]["p50_ms"] == pytest.approx(2.0)
    assert int8["batches"][0]["latency"]["p999_ms"] is None
    assert int8["paced"]["keeps_up"] is True
    assert int8["alone"]["gpu_bytes"] == 300 << 20
    assert int8["alone"]["memory"][1] == {
        "batch_size": 8,
        "now_bytes": 120 << 20,
        "most_bytes": 140 << 20,
    }
    assert fp32["energy"] is None
    assert int8["energy"]["mj_per_face"] == 4.25
    assert int8["stages"]["copy in"]["p50_ms"] == pytest.approx(1.0)


def test_the_distribution_is_written_as_it_was() -> None:
    value = benchmark_to_json(benchmark_results.benchmark(), command="", created_at="")
    batch = value["models"][1]["batches"][0]
    told = dict(zip(batch["percents"], batch["percentiles_ms"], strict=True))
    # 98 calls of 2 ms, one of 3, one of 50, by hand.
    assert (told[0], told[50], told[98]) == pytest.approx((2, 2, 2))
    assert (told[99], told[99.9], told[100]) == pytest.approx((3, 50, 50))
