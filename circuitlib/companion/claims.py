"""The ledger of claims: the paper's number, ours, how ours was measured, and the verdict.

Rewards of different models have different scales, so what is compared is a fraction of the oracle of
the same run. Verdicts are computed, never written by hand.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from circuitlib.companion.frames import closer_prompts, evaluation, evaluation_episodes, pairs
from circuitlib.companion.paper import PAPER, best_head_share, paper_fractions
from circuitlib.companion.run import Run
from circuitlib.manifest import content_hash
from circuitlib.search.evaluate import after_picks, bootstrap_ratio, summarise
from circuitlib.search.oracle import best_head
from circuitlib.tasks.control_text import CONTROL

VERDICTS = {True: "reproduced", False: "not reproduced"}
"""Of claims for which the paper has a number."""

UNTESTED = {True: "holds", False: "does not hold"}
"""Of claims for which it has none."""

TOLERANCE = 0.05
"""A fraction is reproduced when the paper's lies within our interval widened by this much; in a claim to find
the oracle's head, when our interval so widened reaches the paper's, or 1."""

SHARE_TOLERANCE = 0.25
"""A share of episodes is reproduced when it is so near the paper's, which counts a handful of episodes."""

SUPERADDITIVE = 0.1
"""A pair counts as superadditive when its interaction exceeds this share of the larger damage of the two."""

BACKED_UP = 0.1
"""Heads of a task back each other up when more than this share of the pairs is superadditive."""

COLUMNS = ["claim", "unit", "paper", "ours", "low", "high", "verdict", "measured_in", "rests_on", "note"]

TITLES = {"induction": "induction", "ioi": "IOI", "docstring": "docstring"}

Row = tuple[object, ...]
"""The ``COLUMNS`` of one claim."""


def claims(run: Run) -> pd.DataFrame:
    """The ledger, one row per claim about tasks that the subject does.

    Columns: claim, unit, paper, ours, low, high (95% interval, missing where there is none), verdict,
    measured_in (the notebook), rests_on (``policies``, which another processor trains differently, or
    ``tables``, which it measures alike), note.
    """
    evaluation(run)
    pairs(run)
    tables = [run.table_path(task, "evaluation").name for task in (*run.main_tasks, CONTROL)]
    return run.frame(
        "claims",
        lambda: pd.DataFrame(_rows(run), columns=COLUMNS),
        __name__,
        results=run.hashes("evaluation.parquet", "pairs.csv", *tables),
        paper=content_hash(PAPER),
        episodes=run.settings.episodes,
    )


def _rows(run: Run) -> Iterator[Row]:
    summary, paper = summarise(evaluation(run)), paper_fractions()
    for task in run.training_tasks:
        if (task, 5, task) in paper:
            claim = f"a policy finds the oracle's head on {TITLES[task]} in 50 picks"
            ours = _policy(summary, task, task, 5)
            yield _fraction(claim, paper[task, 5, task], ours, "trained on this task", at_least=True)
    if run.settings.held_out_task == "docstring" and "docstring" in run.main_tasks:
        yield from _transfer(run, summary)
        yield _against_the_list(run)
    yield from _one_best_head(run)
    if "ioi" in run.main_tasks:
        yield _superadditive(run)


def _fraction(claim: str, paper: float, ours: pd.Series, note: str, at_least: bool = False) -> Row:
    """A claim about a fraction of the oracle. ``at_least``: reaching the paper's is enough."""
    low, high = ours["low"], ours["high"]
    reached = high >= min(paper, 1.0) - TOLERANCE
    good = reached if at_least else low - TOLERANCE <= min(paper, 1.0) <= high + TOLERANCE
    rests_on = "policies" if ours["searcher"] == "policy" else "tables"
    numbers = (paper, ours["ratio"], low, high)
    return claim, "fraction of oracle", *numbers, VERDICTS[good], "notebook 05", rests_on, note


def _policy(summary: pd.DataFrame, task: str, signal: str, trained: int) -> pd.Series:
    """The one row of a policy without planning, after 50 heads, or all where there are fewer."""
    rows = after_picks(summary.query("planned_k == 1"))
    rows = rows.query("task == @task and signal == @signal and searcher == 'policy' and trained_k == @trained")
    if len(rows) != 1:
        found = f"{len(rows)} rows of the summary, not one"
        raise ValueError(f"on {task}, told {signal}, the policy trained with k={trained} has {found}")
    return rows.iloc[0]


def _transfer(run: Run, summary: pd.DataFrame) -> Iterator[Row]:
    paper = paper_fractions()
    conditions = {
        ("none", 5): "told nothing, policy trained with k=5 (the 96% headline)",
        ("none", 1): "told nothing, policy trained with k=1",
        ("induction", 5): "told induction, k=5",
        ("ioi", 5): "told IOI, k=5",
    }
    for (signal, k), words in conditions.items():
        if signal in ("none", *run.training_tasks):
            ours = _policy(summary, "docstring", signal, k)
            yield _fraction(f"docstring, {words}", paper["docstring", k, signal], ours, "never trained on")
    random = after_picks(summary.query("task == 'docstring' and searcher == 'random'")).iloc[0]
    claim = f"random search on docstring, {random['measured']} heads"
    note = f"of {run.card.heads}: an exhaustive search measures them all"
    yield _fraction(claim, paper["docstring", 0, "random"], random, note)


def _against_the_list(run: Run) -> Row:
    most = min(10, run.card.heads)
    rows = evaluation(run).query(f"task == 'docstring' and measured == {most} and signal == 'none'")
    policy = rows.query("searcher == 'policy' and trained_k == 5 and planned_k == 1")
    prior = rows.query("searcher == 'static prior'").set_index("episode")["best"]
    best, listed = policy.pivot(index="seed", columns="episode", values="best"), prior.sort_index()
    ratio, low, high = bootstrap_ratio(best.to_numpy(), listed.to_numpy())
    claim = "docstring, told nothing: the policy trained with k=5 beats a fixed list after 10 heads"
    numbers = (np.nan, ratio - 1, low - 1, high - 1)
    note = "the paper has no such baseline"
    return claim, "relative gain, paired", *numbers, UNTESTED[low > 1], "notebook 05", "policies", note


def _one_best_head(run: Run) -> Iterator[Row]:
    for task in run.main_tasks:
        if task in TITLES:
            episodes = evaluation_episodes(run, task)
            ours = best_head(episodes.mean(1)).bincount().max().item() / len(episodes)
            theirs = best_head_share(task)
            claim = f"one and the same head is the best in as many {task} episodes as in the paper"
            verdict = VERDICTS[abs(theirs - ours) <= SHARE_TOLERANCE]
            numbers = (theirs, ours, np.nan, np.nan)
            yield claim, "share of episodes", *numbers, verdict, "notebook 03", "tables", "its most frequent best head"


def _superadditive(run: Run) -> Row:
    rows = pairs(run).query("task == 'ioi'")
    larger = rows[["damage_first", "damage_second"]].max(axis=1)
    share = (rows["interaction"] > SUPERADDITIVE * larger).mean()
    claim = (
        "IOI's twelve best heads back each other up (pairs that do more damage than the sum, by a tenth of the larger)"
    )
    numbers = (np.nan, share, np.nan, np.nan)
    note = f"asserted by the paper, not tested; {closer_prompts(run)} prompts"
    return claim, "share of pairs", *numbers, UNTESTED[share > BACKED_UP], "notebook 07", "tables", note
