"""Which heads a policy measures in a pick, and which it takes: sampling, and best-of-k planning."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.search.env import HeadAblationVectorEnv


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, from uniform numbers: torch draws exponential ones more slowly."""
    return torch.rand(shape, generator=generator).log_().neg_().log_().neg_()


def candidates(env: HeadAblationVectorEnv, keys: Float[Tensor, "envs heads"], k: int) -> Int[np.ndarray, "envs k"]:
    """The k heads with the largest keys, largest first; where fewer than k are untried, those.

    With log-probabilities plus :func:`gumbel` noise as keys, these are k different heads drawn in turn from the
    categorical (the Gumbel-top-k trick, Kool et al. 2019, arXiv 1903.06059); with k = 1, an ordinary sample.
    """
    if k == 1:
        return keys.argmax(-1, keepdim=True).numpy()
    untried = int(env.action_masks().sum(1).min())
    return keys.topk(min(k, untried), dim=-1).indices.numpy()


def best_of(env: HeadAblationVectorEnv, heads: Int[np.ndarray, "envs k"]) -> Int[np.ndarray, " envs"]:
    """Measure the candidates of each episode and take the one that pays most."""
    best = env.measure(heads).argmax(1)
    return np.take_along_axis(heads, best[:, None], axis=1)[:, 0]
