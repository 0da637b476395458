"""What a bundle says about itself: `manifest.json`, readable by people and other tools.

The manifest is written last and names every file with its hash, so a folder with a manifest is
complete, and a changed byte is found before anything is deserialized.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from edge_arm.runtime.errors import BundleError, EdgeArmError
from edge_arm.runtime.labels import LabelSet, labels_from_json, labels_to_json
from edge_arm.runtime.preprocess import PreprocessSpec, preprocess_from_json, preprocess_to_json
from edge_arm.runtime.storage import sha256_of_file, write_json

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

MAIN_VARIANT = "main"
CPU_VARIANT = "cpu"
"""Of the INT8 model with unsigned activations, for ONNX Runtime and OpenVINO on CPUs."""


class Precision(Enum):
    """Number format of the heavy layers of a model file."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class Artifact:
    """One model file of a bundle.

    Attributes:
        file: name relative to the bundle.
        precision: of its heavy layers.
        variant: "main" is what engines are built from; others are named after what differs.
        opset: ONNX operator set version.
        sha256: of the file.
        size_bytes: of the file.
        checks: figures measured when it was made, such as the largest logit difference to PyTorch.
        float_nodes: nodes that stayed in FP32 although the precision is lower, with the reason.
    """

    file: str
    precision: Precision
    variant: str
    opset: int
    sha256: str
    size_bytes: int
    checks: dict[str, float] = field(default_factory=dict)
    float_nodes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything that a reader of the bundle needs to know before it opens a model.

    Attributes:
        labels: the model's classes in the order of its logits.
        preprocess: the input contract.
        artifacts: the model files.
        files: SHA-256 of every other file, by name.
        source: where the weights come from: checkpoint hash, head, training metrics.
        tool_versions: of the packages that wrote the files.
        calibration: provenance of the INT8 ranges (faces with hashes, method, seed); None before.
    """

    labels: LabelSet
    preprocess: PreprocessSpec
    artifacts: tuple[Artifact, ...]
    files: dict[str, str]
    source: dict[str, Any]
    tool_versions: dict[str, str]
    calibration: dict[str, Any] | None = None

    def artifact(self, precision: Precision, variant: str = MAIN_VARIANT) -> Artifact:
        """The model file of a precision.

        Raises:
            BundleError: if the bundle has none, with the command that makes it.
        """
        for candidate in self.artifacts:
            if candidate.precision is precision and candidate.variant == variant:
                return candidate
        have = ", ".join(f"{item.precision.value} ({item.variant})" for item in self.artifacts)
        make = {
            Precision.FP32: "edge-arm export",
            Precision.FP16: "edge-arm export --fp16",
            Precision.INT8: "edge-arm calibrate --data NAME",
        }[precision]
        raise BundleError(
            f"the bundle has no {precision.value} model ({variant}), it has {have}; "
            f"make it with '{make}'"
        )

    def precisions(self) -> tuple[Precision, ...]:
        """The precisions of the main variant, highest first."""
        have = {item.precision for item in self.artifacts if item.variant == MAIN_VARIANT}
        return tuple(precision for precision in Precision if precision in have)


@dataclass(frozen=True)
class Bundle:
    """A folder whose manifest has been read.

    Attributes:
        path: the folder.
        manifest: its content list.
    """

    path: Path
    manifest: Manifest

    def verified(self, name: str) -> Path:
        """Path of a file of the bundle, after its hash was checked.

        Args:
            name: relative to the bundle.

        Raises:
            BundleError: if the file is not in the manifest, missing, or has other bytes.
        """
        expected = self.manifest.files.get(name) or next(
            (item.sha256 for item in self.manifest.artifacts if item.file == name), None
        )
        if expected is None:
            raise BundleError(
                f"the bundle {str(self.path)!r} has no {name!r}; "
                "make it again with 'edge-arm export'"
            )
        path = self.path / name
        try:
            actual = sha256_of_file(path)
        except OSError as error:
            raise BundleError(
                f"cannot read {str(path)!r} ({error.strerror}), expected the file that the "
                "manifest names; copy the whole bundle again"
            ) from error
        if actual != expected:
            raise BundleError(
                f"{str(path)!r} has SHA-256 {actual[:12]}..., expected {expected[:12]}... as in "
                "the manifest: the file was changed or not copied whole; copy or export it again"
            )
        return path

    def model(self, precision: Precision, variant: str = MAIN_VARIANT) -> tuple[Path, Artifact]:
        """Verified path and record of a model file.

        Raises:
            BundleError: if there is none or its bytes changed.
        """
        artifact = self.manifest.artifact(precision, variant)
        return self.verified(artifact.file), artifact


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`; call it after every file that it names is in place.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_json(
        folder / MANIFEST_NAME,
        {
            "schema_version": SCHEMA_VERSION,
            "labels": labels_to_json(manifest.labels),
            "preprocess": preprocess_to_json(manifest.preprocess),
            "models": [_artifact_to_json(item) for item in manifest.artifacts],
            "files": dict(sorted(manifest.files.items())),
            "source": manifest.source,
            "tool_versions": dict(sorted(manifest.tool_versions.items())),
            "calibration": manifest.calibration,
        },
    )


def open_bundle(folder: Path) -> Bundle:
    """Read the manifest of a bundle; its files are verified when they are opened.

    Args:
        folder: the bundle.

    Raises:
        BundleError: if there is no manifest, or one that this version cannot read.
    """
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {str(path)!r} ({error.strerror}), expected a bundle made by "
            "'edge-arm export'; export one or name it with --bundle"
        ) from error
    return Bundle(folder, manifest_from_bytes(content, str(path)))


def manifest_from_bytes(content: bytes, origin: str) -> Manifest:
    """Read a manifest that need not lie in a folder, such as one in an archive.

    Args:
        content: the file.
        origin: where it is from, for errors.

    Raises:
        BundleError: if this version cannot read it.
    """
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{origin!r} is not JSON ({error}), expected the manifest of a bundle; "
            "export the model again"
        ) from error
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{origin!r} has schema version {version!r}, this edge-arm reads {SCHEMA_VERSION}; "
            "export the model again or install the edge-arm that wrote it"
        )
    try:
        return Manifest(
            labels=labels_from_json(value["labels"]),
            preprocess=preprocess_from_json(value["preprocess"]),
            artifacts=tuple(_artifact_from_json(item) for item in value["models"]),
            files={_inside(name): str(digest) for name, digest in value["files"].items()},
            source=dict(value["source"]),
            tool_versions=dict(value["tool_versions"]),
            calibration=value["calibration"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, EdgeArmError) as error:
        raise BundleError(
            f"{origin!r} does not hold together ({error}), expected a manifest as "
            "'edge-arm export' writes it; export the model again"
        ) from error


def _artifact_to_json(artifact: Artifact) -> dict[str, Any]:
    return {
        "file": artifact.file,
        "precision": artifact.precision.value,
        "variant": artifact.variant,
        "opset": artifact.opset,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
        "checks": artifact.checks,
        "float_nodes": artifact.float_nodes,
    }


def _artifact_from_json(value: dict[str, Any]) -> Artifact:
    return Artifact(
        file=_inside(value["file"]),
        precision=Precision(value["precision"]),
        variant=str(value["variant"]),
        opset=int(value["opset"]),
        sha256=str(value["sha256"]),
        size_bytes=int(value["size_bytes"]),
        checks={str(name): float(figure) for name, figure in value["checks"].items()},
        float_nodes={str(name): str(reason) for name, reason in value["float_nodes"].items()},
    )


def _inside(name: str) -> str:
    # A manifest must not lead a reader out of its folder; "/" is the separator on every system.
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise BundleError(f"got the file name {name!r}, expected one inside the bundle")
    return name
