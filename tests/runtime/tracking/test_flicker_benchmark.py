"""benchmarks/flicker.py: its arithmetic by hand, and a run on a tiny bundle."""

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

from edge_arm.data.clip import FaceTruth
from edge_arm.runtime.crop import CropBox


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "flicker.py"
    spec = importlib.util.spec_from_file_location("flicker", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["flicker"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["flicker"]
    return module


def judged(benchmark: ModuleType, truth: str, shown: str) -> Any:
    """A track of ten frames a second, one letter for each; a capital is in a transition."""
    moments = [
        benchmark.Moment(place / 10, label, label, true.lower(), true.isupper())
        for place, (true, label) in enumerate(zip(truth, shown, strict=True))
    ]
    return benchmark.score(moments, list(shown))


def test_a_label_that_follows_late_is_no_false_flip(benchmark: ModuleType) -> None:
    # The label changes at frame 6, half-way through frames 4 to 7; it is followed at frame 9.
    track = judged(benchmark, "nnnnNNHHhhhh", "nnnnnnnnnhhh")
    assert (track.flips, track.false_flips, track.missed) == (1, 0, 0)
    assert track.delays_ms == pytest.approx((300.0,))
    # Frame 8 alone is wrong among the eight outside the transition.
    assert (track.settled, track.right) == (8, 7)
    assert track.seconds == pytest.approx(1.1)


def test_leaving_the_true_label_and_coming_back_are_two_false_flips(benchmark: ModuleType) -> None:
    track = judged(benchmark, "nnnnnnnn", "nnnfnnnn")
    assert (track.flips, track.false_flips) == (2, 2)
    assert (track.settled, track.right) == (8, 7)


def test_a_wrong_label_on_the_way_is_one_false_flip(benchmark: ModuleType) -> None:
    track = judged(benchmark, "nnnNHhhh", "nnnffhhh")
    assert (track.flips, track.false_flips) == (2, 1)
    assert track.delays_ms == pytest.approx((100.0,))


def test_the_new_label_is_right_from_the_beginning_of_a_transition(benchmark: ModuleType) -> None:
    track = judged(benchmark, "nnnNNHHhh", "nnnhhhhhh")
    assert (track.flips, track.false_flips) == (1, 0)
    assert track.delays_ms == pytest.approx((-200.0,))


def test_a_new_label_before_its_transition_is_false(benchmark: ModuleType) -> None:
    track = judged(benchmark, "nnnNNHHhh", "nnhhhhhhh")
    assert (track.flips, track.false_flips) == (1, 1)


def test_a_change_that_is_never_followed_is_missed(benchmark: ModuleType) -> None:
    track = judged(benchmark, "nnNHhNsSnn", "nnnnnnnnnn")
    assert track.missed == 2  # h and s
    assert track.false_flips == 0


def test_tracks_are_summed_by_their_length(benchmark: ModuleType) -> None:
    score = benchmark.TrackScore
    tracks = [score(30.0, 4, 2, 90, 90, (100.0, 300.0), 0), score(90.0, 2, 2, 10, 0, (200.0,), 1)]
    total = benchmark.summary(tracks)
    assert total.false_per_minute == pytest.approx(2.0)
    assert total.flips_per_minute == pytest.approx(3.0)
    assert total.accuracy == pytest.approx(0.9)
    assert total.delay_ms == pytest.approx(200.0)
    assert total.missed == pytest.approx(0.25)


def test_the_difference_is_paired_over_tracks(benchmark: ModuleType) -> None:
    def tracks(*false: int) -> list[Any]:
        return [benchmark.TrackScore(60.0, 9, count, 1, 1, (), 0) for count in false]

    rng = np.random.default_rng(0)
    # One more in every track, whatever the track: no spread at all.
    same = benchmark.paired_difference(tracks(0, 5, 50), tracks(1, 6, 51), rng)
    assert same == pytest.approx((1.0, 1.0, 1.0))
    # One track of four differs, by 4: 1 a minute, and a resample may miss it (0.75^4 = 32 %).
    middle, low, high = benchmark.paired_difference(
        tracks(0, 0, 0, 0), tracks(4, 0, 0, 0), np.random.default_rng(0)
    )
    assert (middle, low) == pytest.approx((1.0, 0.0))
    assert high == pytest.approx(3.0)  # drawn three times or more: 5 %, four times: 0.4 %


def test_a_box_belongs_to_the_face_that_it_covers_most(benchmark: ModuleType) -> None:
    near = FaceTruth(CropBox(0, 0, 100, 100), "fear", 0, False, 1.0)
    far = FaceTruth(CropBox(150, 0, 100, 100), "anger", 1, False, 1.0)
    assert benchmark.truth_of(CropBox(140, 5, 100, 100), (near, far)) is far
    assert benchmark.truth_of(CropBox(300, 200, 100, 100), (near, far)) is None
    assert benchmark.truth_of(CropBox(0, 0, 10, 10), ()) is None


def test_a_run_states_every_model_with_and_without_smoothing(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    words = ["flicker.py", str(bundle.path), "--seeds", "1", "--seconds", "3", "--fps", "4"]
    words += ["--faces", "2", "--threads", "1", "--json", str(tmp_path / "flicker.json")]
    monkeypatch.setattr("sys.argv", words)
    assert benchmark.main() == 0
    out = capsys.readouterr().out
    figures = json.loads((tmp_path / "flicker.json").read_text(encoding="utf-8"))
    assert list(figures["models"]) == ["FP32", "FP16", "INT8", "INT8 cpu"]
    assert figures["tracks"] == 2
    assert figures["seconds_tracked"] == pytest.approx(2 * 11 / 4, abs=0.6)
    assert "| INT8 cpu, smoothed |" in out
    assert "| tau, s | hysteresis 0 |" in out


def test_a_bundle_that_is_none_ends_with_one_line(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["flicker.py", str(tmp_path)])
    assert benchmark.main() == 2
    assert capsys.readouterr().err.startswith("error: ")
