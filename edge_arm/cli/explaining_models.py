"""What `--explain` runs beside the models of a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.explanation import Source
    from edge_arm.runtime.manifest import Bundle
    from edge_arm.runtime.predictions import ModelToRun


@contextmanager
def explaining_models(bundle: Bundle, *, ships_as_file: bool) -> Iterator[dict[Source, ModelToRun]]:
    """One model for each source of error, run by ONNX Runtime on the CPU; closed with the block.

    The control is FP32 with its head in the other form and on one thread: the same function by
    other sums, as an engine that is built twice.

    Args:
        bundle: with FP32, and INT8 if its roundings are to be told apart.
        ships_as_file: whether the files themselves are what is measured; if not, they run here as
            well, so that the engine's own arithmetic can be told from theirs.

    Yields:
        The models by source.

    Raises:
        UsageError: if the package onnx is missing.
        BundleError: if the bytes of a model changed.
    """
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.explanation import Source
    from edge_arm.runtime.manifest import Precision
    from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
    from edge_arm.runtime.predictions import ModelToRun

    try:
        from edge_arm.calibration.one_rounding import Rounded, graphs_with_one_rounding
    except ImportError as error:
        raise UsageError(
            f"got --explain, which takes INT8 graphs apart and found no {error.name!r}, expected "
            "the package onnx; run: pip install 'edge-arm[workstation]', or measure without it"
        ) from error

    have = bundle.manifest.precisions()
    forms = [item for item in bundle.manifest.artifacts if item.precision is Precision.FP32]
    other_form = next((item.variant for item in forms if item.variant != "main"), "main")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edge-arm-explain-")))
        control, _ = bundle.model(Precision.FP32, other_form)

        def opened(path: Path, precision: Precision, threads: int | None = None) -> ModelToRun:
            backend = stack.enter_context(OnnxRuntimeBackend(path, threads=threads))
            return ModelToRun(precision, backend)

        def half_rounded(path: Path) -> ModelToRun:
            # Left to itself ONNX Runtime would round the float weights behind the pairs too.
            backend = OnnxRuntimeBackend(path, pairs_as_written=True)
            return ModelToRun(Precision.INT8, stack.enter_context(backend))

        models = {Source.CONTROL: opened(control, Precision.FP32, threads=1)}
        if Precision.INT8 in have:
            paths = graphs_with_one_rounding(bundle, folder)
            models[Source.WEIGHTS] = half_rounded(paths[Rounded.WEIGHTS])
            models[Source.ACTIVATIONS] = half_rounded(paths[Rounded.ACTIVATIONS])
        if not ships_as_file:
            for source, precision in ((Source.FP16, Precision.FP16), (Source.INT8, Precision.INT8)):
                if precision in have:
                    models[source] = opened(bundle.model(precision)[0], precision)
        yield models
