"""Rules for files, whatever is in them: no machine's paths, no giants, no drawers for the rest."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST_FILE_LINES = 450
DRAWERS = ("utils", "util", "common", "helpers", "helper", "misc")


def _holds_path(text: bytes, folder: Path) -> bool:
    """Whether a text names this folder, as a whole path and not as a part of another one."""
    return bool(re.search(rb"(?<![\w.~-])" + re.escape(bytes(folder)) + rb"(?![\w-])", text))


def test_no_tracked_file_names_a_folder_of_this_machine(
    repository: Path, tracked_files: list[Path]
) -> None:
    # `/` as the home and `/edge-arm` as the clone, as in some containers, are words, not traces.
    traces = [Path.home()] if len(Path.home().parts) > 1 else []
    traces += [repository] if len(repository.parts) > 2 else []
    found = [
        f"{name} names {folder}"
        for name in tracked_files
        for folder in traces
        if _holds_path((repository / name).read_bytes(), folder)
    ]
    assert not found, "\n".join(found)


def test_a_folder_is_found_only_as_a_whole_path() -> None:
    folder = Path("/home/somebody")
    assert _holds_path(b"see /home/somebody/x", folder)
    assert _holds_path(b"'/home/somebody'", folder)
    assert not _holds_path(b"/home/somebody-else /mnt/home/somebody", folder)


def test_no_python_file_is_longer_than_the_ceiling(
    repository: Path, tracked_files: list[Path]
) -> None:
    lengths = {
        str(name): len((repository / name).read_text(encoding="utf-8").splitlines())
        for name in tracked_files
        if name.suffix == ".py"
    }
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE_LINES}
    assert not too_long, f"cut these into files of one idea each: {too_long}"


def test_no_module_is_a_drawer_for_the_rest(tracked_files: list[Path]) -> None:
    drawers = [
        str(name)
        for name in tracked_files
        if name.suffix == ".py" and {part.removesuffix(".py") for part in name.parts} & {*DRAWERS}
    ]
    assert not drawers, f"name these after what they do: {drawers}"
