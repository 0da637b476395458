"""What `--backend` and `--provider` mean: the models of a bundle, opened on what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.backend import Backend
    from edge_arm.runtime.manifest import Bundle, Precision


class BackendName(str, Enum):
    """What can run the models of a bundle."""

    ONNXRUNTIME = "onnxruntime"


@contextmanager
def opened_backends(
    bundle: Bundle, backend: BackendName, *, provider: str
) -> Iterator[dict[Precision, Backend]]:
    """Every precision of a bundle, ready to run; closed when the block ends.

    Args:
        bundle: whose models.
        backend: what runs them.
        provider: of ONNX Runtime.

    Yields:
        The models by precision, highest first.

    Raises:
        BackendError: if one cannot be run here; nothing else is run in its place.
    """
    from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend

    del backend  # one so far
    with ExitStack() as stack:
        yield {
            precision: stack.enter_context(
                OnnxRuntimeBackend(bundle.model(precision)[0], provider=provider)
            )
            for precision in bundle.manifest.precisions()
        }
