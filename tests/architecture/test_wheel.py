"""What a wheel holds: every module, under one top-level name, and no tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")


@pytest.fixture(scope="module")
def wheel_names(
    repository: Path,
    package_folders: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> set[str]:
    """File names inside a wheel, built from a copy: setuptools would leave build/lib in the tree
    and would put modules that are no longer there into the next wheel."""
    source = tmp_path_factory.mktemp("source")
    out = tmp_path_factory.mktemp("wheel")
    for folder in (*package_folders, "tests"):
        shutil.copytree(repository / folder, source / folder, ignore=IGNORED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
        + ["--disable-pip-version-check", "-w", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module(wheel_names: set[str], module_paths: dict[str, Path]) -> None:
    expected = set()
    for module, path in module_paths.items():
        stem = module.replace(".", "/")
        expected.add(f"{stem}/__init__.py" if path.name == "__init__.py" else f"{stem}.py")
    in_wheel = {name for name in wheel_names if name.endswith(".py")}
    missing = sorted(expected - in_wheel)
    assert not missing, f"list their packages in pyproject.toml under [tool.setuptools]: {missing}"
    assert in_wheel == expected


def test_the_wheel_has_one_top_level_name(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge_arm"}


def test_the_wheel_holds_no_tests(wheel_names: set[str]) -> None:
    assert not [name for name in wheel_names if "test" in name]


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel_names: set[str]) -> None:
    assert "edge_arm/py.typed" in wheel_names


def test_the_wheel_carries_its_license(wheel_names: set[str]) -> None:
    assert [name for name in wheel_names if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_installed_command_is_the_main_function() -> None:
    # In a fresh interpreter: this one may have the repository's own egg-info before site-packages.
    code = (
        "from importlib.metadata import distribution as d\n"
        "print(*(f'{e.group} {e.name} {e.value}' for e in d('edge-arm').entry_points))"
    )
    done = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "console_scripts edge-arm edge_arm.cli.main:main"
