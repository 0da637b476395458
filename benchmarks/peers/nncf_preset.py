"""NNCF's post-training quantization of an ONNX file, performance preset (symmetric)."""

from __future__ import annotations

import logging

import nncf
import onnx
from peers.task import Task


def quantize(task: Task, method: str) -> None:
    """Quantize.

    Args:
        task: what to do.
        method: "performance" or "mixed", the name of a preset.
    """
    nncf.set_log_level(logging.ERROR)
    name = task.input_name
    dataset = nncf.Dataset(task.all_faces(), lambda face: {name: face[None]})
    kept = task.nodes_in_float()
    quantized = nncf.quantize(
        onnx.load(task.float32),
        dataset,
        preset=nncf.QuantizationPreset(method),
        # Its default takes the first 300 faces only.
        subset_size=len(task.faces),
        ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
    )
    onnx.save(quantized, task.out)
