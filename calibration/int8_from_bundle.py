"""The calibration stage: a bundle and training faces in, the same bundle with an INT8 model out.

Shapes: N faces, C classes.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import onnx

from edge_arm import __version__
from edge_arm.calibration.observe import observe
from edge_arm.calibration.placement import QuantPlan, plan_from_modelopt
from edge_arm.calibration.placement_check import check_placement
from edge_arm.calibration.qdq import int8_graph, weight_bytes
from edge_arm.calibration.ranges import Method, amax_from_histogram
from edge_arm.calibration.sample import calibration_sample
from edge_arm.calibration.table import CALIBRATION_NAME, CalibrationTable, write_table
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches, read_face
from edge_arm.runtime.errors import CalibrationError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import (
    Artifact,
    Bundle,
    Manifest,
    Precision,
    open_bundle,
    write_manifest,
)
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.storage import sha256_of_file, storage_error

INT8_NAME = "model.int8.onnx"
GOLDEN_NAME = "golden.npz"
BATCH_SIZE = 8
"""Faces decoded ahead at a time; it changes no result."""

_TOOLS = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "nvidia-modelopt")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationConfig:
    """How to calibrate.

    Attributes:
        num_images: calibration faces, drawn from the training split.
        method: how a range is chosen from what was seen.
        seed: of the draw.
    """

    num_images: int = 512
    method: Method = Method.ENTROPY
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise UsageError(
                f"got --images {self.num_images}, expected at least one per class; ask for 512"
            )
        if self.seed < 0:
            raise UsageError(f"got --seed {self.seed}, expected 0 or more; choose another")

    @property
    def num_steps(self) -> int:
        """What `progress` adds up to: every face runs in FP32 and then in INT8."""
        return 2 * self.num_images


def int8_from_bundle(
    bundle: Bundle,
    train_index: FaceIndex,
    config: CalibrationConfig,
    progress: Callable[[int], None] | None = None,
) -> Bundle:
    """Calibrate the FP32 model of a bundle and add the INT8 model to it.

    Nothing in the bundle is touched before the new files are complete and checked.

    Args:
        bundle: with an FP32 model.
        train_index: the training split, in any label order that the model knows.
        config: how.
        progress: called with the number of faces done since the last call; see `num_steps`.

    Returns:
        The bundle as it is now: with the INT8 model and `calibration.json`. Any INT8 model it had
        before is replaced.

    Raises:
        UsageError, DataError: for faces that cannot calibrate this model.
        BundleError: if the bundle has no FP32 model or its bytes changed.
        CalibrationError: if no usable ranges or no usable graph come out.
        StorageError: if the result cannot be written.
    """
    manifest = bundle.manifest
    model_path, fp32 = bundle.model(Precision.FP32)
    golden_path = bundle.verified(GOLDEN_NAME)
    population = train_index.relabelled(manifest.labels)
    faces = calibration_sample(population, num_images=config.num_images, seed=config.seed)

    model = onnx.load(model_path)
    first, _ = read_face(faces.samples[0], manifest.preprocess)
    plan = plan_from_modelopt(model, first[np.newaxis])
    source = plan.ranges_from(model)
    seen = observe(
        model,
        dict.fromkeys(source.values()),
        face_batches(faces, manifest.preprocess, BATCH_SIZE),
        progress=progress,
    )
    ranges = {
        tensor: amax_from_histogram(histogram, config.method, tensor)
        for tensor, histogram in seen.histograms.items()
    }
    amax = {tensor: ranges[origin] for tensor, origin in source.items()}
    quantized = int8_graph(model, plan, amax)
    check_placement(quantized)
    table = CalibrationTable(
        method=config.method,
        amax=amax,
        model_sha256=fp32.sha256,
        faces=faces,
        face_sha256s=seen.sha256s,
        population=len(population),
        population_sha256=population.sha256,
        seed=config.seed,
        tool_versions=_tool_versions(),
    )
    with _staging_folder(bundle.path) as staging:
        onnx.save(quantized, staging / INT8_NAME)
        write_table(staging / CALIBRATION_NAME, table)
        with OnnxRuntimeBackend(staging / INT8_NAME) as int8:
            golden = np.load(golden_path, allow_pickle=False)
            checks = {
                **_difference("golden", golden["logits"], int8.infer(golden["images"])),
                **_difference("calibration", seen.logits, _logits(int8, faces, manifest, progress)),
                "weight_bytes": float(weight_bytes(model, plan)),
            }
        artifact = _artifact(staging / INT8_NAME, fp32.opset, checks, plan)
        _log.info(
            "INT8 agrees with FP32 on %.2f %% of the calibration faces",
            100 * checks["calibration_agreement"],
        )
        return _add_to_bundle(bundle, staging, artifact, table)


def _logits(
    backend: OnnxRuntimeBackend,
    faces: FaceIndex,
    manifest: Manifest,
    progress: Callable[[int], None] | None,
) -> Float32Array:
    answers = []
    for batch in face_batches(faces, manifest.preprocess, BATCH_SIZE):
        answers.append(backend.infer(batch.images_nhwc))
        if progress is not None:
            progress(len(batch.images_nhwc))
    return np.concatenate(answers)


def _difference(faces: str, fp32: Float32Array, int8: Float32Array) -> dict[str, float]:
    # Agreement is the share of equal top-1 classes. These faces made the ranges, so the figure is
    # kinder than on unseen faces: it can show that something is wrong, never that all is well.
    if not np.isfinite(int8).all():
        raise CalibrationError(
            f"the INT8 model answers NaN or infinity on the {faces} faces, expected numbers; try "
            "another --method, and train the model again if that does not help"
        )
    apart = np.abs(int8.astype(np.float64) - fp32)
    return {
        f"{faces}_agreement": float((int8.argmax(1) == fp32.argmax(1)).mean()),
        f"{faces}_max_logit_difference": float(apart.max()),
        f"{faces}_mean_logit_difference": float(apart.mean()),
    }


def _artifact(path: Path, opset: int, checks: dict[str, float], plan: QuantPlan) -> Artifact:
    return Artifact(
        file=INT8_NAME,
        precision=Precision.INT8,
        variant="main",
        opset=opset,
        sha256=sha256_of_file(path),
        size_bytes=path.stat().st_size,
        checks=checks,
        float_nodes=plan.float_nodes,
    )


def _add_to_bundle(
    bundle: Bundle, staging: Path, artifact: Artifact, table: CalibrationTable
) -> Bundle:
    old = bundle.manifest
    without = replace(
        old,
        artifacts=tuple(item for item in old.artifacts if item.precision is not Precision.INT8),
        files={name: digest for name, digest in old.files.items() if name != CALIBRATION_NAME},
        calibration=None,
    )
    new = replace(
        without,
        artifacts=(*without.artifacts, artifact),
        files={**without.files, CALIBRATION_NAME: sha256_of_file(staging / CALIBRATION_NAME)},
        tool_versions={**old.tool_versions, **table.tool_versions},
        calibration=table.provenance(),
    )
    # Files of an earlier calibration are about to change under the manifest that vouches for
    # them, so it forgets them first: whenever this is cut off, the bundle is whole.
    if without != old:
        write_manifest(bundle.path, without)
    for name in (INT8_NAME, CALIBRATION_NAME):
        (staging / name).replace(bundle.path / name)
    write_manifest(bundle.path, new)
    return open_bundle(bundle.path)


@contextmanager
def _staging_folder(bundle_path: Path) -> Iterator[Path]:
    # Inside the bundle, so that moving a file out of it is a rename.
    staging: Path | None = None
    try:
        staging = Path(mkdtemp(prefix=".calibrate-", dir=bundle_path))
        yield staging
    except OSError as error:
        raise storage_error(bundle_path, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _tool_versions() -> dict[str, str]:
    found = {"edge-arm": __version__}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # ONNX Runtime has two packages of which one is here
            continue
    return found
