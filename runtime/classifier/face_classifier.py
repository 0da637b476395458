"""A loaded model that answers with expressions: faces in, probabilities out.

Shapes: N faces, S model input size, C classes, H, W picture height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from edge_arm.runtime.backend import Backend, BackendInfo, Float32Array, check_input
from edge_arm.runtime.classifier.model_choice import ModelChoice
from edge_arm.runtime.detection.detection_config import DetectionConfig
from edge_arm.runtime.errors import ImageError, InferenceError, UsageError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.statistics import softmax

if TYPE_CHECKING:
    from edge_arm.runtime.live.frame_faces import FaceFinding, LookAtFrame
    from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
    from edge_arm.runtime.sources.frame import SourceEvent


@dataclass(frozen=True)
class ClassifierConfig:
    """How a model is fed.

    Attributes:
        detection: how faces are found in pictures; None if every picture is one face already.
        max_batch: faces in one call; what suits the model if None.

    Raises:
        UsageError: if fewer than one face is to be in a call.
    """

    detection: DetectionConfig | None = DetectionConfig()
    max_batch: int | None = None

    def __post_init__(self) -> None:
        if self.max_batch is not None and self.max_batch < 1:
            raise UsageError(
                f"got batches of {self.max_batch} faces, expected at least 1; leave the number "
                "out for what suits the model"
            )


class FaceClassifier:
    """The model of a bundle; made by `open_classifier`. Close it, or use it in a `with` block.

    Args:
        bundle: that the model is from.
        backend: that runs it; owned from now on.
        choice: which model it is, and why.
        temperature: that its logits are divided by.
        config: how it is fed.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        *,
        choice: ModelChoice,
        temperature: float = 1.0,
        config: ClassifierConfig | None = None,
    ) -> None:
        self._bundle, self._backend, self._choice = bundle, backend, choice
        self._temperature = temperature
        self._config = config or ClassifierConfig()
        self._found: FaceFinding | None = None
        self._look: LookAtFrame | None = None

    @property
    def labels(self) -> LabelSet:
        """The C expressions, in the order of the probabilities."""
        return self._bundle.manifest.labels

    @property
    def size(self) -> int:
        """S."""
        return self._backend.info.input_size

    @property
    def info(self) -> BackendInfo:
        """What runs, for reports."""
        return self._backend.info

    @property
    def choice(self) -> ModelChoice:
        """Which model answers, and why this one."""
        return self._choice

    @property
    def temperature(self) -> float:
        """That logits are divided by before they become probabilities; 1 if none was fitted."""
        return self._temperature

    @property
    def max_batch(self) -> int:
        """Faces in one call of the model at most."""
        return self._config.max_batch or self._choice.max_batch

    def classify(self, images_nhwc: Uint8Array) -> Float32Array:
        """Probabilities of some faces, in calls of at most `max_batch`.

        Args:
            images_nhwc: (N, S, S, 3) uint8 RGB, resized with `resize_face`; N may be 0.

        Returns:
            (N, C) float32, each row sums to 1: softmax of the logits by the temperature. The same
            face gets the same answer in every batch.

        Raises:
            InferenceError: if shape or type is wrong, the device fails, or an answer is no number.
        """
        if images_nhwc.shape == (0, self.size, self.size, 3):
            return np.empty((0, len(self.labels)), np.float32)
        # Here and not in the parts of a large batch, whose shapes nobody gave.
        check_input(images_nhwc, self.size)
        logits = [
            self._backend.infer(images_nhwc[start : start + self.max_batch])
            for start in range(0, len(images_nhwc), self.max_batch)
        ]
        return self._probabilities(logits[0] if len(logits) == 1 else np.concatenate(logits))

    def faces_in(self, picture: str | Path | Uint8Array) -> tuple[LabelledFace, ...]:
        """Find the faces of a picture and label them, from left to right.

        Args:
            picture: a file, or (H, W, 3) uint8 RGB.

        Raises:
            ImageError: if the file is no whole picture or a huge one, or the array is no picture.
            InferenceError: see `classify`.
            UsageError: if the detector's name means nothing or its file cannot be used.
            BackendUnavailableError: if this OpenCV lacks the detector.
            BundleError: if how the training faces were cut was damaged in the bundle.
        """
        from edge_arm.runtime.live.answering import labelled_faces
        from edge_arm.runtime.live.frame_faces import look_at_frame
        from edge_arm.runtime.sources.frame import Frame
        from edge_arm.runtime.sources.pictures import read_picture
        from edge_arm.runtime.sources.source_config import MAX_PIXELS

        if isinstance(picture, np.ndarray):
            name, image = "picture", _checked_picture(picture)
        else:
            name, image = str(picture), read_picture(Path(picture), MAX_PIXELS)
        if self._look is None:
            self._look = look_at_frame(self._finding(), self.size, chunk=self.max_batch)
        faces = self._look(Frame(name, 0, 0.0, image))
        # One chunk after the other: thousands of crops need far more memory than their picture.
        chunks = chain([faces.first_nhwc], faces.rest())
        rows = np.concatenate([self.classify(chunk) for chunk in chunks])
        return labelled_faces(faces, rows, self.labels)

    def run(self, source: str) -> Iterator[FrameResult | SourceEvent]:
        """Label the faces of everything that a source gives, as `edge-arm run` does.

        Nothing is opened before the first frame is asked for.

        Args:
            source: a picture, folder, glob or video, "camera:0", a URL; as `edge-arm run` takes it.

        Yields:
            A result for each frame in order, and an event where there is no frame.

        Raises:
            DataError: if the source gives nothing at all.
            InferenceError: see `classify`.
        """
        from edge_arm.runtime.live.pipeline import PipelineConfig, classified_frames
        from edge_arm.runtime.sources.source_from_text import open_source

        config = PipelineConfig(find=self._finding(), max_batch=self.max_batch)
        with closing(classified_frames(open_source(source), self, config)) as results:
            yield from results

    def close(self) -> None:
        """Give the model's memory back; may be called more than once."""
        self._backend.__exit__(None, None, None)

    def __enter__(self) -> FaceClassifier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _finding(self) -> FaceFinding | None:
        if self._config.detection is None:
            return None
        if self._found is None:
            from edge_arm.runtime.live.face_finding import face_finding

            self._found = face_finding(self._bundle, self._config.detection)
        return self._found

    def _probabilities(self, logits: Float32Array) -> Float32Array:
        """(N, C) float32 of logits (N, C)."""
        if not np.isfinite(logits).all():
            # A NaN never is the largest and an infinity always is: there would be a label all the
            # same, and a wrong one.
            row, column = (int(place) for place in np.argwhere(~np.isfinite(logits))[0])
            raise InferenceError(
                f"{self.info.name} gave the logit {logits[row, column]} for "
                f"{self.labels.classes[column]!r}, expected a finite number; make the model again, "
                "or use a higher precision"
            )
        return softmax(logits, temperature=self._temperature).astype(np.float32)


def _checked_picture(picture: Uint8Array) -> Uint8Array:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ImageError(
            f"got an array of shape {picture.shape} and type {picture.dtype} as a picture, "
            "expected (H, W, 3) uint8 RGB; OpenCV's own order is BGR, turn it with cv2.cvtColor"
        )
    return picture
