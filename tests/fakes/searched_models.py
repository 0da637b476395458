"""What a search is made of: a model with ranges, faces in batches, and a way to bend a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import onnx
from onnx import numpy_helper

from edge_arm.calibration.observe import observe
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.search.sessions import Session
from edge_arm.calibration.search.subject import FaceBatches, Subject
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.faces import FaceIndex


def weights_scaled(
    model: onnx.ModelProto, node: str, factor: np.ndarray | float
) -> onnx.ModelProto:
    """A copy of a model with the weight and the bias of a Conv multiplied."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    conv = next(item for item in result.graph.node if item.name == node)
    for name in conv.input[1:]:
        item = next(item for item in result.graph.initializer if item.name == name)
        values = numpy_helper.to_array(item)
        scale = np.reshape(np.asarray(factor, np.float32), (-1, *[1] * (values.ndim - 1)))
        item.CopyFrom(numpy_helper.from_array((values * scale).astype(np.float32), name))
    return result


def subject_of(model: onnx.ModelProto, plan: QuantPlan, images: np.ndarray) -> Subject:
    """The model with ranges from the largest values on these faces."""
    source = plan.ranges_from(model)
    seen = observe(
        model,
        dict.fromkeys(source.values()),
        [FaceBatch(0, images, ("",) * len(images))],
    )
    amax = {tensor: seen.histograms[origin].amax for tensor, origin in source.items()}
    return Subject(model, plan, lambda part: int8_graph(model, part, amax))


def batches_of(images: np.ndarray, most: int = 10**6) -> FaceBatches:
    """Faces in batches of at most `most`, whatever size is asked for."""

    def batches(size: int) -> Iterator[np.ndarray]:
        step = min(size, most)
        return (images[start : start + step] for start in range(0, len(images), step))

    return batches


def labelled_as_answered(index: FaceIndex, model: onnx.ModelProto) -> FaceIndex:
    """The faces with what the model answers for their labels, so that every one can be lost."""
    images = np.stack([cv2.imread(str(sample.path))[..., ::-1] for sample in index.samples])
    answers = Session(model).logits(images).argmax(axis=1)
    samples = zip(index.samples, answers, strict=True)
    return replace(
        index, samples=tuple(replace(sample, target=int(answer)) for sample, answer in samples)
    )
