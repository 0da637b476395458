"""Running models over labelled faces: logits of every face, and nothing judged yet.

All models of a bundle see the same decoded batch, one after the other. Decoding and hashing then
happen once for all of them, which makes the comparison cheap, and makes it paired by construction:
no model can have seen other pixels than its neighbour.

Shapes: N faces, B faces in a batch, S model input size, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.backend import Backend, BackendInfo, Float32Array
from edge_arm.runtime.batches import FaceBatch, PixelHash, face_batches
from edge_arm.runtime.errors import DataError, InferenceError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import MAIN_VARIANT, Precision
from edge_arm.runtime.preprocess import PreprocessSpec


@dataclass(frozen=True)
class PredictConfig:
    """How faces are fed to a model; none of it may change an answer.

    Attributes:
        batch_size: faces per call; the last call may have fewer.
        workers: decoding threads; one per core when None.
    """

    batch_size: int = 32
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(
                f"got batch size {self.batch_size}, expected at least 1; use --batch-size 1"
            )
        if self.workers is not None and self.workers < 1:
            raise UsageError(
                f"got {self.workers} decoding threads, expected at least 1; leave the number out"
            )


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one model answered to labelled faces, with all that is needed to trust it.

    Attributes:
        logits: (N, C) float32, all finite.
        targets: (N,) int64 class indices in `labels`.
        sample_ids: N names, in the order of the rows.
        labels: the model's classes.
        data_sha256: over ids, labels and file contents of all faces, in order.
        precision: of the model.
        info: of what ran.
        batch_size: faces per call.
        seconds_inference: spent inside the model, decoding excluded. Decoding threads run beside
            it and the first call is in it, so this is a plain figure and no benchmark.
        temperature: that the bundle keeps for the model, fitted on other faces; None if none is.
        variant: of the model file, see `Artifact`.
    """

    logits: Float32Array
    targets: npt.NDArray[np.int64]
    sample_ids: tuple[str, ...]
    labels: LabelSet
    data_sha256: str
    precision: Precision
    info: BackendInfo
    batch_size: int
    seconds_inference: float
    temperature: float | None = None
    variant: str = MAIN_VARIANT

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def answers(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the class with the largest logit, the first of equals."""
        answers: npt.NDArray[np.int64] = self.logits.argmax(axis=1).astype(np.int64, copy=False)
        return answers

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether each face was answered rightly."""
        right: npt.NDArray[np.bool_] = self.answers == self.targets
        return right

    @property
    def images_per_second(self) -> float:
        """Faces per second of `seconds_inference`; see there for what it is worth."""
        return len(self) / max(self.seconds_inference, 1e-9)


def predict(
    backend: Backend,
    index: FaceIndex,
    *,
    config: PredictConfig,
    precision: Precision,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """Answers of one model to every face of an index; see `predict_all`."""
    return predict_all({precision: backend}, index, config=config, progress=progress)[precision]


def predict_all(
    backends: Mapping[Precision, Backend],
    index: FaceIndex,
    *,
    config: PredictConfig,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[FaceBatch], None] | None = None,
) -> dict[Precision, Predictions]:
    """Answers of one model per precision to the same faces; see `predict_models`."""
    models = {
        precision.value: ModelToRun(precision, backend) for precision, backend in backends.items()
    }
    found = predict_models(models, index, config=config, progress=progress, watch=watch)
    return {precision: found[precision.value] for precision in backends}


@dataclass(frozen=True)
class ModelToRun:
    """A loaded model and what it is.

    Attributes:
        precision: of its heavy layers.
        backend: that runs it.
        variant: of its file, see `Artifact`.
    """

    precision: Precision
    backend: Backend
    variant: str = MAIN_VARIANT


def predict_models(
    models: Mapping[str, ModelToRun],
    index: FaceIndex,
    *,
    config: PredictConfig,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[FaceBatch], None] | None = None,
) -> dict[str, Predictions]:
    """Answers of several models to the same faces, decoded once.

    Memory grows with the number of faces by their logits and names alone.

    Args:
        models: by the name that errors call them by; all with the same input size.
        index: faces whose class indices are the model's, see `FaceIndex.relabelled`.
        config: how to feed them.
        progress: called with the number of faces after each call of each model, so it reaches the
            number of faces times the number of models.
        watch: sees each decoded batch before the models do, for whoever needs the pixels as well;
            it must not change them.

    Returns:
        Predictions by name, over the same faces in the order of the index.

    Raises:
        DataError: if the index is empty or has other classes than a model.
        ImageError: for the first picture that cannot be read; nothing is skipped.
        InferenceError: if a model fails or gives NaN or infinite logits.
    """
    size = _checked_size(models, index)
    num_faces, num_classes = len(index), len(index.labels)
    runs = {
        name: _Run(model, np.empty((num_faces, num_classes), np.float32))
        for name, model in models.items()
    }
    digest = PixelHash()
    for batch in face_batches(
        index, PreprocessSpec(size=size), config.batch_size, workers=config.workers
    ):
        for offset, file_sha256 in enumerate(batch.sha256s):
            sample = index.samples[batch.start + offset]
            digest.add(sample, index.labels.classes[sample.target], file_sha256)
        if watch is not None:
            watch(batch)
        for name, run in runs.items():
            _infer_batch(run, name, batch, index)
            if progress is not None:
                progress(len(batch.sha256s))
    sample_ids = tuple(sample.sample_id for sample in index.samples)
    return {
        name: Predictions(
            logits=run.logits,
            targets=index.targets,
            sample_ids=sample_ids,
            labels=index.labels,
            data_sha256=digest.hexdigest(),
            precision=run.model.precision,
            info=run.model.backend.info,
            batch_size=config.batch_size,
            seconds_inference=run.seconds,
            variant=run.model.variant,
        )
        for name, run in runs.items()
    }


@dataclass
class _Run:
    """The rows and the time of one model while it works."""

    model: ModelToRun
    logits: Float32Array  # (N, C), filled batch by batch
    seconds: float = field(default=0.0)


def _infer_batch(run: _Run, name: str, batch: FaceBatch, index: FaceIndex) -> None:
    start = time.perf_counter()
    logits = run.model.backend.infer(batch.images_nhwc)  # (B, C)
    run.seconds += time.perf_counter() - start
    rows = run.logits[batch.start : batch.start + len(batch.sha256s)]
    model = f"the {name} model {run.model.backend.info.model_sha256[:12]}"
    if logits.shape != rows.shape:
        raise InferenceError(
            f"{model} gave logits of shape {logits.shape}, expected {rows.shape}; "
            "export it again with this version of edge-arm"
        )
    finite = np.isfinite(logits)
    if not finite.all():
        # A NaN never is the largest logit and an infinity always is: either way there would be an
        # accuracy, and a wrong one.
        row, column = (int(position) for position in np.argwhere(~finite)[0])
        sample = index.samples[batch.start + row]
        raise InferenceError(
            f"{model} gave the logit {logits[row, column]} for "
            f"{index.labels.classes[column]!r} on {str(sample.path)!r}, expected a finite number; "
            "nothing was measured: make the model again, or use a higher precision"
        )
    rows[:] = logits


def _checked_size(models: Mapping[str, ModelToRun], index: FaceIndex) -> int:
    if not len(index):
        raise DataError(
            f"the {index.split.value} split of {index.name!r} has no faces, expected at least one; "
            "choose another split or data set"
        )
    sizes = {name: model.backend.info.input_size for name, model in models.items()}
    if len(set(sizes.values())) != 1:
        raise InferenceError(
            f"got models with input sizes {sizes}, expected one size for all; "
            "measure the models of one bundle"
        )
    for name, model in models.items():
        if model.backend.info.num_classes != len(index.labels):
            raise DataError(
                f"the {name} model has {model.backend.info.num_classes} classes, the faces of "
                f"{index.name!r} have {len(index.labels)} ({', '.join(index.labels.classes)}), "
                "expected the same; measure with the data set that the model was trained for"
            )
    return next(iter(sizes.values()))
