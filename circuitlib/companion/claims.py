"""The ledger of claims: the paper's number, ours, how ours was measured, and the verdict.

Rewards of different models have different scales, so what is compared is a fraction of the oracle of
the same run. Verdicts are computed, never written by hand.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from circuitlib.companion.frames import MAIN_TASKS, PIPELINE, evaluation, pairs
from circuitlib.companion.paper import best_head_share, mechrl
from circuitlib.companion.run import Run
from circuitlib.search.evaluate import draw_episodes
from circuitlib.search.oracle import best_head
from circuitlib.tasks.control_text import CONTROL

COLUMNS = ["claim", "unit", "paper", "ours", "low", "high", "verdict", "measured_in", "note"]


REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"


TOLERANCE = 0.05
"""A fraction is reproduced when the paper's lies within our interval widened by this much; in a claim to find
the oracle's head, when our interval so widened reaches the paper's, or 1."""


SHARE_TOLERANCE = 0.25
"""A share of episodes is reproduced when it is so near the paper's, which counts a handful of episodes."""


def paper_fractions() -> dict[tuple[str, int, str], float]:
    """The paper's results as fractions of its own oracle: (task, trained k, signal) -> fraction. Signal
    ``random`` is random search. Its oracle was measured on other episodes than its policy."""
    numbers = mechrl()
    transfer = numbers["transfer_docstring_30_episodes"]
    oracle = transfer["oracle_15_episodes"]["mean_best"]
    names = {"unknown": "none", "told_induction": "induction", "told_ioi": "ioi"}
    fractions = {
        ("docstring", k, names[told]): value / oracle
        for k, row in ((1, transfer["k1"]), (5, transfer["k5"]))
        for told, value in row.items()
        if told in names
    }
    fractions["docstring", 0, "random"] = transfer["random"]["mean_best"] / oracle
    episodes = numbers["heads_20_policy_10_oracle_episodes"]
    for task in ("induction", "ioi"):
        for k in (1, 5):
            ratio = episodes[task]["policy_mean_best"] / episodes[task]["oracle_mean_best"]
            fractions[task, k, task] = ratio
    return fractions


def _within(paper: float, low: float, high: float) -> bool:
    return low - TOLERANCE <= paper <= high + TOLERANCE


def _row(summary: pd.DataFrame, **condition: object) -> pd.Series:
    rows = summary
    for column, value in condition.items():
        rows = rows[rows[column] == value]
    if len(rows) != 1:
        raise ValueError(f"{condition} names {len(rows)} rows of the summary, not one")
    return rows.iloc[0]


def claims(run: Run, summary: pd.DataFrame) -> pd.DataFrame:
    """The ledger, one row a claim; ``summary`` is :func:`circuitlib.search.evaluate.summarise` of the run's
    evaluation. Columns: ``COLUMNS``."""
    pairs(run)
    tables = [f"damage_{task}_evaluation.safetensors" for task in (*MAIN_TASKS, CONTROL)]
    return run.frame(
        "claims", lambda: _measure(run, summary), (*PIPELINE, "ledger", "literature"),
        results=run.hashes("evaluation.csv", "pairs.csv", *tables),
    )  # fmt: skip


def _measure(run: Run, summary: pd.DataFrame) -> pd.DataFrame:
    paper = paper_fractions()
    rows: list[tuple[object, ...]] = []

    def fraction(
        claim: str,
        task: str,
        signal: str,
        k: int,
        verdict: Callable[[float, float, float, float], bool],
        note: str,
    ) -> None:
        ours = _row(
            summary,
            task=task,
            signal=signal,
            searcher="policy",
            trained_k=k,
            planned_k=1,
            measured=50,
        )
        theirs = paper[task, k, signal]
        good = verdict(theirs, ours["ratio"], ours["low"], ours["high"])
        rows.append(
            (
                claim,
                "fraction of oracle",
                theirs,
                ours["ratio"],
                ours["low"],
                ours["high"],
                REPRODUCED if good else NOT_REPRODUCED,
                "05",
                note,
            )
        )

    def as_good(theirs: float, ours: float, low: float, high: float) -> bool:
        return high >= min(theirs, 1.0) - TOLERANCE

    def near(theirs: float, ours: float, low: float, high: float) -> bool:
        return _within(theirs, low, high)

    for task, title in (("induction", "induction"), ("ioi", "IOI")):
        fraction(
            f"a policy finds the oracle's head on {title} in 50 picks",
            task,
            task,
            5,
            as_good,
            "trained on this task",
        )
    fraction(
        "docstring, told nothing, policy trained with k=5 (the 96% headline)",
        "docstring",
        "none",
        5,
        near,
        "never trained on",
    )
    fraction(
        "docstring, told nothing, policy trained with k=1",
        "docstring",
        "none",
        1,
        near,
        "never trained on",
    )
    fraction(
        "docstring, told induction, k=5", "docstring", "induction", 5, near, "never trained on"
    )
    fraction("docstring, told IOI, k=5", "docstring", "ioi", 5, near, "never trained on")
    random = _row(summary, task="docstring", signal="none", searcher="random", measured=50)
    rows.append((
        "random search on docstring, 50 heads", "fraction of oracle", paper["docstring", 0, "random"], random["ratio"],
        random["low"], random["high"],
        REPRODUCED if _within(paper["docstring", 0, "random"], random["low"], random["high"]) else NOT_REPRODUCED,
        "05", "50 of 144 is a third of an exhaustive search",
    ))  # fmt: skip

    frame = evaluation(run)
    told = frame[(frame["task"] == "docstring") & (frame["measured"] == 10)]
    policy = told[
        (told["searcher"] == "policy")
        & (told["signal"] == "none")
        & (told["trained_k"] == 5)
        & (told["planned_k"] == 1)
    ]
    prior = told[(told["searcher"] == "static prior") & (told["signal"] == "none")].set_index(
        "episode"
    )["best"]
    gain = (policy.groupby("episode")["best"].mean() - prior) / prior.mean()
    low, high = _bootstrap_mean(gain.to_numpy())
    rows.append((
        "docstring, told nothing: the policy trained with k=5 beats a fixed list after 10 heads", "relative gain, paired", np.nan,
        gain.mean(), low, high, "holds" if low > 0 else "does not hold", "05", "the paper has no such baseline",
    ))  # fmt: skip
    for task in ("induction", "ioi", "docstring"):
        share = best_head_shares(run)[task]
        theirs = best_head_share(task)
        good = abs(theirs - share) <= SHARE_TOLERANCE
        rows.append((
            f"one and the same head is the best in most {task} episodes", "share of episodes", theirs, share, np.nan,
            np.nan, REPRODUCED if good else NOT_REPRODUCED, "03", "its most frequent best head",
        ))  # fmt: skip
    table = pairs(run)
    ioi = table[table["task"] == "ioi"]
    share = float(
        (ioi["interaction"] > 0.1 * ioi[["damage_first", "damage_second"]].max(axis=1)).mean()
    )
    rows.append((
        "heads of IOI back each other up (pairs whose joint damage exceeds the sum by a tenth)", "share of pairs", np.nan,
        share, np.nan, np.nan, "holds" if share > 0.1 else "does not hold", "06", "asserted by the paper, not tested",
    ))  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def best_head_shares(run: Run) -> dict[str, float]:
    """How often the most frequent best head is the best, over the evaluation episodes of each main task."""
    shares = {}
    for task in MAIN_TASKS:
        episodes = draw_episodes(
            run.table(task, "evaluation"), run.table(CONTROL, "evaluation"), run.settings.episodes
        )
        counts = best_head(episodes).bincount()
        shares[task] = counts.max().item() / len(episodes)
    return shares


def _bootstrap_mean(values: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
