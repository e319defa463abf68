"""Ways to train other than the paper's: told nothing, on more tasks, with the rewards of every episode on one scale, blind, or with another k."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from circuitlib.manifest import as_json, short_hash
from circuitlib.search.episodes import NOTHING, Episode, TableEpisodes, signal_of
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import best_reward
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.intervals import fraction
from circuitlib.studies.reading import Shown, play
from circuitlib.studies.seeing import PLAYS, Question

BEST = 3.0
"""What the best head of an episode pays where rewards are scaled: about as much as on GPT-2 small, in logits."""

COMPARED: tuple[Shown, ...] = ("seeing", "blind")


@dataclass(frozen=True)
class Way:
    """A way to train.

    more: on all tasks but the held-out one, not on the paper's two. told: the task. scaled: with the rewards of each episode such that its best
    head pays ``BEST``, which only who knows the oracle can give. blind: never shown a reward. k: of best-of-k planning in training. by: whose PPO.
    """

    more: bool = False
    told: bool = False
    scaled: bool = False
    blind: bool = False
    k: int = 1
    by: str = ""

    @property
    def name(self) -> str:
        """In words."""
        words = ["more tasks"] * self.more + ["told the task" if self.told else "told nothing"]
        words += ["scaled rewards"] * self.scaled + ["trained blind"] * self.blind
        return ", ".join([*words, *[f"best-of-{self.k}"] * (self.k > 1), *[self.by] * bool(self.by)])

    @property
    def shown(self) -> Shown:
        """What its policies see in training."""
        return "blind" if self.blind else "seeing"

    @property
    def beside_the_papers(self) -> bool:
        """Whether it is another than the paper's and has the paper's tasks, signals and rewards, so that what is found can be set beside what the paper's way finds."""
        return self.told and not self.more and not self.scaled and self != PAPER


PAPER = Way(told=True)
"""The paper's."""

OTHER_WAYS = (
    Way(),
    Way(scaled=True),
    Way(more=True),
    Way(more=True, scaled=True),
    Way(told=True, blind=True),
    Way(told=True, k=2),
)


def scaled(rewards: Float[np.ndarray, "*e h"]) -> Float[np.ndarray, "*e h"]:
    """Rewards of which the best of each episode is ``BEST``."""
    return (BEST * rewards / rewards.max(-1, keepdims=True)).astype(rewards.dtype)


class WayEpisodes:
    """The episodes of tables as a way to train has them: a :class:`circuitlib.search.episodes.EpisodeSource`."""

    def __init__(self, source: TableEpisodes, way: Way) -> None:
        self.source, self.way = source, way
        self.tasks, self.heads = source.tasks, source.heads
        self.identity = short_hash(as_json([source.identity, way.told, way.scaled]).encode())

    def draw(self, rng: np.random.Generator) -> Episode:
        """One episode."""
        episode = self.source.draw(rng)
        rewards = scaled(episode.rewards) if self.way.scaled else episode.rewards
        return Episode(episode.signal * self.way.told, rewards, episode.task)


def train_way(
    source: TableEpisodes, way: Way, config: PPOConfig, seeds: Sequence[int], checkpoint: Path
) -> dict[int, ActorCritic]:
    """The policy of each seed, trained in one way, the rest as in ``config``; goes on from ``checkpoint``."""
    return Trainer(WayEpisodes(source, way), replace(config, candidates=way.k), seeds, way.blind).train(checkpoint)


def measure_way(
    way: Way,
    networks: Mapping[int, ActorCritic],
    trained_on: Sequence[str],
    question: Question,
    measured: Sequence[int],
    papers: Mapping[int, ActorCritic],
) -> pd.DataFrame:
    """What policies trained in one way, on some tasks, find on a question's, seeing their rewards and blind: told it if they were told theirs
    in training and it is one of them, otherwise nothing.

    papers: policies trained in the paper's way, of the same seeds.

    Columns: way, task, trained_on (whether it was), shown, measured, ratio (mean best reward over the paired oracle's) with its interval (low,
    high); of the blind ones, effect: the ratio of the same policies seeing minus theirs, with its interval (effect_low, effect_high); and, of
    ways that stand :attr:`Way.beside_the_papers`, shown what they were in training, more: their ratio minus that of ``papers``, seeing, on the same episodes by the same random
    numbers (more_low, more_high).
    """
    known = question.task in trained_on
    signal = torch.from_numpy(signal_of(tuple(trained_on), question.task if way.told and known else NOTHING))
    rewards = torch.from_numpy(scaled(question.rewards.numpy())) if way.scaled else question.rewards
    oracle = best_reward(rewards).numpy()

    def found_by(some: Mapping[int, ActorCritic], shown: Shown) -> Float[np.ndarray, "seeds episodes measured"]:
        plays = [play(network, signal, rewards, EPISODE_SEED + seed, shown, PLAYS) for seed, network in some.items()]
        return torch.stack([one.found.mean(0) for one in plays]).numpy()

    found = {shown: found_by(networks, shown) for shown in COMPARED}
    usual = found_by(papers, "seeing") if way.beside_the_papers else None
    rows = []
    for shown, count in product(COMPARED, measured):
        best = found[shown][..., count - 1]
        row: dict[str, Any] = {
            "way": way.name,
            "task": question.task,
            "trained_on": known,
            "shown": shown,
            "measured": count,
        }
        row |= dict(zip(("ratio", "low", "high"), fraction(best, oracle, question.pool), strict=True))
        if shown == "blind":
            effect = fraction(found["seeing"][..., count - 1], oracle, question.pool, against=best)
            row |= dict(zip(("effect", "effect_low", "effect_high"), effect, strict=True))
        if usual is not None and shown == way.shown:
            more = fraction(best, oracle, question.pool, against=usual[..., count - 1])
            row |= dict(zip(("more", "more_low", "more_high"), more, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)
