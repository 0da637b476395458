"""FP32's answers to one test set, kept in the bundle: `reference.<data>-<split>.npz`.

Recorded on a workstation, they let a device measure the drop without PyTorch and without running
FP32 at all. They are bound to the weights and to every picture by hash, and refused for any other.
Names, labels and logits are in the file, no pictures.

The same answers give the same bytes, so the time they took is not in it.

Shapes: N faces, C classes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.batches import PixelHash
from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.errors import BundleError, DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.fingerprints import Fingerprints
from edge_arm.runtime.labels import labels_from_json, labels_to_json
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.npz import Array, read_npz, write_npz
from edge_arm.runtime.predictions import Predictions

SCHEMA_VERSION = 1
PRECISION = Precision.FP32
"""Of the answers that are recorded: what every drop is measured against."""

_ARRAYS = ("logits", "targets", "sample_ids", "file_sha256s", "header")
_MAKE = (
    "record it again with 'edge-arm measure --record-reference' on a workstation, or run FP32 "
    "here with --reference run"
)


@dataclass(frozen=True, eq=False)
class RecordedReference:
    """FP32's answers as they were recorded.

    Attributes:
        predictions: the answers; `seconds_inference` is infinite, because nothing ran here.
        data_name: of the data set.
        split: the part of it.
        file_sha256s: of each picture, N hex strings.
        tool_versions: of what recorded it.
        file: name in the bundle.
    """

    predictions: Predictions
    data_name: str
    split: Split
    file_sha256s: tuple[str, ...]
    tool_versions: dict[str, str]
    file: str

    @property
    def origin(self) -> str:
        """Where the answers are from, for a report."""
        info = self.predictions.info
        return f"recorded in {self.file}, made with {info.name} {info.version}"

    def require_same_pictures(self, seen: Fingerprints) -> None:
        """Refuse pictures that are not those that FP32 answered.

        Args:
            seen: of the faces that the candidates answered, in order.

        Raises:
            DataError: naming the first face whose picture differs.
        """
        for name, expected, actual in zip(
            seen.sample_ids, self.file_sha256s, seen.sha256s, strict=True
        ):
            if actual != expected:
                raise DataError(
                    f"the picture of {name!r} has SHA-256 {actual[:12]}..., expected "
                    f"{expected[:12]}... as FP32 answered it in {self.file!r}; copy the data set "
                    f"again, or {_MAKE}"
                )


def reference_name(data_name: str, split: Split) -> str:
    """The file for a data set and split, such as "reference.rafdb-test.npz"."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", data_name)
    return f"reference.{plain}-{split.value}.npz"


def record_reference(
    bundle: Bundle,
    predictions: Predictions,
    seen: Fingerprints,
    *,
    index: FaceIndex,
    tool_versions: dict[str, str],
) -> Bundle:
    """Put FP32's answers into the bundle; an older recording of the same set is replaced.

    Args:
        bundle: whose FP32 model answered.
        predictions: its answers to all faces of `index`.
        seen: fingerprints of these faces, from the same run.
        index: the faces.
        tool_versions: of what ran.

    Returns:
        The bundle as it is now.

    Raises:
        BundleError: if the answers are those of another model.
        StorageError: if the operating system refuses the write.
    """
    _require_same_model(predictions.precision, predictions.info.model_sha256, bundle, "the answers")
    assert predictions.sample_ids == seen.sample_ids, "one run gives both"
    header = {
        "schema_version": SCHEMA_VERSION,
        "data": {
            "name": index.name,
            "split": index.split.value,
            "sha256": predictions.data_sha256,
        },
        "labels": labels_to_json(predictions.labels),
        "precision": predictions.precision.value,
        "model": asdict(predictions.info),
        "batch_size": predictions.batch_size,
        "tool_versions": dict(sorted(tool_versions.items())),
    }
    digests = [np.frombuffer(bytes.fromhex(item), np.uint8) for item in seen.sha256s]
    arrays: dict[str, Array] = {
        "logits": predictions.logits,
        "targets": predictions.targets,
        "sample_ids": np.array(predictions.sample_ids),
        "file_sha256s": np.stack(digests),
        "header": np.array(json.dumps(header, sort_keys=True)),
    }
    return bundle_with_file(
        bundle, reference_name(index.name, index.split), lambda path: write_npz(path, arrays)
    )


def recorded_reference(bundle: Bundle, index: FaceIndex) -> RecordedReference | None:
    """FP32's answers to these faces, if the bundle has them.

    Its pictures are compared later, by `require_same_pictures`, when they have been read anyway.

    Args:
        bundle: whose drop is measured.
        index: the faces to measure on, with the model's class indices.

    Returns:
        The recording; None if the bundle has none for this data set and split.

    Raises:
        BundleError: if the file changed, is damaged, of another version, or of other weights.
        DataError: if it is about other faces or labels, naming the first difference.
    """
    name = reference_name(index.name, index.split)
    if name not in bundle.manifest.files:
        return None
    recorded = _read(bundle.verified(name))
    answers = recorded.predictions
    _require_same_model(answers.precision, answers.info.model_sha256, bundle, repr(name))
    _require_same_faces(recorded, index)
    return recorded


def _read(path: Path) -> RecordedReference:
    arrays = read_npz(path, _ARRAYS)
    try:
        header: Any = json.loads(str(arrays["header"][()]))
        version = header["schema_version"]
        if version != SCHEMA_VERSION:
            raise BundleError(
                f"{str(path)!r} has schema version {version!r}, this edge-arm reads "
                f"{SCHEMA_VERSION}; {_MAKE}"
            )
        info = BackendInfo(**header["model"])
        predictions = Predictions(
            logits=arrays["logits"],
            targets=arrays["targets"],
            sample_ids=tuple(arrays["sample_ids"].tolist()),
            labels=labels_from_json(header["labels"]),
            data_sha256=str(header["data"]["sha256"]),
            precision=Precision(header["precision"]),
            info=info,
            batch_size=int(header["batch_size"]),
            seconds_inference=math.inf,
        )
        recorded = RecordedReference(
            predictions=predictions,
            data_name=str(header["data"]["name"]),
            split=Split(header["data"]["split"]),
            file_sha256s=tuple(row.tobytes().hex() for row in arrays["file_sha256s"]),
            tool_versions={str(key): str(item) for key, item in header["tool_versions"].items()},
            file=path.name,
        )
        _require_consistent(recorded)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, DataError) as error:
        raise BundleError(
            f"{str(path)!r} does not hold together ({type(error).__name__}: {error}), expected "
            f"recorded answers; {_MAKE}"
        ) from error
    return recorded


def _require_consistent(recorded: RecordedReference) -> None:
    """A ValueError says which array does not fit the others."""
    answers, num_faces = recorded.predictions, len(recorded.predictions)
    num_classes = len(answers.labels)
    if not num_faces:
        raise ValueError("there is no face in it")
    for name, array, shape, kind in (
        ("logits", answers.logits, (num_faces, num_classes), np.float32),
        ("targets", answers.targets, (num_faces,), np.int64),
    ):
        if array.shape != shape or array.dtype != kind:
            raise ValueError(f"{name} are {array.dtype} {array.shape}, not {kind.__name__} {shape}")
    if len(recorded.file_sha256s) != num_faces:
        raise ValueError(f"{len(recorded.file_sha256s)} hashes for {num_faces} faces")
    if not np.isfinite(answers.logits).all():
        raise ValueError("a logit is NaN or infinite")
    if not ((answers.targets >= 0) & (answers.targets < num_classes)).all():
        raise ValueError(f"a target is not in 0..{num_classes - 1}")
    digest = PixelHash()
    for name, target, sha256 in zip(
        answers.sample_ids, answers.targets, recorded.file_sha256s, strict=True
    ):
        digest.add(FaceSample(name, Path(name), target), answers.labels.classes[target], sha256)
    if digest.hexdigest() != answers.data_sha256:
        raise ValueError("its faces do not give its hash over all faces")


def _require_same_model(precision: Precision, sha256: str, bundle: Bundle, what: str) -> None:
    expected = bundle.manifest.artifact(PRECISION).sha256
    if precision is not PRECISION or sha256 != expected:
        raise BundleError(
            f"{what} came from the {precision.value} model {sha256[:12]}..., expected the "
            f"{PRECISION.value} model of this bundle, {expected[:12]}...: the weights are others; "
            f"{_MAKE}"
        )


def _require_same_faces(recorded: RecordedReference, index: FaceIndex) -> None:
    answers, file = recorded.predictions, recorded.file
    if answers.labels.classes != index.labels.classes:
        place = _first_difference(answers.labels.classes, index.labels.classes)
        raise DataError(
            f"{file!r} has the classes {', '.join(answers.labels.classes)}, the model has "
            f"{', '.join(index.labels.classes)} (first difference at class {place}), expected the "
            f"same order; {_MAKE}"
        )
    names = tuple(sample.sample_id for sample in index.samples)
    where = f"the {index.split.value} split of {index.name!r}"
    if names != answers.sample_ids:
        place = _first_difference(answers.sample_ids, names)
        there = [
            repr(item[place]) if place < len(item) else "no more face"
            for item in (answers.sample_ids, names)
        ]
        raise DataError(
            f"{file!r} is about {len(answers)} faces, {where} has {len(names)}; they differ first "
            f"at face {place}: {there[0]} and {there[1]}, expected the same faces in the same "
            f"order; measure on the set that was recorded, or {_MAKE}"
        )
    different = np.flatnonzero(answers.targets != index.targets)
    if different.size:
        place = int(different[0])
        classes = [
            index.labels.classes[int(item[place])] for item in (answers.targets, index.targets)
        ]
        raise DataError(
            f"{file!r} has the label {classes[0]!r} for {names[place]!r}, {where} has "
            f"{classes[1]!r}, expected the same; measure on the set that was recorded, or {_MAKE}"
        )


def _first_difference(first: Sequence[str], second: Sequence[str]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))
