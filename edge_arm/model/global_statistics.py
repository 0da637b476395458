"""Batch statistics over all processes that train one model, as if they were one with all faces.

BatchNorm's mean and variance and the mean that ARM shares out are taken over the global batch.
Their gradients are too: what a process computes depends on the faces of the others, so the
gradient of each face gathers what every process lost by it.

PyTorch's SyncBatchNorm does this for GPUs and is used there; it has none for CPUs, so here is one
for them. Names and shapes of the parameters stay as they are, and so does a checkpoint.

Shapes: n faces of this process, N of all, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from edge_arm.model.fer_model import FerModel


def with_global_statistics(model: FerModel, group: dist.ProcessGroup) -> FerModel:
    """Make a model take its batch statistics over all processes while it trains.

    Args:
        model: on the device that it is trained on; changed in place. Parameters stay the same
            tensors.
        group: the processes; each of them has to run every step, with at least one face.

    Returns:
        The model. In evaluation mode it computes as before and talks to nobody.
    """
    on_gpu = next(model.parameters()).is_cuda
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _global_norm(child, group, on_gpu=on_gpu))
    if model.sharing is not None:
        model.sharing.batch_mean = lambda unique: global_mean(unique, group)
    return model


def _global_norm(norm: nn.BatchNorm2d, group: dist.ProcessGroup, *, on_gpu: bool) -> nn.Module:
    if not on_gpu:
        return _GlobalBatchNorm2d(norm, group)
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(  # type: ignore[no-untyped-call]
        norm, group
    )
    return converted


def global_mean(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The mean over the faces of all processes, differentiable in each of them.

    Args:
        x: (n, ...); n may differ from process to process.
        group: the processes.

    Returns:
        (...), the same everywhere.
    """
    total: Tensor = _Sum.apply(x.sum(dim=0), group)  # type: ignore[no-untyped-call]
    return total / _sum_(torch.tensor(float(len(x)), device=x.device), group)


def _sum_(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    dist.all_reduce(x, group=group)
    return x


class _Sum(torch.autograd.Function):
    """y = sum of x_r over the processes r.

    Each of their losses L_s depends on y, so dL/dx_r = sum of dL_s/dy over s: the sum again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:  # noqa: D102
        ctx.group = group
        return _sum_(x.clone(), group)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return _sum_(grads[0].clone(), ctx.group), None


class _GlobalBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of all processes.

    A subclass, because the parameters must keep their names and evaluation is the parent's.
    """

    def __init__(self, like: nn.BatchNorm2d, group: dist.ProcessGroup) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.weight, self.bias = like.weight, like.bias
        for name, buffer in like.named_buffers():
            setattr(self, name, buffer)
        self.train(like.training)
        self._group = group

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, C, H, W) by the statistics of the global batch, and note them."""
        if not self.training:
            return super().forward(x)
        mean, variance, count = _moments(x, self._group)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        normalised: Tensor = _Normalised.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, (mean, variance, count, self.eps, self._group)
        )
        return normalised


def _moments(x: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor, float]:
    """Mean and biased variance of the global batch, (C,) each, and the number of values in them.

    Each process takes its own in one stable pass; together they are added up in float64, where
    E[x^2] - E[x]^2 loses nothing that float32 had.
    """
    count = x.numel() // x.shape[1]
    precise = x.detach() if x.dtype == torch.float64 else x.detach().float()
    variance, mean = torch.var_mean(precise, dim=(0, 2, 3), correction=0)
    m, v = mean.double(), variance.double()
    n = torch.full((1,), float(count), dtype=torch.float64, device=x.device)
    sums = _sum_(torch.cat([m * count, (v + m * m) * count, n]), group)
    total, channels = float(sums[-1]), x.shape[1]
    m = sums[:channels] / total
    v = sums[channels:-1] / total - m * m
    return m.to(mean.dtype), v.clamp_(min=0).to(mean.dtype), total


class _Normalised(torch.autograd.Function):
    """y = w (x - m) / s + b with m and s^2 = variance + eps of all N values of a channel.

    With u = (x - m) / s, m and s depending on every x (Ioffe and Szegedy 2015, section 3):
    dL/dx = w / s (dL/dy - sum(dL/dy) / N - u sum(u dL/dy) / N), both sums over all processes.
    dL/dw = sum(u dL/dy) and dL/db = sum(dL/dy) stay this process's own: what averages the
    gradients of all parameters takes them together.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        statistics: tuple[Tensor, Tensor, float, float, dist.ProcessGroup],
    ) -> Tensor:
        mean, variance, ctx.count, ctx.eps, ctx.group = statistics
        ctx.save_for_backward(x, weight, mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=ctx.eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: D102
        x, weight, mean, variance = ctx.saved_tensors
        # With statistics that are constants PyTorch's own kernel gives w / s dL/dy and both sums.
        direct, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            grads[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = _sum_(torch.stack([for_bias, for_weight]).double(), ctx.group) / ctx.count
        # w / s (a + u b) with u = (x - m) / s, as one factor and one summand for each channel.
        inverse = (variance.double() + ctx.eps).rsqrt()
        outer = weight.double() * inverse
        factor = outer * inverse * sums[1]
        summand = outer * sums[0] - factor * mean.double()
        shape = (1, -1, 1, 1)
        gradient = direct - summand.to(mean.dtype).view(shape)
        gradient = gradient - x * factor.to(mean.dtype).view(shape)
        return gradient.to(x.dtype), for_weight, for_bias, None
