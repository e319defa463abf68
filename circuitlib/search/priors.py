"""Lists of heads made of what training tasks paid: priors that look at nothing of an episode.

rewards: what each head pays on each training task, on average over its prompts, ``[tasks, heads]``. Tasks' rewards differ in
scale; ``normalised`` ones are shares of the task's largest.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.search.oracle import head_order


def by_mean(rewards: Float[Tensor, "tasks heads"]) -> Int[Tensor, " heads"]:
    """By the mean over tasks: the task of the largest rewards decides."""
    return head_order(rewards)


def by_normalised_mean(rewards: Float[Tensor, "tasks heads"]) -> Int[Tensor, " heads"]:
    """By the mean of normalised rewards."""
    return head_order(_normalised(rewards))


def by_maximum(rewards: Float[Tensor, "tasks heads"]) -> Int[Tensor, " heads"]:
    """By the largest of the normalised rewards."""
    return head_order(_normalised(rewards).amax(0, keepdim=True))


def in_turns(rewards: Float[Tensor, "tasks heads"]) -> Int[Tensor, " heads"]:
    """Each task's best head, then each task's second, and so on; a head that has been listed is skipped."""
    orders = torch.stack([head_order(task[None]) for task in rewards])
    return torch.tensor(list(dict.fromkeys(orders.T.flatten().tolist())))


def in_turns_reversed(rewards: Float[Tensor, "tasks heads"]) -> Int[Tensor, " heads"]:
    """In turns, the last task's best head first."""
    return in_turns(rewards.flip(0))


def layers_by_mean(rewards: Float[Tensor, "tasks heads"], layers: int) -> Int[Tensor, " layers"]:
    """Layers by the mean normalised reward of their heads."""
    return head_order(_normalised(rewards).unflatten(1, (layers, -1)).mean(2))


def _normalised(rewards: Tensor) -> Tensor:
    return rewards / rewards.amax(1, keepdim=True)


LISTS = {
    "mean": by_mean,
    "normalised": by_normalised_mean,
    "maximum": by_maximum,
    "in turns": in_turns,
    "in turns, reversed": in_turns_reversed,
}
"""Every way of making one list of several tasks."""
