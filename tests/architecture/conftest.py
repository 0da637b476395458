"""The repository as the architecture tests see it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

# Longest names first, so that the first match of a path or a module is the right one.
ROOM_FOLDERS = {
    "edge_arm.calibration": "calibration",
    "edge_arm.runtime": "runtime",
    "edge_arm.export": "export",
    "edge_arm": "edge_arm",
}


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def package_folders() -> tuple[str, ...]:
    return tuple(ROOM_FOLDERS.values())


@pytest.fixture(scope="session")
def module_paths(repository: Path) -> dict[str, Path]:
    """Every module of the packages, by its import name."""
    paths = {}
    for package, folder in ROOM_FOLDERS.items():
        for path in sorted((repository / folder).rglob("*.py")):
            inside = path.relative_to(repository / folder).with_suffix("").parts
            parts = inside[:-1] if inside[-1] == "__init__" else inside
            paths[".".join((package, *parts))] = path
    return paths


@pytest.fixture(scope="session")
def tracked_files(repository: Path) -> list[Path]:
    """The files git knows and that still exist, relative to the repository."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(
            f"these tests read git's list of files and git answered {done.stderr.strip()!r}; "
            "run them inside a clone, with git installed"
        )
    names = [Path(name) for name in done.stdout.split("\0") if name]
    return [name for name in names if (repository / name).is_file()]


@pytest.fixture(scope="session")
def command_tree() -> Any:
    """The root of the command line. Imported here: most architecture tests need no command."""
    import typer

    from edge_arm.cli.main import app

    return typer.main.get_command(app)


@pytest.fixture(scope="session")
def command_paths(command_tree: Any) -> list[tuple[str, ...]]:
    """The names that lead to every command and group, as typed: ("data", "describe")."""

    def walk(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        children = getattr(command, "commands", {})
        return [
            found
            for name, child in sorted(children.items())
            for found in ((*path, name), *walk(child, (*path, name)))
        ]

    return walk(command_tree, ())
