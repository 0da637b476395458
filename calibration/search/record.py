"""`sensitivity.json` in a bundle: what each layer costs, and how the goal was met or not.

It belongs to one INT8 model, whose hash it holds; a calibration without it removes it. Seconds are
left out, so that the same search gives the same bytes.
"""

from __future__ import annotations

from typing import Any

from edge_arm.calibration.search.mixed import MixedPrecision, Point
from edge_arm.calibration.search.search import SearchResult
from edge_arm.calibration.search.sensitivity import Effect
from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.storage import write_json

SCHEMA_VERSION = 1
SENSITIVITY_NAME = "sensitivity.json"


def bundle_with_search(bundle: Bundle, result: SearchResult) -> Bundle:
    """Write the record into the bundle that the plan was shipped in.

    Args:
        bundle: with the INT8 model of `result.plan`.
        result: of the search.

    Returns:
        The bundle as it is now.

    Raises:
        BundleError: if the bundle is gone.
        StorageError: if the operating system refuses the write.
    """
    value = {
        "schema_version": SCHEMA_VERSION,
        "model_sha256": bundle.manifest.artifact(Precision.FP32).sha256,
        "int8_sha256": bundle.manifest.artifact(Precision.INT8).sha256,
        **search_to_json(result),
    }
    return bundle_with_file(bundle, SENSITIVITY_NAME, lambda path: write_json(path, value))


def search_to_json(result: SearchResult) -> dict[str, Any]:
    """The result as JSON values; drops in percentage points, divergences in nats."""
    found = result.sensitivity
    return {
        "seed": result.config.seed,
        "ranking_faces": _faces(result.faces.ranking),
        "together": _effect(found.together),
        "layers": [
            {
                "layer": layer.layer,
                "alone_in_int8": _effect(layer.alone),
                "alone_in_float": _effect(layer.without),
                "kl_gain": found.gain(layer),
                "estimated_latency_in_fp16": result.latency[layer.layer],
            }
            for layer in found.layers
        ],
        "goal": None if result.mixed is None else _goal(result.mixed, result.faces.judging),
    }


def _goal(mixed: MixedPrecision, faces: FaceIndex | None) -> dict[str, Any]:
    return {
        "max_drop_pp": 100 * mixed.gate.max_drop,
        "confidence": mixed.gate.confidence,
        "judging_faces": None if faces is None else _faces(faces),
        "outcome": mixed.outcome.value,
        "layers_in_fp16": list(mixed.chosen),
        "certifiable_drop_pp": 100 * mixed.certifiable_drop,
        "faces_needed": mixed.faces_needed,
        "candidates": [_point(point) for point in mixed.points],
        "everything_in_fp16": None if mixed.half is None else _point(mixed.half),
    }


def _faces(faces: FaceIndex) -> dict[str, Any]:
    return {
        "name": faces.name,
        "split": faces.split.value,
        "num_images": len(faces),
        "sha256": faces.sha256,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {"flips": effect.flips, "mean_kl": effect.mean_kl}


def _point(point: Point) -> dict[str, Any]:
    return {
        "layers_in_fp16": list(point.in_float),
        "estimated_latency": point.latency,
        "flips": point.flips,
        "mean_kl": point.mean_kl,
        "lost": point.counts.reference_only_right,
        "won": point.counts.candidate_only_right,
        "drop_pp": 100 * point.counts.drop,
        "drop_pp_interval": [100 * point.interval.low, 100 * point.interval.high],
        "verdict": point.verdict.value,
    }
