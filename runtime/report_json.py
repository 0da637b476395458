"""The report as JSON, for programs: a CI job, a comparison with an older one.

The fields of schema version 1 keep their names and meaning; a later edge-arm may add fields.
Accuracies are 0..1, drops are percentage points and positive where the candidate is worse.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_arm.runtime.accuracy_drop import AccuracyDrop, ModelAccuracy
from edge_arm.runtime.report import Report
from edge_arm.runtime.storage import write_json

SCHEMA_VERSION = 1


def write_json_report(report: Report, path: Path) -> None:
    """Write `report_to_json` to a file, atomically.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_json(path, report_to_json(report))


def report_to_json(report: Report) -> dict[str, Any]:
    """The JSON form of a report.

    Args:
        report: what was measured.

    Returns:
        Plain dicts, lists, strings and numbers; "verdict" is None without a gate, and so are the
        figures of a class without faces.
    """
    gate, provenance = report.gate, report.provenance
    return {
        "schema_version": SCHEMA_VERSION,
        "data": {
            "name": report.data.name,
            "split": report.data.split.value,
            "num_images": report.data.num_images,
            "sha256": report.data.sha256,
            "class_counts": dict(zip(report.labels.classes, report.data.class_counts, strict=True)),
        },
        "gate": None
        if gate is None
        else {"max_drop_pp": 100.0 * gate.max_drop, "confidence": gate.confidence},
        "verdict": None if report.verdict is None else report.verdict.value,
        "reference": _model_to_json(report.reference),
        "candidates": [_drop_to_json(drop) for drop in report.drops],
        "provenance": {
            "command": provenance.command,
            "created_at": provenance.created_at,
            "versions": dict(provenance.versions),
            "bundle_versions": dict(provenance.bundle_versions),
            "source": dict(provenance.source),
            "calibration": None
            if provenance.calibration is None
            else _without_lists(dict(provenance.calibration)),
        },
    }


def _model_to_json(model: ModelAccuracy) -> dict[str, Any]:
    return {
        "precision": model.precision.value,
        "backend": model.info.name,
        "backend_version": model.info.version,
        "sha256": model.info.model_sha256,
        "size_bytes": model.info.size_bytes,
        "batch_size": model.batch_size,
        "images_per_second": model.images_per_second,
        "accuracy": model.accuracy,
        "accuracy_interval": [model.interval.low, model.interval.high],
        "mean_class_accuracy": model.scores.mean_class_accuracy,
        "macro_f1": model.scores.macro_f1,
        "ece": model.confidence_quality.ece,
        "nll": model.confidence_quality.nll,
        "confusion": model.confusion.tolist(),
    }


def _drop_to_json(drop: AccuracyDrop) -> dict[str, Any]:
    return _model_to_json(drop.candidate) | {
        "drop_pp": drop.drop_pp,
        "drop_pp_interval": list(drop.drop_pp_interval),
        "interval_method": drop.interval.method.value,
        "confidence": drop.interval.confidence,
        "agreement": drop.agreement.agreement,
        "mcnemar_p": drop.mcnemar_p,
        "reference_only_right": drop.counts.reference_only_right,
        "candidate_only_right": drop.counts.candidate_only_right,
        "mean_kl": drop.agreement.mean_kl,
        "flips": drop.agreement.flips.tolist(),
        "minimum_detectable_drop_pp": 100.0 * drop.minimum_detectable_drop,
        "verdict": None if drop.verdict is None else drop.verdict.value,
        "faces_to_decide": drop.faces_to_decide,
        "per_class": [_class_to_json(drop, label) for label in range(len(drop.labels))],
    }


def _class_to_json(drop: AccuracyDrop, label: int) -> dict[str, Any]:
    name, one = drop.labels.classes[label], drop.classes.drops[label]
    if one is None:
        return {
            "name": name,
            "support": 0,
            "reference_recall": None,
            "candidate_recall": None,
            "drop_pp": None,
            "drop_pp_interval": None,
        }
    return {
        "name": name,
        "support": one.counts.num_faces,
        "reference_recall": one.counts.reference_accuracy,
        "reference_recall_interval": [
            one.reference_recall_interval.low,
            one.reference_recall_interval.high,
        ],
        "candidate_recall": one.counts.candidate_accuracy,
        "candidate_recall_interval": [
            one.candidate_recall_interval.low,
            one.candidate_recall_interval.high,
        ],
        "drop_pp": 100.0 * one.counts.drop,
        "drop_pp_interval": [100.0 * one.interval.low, 100.0 * one.interval.high],
        "drop_p_holm": one.drop_p,
        "minimum_detectable_drop_pp": 100.0 * one.minimum_detectable_drop,
        "too_small": one.too_small,
    }


def _without_lists(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out the list of calibration faces, which is as long as the set; the bundle has it."""
    return {name: item for name, item in value.items() if not isinstance(item, list)}
