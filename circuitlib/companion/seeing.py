"""Do this run's policies read their rewards? Table ``seeing``: each policy with the truth, nothing and lies before its eyes."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.companion.frames import evaluation_episodes, head_rewards
from circuitlib.companion.run import Run
from circuitlib.companion.settings import CANDIDATES
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.evaluate import EPISODE_SEED, MEASURED
from circuitlib.search.intervals import fraction, independent
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import best_head, best_reward, head_order
from circuitlib.search.orders import layers_in_order, random_orders
from circuitlib.search.reading import SHOWN, Plays, play
from circuitlib.tasks.control_text import CONTROL
from circuitlib.threads import threads_of_one_core

PLAYS = 10
"""Plays of each episode by each policy that draws; the same random numbers whatever it is shown."""


def seeing(run: Run) -> pd.DataFrame:
    """Columns: task, searcher (``policy`` draws, ``policy, greedy`` takes the most probable head; ``random``, ``layers in order``
    and the ``list`` of mean training rewards beside them), trained_k, told, shown
    (:data:`circuitlib.search.reading.Shown`), measured, ratio (mean best reward over the paired oracle's) with its interval (low,
    high), best_head (share of plays in which the episode's best head has been measured), and, for a policy that is not
    shown its rewards, effect: the ratio of the same policy seeing them minus this one's, with its interval (effect_low,
    effect_high), and the share of episodes in which seeing is better; rests_on as in
    :func:`circuitlib.companion.claims.claims`. Without planning. Intervals:
    :mod:`circuitlib.search.intervals`."""
    policies = run.policies()
    tables = {part: _hashes(run, names, part) for part, names in _tables(run).items()}

    def compute() -> pd.DataFrame:
        return pd.DataFrame(row for task in run.tasks for row in _rows(run, policies, task))

    return run.frame(
        "seeing",
        compute,
        __name__,
        tables=tables,
        policies=run.hashes(*(run.policy_path(k).name for k in CANDIDATES)),
        episodes=run.settings.episodes,
        penalty=run.settings.penalty,
    )


def _tables(run: Run) -> dict[Any, tuple[str, ...]]:
    return {"train": (*run.training_tasks, CONTROL), "evaluation": (*run.tasks, CONTROL)}


def _hashes(run: Run, names: Sequence[str], part: Any) -> dict[str, str]:
    for name in names:
        run.table(name, part)
    return run.hashes(*(run.table_path(name, part).name for name in names))


def _rows(run: Run, policies: dict[int, dict[int, ActorCritic]], task: str) -> Iterator[dict[str, Any]]:
    rewards = evaluation_episodes(run, task).mean(1)
    oracle, draws = best_reward(rewards).numpy(), independent(run.settings.evaluation_prompts)
    measured = [count for count in MEASURED if count <= run.ppo_config(1).budget]

    def summary(
        found: Float[Tensor, "s p e n"], head: Int[Tensor, "s p e n"], **condition: Any
    ) -> Iterator[dict[str, Any]]:
        hit = (head == best_head(rewards)[:, None]).cumsum(-1).clamp(max=1).double()
        for count in measured:
            best = found[..., count - 1].mean(1).numpy()
            rests_on = "policies" if condition["trained_k"] else "tables"
            row = {"task": task, **condition, "measured": count, "rests_on": rests_on}
            row |= dict(zip(("ratio", "low", "high"), fraction(best, oracle, draws), strict=True))
            yield row | {"best_head": hit[..., count - 1].mean().item()}

    training = torch.stack([head_rewards(run, name, "train") for name in run.training_tasks])
    numbers = torch.Generator().manual_seed(EPISODE_SEED)
    orders = {
        "random": random_orders(PLAYS * run.settings.seeds, run.card.heads, numbers),
        "layers in order": layers_in_order(
            PLAYS * run.settings.seeds, run.card.layers, run.card.heads_per_layer, numbers
        ),
        "list": head_order(training)[None],
    }
    for name, order in orders.items():
        heads = order[None, :, None, : max(measured)].expand(-1, -1, len(rewards), -1)
        found = rewards.expand(*heads.shape[:2], -1, -1).gather(-1, heads).cummax(-1).values
        yield from summary(found, heads, searcher=name, trained_k=0, told=NOTHING, shown="")

    told = dict.fromkeys((NOTHING, *([task] if task in run.training_tasks else run.training_tasks)))
    if task not in run.main_tasks:
        told = {NOTHING: None}
    for k, networks in policies.items():
        for signal in told:
            seen = None
            for greedy, shown in [(False, one) for one in SHOWN] + [(True, "seeing")]:
                signals = torch.from_numpy(signal_of(run.training_tasks, signal))
                one = partial(play, signal=signals, rewards=rewards, shown=shown, plays=PLAYS, greedy=greedy)
                plays = _of_all(one, networks)
                found, head = (torch.stack([getattr(x, name) for x in plays]) for name in ("found", "head"))
                condition = {"searcher": "policy, greedy" if greedy else "policy", "trained_k": k, "told": signal}
                best = found.mean(1).numpy()
                seen = best if seen is None else seen
                for row in summary(found, head, **condition, shown=shown):
                    if shown != "seeing":
                        at = row["measured"] - 1
                        effect = fraction(seen[..., at], oracle, draws, against=best[..., at])
                        row |= dict(zip(("effect", "effect_low", "effect_high"), effect, strict=True))
                        row["better"] = float((seen[..., at] > best[..., at]).mean())
                    yield row


def _of_all(one: Any, networks: dict[int, ActorCritic]) -> list[Plays]:
    """Plays of each seed's policy, a core each."""
    with threads_of_one_core(len(networks)) as pool:
        return list(pool.map(lambda seed: one(networks[seed], seed=EPISODE_SEED + seed), networks))
