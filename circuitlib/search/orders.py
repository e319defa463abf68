"""Orders of heads that need nothing to be learned: what any searcher has to beat."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor


def random_orders(plays: int, heads: int, generator: Generator) -> Int[Tensor, "plays heads"]:
    """All heads in random order, another one in each play."""
    return torch.rand(plays, heads, generator=generator).argsort(1)


def layers_in_order(plays: int, layers: int, heads_per_layer: int, generator: Generator) -> Int[Tensor, "plays heads"]:
    """The first layer's heads, then the second's, and so on; within a layer in random order."""
    heads = layers * heads_per_layer
    within = torch.rand(plays, heads, generator=generator)
    return (within + torch.arange(heads) // heads_per_layer).argsort(1)
