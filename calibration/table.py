"""The result of a calibration and its provenance: `calibration.json`.

It answers, years later, "which pictures made these scales": every image with its hash, the
method, the seed, the model, the tools; or which calibration cache of TensorRT's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.calibration.equalization import Factors
from edge_arm.calibration.prepared_model import Rounding
from edge_arm.calibration.range_choice import RangeChoice
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.sample import Balance
from edge_arm.calibration.tensorrt_cache import TensorRTCache
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.storage import write_json
from edge_arm.runtime.trained_ranges import TrainedRanges

SCHEMA_VERSION = 1
CALIBRATION_NAME = "calibration.json"


@dataclass(frozen=True)
class CalibrationTable:
    """Ranges of one model from one set of faces.

    Attributes:
        method: that chose the ranges.
        rounding: of the weights.
        factors: of equalized channels, by stream; see equalization.py.
        choice: how the method was chosen, if it was.
        amax: range by tensor; its scale is amax / 127.
        model_sha256: of the FP32 model whose tensors these are.
        faces: that were used, in order.
        face_sha256s: of each face's file.
        looks: (N, 32) uint8 perceptual hash of each face, so that a device without the pictures
            can tell near duplicates of them.
        population: faces in the training split that `faces` was drawn from.
        population_sha256: of that split's list.
        seed: of the draw.
        balance: of the classes in the draw.
        tool_versions: of the packages that took part.
        trained: ranges that came with the weights; `method` chose those of implicit INT8 alone.
    """

    method: Method
    rounding: Rounding
    factors: Factors
    choice: RangeChoice | None
    amax: dict[str, float]
    model_sha256: str
    faces: FaceIndex
    face_sha256s: tuple[str, ...]
    looks: Uint8Array
    population: int
    population_sha256: str
    seed: int
    balance: Balance
    tool_versions: dict[str, str]
    trained: TrainedRanges | None = None

    def provenance(self) -> dict[str, Any]:
        """Everything but ranges and images: what the manifest repeats."""
        labels = self.faces.labels
        return {
            "method": self.method.value if self.trained is None else "trained",
            **({} if self.trained is None else {"training": self.trained.training}),
            "rounding": self.rounding.value,
            "equalized": bool(self.factors),
            "choice": None if self.choice is None else self.choice.to_json(),
            "seed": self.seed,
            "balance": self.balance.value,
            "num_images": len(self.faces),
            "class_counts": {
                name: int(count)
                for name, count in zip(labels.classes, self.faces.counts(), strict=True)
            },
            "data": {
                "name": self.faces.name,
                "split": self.faces.split.value,
                "num_images": self.population,
                "sha256": self.population_sha256,
            },
            "faces_sha256": self.faces.sha256,
            "model_sha256": self.model_sha256,
            "tool_versions": dict(sorted(self.tool_versions.items())),
        }

    def channel_factors(self) -> dict[str, list[float]]:
        """The factors as JSON takes them; float32 survives the way there and back."""
        return {name: [float(t) for t in factor] for name, factor in self.factors.items()}

    def images(self) -> list[dict[str, str]]:
        """The faces, each with the hash of its file and of how it looks."""
        classes = self.faces.labels.classes
        return [
            {
                "sample_id": face.sample_id,
                "class": classes[face.target],
                "sha256": digest,
                "perceptual_hash": look.tobytes().hex(),
            }
            for face, digest, look in zip(
                self.faces.samples, self.face_sha256s, self.looks, strict=True
            )
        ]


@dataclass(frozen=True)
class CacheTable:
    """Ranges of one model from a TensorRT calibration cache.

    Attributes:
        cache: that they are from.
        unknown: names in it that are no tensors of the model.
        amax: range by tensor; its scale is amax / 127.
        model_sha256: of the FP32 model whose tensors these are.
        comparison: accuracy on labelled faces, if it was measured; see `comparison.py`.
        tool_versions: of the packages that took part.
    """

    cache: TensorRTCache
    unknown: int
    amax: dict[str, float]
    model_sha256: str
    comparison: dict[str, Any] | None
    tool_versions: dict[str, str]

    def provenance(self) -> dict[str, Any]:
        """Everything but ranges and images: what the manifest repeats."""
        measured = {} if self.comparison is None else {"comparison": self.comparison}
        return {
            "method": "from cache",
            "cache": {
                "file": self.cache.file,
                "sha256": self.cache.sha256,
                "header": self.cache.header,
                "tensors": len(self.cache.scales),
                "unknown_tensors": self.unknown,
            },
            "model_sha256": self.model_sha256,
            **measured,
            "tool_versions": dict(sorted(self.tool_versions.items())),
        }

    def channel_factors(self) -> dict[str, list[float]]:
        """A cache's ranges are those of the FP32 model as it is."""
        return {}

    def images(self) -> list[dict[str, str]]:
        """No faces are known: TensorRT's cache does not name its own."""
        return []


def write_table(path: Path, table: CalibrationTable | CacheTable) -> None:
    """Write `calibration.json` atomically.

    Args:
        path: of the file.
        table: to write.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_json(
        path,
        {
            "schema_version": SCHEMA_VERSION,
            **table.provenance(),
            "amax": table.amax,
            "channel_factors": table.channel_factors(),
            "images": table.images(),
        },
    )


def factors_from_table(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The factors of equalized channels in a `calibration.json`; none in one of before them.

    Args:
        path: of a file whose hash was checked.

    Raises:
        CalibrationError: if they are not what `write_table` writes.
    """
    value = json.loads(path.read_text(encoding="utf-8")).get("channel_factors", {})
    try:
        return {name: np.array(factor, np.float32) for name, factor in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise CalibrationError(
            f"{str(path)!r} has channel factors that cannot be read ({error}), expected numbers by "
            "tensor; calibrate again with 'edge-arm calibrate'"
        ) from error
