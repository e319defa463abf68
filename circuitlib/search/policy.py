"""A trained policy as a searcher, and as a file."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from circuitlib.manifest import load_tensors, save_tensors
from circuitlib.search.env import HeadAblationVectorEnv
from circuitlib.search.episodes import NOTHING, Episode
from circuitlib.search.meter import Meter
from circuitlib.search.network import ActorCritic, PolicyNetwork
from circuitlib.search.planning import best_of, candidates, gumbel


def rounded(networks: Mapping[int, ActorCritic]) -> dict[int, ActorCritic]:
    """The networks as :func:`save_policy` stores them, so that evaluating before or after saving agrees."""
    return {seed: deepcopy(network).half().float() for seed, network in networks.items()}


def save_policy(networks: Mapping[int, ActorCritic], path: Path, provenance: Mapping[str, Any]) -> None:
    """Write the policy of each seed and where they came from, in half precision: a small repository matters more than
    the eleventh bit of 178,000 numbers per seed."""
    states = ((seed, network.state_dict()) for seed, network in networks.items())
    tensors = {f"{seed}.{name}": value.half() for seed, state in states for name, value in state.items()}
    save_tensors(path, tensors, provenance)


def load_policy(path: Path, wanted: Mapping[str, Any] | None = None) -> tuple[dict[int, ActorCritic], dict[str, Any]]:
    """Read the policy of each seed, in float32, and their provenance.

    Raises :class:`circuitlib.manifest.StaleResult` when it is corrupt, or its provenance is not ``wanted``.
    """
    tensors, provenance = load_tensors(path, wanted)
    networks = {}
    for seed in sorted({int(key.split(".")[0]) for key in tensors}):
        start = f"{seed}."
        state = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        (hidden, observation), heads = state["hidden_1.weight"].shape, len(state["actor.weight"])
        networks[seed] = ActorCritic(observation - 2 * heads, heads, hidden, seed)
        networks[seed].load_state_dict(state)
    return networks, provenance


class _Metered(HeadAblationVectorEnv):
    """Episodes whose rewards nobody knows until the meter has been asked, and charged: what it answers, a step pays."""

    def __init__(self, meter: Meter, signal: np.ndarray, picks: int) -> None:
        self.meter, self.signal = meter, signal
        self.tasks, self.heads = ("",) * len(signal), meter.heads
        super().__init__(self, meter.episodes, picks, autoreset=False)

    def draw(self, rng: np.random.Generator) -> Episode:
        """An episode of which only the signal is known."""
        return Episode(self.signal, np.full(self.heads, np.nan, dtype=np.float32), NOTHING)

    def measure(self, heads: Int[np.ndarray, "envs k"]) -> Float[np.ndarray, "envs k"]:
        answers = self.meter.measure(torch.from_numpy(heads)).numpy()
        np.put_along_axis(self._rewards, heads, answers, axis=1)
        return answers


@dataclass(frozen=True)
class PolicySearcher:
    """A trained policy with best-of-k planning, which plays the environment: each pick draws ``candidates`` heads
    without replacement from the policy, measures them all and takes the best. Only the head taken counts as tried, as in
    the paper, so a candidate passed over may be measured, and charged, again. With fewer untried heads than
    candidates, those are measured; the search ends with the budget or the heads.

    network: of one seed. signal: what it is told, see :func:`circuitlib.search.episodes.signal_of`. greedy: the
    most probable heads instead of drawn ones.
    """

    network: PolicyNetwork
    signal: Float[np.ndarray, " tasks"]
    candidates: int = 1
    greedy: bool = False

    @torch.no_grad()
    def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
        """See :class:`circuitlib.search.searchers.Searcher`."""
        env = _Metered(meter, self.signal, min(int(budget), meter.heads))
        observation, _ = env.reset(seed=0)
        for _ in range(env.budget):
            if (left := int(budget - meter.price.max().item())) < 1:
                break
            keys, _ = self.network(torch.from_numpy(observation))
            if not self.greedy:
                keys = keys + gumbel(tuple(keys.shape), generator)
            heads = candidates(env, keys, min(self.candidates, left))
            observation = env.step(best_of(env, heads))[0]
