"""Framings kept in a bundle."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.detection.framing import FaceFraming, default_framing
from edge_arm.runtime.detection.stored_framing import (
    bundle_with_framing,
    framing_of,
    stored_framings,
)
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Bundle, Manifest, open_bundle, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import write_json

FILE = "framing.json"
HAAR = FaceFraming("haar", 0.01, 0.02, 0.95, 0.96, 1.0, 200, 0.9, "rafdb")
YUNET = FaceFraming("yunet", 0.1, -0.05, 0.8, 1.05, 1.0, 198, 0.93, "rafdb")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "bundle"
    folder.mkdir()
    labels = LabelSet("three", ("anger", "fear", "neutral"))
    write_manifest(folder, Manifest(labels, PreprocessSpec(4), (), {}, {}, {}))
    return open_bundle(folder)


def test_a_framing_comes_back_as_it_was(bundle: Bundle) -> None:
    changed = bundle_with_framing(bundle, HAAR)
    assert framing_of(changed, "haar") == HAAR
    assert FILE in changed.manifest.files
    assert HAAR.origin == "measured on 200 training faces of rafdb"


def test_detectors_stand_side_by_side_and_each_is_replaced_by_itself(bundle: Bundle) -> None:
    both = bundle_with_framing(bundle_with_framing(bundle, YUNET), HAAR)
    assert stored_framings(both) == (HAAR, YUNET)
    again = bundle_with_framing(both, replace(HAAR, left=0.03))
    assert stored_framings(again) == (replace(HAAR, left=0.03), YUNET)


def test_a_default_is_said_to_be_one(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert framing_of(bundle, "haar") == default_framing("haar")
    assert "no framing for the detector 'haar' (it has none); 'edge-arm calibrate --data NAME'" in (
        caplog.text
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        framing_of(bundle_with_framing(bundle, HAAR), "yunet")
    assert "(it has 'haar'); 'edge-arm calibrate --data NAME --detector FILE' measures" in (
        caplog.text
    )


# ---- refused ---------------------------------------------------------------------------------


def test_a_changed_file_is_refused(bundle: Bundle) -> None:
    changed = bundle_with_framing(bundle, HAAR)
    (changed.path / FILE).write_text("{}")
    with pytest.raises(BundleError, match="the file was changed"):
        framing_of(changed, "haar")


def _with(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> Bundle:
    kept = bundle_with_framing(bundle, HAAR)
    value = json.loads((kept.path / FILE).read_text())
    change(value)
    return bundle_with_file(kept, FILE, lambda path: write_json(path, value))


def test_another_schema_version_is_refused(bundle: Bundle) -> None:
    changed = _with(bundle, lambda value: value.update(schema_version=2))
    with pytest.raises(BundleError, match=r"schema version 2, this edge-arm reads 1; calibrate"):
        stored_framings(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("framings"),
        lambda value: value["framings"][0].pop("left"),
        lambda value: value["framings"][0].update(width=0.0),
        lambda value: value["framings"][0].update(height=9.0),
        lambda value: value["framings"][0].update(aspect=-1),
        lambda value: value["framings"][0].update(top="high"),
        lambda value: value.update(framings=[1]),
        lambda value: value.clear(),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(BundleError, match=r"does not hold together \(.*expected measured framings"):
        stored_framings(_with(bundle, change))


def test_measuring_again_mends_a_file_that_cannot_be_read(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = _with(bundle, lambda value: value["framings"][0].pop("left"))
    with caplog.at_level(logging.WARNING):
        mended = bundle_with_framing(damaged, YUNET)
    assert stored_framings(mended) == (YUNET,)
    assert "the framings of an earlier calibration are replaced: '" in caplog.text
