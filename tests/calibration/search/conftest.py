"""A small ResNet whose int8 costs something.

The random one of the room above answers with logits so far apart that nothing ever flips; here they
are drawn together, so that every rounding shows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from searched_models import subject_of, weights_scaled

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search.layers import plan_only
from edge_arm.calibration.search.subject import Subject

SEEN = 4
"""Faces that choose the ranges."""


@pytest.fixture(scope="session")
def close_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Logits a thirtieth of those of `model`; treat it as read-only."""
    return weights_scaled(model, "/n49/Conv", 1 / 30)


@pytest.fixture(scope="session")
def subject(close_model: onnx.ModelProto, plan: QuantPlan, faces_nhwc: np.ndarray) -> Subject:
    """`close_model` with ranges of its first faces."""
    return subject_of(close_model, plan, faces_nhwc[:SEEN])


FEW = ("/n3/Conv", "/n6/Conv", "/n24/Conv", "/n46/Conv")


@pytest.fixture(scope="session")
def few(subject: Subject) -> Subject:
    """The same with four layers to quantize, which makes a search short."""
    return replace(subject, plan=plan_only(subject.plan, subject.model, layers=FEW))
