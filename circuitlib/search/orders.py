"""Orders of heads that need nothing to be learned: what any searcher has to beat."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor


def random_orders(count: int, heads: int, generator: Generator) -> Int[Tensor, "count heads"]:
    """All heads in random order, another one each time."""
    return torch.rand(count, heads, generator=generator).argsort(1)


def layers_in_order(count: int, layers: int, heads_per_layer: int, generator: Generator) -> Int[Tensor, "count heads"]:
    """The first layer's heads, then the second's, and so on; within a layer in random order."""
    heads = layers * heads_per_layer
    within = torch.rand(count, heads, generator=generator)
    return (within + torch.arange(heads) // heads_per_layer).argsort(1)
