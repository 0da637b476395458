"""The whole run on a tiny bundle: real sessions of ONNX Runtime, very little time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import golden_faces, tiny_bundle

from edge_arm.runtime.benchmark import benchmark as run_of_benchmark
from edge_arm.runtime.benchmark.benchmark import (
    BenchmarkConfig,
    Surroundings,
    _remarks,
    base_of,
    run_benchmark,
)
from edge_arm.runtime.benchmark.benchmark import (
    golden_faces as faces_of,
)
from edge_arm.runtime.benchmark.energy_run import EnergyPlan
from edge_arm.runtime.benchmark.machine_state import state_now
from edge_arm.runtime.benchmark.ratios import FEWEST_ROUNDS
from edge_arm.runtime.benchmark.stages import Picture
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.errors import BundleError, MeasurementError, UsageError
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle
from edge_arm.runtime.model_spec import ModelSpec, Place
from edge_arm.runtime.preprocess import Uint8Array

PLACE = Place("onnxruntime", threads=1)
FP32, INT8 = ModelSpec(PLACE, Precision.FP32), ModelSpec(PLACE, Precision.INT8)
SHORT = BenchmarkConfig(seconds=0.4, batch_sizes=(1, 4), starts=0, warm_up_s=0.02)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("benchmark") / "bundle")


def jpeg() -> Picture:
    import cv2

    done, content = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))
    assert done
    return Picture(content.tobytes(), CropBox(8, 8, 32, 32))


def test_every_model_is_timed_at_every_batch_size_in_turns(bundle: Bundle) -> None:
    result = run_benchmark(bundle, (FP32, INT8), SHORT, Surroundings(picture=jpeg()))
    assert [model.spec for model in result.models] == [FP32, INT8]
    assert result.base == "ONNX Runtime FP32"
    for model in result.models:
        assert model.info.model_sha256 == bundle.manifest.artifact(model.spec.precision).sha256
        assert [batch.batch_size for batch in model.batches] == [1, 4]
        assert list(model.stages) == ["compute", "probabilities"]
        assert model.alone is None
        assert model.energy is None
        assert model.paced is not None
        assert model.paced.latency.count == 10  # the fewest frames, a third of a second
        for batch in model.batches:
            # Throughput is what the mean says, by hand.
            mean_s = sum(batch.seconds) / len(batch.seconds)
            assert batch.faces_per_s == pytest.approx(batch.batch_size / mean_s)
            assert len(batch.round_medians_s) >= FEWEST_ROUNDS
    base, other = result.models
    assert [batch.ratio for batch in base.batches] == [None, None]
    for mine, theirs in zip(base.batches, other.batches, strict=True):
        assert theirs.ratio is not None
        rounds = np.array(mine.round_medians_s) / np.array(theirs.round_medians_s)
        assert theirs.ratio.ratio == pytest.approx(float(np.median(rounds)))
    assert list(result.picture_stages) == ["decode", "crop and resize"]
    assert 0 < result.elapsed_s < 60


def test_models_are_started_alone_if_that_is_asked_for(bundle: Bundle) -> None:
    config = BenchmarkConfig(
        seconds=0.1, batch_sizes=(1,), starts=1, frames_per_s=None, warm_up_s=0.01
    )
    (model,) = run_benchmark(bundle, (FP32,), config, Surroundings()).models
    assert model.alone is not None
    assert model.alone.cold.starts == 1
    assert list(model.alone.memory) == [1]
    assert model.paced is None


@pytest.mark.parametrize("name", ["golden.npz", "temperature.json"])
def test_a_damaged_bundle_is_refused_before_the_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_bundle(tmp_path / "bundle").path
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (path / name).write_bytes(b"something else")

    def work(*_: object, **__: object) -> None:
        raise AssertionError("a model was started")

    monkeypatch.setattr(run_of_benchmark, "run_alone", work)
    config = replace(SHORT, starts=1)
    with pytest.raises(BundleError, match="the file was changed or not copied whole"):
        run_benchmark(open_bundle(path), (FP32,), config, Surroundings())


class ThrottlingDetector:
    """Lowers the highest clock of the machine when it is used for the first time."""

    name = "throttling"

    def __init__(self, limit: Path) -> None:
        self._limit = limit

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        self._limit.write_text("800000\n")
        return ()


def test_a_machine_that_changes_meanwhile_gives_no_result(bundle: Bundle, tmp_path: Path) -> None:
    policy = tmp_path / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    for name, value in (("cur", 1200000), ("min", 100000), ("max", 1500000)):
        (policy / f"scaling_{name}_freq").write_text(f"{value}\n")
    around = Surroundings(jpeg(), ThrottlingDetector(policy / "scaling_max_freq"), root=tmp_path)
    with pytest.raises(
        MeasurementError,
        match=r"did not stay the same .*highest clock was lowered from 1500 MHz to 800 MHz",
    ):
        run_benchmark(bundle, (FP32,), SHORT, around)


def test_a_machine_that_is_throttled_all_the_while_is_said_to_be(
    bundle: Bundle, tmp_path: Path
) -> None:
    device = tmp_path / "sys/class/thermal/cooling_device0"
    device.mkdir(parents=True)
    (device / "type").write_text("cpu-throttle-alert\n")
    (device / "cur_state").write_text("2\n")
    result = run_benchmark(bundle, (FP32,), SHORT, Surroundings(root=tmp_path))
    assert any("was throttled from start to end" in note for note in result.notes)
    # Without /proc there the load of others is not known, so nothing is said about it.
    assert result.load_of_others is None
    assert not any("not quiet" in note for note in result.notes)


def test_an_alarm_from_before_the_run_is_no_throttling_of_the_run() -> None:
    old_alarm = replace(state_now(), alarms=("VDD_IN (critical)",), throttles={"fan": 0})
    assert _remarks({}, 0.0, old_alarm) == []
    (note,) = _remarks({}, 0.0, replace(old_alarm, throttles={"cpu-throttle": 1}))
    assert "was throttled from start to end" in note


class SilentSensor:
    """Draws the same power whatever runs."""

    name = "a rail of the fan"
    update_interval_s = 0.005

    def power_w(self) -> float:
        return 2.0


def test_an_energy_that_cannot_be_believed_is_said_and_not_shown(bundle: Bundle) -> None:
    config = BenchmarkConfig(
        seconds=0.1,
        batch_sizes=(1,),
        starts=0,
        frames_per_s=None,
        warm_up_s=0.01,
        energy=EnergyPlan(window_s=0.5, settle_s=0.01),
    )
    result = run_benchmark(bundle, (FP32,), config, Surroundings(power=SilentSensor()))
    assert result.models[0].energy is None
    (note,) = [note for note in result.notes if note.startswith("Energy of ONNX Runtime FP32")]
    assert "the work drew 2.00 W and the idle machine 2.00 W" in note


def test_the_base_is_the_first_model_in_fp32(bundle: Bundle) -> None:
    other = ModelSpec(Place("openvino"), Precision.FP32)
    assert base_of((INT8, FP32, other)) == FP32.name
    assert base_of((INT8,)) == INT8.name


def test_the_faces_are_the_bundles_own_repeated(bundle: Bundle) -> None:
    expected = golden_faces()
    faces = faces_of(bundle, 8)
    np.testing.assert_array_equal(faces, np.concatenate([expected, expected[:2]]))


def test_nothing_to_measure_in_is_refused() -> None:
    with pytest.raises(UsageError, match=r"got the batch sizes \[0\], expected numbers from 1"):
        BenchmarkConfig(batch_sizes=(0,))
    with pytest.raises(UsageError, match=r"got 0\.001 frames per second, expected 1 to 100000"):
        BenchmarkConfig(frames_per_s=0.001)
    with pytest.raises(UsageError, match=r"got -1 seconds to measure in, expected a time"):
        BenchmarkConfig(seconds=-1)
