"""The report as JSON, for programs: a CI job, a comparison with an older one.

The fields of schema version 1 keep their names and meaning; a later edge-arm may add fields.
Accuracies are 0..1, drops are percentage points and positive where the candidate is worse. A part
that was not measured is null or an empty list, never a zero; a logit difference that is no number
is null too. No picture is in it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edge_arm.runtime.accuracy_drop import AccuracyDrop, ModelAccuracy
from edge_arm.runtime.baselines import Baseline
from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.explanation import DropSource
from edge_arm.runtime.flips import FlippedFace
from edge_arm.runtime.leaks import LeakCheck
from edge_arm.runtime.report.compare import Comparison, comparison_to_json
from edge_arm.runtime.report.published import published_accuracies
from edge_arm.runtime.report.reading import SCHEMA_VERSION
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.slices import SliceDrop
from edge_arm.runtime.statistics import ConfidenceQuality, Interval
from edge_arm.runtime.storage import write_json


def write_json_report(report: Report, path: Path, *, comparison: Comparison | None = None) -> None:
    """Write `report_to_json` to a file, atomically.

    Args:
        report: what was measured.
        path: of the file.
        comparison: with an older report, if one was given.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    changes = None if comparison is None else comparison_to_json(comparison)
    write_json(path, report_to_json(report) | {"comparison": changes})


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
        "max_class_drop_pp": None if report.class_gate is None else 100.0 * report.class_gate,
        "verdict": None if report.verdict is None else report.verdict.value,
        "accepted": report.accepted,
        "reference_origin": report.reference_origin,
        "temperature_origin": report.temperature_origin or None,
        "reference": _model_to_json(report.reference),
        "candidates": [
            _drop_to_json(drop)
            | {
                "flipped": [
                    _flip_to_json(face, report.labels.classes)
                    for face in report.flipped
                    if (face.precision, face.variant)
                    == (drop.candidate.precision, drop.candidate.variant)
                ]
            }
            for drop in report.drops
        ],
        "baselines": [_baseline_to_json(item) for item in report.baselines],
        "published": [
            {"model": item.model, "accuracy": item.accuracy, "source": item.source}
            for item in published_accuracies(report.data.name, len(report.labels))
        ],
        "batch_invariance": {
            "holds": all(check.holds for check in report.invariance) if report.invariance else None,
            "checks": [_check_to_json(check) for check in report.invariance],
        },
        "explanation": [_source_to_json(item) for item in report.explanation],
        "slices": [_slice_to_json(item) for item in report.slices],
        "leaks": None if report.leaks is None else _leaks_to_json(report.leaks),
        "not_measured": list(report.not_measured),
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
        "variant": model.variant,
        "file": model.info.file or None,  # an older edge-arm recorded answers without it
        "backend": model.info.name,
        "backend_version": model.info.version,
        "sha256": model.info.model_sha256,
        "size_bytes": model.info.size_bytes,
        "batch_size": model.batch_size,
        "images_per_second": model.images_per_second or None,  # 0: recorded, not run here
        "accuracy": model.accuracy,
        "accuracy_interval": _limits(model.interval),
        "mean_class_accuracy": model.scores.mean_class_accuracy,
        "macro_f1": model.scores.macro_f1,
        "ece": model.confidence_quality.ece,
        "nll": model.confidence_quality.nll,
        "reliability": _bins_to_json(model.confidence_quality),
        "temperature": model.temperature,
        "tempered": None
        if model.tempered is None
        else {
            "ece": model.tempered.ece,
            "nll": model.tempered.nll,
            "reliability": _bins_to_json(model.tempered),
        },
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
        "mean_class_accuracy_drop_pp": 100.0 * drop.macro.mean_class_accuracy,
        "mean_class_accuracy_drop_pp_interval": _limits_pp(drop.macro.mean_class_accuracy_interval),
        "macro_f1_drop_pp": 100.0 * drop.macro.macro_f1,
        "macro_f1_drop_pp_interval": _limits_pp(drop.macro.macro_f1_interval),
        "worst_class": drop.labels.classes[drop.classes.worst_recall],
        "median_margin": drop.agreement.median_margin,
        "mean_kl": drop.agreement.mean_kl,
        "flips": drop.agreement.flips.tolist(),
        "minimum_detectable_drop_pp": 100.0 * drop.minimum_detectable_drop,
        "verdict": None if drop.verdict is None else drop.verdict.value,
        "class_verdict": None if drop.classes.verdict is None else drop.classes.verdict.value,
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
        "reference_recall_interval": _limits(one.reference_recall_interval),
        "candidate_recall": one.counts.candidate_accuracy,
        "candidate_recall_interval": _limits(one.candidate_recall_interval),
        "drop_pp": 100.0 * one.counts.drop,
        "drop_pp_interval": _limits_pp(one.interval),
        "drop_p_holm": one.drop_p,
        "exceeds_p_holm": one.exceeds_p,
        "verdict": None if one.verdict is None else one.verdict.value,
        "minimum_detectable_drop_pp": 100.0 * one.minimum_detectable_drop,
        "too_small": one.too_small,
    }


def _flip_to_json(face: FlippedFace, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "sample_id": face.sample_id,
        "target": classes[face.target],
        "reference_answer": classes[face.reference_answer],
        "candidate_answer": classes[face.candidate_answer],
        "reference_margin": face.reference_margin,
        "candidate_margin": face.candidate_margin,
    }


def _baseline_to_json(item: Baseline) -> dict[str, Any]:
    return {
        "protocol": item.protocol.value,
        "batch_size": item.batch_size,
        "num_faces": item.num_faces,
        "num_right": item.num_right,
        "accuracy": item.accuracy,
        "accuracy_interval": _limits(item.interval),
    }


def _check_to_json(check: InvarianceCheck) -> dict[str, Any]:
    return {
        "precision": check.precision.value,
        "variant": check.variant,
        "backend": check.backend,
        "arrangement": check.arrangement,
        "batch_size": check.batch_size,
        "num_faces": check.num_faces,
        "max_logit_difference": check.max_logit_difference
        if math.isfinite(check.max_logit_difference)
        else None,
        "changed_answers": check.changed_answers,
        "limit": check.limit,
        "holds": check.holds,
    }


def _source_to_json(item: DropSource) -> dict[str, Any]:
    return {
        "name": item.name,
        "meaning": item.meaning,
        "num_faces": item.num_faces,
        "flips": item.flips,
        "drop_pp": 100.0 * item.drop,
        "drop_pp_interval": _limits_pp(item.interval),
        "mean_kl": item.mean_kl,
    }


def _slice_to_json(item: SliceDrop) -> dict[str, Any]:
    return {
        "precision": item.precision.value,
        "variant": item.variant,
        "attribute": item.attribute,
        "value": item.value,
        "num_faces": item.counts.num_faces,
        "reference_accuracy": item.counts.reference_accuracy,
        "candidate_accuracy": item.counts.candidate_accuracy,
        "drop_pp": 100.0 * item.counts.drop,
        "drop_pp_interval": _limits_pp(item.interval),
        "drop_p_holm": item.drop_p,
        "too_small": item.too_small,
    }


def _leaks_to_json(leaks: LeakCheck) -> dict[str, Any]:
    return {
        "num_calibration": leaks.num_calibration,
        "num_test": leaks.num_test,
        "max_distance": leaks.max_distance,
        "hash_bits": leaks.hash_bits,
        "excluded": leaks.excluded,
        "not_checked": leaks.not_checked,
        "duplicates": [
            {
                "test_id": item.test_id,
                "calibration_id": item.calibration_id,
                "distance": item.distance,
            }
            for item in leaks.duplicates
        ],
    }


def _bins_to_json(quality: ConfidenceQuality) -> list[dict[str, Any]]:
    return [
        {
            "low": item.low,
            "high": item.high,
            "num_faces": item.num_faces,
            "mean_confidence": item.mean_confidence,
            "accuracy": item.accuracy,
        }
        for item in quality.bins
    ]


def _limits(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _limits_pp(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [100.0 * interval.low, 100.0 * interval.high]


def _without_lists(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out the list of calibration faces, which is as long as the set; the bundle has it."""
    return {name: item for name, item in value.items() if not isinstance(item, list)}
