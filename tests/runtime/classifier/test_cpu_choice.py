"""INT8 or FP32 on this CPU: real trials of tiny models, and memories written by hand."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_arm.runtime.backend import BackendInfo, Float32Array
from edge_arm.runtime.classifier import cpu_choice, cpu_trial
from edge_arm.runtime.classifier.cpu_choice import cache_path, cpu_name, int8_or_fp32
from edge_arm.runtime.classifier.cpu_trial import CpuTrial, trial_from_text
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.preprocess import Uint8Array

THREADS = 1


class Sleeper:
    """A backend that takes as long as it is told for each face."""

    def __init__(self, seconds: float) -> None:
        self.info = BackendInfo("sleeper", "0", "0" * 64, 1, 4, 7)
        self._seconds = seconds

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        time.sleep(self._seconds * len(images_nhwc))
        return np.zeros((len(images_nhwc), 7), np.float32)

    def __enter__(self) -> Sleeper:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def remember(cache: Path, bundle: Bundle, **figures: Any) -> dict[str, Any]:
    """Have the choice measured, then put other figures in its place."""
    int8_or_fp32(bundle, THREADS)
    value: dict[str, Any] = json.loads(cache.read_text(encoding="utf-8"))
    value["choices"][0]["trial"].update(figures)
    value["choices"][0]["date"] = "2030-01-02"
    cache.write_text(json.dumps(value), encoding="utf-8")
    return value


def test_a_trial_measures_what_the_models_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_trial, "BUDGET_S", 0.0)
    trial = cpu_trial.cpu_trial(Sleeper(0.02), Sleeper(0.005))
    assert trial.fp32_ms == pytest.approx(20, rel=0.25)  # a sleep is never short, but may be long
    assert trial.int8_ms == pytest.approx(5, rel=0.5)
    assert trial.ratios == pytest.approx((4, 4), rel=0.4)


def test_the_choice_is_measured_once_and_remembered(
    bundle: Bundle, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="edge_arm")
    first = int8_or_fp32(bundle, THREADS)
    assert first.doubts == ()
    assert "measured now" in first.reason
    assert "measuring once whether INT8 or FP32 is faster" in caplog.text
    caplog.clear()
    second = int8_or_fp32(bundle, THREADS)
    assert caplog.text == ""
    assert second.int8 == first.int8
    assert "measured on 2" in second.reason


def test_the_faster_model_is_chosen_by_the_figures(bundle: Bundle, cache: Path) -> None:
    remember(cache, bundle, ratios=[2.0, 4.5], fp32_ms=9.0, int8_ms=3.0)
    verdict = int8_or_fp32(bundle, THREADS)
    assert verdict.int8
    # The geometric mean of 2.0 and 4.5 is 3.
    assert verdict.reason == (
        "3.0 times as fast as FP32 on this CPU "
        "(3.0 ms for a face, FP32 9.0 ms, measured on 2030-01-02)"
    )


def test_a_draw_goes_to_fp32(bundle: Bundle, cache: Path) -> None:
    remember(cache, bundle, ratios=[1.04, 1.04], fp32_ms=9.0, int8_ms=8.7)
    verdict = int8_or_fp32(bundle, THREADS)
    assert not verdict.int8
    assert "INT8 is not faster on this CPU (1.04 times" in verdict.reason


@pytest.mark.parametrize("field", ["cpu", "onnxruntime", "threads", "fp32_sha256", "int8_sha256"])
def test_a_memory_of_another_situation_does_not_count(
    field: str, bundle: Bundle, cache: Path
) -> None:
    value = remember(cache, bundle)
    value["choices"][0]["situation"][field] = "another"
    cache.write_text(json.dumps(value), encoding="utf-8")
    assert "measured now" in int8_or_fp32(bundle, THREADS).reason
    assert len(json.loads(cache.read_text(encoding="utf-8"))["choices"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"schema_version": 1}',
        '{"schema_version": 1, "choices": [{}]}',
        '{"schema_version": 1, "choices": [{"trial": {"ratios": [0], "fp32_ms": 1, "int8_ms": 1},'
        ' "situation": {}, "date": ""}]}',
        '{"schema_version": 1, "choices": [{"trial": {"ratios": [1], "fp32_ms": 1, "int8_ms": 1},'
        ' "situation": {"more": 1}, "date": ""}]}',
    ],
)
def test_a_broken_memory_is_said_and_measured_again(text: str, bundle: Bundle, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(text, encoding="utf-8")
    verdict = int8_or_fp32(bundle, THREADS)
    assert "measured now" in verdict.reason
    assert "cpu-choice.json' cannot be read" in verdict.doubts[0]
    assert int8_or_fp32(bundle, THREADS).doubts == ()


def test_a_memory_of_another_version_is_replaced_without_a_word(
    bundle: Bundle, cache: Path
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text('{"schema_version": 99}', encoding="utf-8")
    assert int8_or_fp32(bundle, THREADS).doubts == ()


def test_a_place_that_cannot_be_written_is_said(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    verdict = int8_or_fp32(bundle, THREADS)
    assert "measured now" in verdict.reason
    assert verdict.doubts[-1].startswith("Each start measures it again: cannot write")


def test_a_user_without_a_home_is_told(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert "There is no home folder to remember this in" in int8_or_fp32(bundle, THREADS).doubts[0]


def test_a_relative_cache_folder_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache_path() == Path.home() / ".cache" / "edge-arm" / "cpu-choice.json"


def test_an_int8_model_that_is_not_the_bundles_is_an_error_and_no_reason_for_fp32(
    bundle: Bundle, cache: Path, tmp_path: Path
) -> None:
    damaged = replace(bundle, path=tmp_path)
    with pytest.raises(BundleError, match=r"cannot read .*int8\.cpu\.onnx"):
        int8_or_fp32(damaged, THREADS)
    (tmp_path / "model.int8.cpu.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match="the file was changed or not copied whole"):
        int8_or_fp32(damaged, THREADS)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('no such instruction')", "failed (no such instruction), so FP32"),
        ("import os; os.kill(os.getpid(), 9)", "failed (it ended with status -9)"),
        ("import time; time.sleep(60)", "failed (it took more than 0.5 s)"),
        ("print('chatter')", "failed (it ended with status 0)"),
    ],
)
def test_a_trial_that_dies_or_hangs_leaves_fp32(
    code: str, reason: str, bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_choice, "_CODE", code)
    monkeypatch.setattr(cpu_choice, "TIMEOUT_S", 0.5)
    verdict = int8_or_fp32(bundle, THREADS)
    assert not verdict.int8
    assert reason in verdict.doubts[0]
    assert "so FP32 runs; name one with --precision" in verdict.doubts[0]
    assert not cache.exists()


def test_what_another_process_measured_meanwhile_is_kept(
    bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = CpuTrial((3.0, 3.0), 3.0, 1.0)
    meanwhile = [THREADS + 1, THREADS]

    def measured(of: Bundle, threads: int) -> CpuTrial:
        if meanwhile:  # the other process begins later and ends sooner, and once with the same
            int8_or_fp32(of, meanwhile.pop(0))
        return trial

    monkeypatch.setattr(cpu_choice, "_measured", measured)
    int8_or_fp32(bundle, THREADS)
    kept = json.loads(cache.read_text(encoding="utf-8"))["choices"]
    assert sorted(item["situation"]["threads"] for item in kept) == [THREADS, THREADS + 1]


def test_only_the_newest_choices_are_kept(
    bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_choice, "MOST_KEPT", 1)
    value = remember(cache, bundle)
    value["choices"][0]["situation"]["cpu"] = "another"
    cache.write_text(json.dumps(value), encoding="utf-8")
    int8_or_fp32(bundle, THREADS)
    (kept,) = json.loads(cache.read_text(encoding="utf-8"))["choices"]
    assert kept["situation"]["cpu"] == cpu_name()


def test_lines_of_libraries_do_not_hide_the_answer() -> None:
    text = 'chatter\nedge-arm cpu trial: {"ratios": [2, 3], "fp32_ms": 4, "int8_ms": 2}\nmore\n'
    assert trial_from_text(text) == CpuTrial((2, 3), 4, 2)
    assert trial_from_text("chatter\n") is None


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n" * 2, "Some CPU @ 2.00GHz"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x0\nCPU part\t: 0xd42\n",
            "CPU implementer 0x41, CPU variant 0x0, CPU part 0xd42",
        ),
        ("", "unknown"),
        # printf 'sse avx' | sha256sum
        ("model name : X\nflags : sse avx\n", "X, abilities 93b62423"),
    ],
)
def test_a_cpu_has_a_name(cpuinfo: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo, encoding="utf-8")
    assert cpu_name(tmp_path) == name


def test_a_system_without_cpuinfo_has_an_unknown_cpu(tmp_path: Path) -> None:
    assert cpu_name(tmp_path) == "unknown"
