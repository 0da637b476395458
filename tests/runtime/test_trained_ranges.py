"""Ranges of a training on their way through checkpoint and bundle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_bundle

from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.trained_ranges import (
    TRAINED_RANGES_NAME,
    TrainedRanges,
    ranges_from_json,
    ranges_to_json,
    trained_ranges,
    write_trained_ranges,
)

RANGES = TrainedRanges({"a": 1.5, "b": 2.0}, {"epoch": 1})


def _with_ranges(folder: Path, value: Any) -> Bundle:
    return bundle_with_file(
        tiny_bundle(folder),
        TRAINED_RANGES_NAME,
        lambda path: path.write_text(json.dumps(value), encoding="utf-8") and None,
    )


def test_a_bundle_gives_back_what_was_written(tmp_path: Path) -> None:
    bundle = bundle_with_file(
        tiny_bundle(tmp_path / "bundle"),
        TRAINED_RANGES_NAME,
        lambda path: write_trained_ranges(path.parent, RANGES),
    )
    assert trained_ranges(bundle) == RANGES


def test_an_ordinary_bundle_has_none(tmp_path: Path) -> None:
    assert trained_ranges(tiny_bundle(tmp_path / "bundle")) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "another version"),
        ({"schema_version": 2}, "another version, expected 1"),
        ({"schema_version": 1, "amax": {}, "training": {}}, "without 'amax' and 'training'"),
        ({"schema_version": 1, "amax": {"a": 1.0}}, "without 'amax' and 'training'"),
    ],
    ids=["a list", "version", "empty", "no training"],
)
def test_another_form_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranges_from_json(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, 0, -1.0, "3", True, None], ids=str)
def test_a_range_that_is_no_positive_number_is_named(number: Any) -> None:
    value = ranges_to_json(RANGES) | {"amax": {"a": 1.0, "b": number}}
    with pytest.raises(ValueError, match=r"trained range of 'b' is .* greater than 0"):
        ranges_from_json(value)


def test_a_broken_range_in_a_bundle_names_file_and_remedy(tmp_path: Path) -> None:
    bundle = _with_ranges(tmp_path / "b", ranges_to_json(RANGES) | {"amax": {"a": math.nan}})
    with pytest.raises(BundleError, match=r"trained_ranges\.json' cannot be used .* export the"):
        trained_ranges(bundle)


def test_a_newer_file_in_a_bundle_is_refused(tmp_path: Path) -> None:
    bundle = _with_ranges(tmp_path / "b", ranges_to_json(RANGES) | {"schema_version": 9})
    with pytest.raises(BundleError, match="schema version 9"):
        trained_ranges(bundle)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    bundle = _with_ranges(tmp_path / "b", ranges_to_json(RANGES))
    path = bundle.path / TRAINED_RANGES_NAME
    path.write_text(path.read_text(encoding="utf-8").replace("1.5", "9.5"), encoding="utf-8")
    with pytest.raises(BundleError, match="trained_ranges"):
        trained_ranges(bundle)
