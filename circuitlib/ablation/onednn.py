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
        self.weight, self.dtype = weight.to(dtype), dtype
        self.bias = None if bias is None else bias.to(dtype)
        if self.onednn:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous())

    def __call__(self, x: Float[Tensor, "*n in"]) -> Float[Tensor, "*n out"]:
        narrow = x.to(self.dtype)
        if self.onednn:
            name, algorithm = self.fused
            y = torch.ops.mkldnn._linear_pointwise(narrow, self.weight, self.bias, name, [], algorithm)
        else:
            y = F.linear(narrow, self.weight, self.bias)
            y = y if self.function is None else self.function(y)
        return y.to(x.dtype)
