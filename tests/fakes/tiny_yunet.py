"""An ONNX file with YuNet's twelve outputs whose answer can be told by eye.

It is sure of a face wherever a cell of 32 x 32 pixels is white, and draws a box of `BOX_PX` around
the middle of that cell; the finer strides never see anything.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnx_builders import model, node

CELL_PX = 32
BOX_PX = (64, 96)
"""Width and height of its boxes."""

_FIGURES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def write_tiny_yunet(path: Path, *, sure: float = 1.0, sees: str = "cls", short: str = "") -> Path:
    """Write the file.

    Args:
        path: to write to.
        sure: score of a white cell.
        sees: name of the first outputs; another one than "cls" makes the file no YuNet.
        short: name of an output that has too few figures; none if empty.
    """
    nodes, constants, outputs = [], {}, []
    for stride in (8, 16, 32):
        for part, figures in _FIGURES.items():
            name = f"{sees if part == 'cls' else part}_{stride}"
            weight = np.zeros((figures, 3, stride, stride), np.float32)
            bias = np.zeros(figures, np.float32)
            if stride == CELL_PX and part in ("cls", "obj"):
                weight[:] = sure / (3 * stride * stride * 255)
            if part == "bbox":  # middle of the cell, then logarithms of the sides in cells
                bias[:] = (0.5, 0.5, math.log(BOX_PX[0] / stride), math.log(BOX_PX[1] / stride))
            constants |= {f"{name}_weight": weight, f"{name}_bias": bias}
            constants[f"{name}_shape"] = np.array([1, -1, figures], np.int64)
            nodes += [
                node(
                    "Conv",
                    f"input {name}_weight {name}_bias",
                    f"{name}_map",
                    kernel_shape=[stride, stride],
                    strides=[stride * (2 if name == short else 1)] * 2,
                ),
                node("Transpose", f"{name}_map", f"{name}_last", perm=[0, 2, 3, 1]),
                node("Reshape", f"{name}_last {name}_shape", name),
            ]
            outputs.append((name, TensorProto.FLOAT, [1, None, figures]))
    faces = ("input", TensorProto.FLOAT, [1, 3, 640, 640])
    onnx.save(model(nodes, [faces], outputs, constants, opset=11), path)
    return path
