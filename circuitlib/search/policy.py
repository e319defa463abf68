"""A trained policy as a searcher, and as a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from circuitlib.manifest import read_manifest, written_whole
from circuitlib.search.env import SCORE_SCALE
from circuitlib.search.ppo_seeds import ActorCritic, sample_without_replacement


def save_policy(network: ActorCritic, path: Path, provenance: dict[str, Any]) -> None:
    """Write the policies of all seeds and where they came from, in half precision: a small repository
    matters more than the eleventh bit of 178,000 numbers a seed. The same policies are the same bytes."""
    tensors = {
        key: value.detach().to(torch.float16).contiguous()
        for key, value in network.state_dict().items()
    }
    shape = {"seeds": network.seeds, "tasks": network.tasks, "heads": network.heads}
    # One entry, because safetensors writes several in any order.
    metadata = {"manifest": json.dumps({"provenance": provenance, "shape": shape}, sort_keys=True)}
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_policy(path: Path) -> tuple[ActorCritic, dict[str, Any]]:
    """Read policies, in float32, and their provenance. Raises ``StaleResult`` when there is no manifest."""
    with safe_open(path, framework="pt") as file:
        manifest = read_manifest(file.metadata(), path)
        tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    shape = manifest["shape"]
    hidden = tensors["hidden_2_weight"].shape[-1]
    network = ActorCritic(shape["seeds"], shape["tasks"], shape["heads"], hidden)
    network.load_state_dict(tensors)
    return network, manifest["provenance"]


def rounded(network: ActorCritic) -> ActorCritic:
    """The network as :func:`save_policy` stores it, so that evaluating before or after saving agrees."""
    network.load_state_dict(
        {k: v.to(torch.float16).float() for k, v in network.state_dict().items()}
    )
    return network


@dataclass(frozen=True)
class PolicySearcher:
    """A trained policy with best-of-k planning: each pick draws ``candidates`` heads without
    replacement from the policy, measures them all and takes the best. Only what is taken is marked as
    tried, as in the paper, so a candidate passed over may be measured, and charged, again.

    network: of one seed. signal: the task part of the observation, ``[tasks]``.
    """

    network: ActorCritic
    signal: Float[Tensor, " tasks"]
    candidates: int = 1
    name: str = "policy"

    @torch.no_grad()
    def search(
        self, rewards: Float[Tensor, "episodes heads"], budget: int, generator: torch.Generator
    ) -> Int[Tensor, "episodes budget"]:
        """See :class:`Searcher`. Raises ``ValueError`` when the budget outlasts the untried heads."""
        episodes, heads = rewards.shape
        picks = -(-budget // self.candidates)
        if picks + self.candidates - 1 > heads:
            raise ValueError(
                f"{picks} picks of {self.candidates} candidates run out of {heads} heads"
            )
        tasks = len(self.signal)
        observation = torch.zeros(episodes, tasks + 2 * heads)
        observation[:, :tasks] = self.signal
        rows = torch.arange(episodes)
        measured = []
        for _ in range(picks):
            log_probs, _ = self.network(observation[None])
            drawn = sample_without_replacement(log_probs, self.candidates, [generator])[0]
            measured.append(drawn)
            paid = rewards.gather(1, drawn)
            taken = drawn[rows, paid.argmax(1)]
            observation[rows, tasks + taken] = 1.0
            observation[rows, tasks + heads + taken] = rewards[rows, taken] / SCORE_SCALE
        return torch.cat(measured, dim=1)[:, :budget]
