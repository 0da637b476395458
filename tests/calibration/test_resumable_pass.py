"""A pass that is cut off, in every way in which that can happen, and gone on with."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_arm.calibration import resumable_pass
from edge_arm.calibration.exposure import Wanted
from edge_arm.calibration.observe import Observation
from edge_arm.calibration.pass_state import pass_state
from edge_arm.calibration.resumable_pass import observe_faces
from edge_arm.runtime.errors import CalibrationError, ImageError, StorageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.leftovers import PASS_STATE_NAME
from edge_arm.runtime.preprocess import PreprocessSpec

WANTED = Wanted.of(["t2", "t4", "t19"], extremes=["t3", "t49"], channels=["t5", "t4"])
SPEC = PreprocessSpec(size=64)
MakeIndex = Callable[..., FaceIndex]


def everything(seen: Observation) -> dict[str, object]:
    return {
        "histograms": {
            name: (item.counts.tobytes(), item.minimum, item.maximum)
            for name, item in seen.histograms.items()
        },
        "absmax": seen.absmax,
        "channels": {name: item.tobytes() for name, item in seen.channel_amax.items()},
        "logits": seen.logits.tobytes(),
        "sha256s": seen.sha256s,
    }


class Stop:
    """A progress callback that interrupts after some faces."""

    def __init__(self, after: int) -> None:
        self.after, self.done = after, 0

    def __call__(self, steps: int) -> None:
        self.done += steps
        if self.done >= self.after:
            raise KeyboardInterrupt


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    return tmp_path / PASS_STATE_NAME


@pytest.fixture
def stopped(model: onnx.ModelProto, face_index: MakeIndex, state_path: Path) -> FaceIndex:
    """28 faces of which some, but not all, are done."""
    faces = face_index()
    with pytest.raises(KeyboardInterrupt):
        observe_faces(
            model, WANTED, faces=faces, spec=SPEC, state_path=state_path, progress=Stop(5)
        )
    return faces


def uninterrupted(model: onnx.ModelProto, faces: FaceIndex, folder: Path) -> Observation:
    path = folder / "uninterrupted.npz"
    return observe_faces(model, WANTED, faces=faces, spec=SPEC, state_path=path)


def test_an_interrupted_pass_goes_on_to_the_same_bits(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    steps: list[int] = []
    with caplog.at_level(logging.INFO, "edge_arm"):
        seen = observe_faces(
            model, WANTED, faces=stopped, spec=SPEC, state_path=state_path, progress=steps.append
        )
    assert "going on with an interrupted calibration" in caplog.text
    assert 5 <= steps[0] < 28
    assert sum(steps) == 28
    assert everything(seen) == everything(uninterrupted(model, stopped, tmp_path))
    # and so is what is left for the case that the next step is interrupted
    assert state_path.read_bytes() == (tmp_path / "uninterrupted.npz").read_bytes()


def test_a_finished_pass_runs_no_face_again(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    first = observe_faces(model, WANTED, faces=stopped, spec=SPEC, state_path=state_path)
    monkeypatch.setattr(resumable_pass, "save_pass", lambda *_: pytest.fail("nothing has changed"))
    steps: list[int] = []
    again = observe_faces(
        model, WANTED, faces=stopped, spec=SPEC, state_path=state_path, progress=steps.append
    )
    assert steps == [28]
    assert everything(again) == everything(first)


def restarted(
    model: onnx.ModelProto, faces: FaceIndex, state_path: Path, caplog: pytest.LogCaptureFixture
) -> str:
    """Run again, assert that nothing was gone on with, and return what the log says."""
    steps: list[int] = []
    observe_faces(
        model, WANTED, faces=faces, spec=SPEC, state_path=state_path, progress=steps.append
    )
    assert steps == [1] * len(faces)
    return caplog.text


def test_another_models_state_is_not_used(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    other = onnx.ModelProto()
    other.CopyFrom(model)
    bias = next(item for item in other.graph.initializer if item.name == "c2")
    bias.CopyFrom(numpy_helper.from_array(np.full(16, 0.5, np.float32), "c2"))
    assert "was another one (model), starting over" in restarted(other, stopped, state_path, caplog)
    seen = observe_faces(other, WANTED, faces=stopped, spec=SPEC, state_path=state_path)
    assert everything(seen) == everything(uninterrupted(other, stopped, tmp_path))


def test_other_faces_state_is_not_used(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    fewer = stopped.subset(range(9))
    assert "was another one (faces), starting over" in restarted(model, fewer, state_path, caplog)


def test_other_tensors_and_pixels_are_told_by_name(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    wanted = replace(WANTED, channels=())
    spec = replace(SPEC, mean=(0.5, 0.5, 0.5))
    observe_faces(model, wanted, faces=stopped, spec=spec, state_path=state_path)
    assert "was another one (preprocessing, tensors), starting over" in caplog.text


def test_a_picture_that_changed_starts_the_pass_over(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    path = stopped.samples[0].path
    cv2.imwrite(str(path), np.full((64, 64, 3), 90, np.uint8))
    said = restarted(model, stopped, state_path, caplog)
    assert "(the picture 'train_00000.png' has changed), starting over" in said
    seen = observe_faces(model, WANTED, faces=stopped, spec=SPEC, state_path=state_path)
    assert everything(seen) == everything(uninterrupted(model, stopped, tmp_path))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: content[:1000], id="cut-off"),
        pytest.param(lambda content: b"not an archive", id="something-else"),
        pytest.param(lambda content: content[:-9000] + bytes(8000) + content[-1000:], id="damaged"),
    ],
)
def test_a_broken_state_is_not_used(
    model: onnx.ModelProto,
    stopped: FaceIndex,
    state_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[bytes], bytes],
):
    state_path.write_bytes(spoil(state_path.read_bytes()))
    said = restarted(model, stopped, state_path, caplog)
    assert "an interrupted calibration cannot be used, starting over" in said


def test_a_place_that_cannot_be_written_is_refused_before_any_face(tmp_path: Path):
    (tmp_path / "bundle").write_text("a file")
    with (
        pytest.raises(StorageError, match="cannot write .*a part of the path is a file"),
        pass_state(tmp_path / "bundle"),
    ):
        pytest.fail("the block must not start")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_bundle_is_refused_before_any_face(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission is denied"), pass_state(tmp_path):
        pytest.fail("the block must not start")


def test_an_error_leaves_no_state(
    model: onnx.ModelProto, stopped: FaceIndex, tmp_path: Path, state_path: Path
):
    stopped.samples[20].path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="train_00020"), pass_state(tmp_path) as path:
        assert path == state_path
        observe_faces(model, WANTED, faces=stopped, spec=SPEC, state_path=path)
    assert not list(tmp_path.glob(".*"))


def test_no_faces_are_refused_and_leave_no_state(
    model: onnx.ModelProto, face_index: MakeIndex, tmp_path: Path
):
    with (
        pytest.raises(CalibrationError, match="got no faces to calibrate with"),
        pass_state(tmp_path) as path,
    ):
        observe_faces(model, WANTED, faces=face_index((0,) * 7), spec=SPEC, state_path=path)
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_at_the_interrupt_stays_an_interrupt(
    model: onnx.ModelProto,
    face_index: MakeIndex,
    state_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def full(*_: object) -> None:
        raise StorageError("cannot write 'x': the disk is full")

    monkeypatch.setattr(resumable_pass, "save_pass", full)
    with pytest.raises(KeyboardInterrupt):
        observe_faces(
            model,
            WANTED,
            faces=face_index(),
            spec=SPEC,
            state_path=state_path,
            progress=Stop(5),
        )
    assert "the disk is full" in caplog.text
    assert not state_path.exists()


_PASS = """
import sys, time
from pathlib import Path
import onnx
from edge_arm.calibration import resumable_pass
from edge_arm.calibration.exposure import Wanted
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.preprocess import PreprocessSpec
model, folder, state = (Path(item) for item in sys.argv[1:4])
targets = [int(item) for item in sys.argv[4]]
samples = tuple(
    FaceSample(path.name, path, target)
    for path, target in zip(sorted(folder.glob("*.png")), targets, strict=True)
)
resumable_pass.SAVE_SECONDS = 0.0
resumable_pass.observe_faces(
    onnx.load(model),
    Wanted.of(["t2", "t4", "t19"], extremes=["t3", "t49"], channels=["t5", "t4"]),
    faces=FaceIndex("rafdb", Split.TRAIN, RAFDB, samples),
    spec=PreprocessSpec(size=64),
    state_path=state,
    progress=lambda steps: time.sleep(0.2),
)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_pass_ended_by_a_signal_goes_on_to_the_same_bits(
    model: onnx.ModelProto,
    face_index: MakeIndex,
    state_path: Path,
    tmp_path: Path,
    number: signal.Signals,
):
    faces = face_index()
    onnx.save(model, tmp_path / "model.onnx")
    targets = "".join(str(sample.target) for sample in faces.samples)
    places = [str(tmp_path / "model.onnx"), str(faces.samples[0].path.parent), str(state_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", _PASS, *places, targets], stderr=subprocess.DEVNULL
    )
    try:
        give_up_at = time.monotonic() + 60
        while not state_path.exists() and process.poll() is None:
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(30) != 0
    finally:
        process.kill()
    steps: list[int] = []
    seen = observe_faces(
        model, WANTED, faces=faces, spec=SPEC, state_path=state_path, progress=steps.append
    )
    assert 1 <= steps[0] < 28, "it was gone on with"
    assert everything(seen) == everything(uninterrupted(model, faces, tmp_path))
