"""What the doctor finds of OpenVINO: the real one, none, and one that breaks."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edge_arm.runtime.doctor.modules import ModuleFinding, look_at_openvino


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)
def test_the_real_one_is_found_with_its_version() -> None:
    assert look_at_openvino() == ModuleFinding(version=version("openvino"))


def test_none_is_found_where_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not look_at_openvino().works


def test_one_that_does_not_load_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text("raise OSError('libtbb.so.12: cannot open')\n")
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert look_at_openvino() == ModuleFinding(error="libtbb.so.12: cannot open")
