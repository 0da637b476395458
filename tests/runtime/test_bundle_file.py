"""One more file in a bundle, which is whole at every moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Manifest, open_bundle, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import write_text


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    write_manifest(tmp_path, Manifest(RAFDB, PreprocessSpec(8), (), {}, {"head": "folded"}, {}))
    return open_bundle(tmp_path)


def test_the_file_is_listed_and_verified(bundle: Bundle) -> None:
    changed = bundle_with_file(bundle, "notes.txt", lambda path: write_text(path, "one"))
    assert changed.verified("notes.txt").read_text() == "one"
    assert changed.manifest.source == {"head": "folded"}
    assert bundle.manifest.files == {}


def test_an_older_file_of_that_name_is_replaced(bundle: Bundle) -> None:
    for text in ("one", "two"):
        bundle = bundle_with_file(
            bundle, "notes.txt", lambda path, text=text: write_text(path, text)
        )
    assert bundle.verified("notes.txt").read_text() == "two"


def test_what_another_command_added_meanwhile_is_kept(bundle: Bundle) -> None:
    bundle_with_file(bundle, "a.txt", lambda path: write_text(path, "a"))
    changed = bundle_with_file(bundle, "b.txt", lambda path: write_text(path, "b"))
    assert sorted(changed.manifest.files) == ["a.txt", "b.txt"]


def test_cut_off_while_writing_the_bundle_is_still_whole(bundle: Bundle) -> None:
    first = bundle_with_file(bundle, "a.txt", lambda path: write_text(path, "a"))
    first = bundle_with_file(first, "notes.txt", lambda path: write_text(path, "one"))

    def cut_off(path: Path) -> None:
        path.write_text("half of")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle_with_file(first, "notes.txt", cut_off)
    left = open_bundle(bundle.path)
    assert list(left.manifest.files) == ["a.txt"]  # it forgot the file before it changed
    assert left.verified("a.txt").read_text() == "a"


def test_a_bundle_that_is_gone_is_an_error(bundle: Bundle) -> None:
    (bundle.path / "manifest.json").unlink()
    with pytest.raises(BundleError, match="cannot read"):
        bundle_with_file(bundle, "a.txt", lambda path: write_text(path, "a"))
