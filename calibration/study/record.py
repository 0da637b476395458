"""The study as JSON: every figure of it, with what it was made from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_arm.calibration.study.curve import Size
from edge_arm.calibration.study.study import Study
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.storage import write_json

SCHEMA_VERSION = 1


def write_study(study: Study, path: Path) -> None:
    """Write `study_to_json` to a file, atomically.

    Args:
        study: to write.
        path: of the file.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_json(path, study_to_json(study))


def study_to_json(study: Study) -> dict[str, Any]:
    """The study as JSON values; agreements 0..1, divergences in nats."""
    config, draws = study.config, study.config.draws
    return {
        "schema_version": SCHEMA_VERSION,
        "model_sha256": study.model_sha256,
        "method": study.method.value,
        "balance": config.balance.value,
        "seed": config.seed,
        "num_images": config.num_images,
        "draws": {"ranges": draws.ranges, "answers": draws.answers},
        "sets": {
            item.label: {"pool": _faces(item.pool), "held_out": _faces(item.held_out)}
            for item in study.sets
        },
        "enough_faces": study.curve.enough,
        "tolerance": study.curve.tolerance,
        "sizes": [_size(size) for size in study.curve.sizes],
        "pairs": [asdict(cell) for cell in study.cells],
    }


def _size(size: Size) -> dict[str, Any]:
    return {
        "num_faces": size.num_faces,
        "agreements": list(size.agreements),
        "mean_kls": list(size.mean_kls),
        "median_scale_spread": size.median_spread,
        "scale_spread": size.spread,
        "scale_by_scale_of_pool": size.relative,
    }


def _faces(faces: FaceIndex) -> dict[str, Any]:
    return {
        "name": faces.name,
        "split": faces.split.value,
        "num_images": len(faces),
        "sha256": faces.sha256,
        "class_counts": {
            name: int(count)
            for name, count in zip(faces.labels.classes, faces.counts(), strict=True)
        },
    }
