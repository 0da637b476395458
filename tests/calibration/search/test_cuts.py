from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from searched_models import weights_scaled

from edge_arm.calibration.search.cuts import Cuts, shared_nodes
from edge_arm.calibration.search.sessions import Session
from edge_arm.calibration.search.subject import Subject
from edge_arm.runtime.errors import BackendError, CalibrationError


def test_a_cut_passes_on_what_is_made_before_and_read_after(model: onnx.ModelProto):
    cuts = Cuts(model)
    assert cuts.tensors(0) == ("faces",)
    assert cuts.tensors(3) == ("t2",)  # before conv1: the pixels minus mean
    assert cuts.tensors(8) == ("t5", "t7")  # before layer1.0.conv2: the skip and the Relu
    # 16 channels of 16 x 16 float32, twice
    assert cuts.face_bytes(8) == 2 * 16 * 16 * 16 * 4
    assert cuts.face_bytes(0) == 64 * 64 * 3


def test_a_cut_that_is_too_wide_moves_up_to_one_that_fits(model: onnx.ModelProto):
    cuts = Cuts(model)
    assert cuts.cheap_position(8, 2 * 16 * 16 * 16 * 4) == 8
    assert cuts.cheap_position(8, 2 * 16 * 16 * 16 * 4 - 1) == 6  # before the block: its input
    assert cuts.cheap_position(8, 1) == 0


def test_two_parts_give_the_bits_of_the_whole(subject: Subject, faces_nhwc: np.ndarray):
    cuts = Cuts(subject.model)
    graph = subject.build(subject.plan)
    face = {"faces": faces_nhwc[:1]}
    first = Session(cuts.part(graph, ["faces"], cuts.tensors(19)))
    second = Session(cuts.part(graph, cuts.tensors(19), ["logits"]))
    whole = Session(graph).run(face)["logits"]
    np.testing.assert_array_equal(second.run(first.run(face))["logits"], whole)


def test_two_graphs_share_what_comes_before_their_first_difference(subject: Subject):
    cuts = Cuts(subject.model)
    base = cuts.written(subject.model)
    assert shared_nodes(base, cuts.written(weights_scaled(subject.model, "/n8/Conv", 2))) == 8
    # conv1 is node 3, and its pairs are counted to it
    assert shared_nodes(base, cuts.written(subject.build(subject.plan))) == 3
    assert shared_nodes(base, base) == len(subject.model.graph.node)


def test_a_part_that_needs_more_than_it_is_given_is_refused(model: onnx.ModelProto):
    with pytest.raises(CalibrationError, match="reads the tensor 'faces' behind a cut that passes"):
        Cuts(model).part(model, ["t7"], ["logits"])  # and not the skip, t5


def test_a_graph_without_a_tensor_of_the_model_is_refused(model: onnx.ModelProto):
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[4].output[0] = "renamed"
    with pytest.raises(CalibrationError, match="a candidate has no tensor 't4' of node '/n4/Relu'"):
        Cuts(model).written(other)


def test_a_model_of_unknown_shapes_is_refused():
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, "height"])
        for name in ("x", "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "r")], "g", ends[:1], ends[1:]
    )
    with pytest.raises(CalibrationError, match="tensor 'y' of node 'r' has no fixed shape"):
        Cuts(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def test_a_graph_that_onnx_runtime_does_not_take_is_a_backend_error(model: onnx.ModelProto):
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[4].op_type = "Nonsense"
    with pytest.raises(BackendError, match="ONNX Runtime cannot load a candidate"):
        Session(broken)
