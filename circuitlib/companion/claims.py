"""The ledger of claims: the paper's number, ours, how ours was measured, and the verdict.

Rewards of different models have different scales, so what is compared is a fraction of the oracle of
the same run. Verdicts are computed, never written by hand.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from circuitlib.companion.frames import evaluation, evaluation_episodes, pairs
from circuitlib.companion.paper import PAPER, best_head_share, paper_fractions
from circuitlib.companion.run import Run
from circuitlib.manifest import content_hash
from circuitlib.search.evaluate import summarise
from circuitlib.search.oracle import best_head
from circuitlib.tasks.control_text import CONTROL

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
HOLDS, DOES_NOT_HOLD = "holds", "does not hold"

TOLERANCE = 0.05
"""A fraction is reproduced when the paper's lies within our interval widened by this much; in a claim to find
the oracle's head, when our interval so widened reaches the paper's, or 1."""

SHARE_TOLERANCE = 0.25
"""A share of episodes is reproduced when it is so near the paper's, which counts a handful of episodes."""

SUPERADDITIVE = 0.1
"""A pair counts as superadditive when its interaction exceeds this share of the larger damage of the two."""

COLUMNS = ["claim", "unit", "paper", "ours", "low", "high", "verdict", "measured_in", "rests_on", "note"]

TITLES = {"induction": "induction", "ioi": "IOI", "docstring": "docstring"}


def reproduced(paper: float, low: float, high: float, at_least: bool = False) -> str:
    """The verdict on a fraction of the oracle, from our interval. ``at_least``: reaching the paper's is enough."""
    reached = high >= min(paper, 1.0) - TOLERANCE
    good = reached if at_least else low - TOLERANCE <= paper <= high + TOLERANCE
    return REPRODUCED if good else NOT_REPRODUCED


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
        results=run.hashes("evaluation.csv", "pairs.csv", *tables),
        paper=content_hash(PAPER),
        episodes=run.settings.episodes,
    )


def _rows(run: Run) -> Iterator[dict[str, object]]:
    summary = summarise(evaluation(run))
    yield from _found_on_training_tasks(run, summary)
    if run.settings.held_out_task == "docstring" and "docstring" in run.main_tasks:
        yield from _transfer(run, summary)
        yield _against_the_list(run)
    yield from _one_best_head(run)
    if "ioi" in run.main_tasks:
        yield _superadditive(run)


def _fraction(claim: str, paper: float, ours: pd.Series, verdict: str, note: str) -> dict[str, object]:
    return {
        "claim": claim,
        "unit": "fraction of oracle",
        "paper": paper,
        "ours": ours["ratio"],
        "low": ours["low"],
        "high": ours["high"],
        "verdict": verdict,
        "measured_in": "notebook 05",
        "rests_on": "policies" if ours["searcher"] == "policy" else "tables",
        "note": note,
    }


def row(summary: pd.DataFrame, **condition: object) -> pd.Series:
    """The one row of a summary that meets a condition; ``ValueError`` when there is not exactly one."""
    rows = summary
    for column, value in condition.items():
        rows = rows[rows[column] == value]
    if len(rows) != 1:
        raise ValueError(f"{condition} names {len(rows)} rows of the summary, not one")
    return rows.iloc[0]


def _policy(summary: pd.DataFrame, task: str, signal: str, trained: int) -> pd.Series:
    budget = summary[(summary["planned_k"] == 1) & (summary["measured"] <= 50)]["measured"].max()
    return row(summary, task=task, signal=signal, searcher="policy", trained_k=trained, planned_k=1, measured=budget)


def _found_on_training_tasks(run: Run, summary: pd.DataFrame) -> Iterator[dict[str, object]]:
    paper = paper_fractions()
    for task in run.training_tasks:
        if (task, 5, task) in paper:
            ours, theirs = _policy(summary, task, task, 5), paper[task, 5, task]
            verdict = reproduced(theirs, ours["low"], ours["high"], at_least=True)
            claim = f"a policy finds the oracle's head on {TITLES[task]} in 50 picks"
            yield _fraction(claim, theirs, ours, verdict, "trained on this task")


def _transfer(run: Run, summary: pd.DataFrame) -> Iterator[dict[str, object]]:
    paper = paper_fractions()
    conditions = {
        ("none", 5): "told nothing, policy trained with k=5 (the 96% headline)",
        ("none", 1): "told nothing, policy trained with k=1",
        ("induction", 5): "told induction, k=5",
        ("ioi", 5): "told IOI, k=5",
    }
    for (signal, k), words in conditions.items():
        if signal in ("none", *run.training_tasks):
            ours, theirs = _policy(summary, "docstring", signal, k), paper["docstring", k, signal]
            verdict = reproduced(theirs, ours["low"], ours["high"])
            yield _fraction(f"docstring, {words}", theirs, ours, verdict, "never trained on")
    random = summary[(summary["task"] == "docstring") & (summary["searcher"] == "random")]
    ours, theirs = random.sort_values("measured").iloc[-1], paper["docstring", 0, "random"]
    measured = int(ours["measured"])
    yield _fraction(
        f"random search on docstring, {measured} heads",
        theirs,
        ours,
        reproduced(theirs, ours["low"], ours["high"]),
        f"{measured} of {run.card.heads} heads: an exhaustive search measures them all",
    )


def _against_the_list(run: Run) -> dict[str, object]:
    rows = evaluation(run).query("task == 'docstring' and measured == 10 and signal == 'none'")
    policy = rows.query("searcher == 'policy' and trained_k == 5 and planned_k == 1")
    prior = rows.query("searcher == 'static prior'").set_index("episode")["best"]
    gain = (policy.groupby("episode")["best"].mean() - prior) / prior.mean()
    low, high = _interval_of_mean(gain.to_numpy())
    return {
        "claim": "docstring, told nothing: the policy trained with k=5 beats a fixed list after 10 heads",
        "unit": "relative gain, paired",
        "paper": np.nan,
        "ours": gain.mean(),
        "low": low,
        "high": high,
        "verdict": HOLDS if low > 0 else DOES_NOT_HOLD,
        "measured_in": "notebook 05",
        "rests_on": "policies",
        "note": "the paper has no such baseline",
    }


def _one_best_head(run: Run) -> Iterator[dict[str, object]]:
    for task, ours in best_head_shares(run).items():
        if task in TITLES:
            theirs = best_head_share(task)
            near = abs(theirs - ours) <= SHARE_TOLERANCE
            yield {
                "claim": f"one and the same head is the best in most {task} episodes",
                "unit": "share of episodes",
                "paper": theirs,
                "ours": ours,
                "low": np.nan,
                "high": np.nan,
                "verdict": REPRODUCED if near else NOT_REPRODUCED,
                "measured_in": "notebook 03",
                "rests_on": "tables",
                "note": "its most frequent best head",
            }


def _superadditive(run: Run) -> dict[str, object]:
    share = superadditive_share(pairs(run), "ioi")
    return {
        "claim": "heads of IOI back each other up (pairs whose joint damage exceeds the sum by a tenth)",
        "unit": "share of pairs",
        "paper": np.nan,
        "ours": share,
        "low": np.nan,
        "high": np.nan,
        "verdict": HOLDS if share > SUPERADDITIVE else DOES_NOT_HOLD,
        "measured_in": "notebook 06",
        "rests_on": "tables",
        "note": "asserted by the paper, not tested",
    }


def superadditive_share(pairs: pd.DataFrame, task: str) -> float:
    """Share of a task's pairs whose joint damage exceeds the sum by ``SUPERADDITIVE`` of the larger one."""
    rows = pairs[pairs["task"] == task]
    larger = rows[["damage_first", "damage_second"]].max(axis=1)
    return float((rows["interaction"] > SUPERADDITIVE * larger).mean())


def best_head_shares(run: Run) -> dict[str, float]:
    """How often the most frequent best head is the best, over the evaluation episodes of each main task."""
    shares = {}
    for task in run.main_tasks:
        episodes = evaluation_episodes(run, task)
        counts = best_head(episodes.mean(1)).bincount()
        shares[task] = counts.max().item() / len(episodes)
    return shares


def _interval_of_mean(values: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
