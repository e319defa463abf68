"""Orders of heads that look at nothing of an episode: what any searcher has to beat."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor


def random_orders(count: int, heads: int, generator: Generator) -> Int[Tensor, "count heads"]:
    """All heads in random order, another one each time."""
    return torch.rand(count, heads, generator=generator).argsort(1)


def layer_by_layer(
    count: int, layers: Int[Tensor, " layers"], heads_per_layer: int, generator: Generator
) -> Int[Tensor, "count heads"]:
    """All heads of the first of ``layers``, then those of the second, and so on; within a layer in random order."""
    place = layers.argsort().repeat_interleave(heads_per_layer)
    return (place + torch.rand(count, len(place), generator=generator)).argsort(1)
