"""INT8 files go into a bundle beside whatever else has come into it meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bundle import tiny_bundle

from edge_arm.calibration.bundle_update import Int8Update, add_to_bundle, staging_folder
from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle, write_manifest


def calibrated(bundle: Bundle) -> Bundle:
    """Add the bundle's own INT8 model once more, with tables that say nothing."""
    artifact = bundle.manifest.artifact(Precision.INT8)
    with staging_folder(bundle.path) as staging:
        (staging / artifact.file).write_bytes((bundle.path / artifact.file).read_bytes())
        for name in ("calibration.json", "calibration.cache"):
            (staging / name).write_text(f"new {name}", encoding="utf-8")
        return add_to_bundle(bundle, staging, Int8Update((artifact,), {"method": "max"}))


def test_a_file_that_came_meanwhile_stays_listed(tmp_path: Path) -> None:
    opened = tiny_bundle(tmp_path / "bundle")
    bundle_with_file(opened, "reference.npz", lambda path: path.write_text("kept") and None)
    now = calibrated(opened)
    assert now.verified("reference.npz").read_text(encoding="utf-8") == "kept"
    assert now.manifest.calibration == {"method": "max"}


def test_a_bundle_that_was_exported_again_meanwhile_is_left_alone(tmp_path: Path) -> None:
    opened = tiny_bundle(tmp_path / "bundle")
    others = tuple(
        replace(item, sha256="1" * 64) if item.precision is Precision.FP32 else item
        for item in opened.manifest.artifacts
    )
    write_manifest(opened.path, replace(opened.manifest, artifacts=others))
    before = (opened.path / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="was exported again while it was being calibrated, exp"):
        calibrated(opened)
    assert (opened.path / "manifest.json").read_bytes() == before
    assert open_bundle(opened.path).manifest.calibration is None
