"""Archives of arrays: same arrays, same bytes; nothing pickled; damage is an error."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.npz import read_npz, write_npz

ARRAYS = {
    "logits": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "names": np.array(["a.jpg", "ü.jpg"]),
    "header": np.array("text"),
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    found = read_npz(tmp_path / "a.npz", ["names", "logits", "header"])
    assert list(found) == ["names", "logits", "header"]
    for name, array in found.items():
        assert array.dtype == ARRAYS[name].dtype
        assert array.shape == ARRAYS[name].shape
        assert (array == ARRAYS[name]).all()


def test_numpy_reads_the_file(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["header", "logits", "names"]
        assert archive["logits"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_same_arrays_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    write_npz(tmp_path / "b.npz", ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    with pytest.raises(BundleError, match=r"has no array .*seeds.*, expected logits, seeds; make"):
        read_npz(tmp_path / "a.npz", ["logits", "seeds"])


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", logits=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleError, match=r"cannot be read .*allow_pickle.*expected an archive"):
        read_npz(tmp_path / "a.npz", ["logits"])


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BundleError, match="cannot be read"):
        read_npz(path, ["logits"])


def test_changed_bytes_inside_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, ARRAYS)
    content = bytearray(path.read_bytes())
    content[content.index(b"NUMPY") + 130] ^= 1  # in the data, under the archive's checksum
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"cannot be read .*CRC"):
        read_npz(path, ["logits"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        read_npz(tmp_path / "a.npz", ["logits"])


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("logits.npy", b"\x93NUMPY\x01\x00\x04\x00{...")
    with pytest.raises(BundleError, match="cannot be read"):
        read_npz(tmp_path / "a.npz", ["logits"])
