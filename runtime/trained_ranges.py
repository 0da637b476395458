"""INT8 ranges that a training chose together with the weights, on their way into a bundle.

`edge-arm train --qat` puts them into the checkpoint, `edge-arm export` copies them into the
bundle as `trained_ranges.json`, `edge-arm calibrate` writes them into the INT8 models. They never
leave the weights that they were trained with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.runtime.bundle_file import versioned_json
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.storage import write_json

SCHEMA_VERSION = 1
TRAINED_RANGES_NAME = "trained_ranges.json"
_MAKE = "export the checkpoint again with 'edge-arm export'"


@dataclass(frozen=True)
class TrainedRanges:
    """The ranges of one checkpoint.

    Attributes:
        amax: range of each rounded activation, by ONNX tensor; its scale is amax / 127.
        training: JSON values: how they came about, and what was measured.
    """

    amax: dict[str, float]
    training: dict[str, Any]


def ranges_to_json(ranges: TrainedRanges) -> dict[str, Any]:
    """The JSON form that `ranges_from_json` reads."""
    return {
        "schema_version": SCHEMA_VERSION,
        "amax": ranges.amax,
        "training": ranges.training,
    }


def ranges_from_json(value: Any) -> TrainedRanges:
    """Read the JSON form.

    Raises:
        ValueError: if it has another form, or a range is no positive number.
    """
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"got trained ranges of another version, expected {SCHEMA_VERSION}")
    amax, training = value.get("amax"), value.get("training")
    if not isinstance(amax, dict) or not amax or not isinstance(training, dict):
        raise ValueError("got trained ranges without 'amax' and 'training', expected both")
    for tensor, number in amax.items():
        # bool is an int in Python, and JSON as Python reads it knows NaN and Infinity.
        if type(number) not in (int, float) or not math.isfinite(number) or number <= 0:
            raise ValueError(
                f"the trained range of {tensor!r} is {number!r}, expected a number greater than 0"
            )
    return TrainedRanges({name: float(number) for name, number in amax.items()}, dict(training))


def write_trained_ranges(folder: Path, ranges: TrainedRanges) -> None:
    """Write `trained_ranges.json` atomically.

    Args:
        folder: of the bundle.
        ranges: to write.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_json(folder / TRAINED_RANGES_NAME, ranges_to_json(ranges))


def trained_ranges(bundle: Bundle) -> TrainedRanges | None:
    """The ranges that a bundle's weights were trained with; None for an ordinary training.

    Args:
        bundle: to look into.

    Raises:
        BundleError: if the file changed or cannot be used.
    """
    if TRAINED_RANGES_NAME not in bundle.manifest.files:
        return None
    try:
        return ranges_from_json(
            versioned_json(bundle, TRAINED_RANGES_NAME, SCHEMA_VERSION, make=_MAKE)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(
            f"{str(bundle.path / TRAINED_RANGES_NAME)!r} cannot be used ({error}), expected the "
            f"ranges of a training with --qat; {_MAKE}"
        ) from error
