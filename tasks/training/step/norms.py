"""Root-mean-square norms of a frozen base as one operation.

transformers computes such a norm in six steps and keeps two copies of its input in fp32 for the backward pass. With a
frozen weight the input and one number a token are enough: the rest is computed again, which takes less time than
reading the copies from memory.
"""

from __future__ import annotations

import functools
from typing import Any

import torch


class RootMeanSquare(torch.autograd.Function):
    """y = w * x / sqrt(mean(x^2) + eps) for x (..., D) and a frozen w (D,), in fp32 inside (arXiv 1910.07467)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """Return the normed states in x's format, with the steps and roundings that transformers has."""
        states = x.to(torch.float32, copy=True)
        scale = states.pow(2).mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return states.mul_(scale).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradient of x."""
        x, scale, weight = ctx.saved_tensors
        normed = x.to(torch.float32, copy=True).mul_(scale)
        grad = (grads[0] * weight).float()
        along = torch.linalg.vecdot(grad, normed).mul_(-1 / x.shape[-1]).unsqueeze(-1)
        return grad.addcmul_(normed, along).mul_(scale).to(x.dtype), None, None


def fuse_norms(model: Any) -> int:
    """Compute every frozen norm that equals RootMeanSquare to the last bit as one operation; return how many."""
    named = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    alike = [module for module in named if _is_alike(module)]
    for module in alike:
        module.forward = functools.partial(_normed, module)
    return len(alike)


def _normed(module: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(RootMeanSquare.apply(x, module.weight, module.variance_epsilon))


def _is_alike(module: Any) -> bool:
    """Return whether a norm gives the same bits on random states; some bases add one, or round differently."""
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if weight is None or eps is None or weight.requires_grad:
        return False
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(4, weight.numel(), generator=draw).to(weight.device, weight.dtype)
    with torch.no_grad():
        return bool(torch.equal(module(states), RootMeanSquare.apply(states, weight, eps)))
