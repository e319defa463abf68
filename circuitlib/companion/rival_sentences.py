"""Sentences of the notebook about rivals, each made of the table beside it; see :mod:`circuitlib.companion.sentences`."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from circuitlib.companion.frames import evaluation_episodes, head_rewards
from circuitlib.companion.learned import BUDGET, learning_history
from circuitlib.companion.legend import task_title
from circuitlib.companion.run import Run
from circuitlib.companion.sentences import as_list, listed, percent, points
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.verdicts import gains
from circuitlib.search import priors
from circuitlib.search.belief import ESTIMATES, GRADIENT
from circuitlib.studies.intervals import Interval
from circuitlib.studies.priced import TOP, mean_of
from circuitlib.studies.transfer import COUNTS, over_behaviours, shares
from circuitlib.tasks.behaviours import BEHAVIOURS

GOAL = (0.97, 0.95)
"""What the headwise policy was to name of the oracle at the price that it is trained for, on average over tasks and of each; set before it was trained."""


def goal_sentences(title: str, summary: pd.DataFrame, without: Collection[str]) -> str:
    """Whether the headwise policy has reached :data:`GOAL`.

    summary: of :func:`circuitlib.studies.priced.summarise_priced`. without: tasks that are not counted."""
    rows: Any = summary[(summary["searcher"] == "headwise") & (summary["price"] == BUDGET)]
    rows = rows[~rows["task"].isin(without)]
    mean = mean_of([Interval(*ends) for ends in rows[["ratio", "low", "high"]].to_numpy()])
    missed = [f"{task_title(row.task)} ({percent(row.ratio)})" for row in rows.itertuples() if row.ratio < GOAL[1]]
    word = (
        "reached"
        if mean.low >= GOAL[0]
        else "missed"
        if mean.high < GOAL[0]
        else "neither reached nor missed for certain"
    )
    return as_list(
        [
            f"**{title}:** named at price {BUDGET}, mean of {len(rows)} tasks: {100 * mean.value:.1f}% ({100 * mean.low:.1f} to {100 * mean.high:.1f}). "
            f"The goal that we had set, {percent(GOAL[0])} on average, is {word}; that of {percent(GOAL[1])} at worst is {f'missed on {listed(missed)}' if missed else 'reached'}."
        ]
    )


class Gain(NamedTuple):
    """What seeing gains on one behaviour, mean over seeds, as a share of the oracle, and in how many ``of`` the seeds it gains anything."""

    behaviour: str
    gain: float
    seeds: int
    of: int


def extremes(transfer: pd.DataFrame) -> tuple[Gain, Gain]:
    """The behaviours on which seeing is worth most and least to the headline's policy, after the most heads.

    transfer: of :func:`circuitlib.studies.transfer.measure_transfer`.
    """
    seen, blind = (shares(transfer, f"policy k={HEADLINE_K}{how}", max(COUNTS)) for how in ("", ", blind"))
    gain, names = seen - blind, transfer["task"].unique()
    order = gain.mean(0).argsort()
    most, least = (
        Gain(names[i], float(gain[:, i].mean()), int((gain[:, i] > 0).sum()), len(gain)) for i in (order[-1], order[0])
    )
    return most, least


def transfer_sentences(title: str, transfer: pd.DataFrame) -> str:
    """On behaviours that it was not trained on: what seeing its rewards gains the headline's policy, on average and on single ones, and whether likeness to a training task
    tells what is found.

    transfer: of :func:`circuitlib.studies.transfer.measure_transfer`."""
    seen = []
    for count in COUNTS:
        mine, blind = (shares(transfer, f"policy k={HEADLINE_K}{how}", count) for how in ("", ", blind"))
        gain = over_behaviours(mine, blind)
        word = gains(*gain[1:], over_behaviours(blind).value)
        seen.append(f"{points(*gain)} points after {count} heads (*{word}*)")
    alike = transfer.groupby("task", sort=False)["alike"].first()
    found = shares(transfer, f"policy k={HEADLINE_K}", min(COUNTS)).mean(0)
    most, least = extremes(transfer)
    return as_list(
        [
            f"**{title}**, {len(alike)} behaviours: seeing is worth {' and '.join(seen)}.",
            f"After {max(COUNTS)}, most on {most.behaviour}, {100 * most.gain:.1f} points, in {most.seeds} of {most.of} seeds more than nothing; least on "
            f"{least.behaviour}, {100 * least.gain:.1f}, in {least.seeds}.",
            f"Most like a training task is {alike.idxmax()} (its heads' rewards correlate by {alike.max():.2f}); with what the policy finds in {min(COUNTS)} heads that likeness "
            f"correlates by {np.corrcoef(alike, found)[0, 1]:.2f}.",
        ]
    )


def taught_sentences(teacher: Run, run: Run) -> str:
    """On what the headwise policy was taught: how near its behaviours are to the tasks, where gradients and other behaviours rank best heads, what it named
    in training, and what would be named by one that knew each task's best head beforehand.

    teacher: the run of the model that has the behaviours. run: whose policy it is."""
    train = {name: head_rewards(teacher, name, "train") for name in BEHAVIOURS}
    tasks = {task: head_rewards(teacher, task, "evaluation") for task in teacher.tasks}
    alike = torch.corrcoef(torch.stack([*train.values(), *tasks.values()]))[: len(train), len(train) :]
    late = []
    for name, paid in train.items():
        estimate = head_rewards(teacher, name, "train", ESTIMATES[GRADIENT])
        if (rank := int((estimate > estimate[paid.argmax()]).sum()) + 1) > TOP:
            late.append(f"{name} ({rank})")
    order = priors.by_normalised_mean(torch.stack([*train.values()])).tolist()
    places = listed(f"{task_title(task)} {order.index(int(paid.argmax())) + 1}" for task, paid in tasks.items())
    named = learning_history(run).groupby("update")["known"].mean()
    known = []
    for task, paid in tasks.items():
        rewards = evaluation_episodes(teacher, task).mean(1)
        known.append((rewards[:, paid.argmax()].mean() / rewards.amax(1).mean()).item())
    return as_list(
        [
            f"Taught: {listed(train)}. The largest correlation of a behaviour's rewards with a task's is {alike.max():.2f}, of {[*train][int(alike.amax(1).argmax())]}.",
            f"The gradient ranks the best head of {len(train) - len(late)} of them among the first {TOP}; that of {listed(late) if late else 'none'} later.",
            f"By what heads pay in the behaviours, the tasks' best heads rank: {places}.",
            f"In training the policy named {percent(named.iloc[:5].mean())} at first and {percent(named.iloc[-5:].mean())} in the end, at price {BUDGET}.",
            f"A searcher that knew each task's best head beforehand would name {percent(float(np.mean(known)))} on average, {percent(min(known))} at worst.",
        ]
    )
