"""The replay of episodes: which heads a policy measures one after another, seeing its rewards and blind, and what needs no policy
measures on the same episode. A gradient is paid for, in the price of heads, before the first head that it names is measured.

The plays are among those of the table ``seeing`` (:mod:`circuitlib.companion.seeing`), drawn with the same random numbers, so that what
the page says of all episodes is about these, too. Of those of an episode a typical one is shown (:func:`typical`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from circuitlib.ablation.estimates import PRICES
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.frames import evaluation_episodes, head_rewards
from circuitlib.companion.headmap import short
from circuitlib.companion.legend import ATTRIBUTION, kind_of, task_title
from circuitlib.companion.run import Run
from circuitlib.companion.seeing import seeing
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import PAGE, described
from circuitlib.search.belief import ESTIMATES, GRADIENT
from circuitlib.search.env import budget_for
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.oracle import head_order
from circuitlib.search.orders import layer_by_layer, random_orders
from circuitlib.search.rivals import Verified
from circuitlib.search.trials import EPISODE_SEED, draw_trials
from circuitlib.studies.contest import DRAWS
from circuitlib.studies.reading import Plays, Shown, play
from circuitlib.studies.seeing import PLAYS

SEEDS = (0, 1, 2, 3)
"""Its seeds that can be replayed."""

EPISODES = 5
"""Of each task, the first."""

SHOWN: tuple[Shown, ...] = ("seeing", "blind")

TYPICAL_AFTER = 10
"""Heads measured, after which a play is compared with the others."""

LINES = {shown: kind_of("policy", shown=shown) for shown in SHOWN} | {
    "layers": kind_of("layers in order"),
    "list": kind_of("list"),
    "attribution": kind_of(ATTRIBUTION),
    "random": kind_of("random"),
}
"""The searchers of page and picture, by what the page's data calls them, in the order of the legend."""

WIDTH = 2
"""Of the page's lines, in its units."""


def searchers() -> dict[str, dict[str, str]]:
    """How the page names and draws searchers, by what its data calls them."""
    return {
        key: {
            "title": kind.title,
            "colour": kind.colour,
            "dashes": " ".join(f"{WIDTH * length:g}" for length in kind.dashes),
        }
        for key, kind in LINES.items()
    }


def typical(plays: Sequence[Plays]) -> Int[Tensor, " e"]:
    """Of the plays of each episode, the number of the one whose best reward after :data:`TYPICAL_AFTER` heads is nearest to the mean over
    plays, the first of those that are as near. Several, drawn with the same random numbers, are judged together, by the sum of their distances."""
    found = torch.stack([some.found[..., TYPICAL_AFTER - 1] for some in plays])
    return (found - found.mean(1, keepdim=True)).abs().sum(0).argmin(0)


def of_episodes(some: Plays, chosen: Int[Tensor, " e"]) -> list[list[int]]:
    """The heads measured in the chosen play of each episode."""
    return some.head[chosen, torch.arange(len(chosen))].tolist()


def without_policy(run: Run, task: str, rewards: Float[Tensor, "e h"]) -> dict[str, Plays]:
    """Random search and layers in order on a task's episodes, drawn as those of the table ``seeing`` are."""
    count, picks = DRAWS * PLAYS, budget_for(run.card.heads)
    numbers = torch.Generator().manual_seed(EPISODE_SEED + run.tasks.index(task))
    layers, total = torch.arange(run.card.layers), count * len(rewards)
    orders = {
        "random": random_orders(total, run.card.heads, numbers),
        "layers": layer_by_layer(total, layers, run.card.heads_per_layer, numbers),
    }
    heads = {name: order.view(count, len(rewards), -1)[..., :picks] for name, order in orders.items()}
    paid = rewards.expand(count, -1, -1)
    return {name: Plays(head, paid.gather(-1, head).cummax(-1).values) for name, head in heads.items()}


def by_attribution(run: Run, task: str) -> list[list[int]]:
    """The heads that attribution measures in a task's first episodes, for what its gradient leaves of the price of a policy's picks."""
    meter = draw_trials(run.priced_tables(task, "evaluation"), EPISODES, run.settings.penalty).meter()
    Verified(GRADIENT).search(meter, budget_for(run.card.heads), torch.Generator())
    heads: list[list[int]] = meter.log.head.tolist()
    return heads


def gains(table: pd.DataFrame, task: str) -> dict[str, list[float]]:
    """What the table ``seeing`` says that seeing its rewards gains the policy on a task, told nothing, after every head: the paired
    difference, as a fraction of the oracle, with its interval."""
    blind = table.query(
        "task == @task and searcher == 'policy' and trained_k == @HEADLINE_K and told == @NOTHING and shown == 'blind'"
    )
    named = {"effect": "effect", "low": "effect_low", "high": "effect_high"}
    return {name: short(blind.sort_values("measured")[column]) for name, column in named.items()}


def replay_data(run: Run) -> tuple[dict[str, Any], list[Path]]:
    """What the page shows of a run's subject: the list, and of each task's first episodes what every head pays and which heads
    each searcher measures, in order; with what the table ``seeing`` says of all episodes. And the results that it is read from."""
    table, networks = seeing(run), run.policies()[HEADLINE_K]
    signal = torch.from_numpy(signal_of(run.training_tasks, NOTHING))
    tasks = []
    for task in run.tasks:
        rewards = evaluation_episodes(run, task).mean(1)
        seeds = []
        for seed in SEEDS:
            played = {
                shown: play(networks[seed], signal, rewards, EPISODE_SEED + seed, shown, PLAYS) for shown in SHOWN
            }
            chosen = typical(list(played.values()))
            seeds.append({shown: of_episodes(some, chosen) for shown, some in played.items()})
        attributed = by_attribution(run, task)
        others = {name: of_episodes(some, typical([some])) for name, some in without_policy(run, task, rewards).items()}
        episodes = [
            {
                "rewards": short(rewards[i]),
                "seeds": [{shown: orders[i] for shown, orders in seed.items()} for seed in seeds],
                **{name: orders[i] for name, orders in others.items()},
                "attribution": attributed[i],
            }
            for i in range(EPISODES)
        ]
        tasks.append({"name": task, "title": task_title(task), "gains": gains(table, task), "episodes": episodes})
    training = torch.stack([head_rewards(run, name, "train") for name in run.training_tasks])
    data = {
        "caption": run.caption,
        "layers": run.card.layers,
        "across": run.card.heads_per_layer,
        "trained_k": HEADLINE_K,
        "trained_on": list(run.training_tasks),
        "all_episodes": run.settings.episodes,
        "all_plays": PLAYS,
        "all_draws": DRAWS * PLAYS,
        "typical_after": TYPICAL_AFTER,
        "all_seeds": run.settings.seeds,
        "list": head_order(training)[: budget_for(run.card.heads)].tolist(),
        "gradient_price": PRICES[ESTIMATES[GRADIENT]],
        "tasks": tasks,
    }
    paths = [run.frame_path("seeing"), run.policy_path(HEADLINE_K)]
    paths += [
        run.table_path(name, "evaluation", through)
        for name in (*run.tasks, CONTROL)
        for through in (None, ESTIMATES[GRADIENT])
    ]
    return data, paths + [run.table_path(name, "train") for name in (*run.training_tasks, CONTROL)]


@described
def replay_figure(subjects: Mapping[str, Mapping[str, Any]], task: str = "docstring") -> Figure:
    """The first episode of a task, a row a subject: the heads that the first seed's policy measures, seeing and blind, numbered in
    order, the best one outlined, and the running best of all searchers against the oracle; of plays drawn by chance, a typical one."""
    heights = [1.1 + 0.19 * data["layers"] for data in subjects.values()]
    figure, axes = plt.subplots(
        len(subjects), 3, figsize=(PAGE, sum(heights)), height_ratios=heights, width_ratios=[1, 1, 0.9], squeeze=False
    )
    for (left, right, curves), (name, data) in zip(axes, subjects.items(), strict=True):
        episode = next(one for one in data["tasks"] if one["name"] == task)["episodes"][0]
        rewards, orders = np.array(episode["rewards"]), {**episode, **episode["seeds"][0], "list": data["list"]}
        for axis, shown in zip((left, right), SHOWN, strict=True):
            _numbered(axis, rewards, orders[shown], data["across"])
            axis.set(title=LINES[shown].title, xlabel="head")
        left.set_ylabel(f"{name}\nlayer")
        for key, kind in LINES.items():
            best = np.maximum.accumulate(rewards[orders[key]]) / rewards.max()
            price = np.arange(1, len(best) + 1) + data["gradient_price"] * (key == "attribution")
            curves.plot(price, best, color=kind.colour, ls=kind.line, label=kind.title, drawstyle="steps-post")
        curves.axhline(1, color="black", lw=1, ls=":")
        curves.set(xlabel="price (heads measured)", ylabel="best reward / oracle")
        curves.set_title(f"{task_title(task)}, told nothing,\none episode")
        curves.set_box_aspect(0.8)
    lowest = min(curves.get_ylim()[0] for curves in axes[:, -1])
    plt.setp(axes[:, -1], ylim=(lowest, 1.05))
    handles, labels = axes[0][-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    figure.suptitle(
        "numbers: the order of picks; box: the episode's best head;\ncolours: rewards, by the square root (red: the task needs the head; dash under the number: below zero);\n"
        f"of plays drawn by chance, the one whose best after {TYPICAL_AFTER} heads is nearest to their mean",
        fontsize=9,
    )
    return figure


def _numbered(axis: Axes, rewards: np.ndarray, order: list[int], across: int) -> None:
    """A grid of heads, those in an order coloured by reward and numbered."""
    shown = np.full(len(rewards), np.nan)
    shown[order] = np.sign(rewards[order]) * np.sqrt(np.abs(rewards[order]))
    limit = np.sqrt(np.abs(rewards).max())
    axis.imshow(shown.reshape(-1, across), cmap="RdBu_r", vmin=-limit, vmax=limit)
    for pick, head in enumerate(order, 1):
        ink = "white" if abs(shown[head]) > 0.6 * limit else "black"
        where: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": ink}
        axis.text(head % across, head // across, str(pick), **where)
        if shown[head] < 0:  # in grey its colour is that of one above zero
            axis.plot(head % across, head // across + 0.4, marker="_", ms=5, mew=0.9, color=ink)
    best = int(rewards.argmax())
    axis.add_patch(plt.Rectangle((best % across - 0.5, best // across - 0.5), 1, 1, fill=False, ec="black", lw=1.5))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MaxNLocator(integer=True))
