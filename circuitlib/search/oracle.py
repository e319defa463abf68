"""The oracle: all heads of an episode measured, and the best of them known.

No searcher can do better on the same episode, which is why every comparison here is a paired one.
"""

from jaxtyping import Float, Int
from torch import Tensor


def best_reward(rewards: Float[Tensor, "episodes heads"]) -> Float[Tensor, " episodes"]:
    """The largest reward of each episode."""
    return rewards.amax(1)


def best_head(rewards: Float[Tensor, "episodes heads"]) -> Int[Tensor, " episodes"]:
    """The head that pays it; the lowest-numbered of equals."""
    return rewards.argmax(1)


def head_order(rewards: Float[Tensor, "episodes heads"]) -> Int[Tensor, " heads"]:
    """Heads by mean reward over episodes (or prompts), best first; equals in order of number."""
    return rewards.mean(0).argsort(descending=True, stable=True)
