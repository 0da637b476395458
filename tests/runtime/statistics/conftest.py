"""Loads files that are no tests: in pytest's importlib mode tests cannot import their siblings."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up here while it is being loaded.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def by_definition() -> ModuleType:
    """Tango's score from its definition, by numerical maximisation and root finding."""
    return _load(Path(__file__).with_name("score_by_definition.py"))


@pytest.fixture(scope="session")
def coverage_simulation() -> ModuleType:
    """The benchmark script."""
    return _load(Path(__file__).parents[3] / "benchmarks" / "coverage_simulation.py")
