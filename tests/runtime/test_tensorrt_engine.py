"""A plan is loaded, or it is said why not; what runs of it is in `test_tensorrt_backend`."""

from __future__ import annotations

import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from engine_records import engine_record

from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.tensorrt_engine import load_engine
from edge_arm.runtime.tensorrt_library import load_tensorrt


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_a_driver_too_old_for_tensorrt_is_said_when_an_engine_is_loaded(version: str) -> None:
    with (
        installed(FakeMachine(tensorrt=version, driver="old")),
        pytest.raises(BackendUnavailableError, match=r"does not start .*error: 35.*NVIDIA driver"),
    ):
        load_engine(load_tensorrt(), b"a plan", engine_record())
