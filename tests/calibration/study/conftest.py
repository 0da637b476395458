"""A small ResNet that int8 costs something, and 98 faces on disk."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from searched_models import weights_scaled

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.study.subject import Studied
from edge_arm.runtime.faces import FaceIndex


@pytest.fixture(scope="session")
def close_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Logits so close together that roundings change answers; treat it as read-only."""
    return weights_scaled(model, "/n49/Conv", 1 / 30)


@pytest.fixture(scope="session")
def studied(close_model: onnx.ModelProto, plan: QuantPlan) -> Studied:
    """With the largest value as the range, which can be told without a histogram."""
    return Studied(close_model, plan, Method.MAX)


@pytest.fixture
def faces(face_index: Callable[..., FaceIndex]) -> FaceIndex:
    return face_index((24, 7, 7, 24, 12, 12, 12))
