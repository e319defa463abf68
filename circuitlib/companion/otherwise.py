"""Table ``otherwise``: policies trained told nothing, on more tasks, on scaled rewards, or blind. What makes a policy read?"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.companion.frames import evaluation_episodes
from circuitlib.companion.run import Run
from circuitlib.search.episodes import NOTHING, TableEpisodes, signal_of
from circuitlib.search.evaluate import EPISODE_SEED
from circuitlib.search.intervals import fraction, independent
from circuitlib.search.network import PolicyNetwork
from circuitlib.search.oracle import best_reward
from circuitlib.search.otherwise import BornBlind, Otherwise, scaled
from circuitlib.search.ppo import PPOConfig, train
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.search.reading import SHOWN, play
from circuitlib.tasks.control_text import CONTROL

MEASURED = (5, 10, 20, 50)
PLAYS = 10


@dataclass(frozen=True)
class Way:
    """A way to train. ``many``: on all tasks of the run but the held-out one. told: the task, as in the paper. scale: rewards by
    each episode's best. blind: with zeros in place of the rewards."""

    many: bool = False
    told: bool = False
    scale: bool = False
    blind: bool = False

    @property
    def name(self) -> str:
        """In words."""
        words = [
            "all but the held-out task" if self.many else "the paper's tasks",
            "told" if self.told else "told nothing",
        ]
        return ", ".join(
            [*words, *(["scaled rewards"] if self.scale else []), *(["trained blind"] if self.blind else [])]
        )


WAYS = (
    Way(told=True),
    Way(),
    Way(scale=True),
    Way(many=True),
    Way(many=True, scale=True),
    Way(told=True, blind=True),
    Way(blind=True),
)


def otherwise(run: Run, progress: Callable[[int], object] = lambda units: None) -> pd.DataFrame:
    """Policies trained with k=1, one per seed and way, on every task, told nothing (a policy that was told in training: its task, where
    it is one of those).

    Columns: way, trained_on (whether on the task), task, told, shown, measured, ratio (mean best reward over the
    paired oracle's) with its interval (low, high), and, unless seeing, effect (the ratio seeing minus this one) with its interval; rests_on
    as in :func:`circuitlib.companion.claims.claims`.
    """
    names = {
        many: tuple(n for n in run.tasks if n != run.settings.held_out_task) if many else run.training_tasks
        for many in (False, True)
    }
    tables = {name: run.table(name, "train") for name in (*names[True], CONTROL)}
    evaluation = {name: run.table(name, "evaluation") for name in (*run.tasks, CONTROL)}
    config = run.ppo_config(1)

    def compute() -> pd.DataFrame:
        sources = {
            many: TableEpisodes([tables[name] for name in some], tables[CONTROL], run.settings.penalty)
            for many, some in names.items()
        }
        rewards = {task: evaluation_episodes(run, task).mean(1) for task in run.tasks}
        draws = independent(run.settings.evaluation_prompts)
        one = partial(_of, sources, rewards, config, run.settings.seeds, draws)
        rows: list[dict[str, Any]] = []
        with ProcessPoolExecutor(torch.get_num_threads(), get_context("spawn")) as pool:
            for found in pool.map(one, WAYS):
                rows += found
                progress(1)
        return pd.DataFrame(rows)

    return run.frame(
        "otherwise",
        compute,
        __name__,
        train=run.hashes(*(run.table_path(name, "train").name for name in tables)),
        evaluation=run.hashes(*(run.table_path(name, "evaluation").name for name in evaluation)),
        config=asdict(config),
        seeds=run.settings.seeds,
        episodes=run.settings.episodes,
        penalty=run.settings.penalty,
    )


def _of(
    sources: dict[bool, TableEpisodes], rewards: dict[str, Tensor], config: PPOConfig, seeds: int, draws: int, way: Way
) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    source = Otherwise(sources[way.many], way.told, way.scale)
    networks: dict[int, PolicyNetwork] = {}
    if way.blind:
        for seed in range(seeds):
            network = BornBlind(len(source.tasks), source.heads, config.hidden, seed)
            networks[seed], _ = train(source, config, seed, network)
    else:
        networks |= Trainer(source, config, range(seeds)).train()
    return [row for task in rewards for row in _rows(way, source, networks, task, rewards[task], draws)]


def _rows(
    way: Way,
    source: Otherwise,
    networks: dict[int, PolicyNetwork],
    task: str,
    rewards: Float[Tensor, "e h"],
    draws: int,
) -> Iterator[dict[str, Any]]:
    trained_on = task in source.tasks
    told = task if way.told and trained_on else NOTHING
    signal, seen = torch.from_numpy(signal_of(source.tasks, told)), {}
    paid = scaled(rewards) if way.scale else rewards
    oracle = best_reward(paid).numpy()
    for shown in ("seeing",) if way.blind else SHOWN:
        plays = [play(network, signal, paid, EPISODE_SEED + seed, shown, PLAYS) for seed, network in networks.items()]
        best = torch.stack([one.found.mean(0) for one in plays]).numpy()
        for count in MEASURED:
            at = best[..., count - 1]
            row = {
                "way": way.name,
                "trained_on": trained_on,
                "task": task,
                "told": told,
                "shown": shown,
                "measured": count,
            }
            row |= dict(zip(("ratio", "low", "high"), fraction(at, oracle, draws), strict=True))
            if shown == "seeing":
                seen[count] = at
            else:
                effect = fraction(seen[count], oracle, draws, against=at)
                row |= dict(zip(("effect", "effect_low", "effect_high"), effect, strict=True))
            yield row | {"rests_on": "policies"}
