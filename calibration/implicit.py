"""Which tensors need a range where TensorRT quantizes by itself (a DLA, or no Q/DQ in the file).

In implicit quantization a layer runs in INT8 only if TensorRT knows a range for what it reads and
for what it writes; without one it falls back to FP16. The Q/DQ model has pairs on what is *read*,
so the outputs in between need ranges too:

1. Every quantized tensor of the Q/DQ model, with the very same range.
2. A tensor that only a Relu with a range reads takes the Relu's range: what is clipped below is
   thrown away by the Relu, above the two are the same.
3. The output of an INT8 convolution that is still without one (in a residual block, before the
   Add) has a range of its own. It is the one rounding that the Q/DQ model does not have.

The input stage, the last Add and the head get none and stay in FP16, as they are in float there.
"""

from __future__ import annotations

import onnx

from edge_arm.calibration.graph import head_nodes, input_stage
from edge_arm.calibration.placement import QuantPlan


def implicit_ranges_from(model: onnx.ModelProto, plan: QuantPlan) -> dict[str, str]:
    """Which tensor's values decide the range of each tensor that implicit INT8 needs.

    Args:
        model: the FP32 graph of the plan.
        plan: where the Q/DQ model is quantized.

    Returns:
        The deciding tensor by tensor, in graph order; those of `plan.ranges_from` are among them.
    """
    nodes = model.graph.node
    in_int8 = {edge.node for edge in plan.weights}
    outside = input_stage(model) | head_nodes(model)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    source = plan.ranges_from(model)  # rule 1
    for position in reversed(range(len(nodes))):
        (output, *_) = nodes[position].output
        if output in source or position in outside:
            continue
        behind = [node.output[0] for node in readers.get(output, ()) if node.op_type == "Relu"]
        if len(behind) == len(readers.get(output, ())) == 1 and behind[0] in source:
            source[output] = source[behind[0]]  # rule 2
        elif position in in_int8:
            source[output] = output  # rule 3
    order = [name for node in nodes for name in node.output]
    return {name: source[name] for name in order if name in source}
