"""Adds finished INT8 files to a bundle, so that it is whole at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_arm import __version__
from edge_arm.calibration.search.record import SENSITIVITY_NAME
from edge_arm.calibration.table import CALIBRATION_NAME
from edge_arm.calibration.tensorrt_cache import CACHE_NAME
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.leftovers import forget_pass, staging_in
from edge_arm.runtime.manifest import Artifact, Bundle, Precision, open_bundle, write_manifest
from edge_arm.runtime.storage import sha256_of_file, storage_error

_OTHER_FILES = (CALIBRATION_NAME, CACHE_NAME)
_OUTDATED = (*_OTHER_FILES, SENSITIVITY_NAME)
"""What an earlier calibration left; the search of this one writes its record afterwards."""

_TOOLS = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Int8Update:
    """What a calibration adds to the manifest.

    Attributes:
        artifacts: the INT8 models.
        calibration: provenance of their ranges.
    """

    artifacts: tuple[Artifact, ...]
    calibration: dict[str, Any]


def add_to_bundle(bundle: Bundle, staging: Path, update: Int8Update) -> Bundle:
    """Move the files out of the staging folder and name them in the manifest.

    Any INT8 model of an earlier calibration is replaced. The manifest is read again first, because
    another command may have added a file since; if the models are others by now, nothing is added.

    Args:
        bundle: to add to.
        staging: with the models, `calibration.json` and `calibration.cache`.
        update: what the manifest gets to say.

    Returns:
        The bundle as it is now.

    Raises:
        BundleError: if the FP32 model was replaced since the bundle was opened.
    """
    old = open_bundle(bundle.path).manifest
    if old.artifact(Precision.FP32).sha256 != bundle.manifest.artifact(Precision.FP32).sha256:
        raise BundleError(
            f"the bundle {str(bundle.path)!r} was exported again while it was being calibrated, "
            "expected the same FP32 model; calibrate again"
        )
    without = replace(
        old,
        artifacts=tuple(item for item in old.artifacts if item.precision is not Precision.INT8),
        files={name: digest for name, digest in old.files.items() if name not in _OUTDATED},
        calibration=None,
    )
    new = replace(
        without,
        artifacts=(*without.artifacts, *update.artifacts),
        files={
            **without.files,
            **{name: sha256_of_file(staging / name) for name in _OTHER_FILES},
        },
        tool_versions={**old.tool_versions, **tool_versions()},
        calibration=update.calibration,
    )
    # Files of an earlier calibration are about to change under the manifest that vouches for
    # them, so it forgets them first: whenever this is cut off, the bundle is whole.
    if without != old:
        write_manifest(bundle.path, without)
    for name in (*(item.file for item in update.artifacts), *_OTHER_FILES):
        (staging / name).replace(bundle.path / name)
    write_manifest(bundle.path, new)
    forget_pass(bundle.path)
    return open_bundle(bundle.path)


@contextmanager
def staging_folder(bundle_path: Path) -> Iterator[Path]:
    """A temporary folder inside the bundle, so that moving a file out of it is a rename.

    Folders of calibrations that were killed are removed.

    Raises:
        StorageError: if the operating system refuses to write in it.
    """
    try:
        with staging_in(bundle_path) as staging:
            yield staging
    except Exception as error:
        forget_pass(bundle_path)  # an interrupt keeps it, to go on from
        if isinstance(error, OSError):
            raise storage_error(bundle_path, error) from error
        raise


def tool_versions() -> dict[str, str]:
    """Versions of the packages that take part in a calibration."""
    found = {"edge-arm": __version__}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # ONNX Runtime has two packages of which one is here
            continue
    return found
