"""The export as a whole: checkpoint in, checked bundle out, or nothing.

Every model file is compared with PyTorch and with its siblings before the folder gets its name, so
a bundle that exists is one whose figures held.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable
from pathlib import Path

import onnx

from edge_arm import __version__
from edge_arm.export.activation_range import activation_absmax
from edge_arm.export.bundle_folder import bundle_folder
from edge_arm.export.check_images import (
    NUM_DRAWN,
    NUM_RANDOM,
    CheckImages,
    DrawnFaces,
    check_images,
)
from edge_arm.export.config import ExportConfig
from edge_arm.export.fp16_from_onnx import fp16_checks, fp16_from_onnx
from edge_arm.export.golden import GOLDEN_NAME, write_golden
from edge_arm.export.onnx_from_checkpoint import TrainedModel, trained_model_from_checkpoint
from edge_arm.export.onnx_from_weights import onnx_from_weights
from edge_arm.export.parity import (
    NUM_BATCH_CHECK,
    batch_checks,
    batched_logits,
    head_checks,
    onnx_logits,
    pytorch_checks,
)
from edge_arm.runtime.backend import Float32Array
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
from edge_arm.runtime.storage import sha256_of_file, written_atomically
from edge_arm.runtime.trained_ranges import TRAINED_RANGES_NAME, write_trained_ranges

MAIN_NAME = "model.fp32.onnx"
FP16_NAME = "model.fp16.onnx"

Progress = Callable[[int], None] | None
_log = logging.getLogger(__name__)


def image_passes(config: ExportConfig, num_faces: int) -> int:
    """How many pictures go through a network in all, for a progress bar.

    Args:
        config: of the export.
        num_faces: real faces that are read.
    """
    every = NUM_RANDOM + NUM_DRAWN + num_faces
    faces = num_faces or NUM_DRAWN
    passes = 3 * every + 2 * 3 * min(NUM_BATCH_CHECK, every)
    return passes + 2 * faces if config.fp16 else passes


def bundle_from_checkpoint(
    checkpoint_path: Path,
    config: ExportConfig,
    out_dir: Path,
    *,
    drawn: DrawnFaces,
    faces: FaceIndex | None = None,
    progress: Progress = None,
) -> Bundle:
    """Export a checkpoint.

    The main model has the head that was asked for; the same model with the other form of the head
    stands beside it, and each is the other's witness. FP16 is made from the main model.

    Args:
        checkpoint_path: written by 'edge-arm train'.
        config: what to export.
        out_dir: of the bundle; a bundle that is there is replaced.
        drawn: synthetic faces at the model's size, for checks and for the device's self-test.
        faces: real faces for the checks; drawn and random ones serve alone without them.
        progress: called with the number of pictures done, `image_passes` in all.

    Raises:
        CheckpointError: if the checkpoint is missing or another model's.
        ExportError: if a written file does not compute what PyTorch computes; no file is left.
        StorageError: if the folder cannot be written or holds other files.
        ImageError: if a face cannot be read.
    """
    trained = trained_model_from_checkpoint(checkpoint_path)
    with bundle_folder(out_dir) as folder:
        images = check_images(trained.weights.preprocess, drawn, faces)
        artifacts, main_logits = _float32_models(trained, config, images, folder, progress)
        if config.fp16:
            artifacts.append(_float16_model(artifacts[0], images, folder, progress))
        first, last = len(images.random), len(images.random) + len(images.drawn)
        write_golden(folder / GOLDEN_NAME, drawn, main_logits[first:last])
        files = [GOLDEN_NAME]
        if trained.ranges is not None:
            write_trained_ranges(folder, trained.ranges)
            files.append(TRAINED_RANGES_NAME)
        write_manifest(
            folder,
            Manifest(
                labels=trained.weights.labels,
                preprocess=trained.weights.preprocess,
                artifacts=tuple(artifacts),
                files={name: sha256_of_file(folder / name) for name in files},
                source={**trained.source, "head_form": config.head.value},
                tool_versions=_tool_versions(config),
            ),
        )
    _log.info("exported %s to %s", checkpoint_path, out_dir)
    return open_bundle(out_dir)


def _float32_models(
    trained: TrainedModel,
    config: ExportConfig,
    images: CheckImages,
    folder: Path,
    progress: Progress,
) -> tuple[list[Artifact], Float32Array]:
    """Both forms of the head, the main one first, and the main one's logits on all pictures."""
    pictures = images.all
    reference = batched_logits(trained.logits, pictures, progress=progress)
    logits: list[Float32Array] = []
    checks: list[dict[str, float]] = []
    forms = {
        config.head: MAIN_NAME,
        config.head.other: f"model.fp32.{config.head.other.value}.onnx",
    }
    for form, name in forms.items():
        _write_model(folder / name, onnx_from_weights(trained.weights, form, config.opset))
        with OnnxRuntimeBackend(folder / name) as backend:
            logits.append(batched_logits(backend.infer, pictures, progress=progress))
            checks.append(
                {
                    "num_random_pictures": len(images.random),
                    "num_drawn_faces": len(images.drawn),
                    "num_real_faces": len(images.real),
                    **pytorch_checks(name, logits[-1], reference, images),
                    **batch_checks(name, backend, images, progress),
                }
            )
    main, other = logits
    checks[0] |= head_checks(MAIN_NAME, main, other)
    checks[1] |= head_checks(forms[config.head.other], other, main)
    artifacts = [
        Artifact(
            file=name,
            precision=Precision.FP32,
            variant="main" if form is config.head else form.value,
            opset=config.opset,
            sha256=sha256_of_file(folder / name),
            size_bytes=(folder / name).stat().st_size,
            checks=figures,
        )
        for (form, name), figures in zip(forms.items(), checks, strict=True)
    ]
    return artifacts, main


def _float16_model(
    main: Artifact, images: CheckImages, folder: Path, progress: Progress
) -> Artifact:
    path = folder / main.file
    absmax = activation_absmax(onnx.load(path), images.faces, progress)
    model, float_nodes = fp16_from_onnx(path, absmax)
    out_path = folder / FP16_NAME
    _write_model(out_path, model)
    reference = onnx_logits(path, images.faces)
    logits = onnx_logits(out_path, images.faces, progress)
    checks = fp16_checks(logits, reference, absmax, float_nodes)
    return Artifact(
        file=FP16_NAME,
        precision=Precision.FP16,
        variant="main",
        opset=main.opset,
        sha256=sha256_of_file(out_path),
        size_bytes=out_path.stat().st_size,
        checks={
            "num_real_faces": len(images.real),
            "num_drawn_faces": 0 if len(images.real) else len(images.drawn),
            **checks,
        },
        float_nodes=float_nodes,
    )


def _write_model(path: Path, model: onnx.ModelProto) -> None:
    """Check a model by ONNX's own rules and write it as one file."""
    onnx.checker.check_model(model, full_check=True)
    with written_atomically(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _tool_versions(config: ExportConfig) -> dict[str, str]:
    import onnxruntime

    # ONNX Runtime goes by several package names, so it is asked itself.
    versions = {"edge-arm": __version__, "onnxruntime": str(onnxruntime.__version__)}
    names = ["numpy", "onnx", "torch"] + (["nvidia-modelopt"] if config.fp16 else [])
    return versions | {name: importlib.metadata.version(name) for name in names}
