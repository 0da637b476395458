"""A pass over faces on disk that loses next to nothing when it is cut off.

What is counted is written every ten seconds, and on Ctrl-C or SIGTERM (a scheduler's way to say
the same). The same command goes on from there by itself, to the same result.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import onnx

from edge_arm.calibration.exposure import Wanted
from edge_arm.calibration.observe import Observation, Observer, observation_from, placed_faces
from edge_arm.calibration.pass_state import PassIdentity, restored_pass, save_pass
from edge_arm.calibration.tally import Tally
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

SAVE_SECONDS = 10.0
BATCH_SIZE = 8
"""Faces decoded ahead at a time; it changes no result."""

_log = logging.getLogger(__name__)


def observe_faces(
    model: onnx.ModelProto,
    wanted: Wanted,
    *,
    faces: FaceIndex,
    spec: PreprocessSpec,
    state_path: Path,
    progress: Callable[[int], None] | None = None,
) -> Observation:
    """Run faces and count every value of the tensors, going on from where an earlier run stopped.

    The state stays when the pass is complete, for the case that what follows is interrupted; see
    `pass_state` and `forget_pass`.

    Args:
        model: the FP32 graph, uint8 (N, S, S, 3) to float32 (N, C).
        wanted: tensors in it.
        faces: to run.
        spec: the model's input.
        state_path: of the file that says how far the pass is.
        progress: called with the number of faces done since the last call; those of an earlier
            run are done at once.

    Raises:
        ImageError: for a face that cannot be read.
        CalibrationError: if there are no faces, the model is quantized already, or a value is NaN,
            infinite or absurd.
        BackendError: if ONNX Runtime cannot run the model.
        StorageError: if the state cannot be written.
    """
    observer = Observer(model, wanted)
    identity = PassIdentity.of(model, wanted, faces=faces, spec=spec)
    tally = restored_pass(state_path, wanted, identity=identity, faces=faces)
    report = progress or (lambda _: None)
    if len(tally):
        report(len(tally))
    left = [position for position in range(len(faces)) if position not in tally.logits]
    saved_at = time.monotonic()

    def step() -> None:
        nonlocal saved_at
        report(1)
        if time.monotonic() - saved_at >= SAVE_SECONDS:
            save_pass(state_path, tally, identity)
            saved_at = time.monotonic()

    batches = face_batches(faces.subset(left), spec, BATCH_SIZE)
    stream = (replace(face, position=left[face.position]) for face in placed_faces(batches))
    with _terminated_like_interrupted():
        try:
            observer.run(stream, tally, step)
        except KeyboardInterrupt:
            _save_last(state_path, tally, identity, len(faces))
            raise
    if left:
        save_pass(state_path, tally, identity)
    return observation_from(tally, model)


def _save_last(path: Path, tally: Tally, identity: PassIdentity, num_faces: int) -> None:
    if not len(tally):
        return
    try:
        save_pass(path, tally, identity)
    except StorageError as error:  # it stays an interrupt, with nothing to go on from
        _log.warning("%s", error)
        return
    _log.warning(
        "stopped with %d of %d faces done; the same command goes on from there",
        len(tally),
        num_faces,
    )


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    # In a thread other than the main one Python delivers no signals, and nothing is changed.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
