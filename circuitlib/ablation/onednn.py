"""A matrix product with a bias and an activation, by the fastest exact library at hand.

torch multiplies float32 matrices with MKL, which on processors that are not Intel's reaches half of what AVX-512
could. oneDNN, which torch keeps for convolutions and bfloat16, uses it everywhere, and applies an activation while
the product is still in the cache. Both multiply and add in float32, and differ by rounding.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether :class:`Linear` uses oneDNN on this machine: where there is AVX-512, for which it was measured."""

PART = 512
"""Sums twice as long and longer are given to oneDNN in parts of about this length, in float32 and without an activation: it adds
one product after the other, so that a single large one makes all later additions coarse. SmolLM2 has activations of 20,000 in its
MLPs; with their output projections in parts its errors are a third, at the same speed."""

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, tuple[Activation, tuple[str, str]]] = {
    "gelu": (F.gelu, ("gelu", "none")),
    "gelu_new": (partial(F.gelu, approximate="tanh"), ("gelu", "tanh")),
    "gelu_pytorch_tanh": (partial(F.gelu, approximate="tanh"), ("gelu", "tanh")),
    "relu": (F.relu, ("relu", "")),
    "silu": (F.silu, ("swish", "")),
}
"""By Hugging Face's names: the function, and what oneDNN calls it."""


class Linear:
    """``activation(x W^T + b)``, multiplied in ``dtype`` and returned in x's type.

    weight: ``[out, in]``. activation: a name in :data:`ACTIVATIONS`. On a processor the weight is kept in
    oneDNN's own layout, a copy. No gradient passes through.
    """

    def __init__(
        self,
        weight: Float[Tensor, "out in"],
        bias: Float[Tensor, " out"] | None,
        dtype: torch.dtype,
        activation: str | None = None,
    ) -> None:
        known = dtype in (torch.float32, torch.bfloat16)
        self.onednn = ONEDNN and known and weight.device.type == "cpu"
        none: tuple[Activation | None, tuple[str, str]] = (None, ("none", ""))
        self.function, self.fused = ACTIVATIONS[activation] if activation else none
        weight, self.dtype = weight.to(dtype), dtype
        self.bias = None if bias is None else bias.to(dtype)
        if self.onednn:
            parts = 1 if activation or dtype is not torch.float32 else max(1, weight.shape[1] // PART)
            self.parts = [
                torch.ops.mkldnn._reorder_linear_weight(part.contiguous()) for part in weight.tensor_split(parts, dim=1)
            ]
        else:
            self.weight = weight

    def __call__(self, x: Float[Tensor, "*n in"]) -> Float[Tensor, "*n out"]:
        narrow = x.to(self.dtype)
        if self.onednn:
            name, algorithm = self.fused
            first, *others = narrow.tensor_split(len(self.parts), dim=-1)
            y = torch.ops.mkldnn._linear_pointwise(first, self.parts[0], self.bias, name, [], algorithm)
            for some, part in zip(others, self.parts[1:], strict=True):
                y = torch.ops.mkldnn._linear_pointwise.binary(some, y, part, None, "add")
        else:
            y = F.linear(narrow, self.weight, self.bias)
            y = y if self.function is None else self.function(y)
        return y.to(x.dtype)
