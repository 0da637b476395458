from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from edge_arm.calibration.search.cost import LayerCost, layer_costs, relative_latency


def test_a_convs_work_is_its_outputs_times_the_weights_behind_each(model: onnx.ModelProto):
    costs = {cost.name: cost for cost in layer_costs(model)}
    assert len(costs) == 21  # the head's as well
    # conv1: 16 maps of 32 x 32 from 3 of 64 x 64 by 7 x 7
    assert costs["/n3/Conv"].multiply_adds == 16 * 32 * 32 * 3 * 7 * 7
    assert costs["/n3/Conv"].elements == 16 * 3 * 7 * 7 + 3 * 64 * 64 + 16 * 32 * 32
    # the first downsample: 32 maps of 8 x 8 from 16 of 16 x 16 by 1 x 1
    assert costs["/n19/Conv"].multiply_adds == 32 * 8 * 8 * 16
    # the folded head: 7 outputs from 128 of 2 x 2
    assert costs["/n49/Conv"].multiply_adds == 7 * 128 * 2 * 2


def test_a_gemms_and_a_grouped_convs_work(explicit_model: onnx.ModelProto):
    costs = {cost.name: cost for cost in layer_costs(explicit_model)}
    (gemm,) = (node for node in explicit_model.graph.node if node.op_type == "Gemm")
    assert costs[gemm.name].multiply_adds == 49 * 7
    *_, grouped = (node for node in explicit_model.graph.node if node.op_type == "Conv")
    assert costs[grouped.name].multiply_adds == 2 * 7 * 7 * 4 * 4


@pytest.mark.parametrize(
    ("kind", "weight", "inside", "outside", "expected"),
    [
        ("MatMul", [6, 4], [6], [4], 24),
        ("Gemm", [6, 4], [6], [4], 24),  # not transposed
        ("ConvTranspose", [3, 5, 2, 2], [3, 4, 4], [5, 8, 8], 3 * 4 * 4 * 5 * 2 * 2),
    ],
)
def test_the_work_of_other_weighted_operators(
    kind: str, weight: list[int], inside: list[int], outside: list[int], expected: int
):
    attributes = {"strides": [2, 2]} if kind == "ConvTranspose" else {}
    node = helper.make_node(kind, ["x", "w"], ["y"], "n", **attributes)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("x", inside), ("y", outside))
    ]
    size = 1
    for item in weight:
        size *= item
    stored = helper.make_tensor("w", TensorProto.FLOAT, weight, [0.0] * size)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [stored])
    (cost,) = layer_costs(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    assert cost.multiply_adds == expected


def test_time_is_that_of_the_slower_of_arithmetic_and_memory():
    # 10^13 multiply-adds a second and 68 GB/s: 147 of them in the time of a byte
    assert LayerCost("a", 14_706, 10).int8_time == pytest.approx(100.0, rel=1e-4)
    assert LayerCost("a", 14_706, 101).int8_time == 101


def test_a_layer_in_fp16_takes_twice_its_time():
    costs = [LayerCost(name, 0, size) for name, size in (("a", 10), ("b", 30), ("head", 5))]

    def latency(*in_float: str) -> float:
        return relative_latency(costs, int8_layers=["a", "b"], in_float=in_float)

    assert latency() == 1.0
    # all in int8: 10 + 30 + 2 * 5 = 50, because the head is FP16 anyway
    assert latency("a") == pytest.approx(60 / 50)
    assert latency("a", "b") == pytest.approx(90 / 50)
