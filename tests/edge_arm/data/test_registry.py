from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from edge_arm.data.registry import face_index, list_faces, remember_root, resolve_root
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import Split


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative places, such as data/rafdb, are looked for in an empty folder."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.delenv("EDGE_ARM_DATA", raising=False)


def _rafdb(root: Path, *rows: str) -> Path:
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(rows))
    for row in rows:
        name = row.split()[0].replace(".jpg", "_aligned.jpg")
        (root / "Image" / "aligned" / name).touch()
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return _rafdb(tmp_path / "sets" / "mine", "train_00001.jpg 1", "test_0001.jpg 2")


@pytest.mark.parametrize("name", ["rafdb", "synthetic"])
def test_sets_in_rafdbs_layout_are_read_under_their_own_name(root: Path, name: str) -> None:
    index = face_index(name, root, Split.TEST)
    assert (index.name, index.split) == (name, Split.TEST)
    assert [sample.sample_id for sample in index.samples] == ["test_0001.jpg"]


def test_folder_sets_are_read(tmp_path: Path) -> None:
    for name in ("train/sad/a.jpg", "train/happy/b.jpg", "test/sad/c.jpg"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).touch()
    assert len(face_index("folder", tmp_path / "f", Split.TRAIN)) == 2


def test_an_unknown_name_is_refused_with_the_known_ones(root: Path) -> None:
    expected = "got the data set 'affectnett', expected one of .*rafdb, .*synthetic; choose"
    with pytest.raises(UsageError, match=expected):
        face_index("affectnett", root, Split.TRAIN)
    with pytest.raises(UsageError, match=expected):
        list_faces("affectnett", root)
    with pytest.raises(UsageError, match=expected):
        resolve_root("affectnett", root)
    with pytest.raises(UsageError, match=expected):
        remember_root("affectnett", root)


def test_there_is_no_validation_split_on_disk(root: Path) -> None:
    with pytest.raises(UsageError, match="got the split 'validation', expected 'train' or 'test'"):
        face_index("rafdb", root, Split.VALIDATION)


def test_a_problem_of_the_split_is_an_error(root: Path) -> None:
    (root / "Image" / "aligned" / "test_0001_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"row 2: the list names 'test_0001.jpg'.*out$"):
        face_index("rafdb", root, Split.TEST)


def test_a_problem_of_the_other_split_is_none(root: Path) -> None:
    (root / "Image" / "aligned" / "test_0001_aligned.jpg").unlink()
    assert len(face_index("rafdb", root, Split.TRAIN)) == 1


def test_more_problems_are_counted_with_the_command_that_shows_them(tmp_path: Path) -> None:
    root = _rafdb(tmp_path / "r", "train_00001.jpg 1", "test_0001.jpg 8", "test_0002.jpg 9")
    expected = r"row 2: .* \(and 2 more, shown by 'edge-arm data describe --data rafdb --root .*r'"
    with pytest.raises(DataError, match=expected):
        face_index("rafdb", root, Split.TEST)


def test_what_is_left_out_is_logged(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Image" / "aligned" / "test_0002_aligned.jpg").touch()
    with caplog.at_level(logging.WARNING):
        face_index("rafdb", root, Split.TEST)
    assert "data rafdb: left out: 1 pictures in " in caplog.text


def test_a_root_that_is_given_wins(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ARM_DATA", str(root.parent))
    (root.parent / "rafdb").mkdir()
    assert resolve_root("rafdb", root) == root


def test_a_root_that_is_given_and_missing_is_never_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ARM_DATA", str(root))
    with pytest.raises(DataError, match="got --root 'nowhere', which is no folder, expected the"):
        resolve_root("rafdb", Path("nowhere"))


def test_the_environment_names_the_folder_of_all_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets" / "rafdb").mkdir(parents=True)
    Path("data/rafdb").mkdir(parents=True)
    monkeypatch.setenv("EDGE_ARM_DATA", str(tmp_path / "sets"))
    assert resolve_root("rafdb", None) == tmp_path / "sets" / "rafdb"


def test_the_environment_may_name_the_set_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ARM_DATA", str(root))
    assert resolve_root("rafdb", None) == root


def test_the_environment_is_passed_over_for_a_set_that_it_does_not_hold(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_ARM_DATA", str(root))
    Path("data/folder").mkdir(parents=True)
    assert resolve_root("folder", None) == Path("data/folder")


def test_an_environment_that_names_no_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ARM_DATA", "nowhere")
    Path("data/rafdb").mkdir(parents=True)
    with pytest.raises(DataError, match="EDGE_ARM_DATA is 'nowhere', which is no folder"):
        resolve_root("rafdb", None)


def test_a_root_is_remembered_for_later_commands(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    remember_root("rafdb", Path("mine"), tmp_path / "build")
    monkeypatch.chdir(tmp_path)
    assert resolve_root("rafdb", None, tmp_path / "build") == root


def test_the_default_place_comes_before_the_memory(root: Path, tmp_path: Path) -> None:
    remember_root("rafdb", root, tmp_path / "build")
    Path("data/rafdb").mkdir(parents=True)
    assert resolve_root("rafdb", None, tmp_path / "build") == Path("data/rafdb")


def test_remembering_one_set_keeps_the_others(root: Path, tmp_path: Path) -> None:
    remember_root("rafdb", root, tmp_path)
    remember_root("folder", tmp_path / "f", tmp_path)
    remember_root("folder", tmp_path / "g", tmp_path)
    assert json.loads((tmp_path / "data-roots.json").read_text()) == {
        "schema_version": 1,
        "roots": {"folder": str(tmp_path / "g"), "rafdb": str(root)},
    }


def test_where_nothing_is_found_every_place_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_root("rafdb", tmp_path / "gone", tmp_path / "build")
    (tmp_path / "sets").mkdir()
    monkeypatch.setenv("EDGE_ARM_DATA", str(tmp_path / "sets"))
    with pytest.raises(DataError, match="found no folder of the data set 'rafdb'") as caught:
        resolve_root("rafdb", None, tmp_path / "build")
    assert str(caught.value) == (
        f"found no folder of the data set 'rafdb', looked at {str(tmp_path / 'sets' / 'rafdb')!r} "
        f"and {str(tmp_path / 'sets')!r} itself (EDGE_ARM_DATA), 'data/rafdb' (default place), "
        f"{str(tmp_path / 'gone')!r} (used before, now gone); name it with --root DIR, or set "
        "EDGE_ARM_DATA ('edge-arm data --help' says where the set comes from)"
    )


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"schema_version": 2, "roots": {}}', b'{"schema_version": 1}', b"\xff"],
)
def test_a_memory_that_is_broken_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data-roots.json").write_bytes(content)
    with pytest.raises(DataError, match="data-roots.json' is not a note of data folders"):
        resolve_root("rafdb", None, tmp_path)


def test_a_memory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data-roots.json").mkdir()
    with pytest.raises(DataError, match=r"cannot read '.*data-roots.json' \(Is a directory\)"):
        resolve_root("rafdb", None, tmp_path)
