"""A small ResNet whose int8 costs something.

The random one of the room above answers with logits so far apart that nothing ever flips; here they
are drawn together, so that every rounding shows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from searched_models import subject_of, weights_scaled

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search.layers import plan_only
from edge_arm.calibration.search.sessions import Session
from edge_arm.calibration.search.subject import Subject

SEEN = 4
"""Faces that choose the ranges."""


@pytest.fixture(scope="session")
def close_model(model: onnx.ModelProto, faces_nhwc: np.ndarray) -> onnx.ModelProto:
    """Logits a thirtieth of those of `model` and 0 on average; treat it as read-only."""
    close = weights_scaled(model, "/n49/Conv", 1 / 30)
    head = next(node for node in close.graph.node if node.name == "/n49/Conv")
    (bias,) = (item for item in close.graph.initializer if item.name == head.input[2])
    values = numpy_helper.to_array(bias) - Session(close).logits(faces_nhwc).mean(axis=0)
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return close


@pytest.fixture(scope="session")
def subject(close_model: onnx.ModelProto, plan: QuantPlan, faces_nhwc: np.ndarray) -> Subject:
    """`close_model` with ranges of its first faces."""
    return subject_of(close_model, plan, faces_nhwc[:SEEN])


FEW = ("/n3/Conv", "/n6/Conv", "/n24/Conv", "/n46/Conv")


@pytest.fixture(scope="session")
def few(subject: Subject) -> Subject:
    """The same with four layers to quantize, which makes a search short."""
    return replace(subject, plan=plan_only(subject.plan, subject.model, layers=FEW))
