from __future__ import annotations

import json
from pathlib import Path

import pytest
from miniature_affectnet import write_csv_release
from typer.testing import CliRunner, Result

from edge_arm.cli.data import data_app
from edge_arm.cli.data_catalogue import CATALOGUE
from edge_arm.data.registry import DATA_SETS
from edge_arm.runtime.errors import DataError, UsageError

NUM_IMAGES = 70


def _run(*words: object) -> Result:
    return CliRunner().invoke(data_app, [str(word) for word in words])


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    root = tmp_path_factory.mktemp("data") / "synthetic"
    return root, _run("synthesize", "--out", root, "--images", NUM_IMAGES, "--seed", 3)


@pytest.fixture
def root(synthesis: tuple[Path, Result]) -> Path:
    return synthesis[0]


def _break_a_picture(root: Path, folder: Path) -> Path:
    """The same set with one empty picture."""
    for path in root.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (folder / "Image" / "aligned" / "test_0001_aligned.jpg").write_bytes(b"")
    return folder


def test_synthesize_draws_the_set_and_says_where(synthesis: tuple[Path, Result]) -> None:
    root, result = synthesis
    assert result.exit_code == 0
    assert result.stdout == f"{NUM_IMAGES} synthetic faces, seed 3: {root}\n"
    assert len(list((root / "Image" / "aligned").iterdir())) == NUM_IMAGES


def test_synthesize_counts_each_picture_once(synthesis: tuple[Path, Result]) -> None:
    _, result = synthesis
    assert f"draw: {NUM_IMAGES}/{NUM_IMAGES} images" in result.stderr.splitlines()[-1]


def test_describe_shows_counts_and_sizes(root: Path) -> None:
    result = _run("describe", "--data", "synthetic", "--root", root)
    assert result.exit_code == 0
    rows = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    assert ["all", "56", "14"] in rows
    assert "100x100: 70" in result.stdout
    assert result.stdout.endswith("nothing is missing or broken\n")


def test_describe_lists_what_is_broken_and_exits_with_1(root: Path, tmp_path: Path) -> None:
    broken = _break_a_picture(root, tmp_path / "broken")
    result = _run("describe", "--data", "rafdb", "--root", broken)
    assert result.exit_code == 1
    assert "missing or broken: 1\n" in result.stdout
    assert "test_0001_aligned.jpg' has 0 bytes" in result.stdout


def test_describe_writes_everything_as_json(root: Path, tmp_path: Path) -> None:
    broken = _break_a_picture(root, tmp_path / "broken")
    _run("describe", "--data", "rafdb", "--root", broken, "--json", tmp_path / "data.json")
    value = json.loads((tmp_path / "data.json").read_text())
    assert value["splits"]["train"]["num_images"] == 56
    assert len(value["problems"]) == 1


def test_long_lists_are_cut_in_the_terminal_only(root: Path, tmp_path: Path) -> None:
    folder = _break_a_picture(root, tmp_path / "broken")
    for picture in (folder / "Image" / "aligned").iterdir():
        picture.write_bytes(b"")
    result = _run("describe", "--data", "rafdb", "--root", folder, "--json", tmp_path / "data.json")
    assert "missing or broken: 70\n" in result.stdout
    assert "and 50 more; --json FILE lists all" in result.stdout
    assert len(json.loads((tmp_path / "data.json").read_text())["problems"]) == 70


def test_help_says_of_every_data_set_where_it_comes_from() -> None:
    names = [name for entry in CATALOGUE for name in entry.names]
    assert sorted(names) == sorted(DATA_SETS)
    text = _run("--help").stdout
    for entry in CATALOGUE:
        for line in (", ".join(entry.names), f"  {entry.what}", f"  get it: {entry.source}"):
            assert f"{line}\n" in text


def test_describe_shows_counts_and_what_affectnet_leaves_out(tmp_path: Path) -> None:
    result = _run("describe", "--data", "affectnet8", "--root", write_csv_release(tmp_path / "a"))
    assert result.exit_code == 0
    rows = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    assert ["contempt", "2", "1"] in rows
    assert ["all", "16", "8"] in rows
    assert "face sizes (width x height: faces): 1\n  12x18: 24\n" in result.stdout
    assert "2 pictures labelled 'no face': 1 in the training part, 1 in the" in result.stdout


def test_describe_refuses_an_unknown_data_set(root: Path) -> None:
    result = _run("describe", "--data", "faces", "--root", root)
    assert isinstance(result.exception, UsageError)


def test_describe_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = _run("describe", "--data", "rafdb", "--root", tmp_path / "gone")
    assert isinstance(result.exception, DataError)
