"""A PyTorch model behind the runtime's seam, so that it is measured as an exported one is.

For what has no ONNX file yet: an imported checkpoint, the models of an ablation. Float32 always.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np
import torch

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.backend import BackendInfo, Float32Array, check_input
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.training.augmentation import normalised


class TorchBackend:
    """Runs a model in evaluation mode.

    Args:
        model: is put into evaluation mode, and onto the device.
        spec: of its input.
        checkpoint_sha256: that its weights come from.
        device: where it runs.
    """

    def __init__(
        self,
        model: FerModel,
        spec: PreprocessSpec,
        *,
        checkpoint_sha256: str,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or torch.device("cpu")
        self._model = model.eval().to(self._device)
        self._spec = spec
        weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        self._info = BackendInfo(
            name=f"pytorch/{self._device.type}",
            version=str(torch.__version__),
            model_sha256=checkpoint_sha256,
            size_bytes=weights,
            input_size=spec.size,
            num_classes=model.config.num_classes,
        )

    @property
    def info(self) -> BackendInfo:
        """What runs, for reports; its size is that of the weights."""
        return self._info

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        """See `Backend.infer`."""
        check_input(images_nhwc, self._spec.size)
        with torch.inference_mode():
            images = torch.from_numpy(images_nhwc).to(self._device).permute(0, 3, 1, 2)
            return np.array(self._model(normalised(images, self._spec)).cpu().numpy(), np.float32)

    def __enter__(self) -> TorchBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None
