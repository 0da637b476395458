"""A tiny bundle with every model, shared; tests that change it make their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bundle import tiny_bundle, with_cpu_variant

from edge_arm.runtime.manifest import Bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With INT8 for CPUs."""
    return with_cpu_variant(tiny_bundle(tmp_path_factory.mktemp("classifier") / "bundle"))


@pytest.fixture(scope="session")
def uncalibrated(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Without INT8 for CPUs."""
    return tiny_bundle(tmp_path_factory.mktemp("classifier") / "bundle")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that choices are remembered in, not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edge-arm" / "cpu-choice.json"
