"""`edge-arm export`: a checkpoint to a bundle of checked ONNX models."""

from __future__ import annotations

import logging
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge_arm.export.check_images import DrawnFaces
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle

_log = logging.getLogger(__name__)


class _Head(str, Enum):
    FOLDED = "folded"
    EXPLICIT = "explicit"


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Written by 'edge-arm train'.")] = Path(
        "build/checkpoint.safetensors"
    ),
    fp16: Annotated[bool, typer.Option("--fp16", help="Also make the FP16 model.")] = False,
    head: Annotated[
        _Head, typer.Option(help="Form of the main model's head; the other is written beside it.")
    ] = _Head.FOLDED,
    opset: Annotated[int, typer.Option(help="ONNX operator set, 17 to 20.")] = 17,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; an old bundle there goes.")] = (
        Path("build/bundle")
    ),
    data: Annotated[
        str | None,
        typer.Option(help="Data set whose faces the checks use; what it was trained on if absent."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Its folder, if it is not under data/ or EDGE_ARM_DATA.")
    ] = None,
) -> None:
    """Export a checkpoint to ONNX and compare every file with PyTorch before keeping it.

    With --fp16, where TensorRT and a GPU are present, the FP16 engine is built too.

    Example: edge-arm export build/checkpoint.safetensors --fp16
    """
    from edge_arm.cli.build import build_if_possible
    from edge_arm.cli.console import progress_bar
    from edge_arm.export.bundle_from_checkpoint import bundle_from_checkpoint, image_passes
    from edge_arm.export.check_images import MAX_REAL
    from edge_arm.export.config import ExportConfig, HeadForm
    from edge_arm.model.checkpoint import load_checkpoint
    from edge_arm.runtime.manifest import Precision

    config = ExportConfig(head=HeadForm(head.value), opset=opset, fp16=fp16)
    trained = load_checkpoint(checkpoint)
    faces = _faces(data, root, trained.data)
    drawn = _drawn_faces(trained.preprocess.size)
    passes = image_passes(config, min(MAX_REAL, len(faces) if faces else 0))
    with progress_bar("checking", passes) as advance:
        bundle = bundle_from_checkpoint(
            checkpoint, config, out, drawn=drawn, faces=faces, progress=advance
        )
    _print_bundle(bundle)
    if fp16:
        build_if_possible(bundle, Precision.FP16)


def _faces(data: str | None, root: Path | None, trained_on: dict[str, Any]) -> FaceIndex | None:
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.errors import DataError, UsageError
    from edge_arm.runtime.faces import Split

    name = data or trained_on.get("name")
    if not isinstance(name, str):
        if root is not None:
            raise UsageError(
                f"got --root {str(root)!r} without --data, and the checkpoint does not say what it "
                "was trained on; name the data set with --data"
            )
        _log.warning("the checkpoint names no data set: checked on drawn and random faces only")
        return None
    try:
        folder = resolve_root(name, root)
    except (DataError, UsageError) as error:
        if data is not None or root is not None:  # asked for: no other faces instead
            raise
        _log.warning("checked on drawn and random faces only, because: %s", error)
        return None
    return face_index(name, folder, Split.TRAIN)


def _drawn_faces(size: int) -> DrawnFaces:
    import numpy as np

    from edge_arm.data.face_drawing import draw_face
    from edge_arm.data.face_parameters import sample_face, sample_identity
    from edge_arm.export.check_images import NUM_DRAWN, DrawnFaces
    from edge_arm.runtime.labels import RAFDB

    seeds = np.arange(NUM_DRAWN, dtype=np.int64)
    images = []
    for seed in seeds:
        rng = np.random.default_rng(int(seed))
        expression = RAFDB.classes[int(seed) % len(RAFDB)]
        images.append(draw_face(sample_face(rng, expression, sample_identity(rng)), size=size))
    return DrawnFaces(np.stack(images), seeds)


_COMPARISONS = {
    "pytorch_difference_random": "PyTorch, random pixels",
    "pytorch_difference_faces": "PyTorch, faces",
    "other_head_difference": "the other head",
    "batch_1_difference": "itself one by one",
    "shuffled_difference": "itself shuffled",
    "fp32_difference": "FP32, faces",
}
"""What each figure of the manifest compares a file with, in words."""


def _print_bundle(bundle: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{bundle.path}: largest difference of a logit", title_justify="left")
    for name in ("file", "MB", "compared with", "difference"):
        table.add_column(name, justify="right" if name in ("MB", "difference") else "left")
    artifacts = bundle.manifest.artifacts
    for item in artifacts:
        first = [item.file, f"{item.size_bytes / 1e6:.1f}"]
        for name, words in _COMPARISONS.items():
            if name in item.checks:
                table.add_row(*first, words, f"{item.checks[name]:.1e}")
                first = ["", ""]
        if "fp32_agreement" in item.checks:
            table.add_row("", "", "FP32, same label", f"{item.checks['fp32_agreement']:.1%}")
        table.add_section()
    console = Console(highlight=False, markup=False)
    console.print(table)
    for item in artifacts:
        reasons: dict[str, list[str]] = {}
        for node, reason in item.float_nodes.items():
            reasons.setdefault(reason, []).append(node)
        for reason, nodes in reasons.items():
            console.print(f"FP32 in {item.file}: {', '.join(nodes)} ({reason})", soft_wrap=True)
    checks = artifacts[0].checks
    console.print(
        f"opset {artifacts[0].opset}; checked on {checks['num_real_faces']:.0f} real faces, "
        f"{checks['num_drawn_faces']:.0f} drawn ones and {checks['num_random_pictures']:.0f} "
        f"pictures of noise; also written: {', '.join(sorted(bundle.manifest.files))}",
        soft_wrap=True,
    )
