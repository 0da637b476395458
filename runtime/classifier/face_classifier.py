"""A loaded model that answers with expressions: faces in, probabilities out.

Shapes: N faces, S model input size, C classes, H, W picture height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from edge_arm.runtime.backend import Backend, BackendInfo, Float32Array
from edge_arm.runtime.classifier.model_choice import ModelChoice
from edge_arm.runtime.errors import InferenceError
from edge_arm.runtime.images import read_image
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.preprocess import Uint8Array

if TYPE_CHECKING:
    from edge_arm.runtime.live.frame_faces import FaceFinding, LookAtFrame
    from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
    from edge_arm.runtime.sources.frame import SourceEvent


@dataclass(frozen=True)
class ClassifierConfig:
    """How a model is fed.

    Attributes:
        detector: for whole pictures: "haar", or a file as `edge-arm run --detector` takes it;
            "aligned" if every picture is a face already.
        max_batch: faces in one call; what suits the model if None.
    """

    detector: str = "haar"
    max_batch: int | None = None


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
        if not len(images_nhwc):
            return np.empty((0, len(self.labels)), np.float32)
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
            ImageError: if the file is no whole picture.
            InferenceError: see `classify`.
            DataError: if the detector's file cannot be used.
        """
        from edge_arm.runtime.live.frame_faces import look_at_frame
        from edge_arm.runtime.live.frame_result import LabelledFace
        from edge_arm.runtime.sources.frame import Frame

        name = "picture" if isinstance(picture, np.ndarray) else str(picture)
        image = picture if isinstance(picture, np.ndarray) else read_image(Path(picture)).image_hwc
        if self._look is None:
            self._look = look_at_frame(self._finding(), self.size, chunk=self.max_batch)
        faces = self._look(Frame(name, 0, 0.0, image))
        chunks = (faces.first_nhwc, *faces.rest())
        rows = np.concatenate([self.classify(chunk) for chunk in chunks])
        classes = self.labels.classes
        return tuple(
            LabelledFace(
                box=box,
                score=score,
                track=None,
                label=classes[best],
                probabilities=tuple(row),
                frame_label=classes[best],
            )
            for box, score, row, best in zip(
                faces.boxes,
                faces.scores,
                rows.tolist(),
                rows.argmax(axis=1).tolist(),
                strict=True,
            )
        )

    def run(self, source: str) -> Iterator[FrameResult | SourceEvent]:
        """Label the faces of everything that a source gives, as `edge-arm run` does.

        Args:
            source: a picture, folder, glob or video, "camera:0", a URL; as `edge-arm run` takes it.

        Yields:
            A result for each frame in order, and an event where there is no frame.

        Raises:
            DataError: if the source gives nothing at all.
            InferenceError: see `classify`.
        """
        from edge_arm.runtime.live.pipeline import PipelineConfig, classified_frames
        from edge_arm.runtime.sources.open_source import open_source

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
        if self._config.detector == "aligned":
            return None
        raise NotImplementedError

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
        scaled = logits / np.float32(self._temperature)
        # Softmax does not change by a constant; the largest becomes 0, so that exp cannot overflow.
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
