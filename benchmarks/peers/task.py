"""What every quantizer is given: the same FP32 model, the same faces, a place for the result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edge_arm.calibration.graph import head_nodes
from edge_arm.calibration.sample import calibration_sample
from edge_arm.data.registry import face_index
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle
from edge_arm.runtime.preprocess import Uint8Array

_BATCH_SIZE = 8


@dataclass(frozen=True)
class Task:
    """One model to quantize once.

    Attributes:
        bundle: with the FP32 model.
        float32: a copy of its file beside `out`: Model Optimizer writes into the file it is given.
        train_index: the training split, with the model's class indices.
        faces: the calibration faces of it.
        seed: that they were drawn with.
        out: where the INT8 model goes.
        float_head: whether a peer shall be told to leave the head in float, as ours does.
    """

    bundle: Bundle
    float32: Path
    train_index: FaceIndex
    faces: FaceIndex
    seed: int
    out: Path
    float_head: bool

    @property
    def input_name(self) -> str:
        """The name of the model's one input."""
        return str(onnx.load(self.float32).graph.input[0].name)

    def nodes_in_float(self) -> list[str]:
        """Names of the head's nodes if they shall stay in float; none otherwise."""
        if not self.float_head:
            return []
        model = onnx.load(self.float32)
        return [model.graph.node[position].name for position in sorted(head_nodes(model))]

    def face_by_face(self) -> Iterator[Uint8Array]:
        """(1, S, S, 3) uint8 pictures, decoded while the quantizer works."""
        for batch in face_batches(self.faces, self.bundle.manifest.preprocess, _BATCH_SIZE):
            yield from np.split(batch.images_nhwc, len(batch.images_nhwc))

    def all_faces(self) -> Uint8Array:
        """(N, S, S, 3) uint8, for a tool that wants them all at once."""
        return np.concatenate(list(self.face_by_face()))


def task_from_names(
    bundle: Path, data: str, root: Path, *, images: int, seed: int, out: Path, float_head: bool
) -> Task:
    """Find the faces again in a process of its own.

    Args:
        bundle: its folder.
        data: name of the data set.
        root: its folder.
        images: calibration faces.
        seed: of the draw.
        out: where the INT8 model goes.
        float_head: see `Task`.
    """
    opened = open_bundle(bundle)
    index = face_index(data, root, Split.TRAIN).relabelled(opened.manifest.labels)
    float32 = Path(shutil.copy(opened.model(Precision.FP32)[0], out.with_name("float32.onnx")))
    return Task(
        bundle=opened,
        float32=float32,
        train_index=index,
        faces=calibration_sample(index, num_images=images, seed=seed),
        seed=seed,
        out=out,
        float_head=float_head,
    )
