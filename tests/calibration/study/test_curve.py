from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from edge_arm.calibration.study.blocks import FaceBlocks, dealt, observe_blocks
from edge_arm.calibration.study.curve import Curve, Draws, Size, faces_curve, sizes_of
from edge_arm.calibration.study.subject import HeldOut, Studied
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=64)


def size(num_faces: int, *agreements: float) -> Size:
    return Size(num_faces, {"a": 0.1, "b": 0.3, "c": 0.2}, {"a": 1.0}, agreements, (0.0,))


def largest(model: onnx.ModelProto, tensor: str, faces: FaceIndex) -> float:
    """Largest |x| of a tensor on some faces, by ONNX Runtime and numpy alone."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        exposed.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (batch,) = face_batches(faces, SPEC, len(faces))
    return max(
        float(np.abs(session.run([tensor], {"faces": face[None]})[0]).max())
        for face in batch.images_nhwc
    )


def test_sizes_double_from_16_as_far_as_the_pool_goes():
    assert sizes_of(16) == (16,)
    assert sizes_of(100) == (16, 32, 64)
    assert sizes_of(1024) == (16, 32, 64, 128, 256, 512, 1024)


def test_spread_and_agreement_are_those_of_the_draws(studied: Studied, faces: FaceIndex):
    pool_faces, held = faces.subset(range(0, 96, 2)), faces.subset(range(1, 96, 8))
    blocks = dealt(pool_faces, 0)
    counts = observe_blocks(
        studied.model, studied.tensors, blocks, spec=SPEC, progress=lambda _: None
    )
    answering = HeldOut.of(held, studied, SPEC)
    curve = faces_curve(
        studied,
        FaceBlocks(pool_faces, counts),
        answering,
        draws=Draws(ranges=6, answers=2),
        seed=7,
        progress=lambda _: None,
    )
    assert [item.num_faces for item in curve.sizes] == [16, 32]
    assert (curve.held_out, curve.pool) == (12, 48)

    tensor = studied.tensors[5]
    by_block = [largest(studied.model, tensor, block) for block in blocks]
    generator = np.random.default_rng([7, 32])
    amax = [max(by_block[at] for at in generator.integers(0, 3, 2)) for _ in range(6)]
    found = curve.sizes[1]
    # ONNX Runtime fuses otherwise where other tensors are handed out
    assert found.spread[tensor] == pytest.approx(np.std(amax, ddof=1) / np.mean(amax), rel=1e-4)
    assert found.relative[tensor] == pytest.approx(np.mean(amax) / max(by_block), rel=1e-4)
    assert len(found.agreements) == len(found.mean_kls) == 2
    assert all(share * 12 == round(share * 12) for share in found.agreements)


def test_medians_and_the_worst_tensor_are_told_by_hand():
    found = size(16, 0.9, 1.0)
    assert (found.median_spread, found.worst, found.agreement) == (0.2, "b", 0.95)


def test_enough_is_where_no_later_size_falls_below_the_tolerance():
    # standard error of 0.9 on 100 faces: 3 pp
    sizes = (size(16, 0.86), size(32, 0.88), size(64, 0.86), size(128, 0.875), size(256, 0.9))
    curve = Curve(sizes, held_out=100, pool=256)
    assert curve.tolerance == pytest.approx(0.03)
    assert curve.enough == 128


def test_one_face_is_tolerated_where_all_answers_agree():
    curve = Curve((size(16, 0.99), size(32, 1.0)), held_out=100, pool=32)
    assert (curve.tolerance, curve.enough) == (0.01, 16)


def test_an_int8_model_that_answers_nan_is_refused(studied: Studied, faces: FaceIndex):
    class Broken:
        def logits(self, images: np.ndarray) -> np.ndarray:
            return np.full((len(images), 7), np.nan, np.float32)

    held_out = HeldOut.of(faces.subset([0, 40]), studied, SPEC)
    with pytest.raises(CalibrationError, match="answers NaN or infinity on the held-out faces of"):
        held_out.judged(Broken())
