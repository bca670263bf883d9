"""A linear layer and its adapter as one operation.

peft computes an adapter in fp32 on a bf16 layer: every input is copied to fp32 and kept for the backward pass, and each
of the small products pays for its conversions. Here adapter weights stay fp32 parameters, products run in the layer's
own format, and the input is kept once for the backward pass. A 4-bit layer is dequantised whenever it is needed,
forward and backward, and never kept dequantised.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import linear


class AdaptedLinear(torch.autograd.Function):
    """y = x W' + b + scale (z A') B' for x (n, in), with W (out, in) frozen, A (r, in) and B (out, r) trained; z is x,
    or x with dropout.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        z: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
        layer: FrozenLinear,
    ) -> torch.Tensor:
        """Compute the layer and add its adapter in place."""
        weight = layer.dequantised()
        y = linear(x, weight, layer.bias)
        inner = linear(x if z is None else z, down.to(x.dtype))
        y.addmm_(inner, up.to(x.dtype).t(), alpha=scale)
        ctx.save_for_backward(x if z is None else z, inner, down, up)
        ctx.scale, ctx.layer, ctx.is_dropped = scale, layer, z is not None
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradients of input and adapter."""
        z, inner, down, up = ctx.saved_tensors
        grad = grads[0]
        grad_inner = torch.mm(grad, up.to(grad.dtype)).mul_(ctx.scale)
        grad_down = torch.mm(grad_inner.t(), z).to(down.dtype)
        grad_up = torch.mm(grad.t(), inner).to(up.dtype).mul_(ctx.scale)
        grad_x = torch.mm(grad, ctx.layer.dequantised()) if ctx.needs_input_grad[0] else None
        grad_z = torch.mm(grad_inner, down.to(grad.dtype)) if ctx.is_dropped else None
        if grad_x is not None and grad_z is None:
            grad_x.addmm_(grad_inner, down.to(grad.dtype))
        return grad_x, grad_z, grad_down, grad_up, None, None


class FrozenLinear:
    """A frozen linear layer; a 4-bit one is dequantised at every use."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.bias = layer.bias
        self.is_quantised = getattr(layer.weight, "quant_state", None) is not None

    def dequantised(self) -> torch.Tensor:
        """Return the weight (out, in) in the format of products."""
        if not self.is_quantised:
            return torch.as_tensor(self.layer.weight)
        from bitsandbytes.functional import dequantize_4bit

        return torch.as_tensor(dequantize_4bit(self.layer.weight, self.layer.weight.quant_state))


def fuse_adapters(model: Any) -> int:
    """Compute every layer and its plain adapter as one operation; return how many there are. Names and weights stay.

    An adapter of another kind (DoRA) keeps peft's own forward pass. Its 4-bit layer is dequantised in evaluation, as
    the others always are: bitsandbytes multiplies in bf16 there on some CPUs, whatever its settings.
    """
    from peft.tuners.lora import LoraLayer

    adapted = [module for module in model.modules() if isinstance(module, LoraLayer)]
    plain = [module for module in adapted if _is_plain(module)]
    for module in plain:
        module.forward = functools.partial(_fused, module, FrozenLinear(module.get_base_layer()))
    for base in (module.get_base_layer() for module in adapted if module not in plain):
        if (layer := FrozenLinear(base)).is_quantised:
            base.forward = functools.partial(_dequantised, layer, base.forward)
    return len(plain)


def _dequantised(layer: FrozenLinear, forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    return forward(x) if layer.layer.training else linear(x, layer.dequantised(), layer.bias)


def _is_plain(module: Any) -> bool:
    return (
        isinstance(module.get_base_layer(), torch.nn.Linear)
        and not module.lora_variant
        and len(module.active_adapters) == 1
    )


def _fused(module: Any, layer: FrozenLinear, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    name = module.active_adapters[0]
    dropout = module.lora_dropout[name]
    flat = x.reshape(-1, x.shape[-1])
    dropped = None if isinstance(dropout, torch.nn.Identity) or not module.training else dropout(flat)
    y = AdaptedLinear.apply(
        flat, dropped, module.lora_A[name].weight, module.lora_B[name].weight, module.scaling[name], layer
    )
    return torch.as_tensor(y).view(*x.shape[:-1], -1)
