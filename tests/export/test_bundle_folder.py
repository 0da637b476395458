"""Old bundles are replaced, other people's files are not touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.export.bundle_folder import bundle_folder
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.leftovers import staging_in
from edge_arm.runtime.manifest import Manifest, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec


def _make_bundle(path: Path) -> Path:
    path.mkdir()
    write_manifest(path, Manifest(RAFDB, PreprocessSpec(), (), {"golden.npz": "0"}, {}, {}))
    (path / "golden.npz").write_text("old")
    return path


def test_a_new_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with bundle_folder(tmp_path / "a" / "bundle") as folder:
        (folder / "x").write_text("x")
        assert not (tmp_path / "a" / "bundle").exists()
    assert (tmp_path / "a" / "bundle" / "x").read_text() == "x"


def test_an_old_bundle_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = _make_bundle(tmp_path / "bundle")
    with bundle_folder(path) as folder:
        (folder / "x").write_text("x")
    assert [item.name for item in path.iterdir()] == ["x"]
    assert [item.name for item in tmp_path.iterdir()] == ["bundle"]


def test_an_old_bundle_stays_when_the_work_fails(tmp_path: Path) -> None:
    path = _make_bundle(tmp_path / "bundle")
    with pytest.raises(RuntimeError), bundle_folder(path):
        raise RuntimeError
    assert (path / "golden.npz").read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("a")
    with (
        pytest.raises(StorageError, match=r"holds 'a\.jpg' and is no bundle"),
        bundle_folder(tmp_path / "photos"),
    ):
        pass
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_a_bundle_with_a_file_of_the_user_is_refused(tmp_path: Path) -> None:
    path = _make_bundle(tmp_path / "bundle")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"also holds 'notes\.txt'"), bundle_folder(path):
        pass
    assert (path / "notes.txt").read_text() == "mine"


def test_somebody_elses_manifest_is_not_taken_for_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "an app"}')
    with pytest.raises(StorageError, match="cannot be replaced"), bundle_folder(tmp_path / "web"):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("file")
    with pytest.raises(StorageError, match="is a file"), bundle_folder(tmp_path / "bundle"):
        pass


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    with (
        pytest.raises(StorageError, match="a part of the path is a file"),
        bundle_folder(tmp_path / "file" / "bundle"),
    ):
        pass


def test_what_a_calibration_that_was_cut_off_left_is_replaced_with_the_bundle(
    tmp_path: Path,
) -> None:
    path = _make_bundle(tmp_path / "bundle")
    (path / ".calibration-pass.npz").write_text("how far it was")
    (path / "..calibration-pass.0a1b2c3d.npz").write_text("half")
    (path / ".calibrate-abc").mkdir()
    with bundle_folder(path) as folder:
        (folder / "x").write_text("x")
    assert [item.name for item in path.iterdir()] == ["x"]


def test_a_bundle_that_is_being_calibrated_is_not_replaced(tmp_path: Path) -> None:
    path = _make_bundle(tmp_path / "bundle")
    with (
        staging_in(path),
        pytest.raises(StorageError, match="a calibration is running in the bundle"),
        bundle_folder(path),
    ):
        pass
    assert (path / "golden.npz").read_text() == "old"
