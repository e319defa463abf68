"""What the replay of the paper's own policies says: its tables in words, and the first rows of the ledger."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from circuitlib.companion import authors, verdicts
from circuitlib.companion.authors import agreement, replay
from circuitlib.companion.compare import FRAME_TOLERANCE, frame_difference
from circuitlib.companion.legend import condition_in_words, task_title
from circuitlib.manifest import load_frame
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING

RIVALS = ("induction's ten and IOI's, in turns", "IOI's ten and induction's, in turns", "layers in order", "random")
"""What the ledger sets the headline's policy beside."""

AFTER = (10, BUDGET)
"""Heads measured after which it does, as of the subjects here."""


def compared(frames: dict[str, pd.DataFrame]) -> bool:
    """Whether tables measured anew are the committed ones, also where other code made those: numbers to
    :data:`circuitlib.companion.compare.FRAME_TOLERANCE`, while in how many episodes seeing is better may turn on rounding."""
    committed, counted = (
        {name: load_frame(authors.FOLDER / file) for name, file in authors.FRAMES.items()},
        ["better", "worse"],
    )
    both = ((frames[name], frame) for name, frame in committed.items())
    differences = [frame_difference(*(one.drop(columns=counted, errors="ignore") for one in pair)) for pair in both]
    return max(differences) <= FRAME_TOLERANCE


def beside_the_paper() -> pd.DataFrame:
    """The paper's numbers and the replay's, after 50 heads, for reading: logits, percent of the oracle, the
    difference with its interval, its probability by chance, and the verdict."""
    rows = agreement()
    conditions = zip(rows["searcher"], rows["trained_k"], rows["told"], strict=True)
    interval = (100 * rows[["low", "high"]]).map("{:z.0f}".format).agg(" to ".join, axis=1)
    columns = {
        "task": rows["task"].map(task_title),
        "searcher": [condition_in_words(*condition) for condition in conditions],
        "paper, logits": rows["paper"],
        "replayed, logits": rows["replayed"],
        "paper, %": (100 * rows["paper_share"]).map("{:.0f}".format),
        "replayed, %": (100 * rows["share"]).map("{:.0f}".format),
        "difference of rewards, % of the paper's oracle": (100 * rows["difference"]).map("{:z.0f}".format)
        + " ("
        + interval
        + ")",
        "p": rows["p"],
        f"p, of {len(rows)}": rows["p_holm"],
        "verdict": [verdicts.agreement(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)],
    }
    return pd.DataFrame(columns).set_index(["task", "searcher"])


def first_claims() -> pd.DataFrame:
    """The ledger's rows about GPT-2 small itself. Columns: claim, unit, paper, ours, low, high (of ours), difference_low, difference_high (of the interval from
    which the verdict follows, where the paper has a number: it counts the few episodes of both), verdict."""
    columns = ["claim", "unit", "paper", "ours", "low", "high", "difference_low", "difference_high", "verdict"]
    return pd.DataFrame([*_fractions(), *_lists(), *_gains()], columns=columns)


def _fractions() -> Iterator[tuple[object, ...]]:
    by = ["task", "searcher", "trained_k", "told", "shown"]
    curves: Any = replay().query("measured == 50").set_index(by)
    row: Any
    for row in agreement().itertuples():
        shown = "seeing" if row.trained_k else NOTHING
        ours = curves.loc[(row.task, row.searcher, row.trained_k, row.told, shown)]
        claim = f"{task_title(row.task)}, {condition_in_words(row.searcher, row.trained_k, row.told)}, after 50 heads"
        numbers = (row.paper_share, ours["ratio"], ours["low"], ours["high"])
        yield claim, "fraction of oracle", *numbers, row.low, row.high, verdicts.agreement(row.low, row.high)


def _lists() -> Iterator[tuple[object, ...]]:
    rows = replay().query("task == 'docstring' and measured in @AFTER and trained_k == 0")
    row: Any
    for row in rows[rows["searcher"].isin(RIVALS)].itertuples():
        claim = f"docstring, after {row.measured} heads: the headline's policy finds more than {row.searcher}, which finds {100 * row.ratio:.0f}%"
        numbers = (row.behind, row.behind_low, row.behind_high)
        word = verdicts.beats(row.behind_low, row.behind_high)
        yield claim, "fraction of oracle, paired", None, *numbers, None, None, word


def _gains() -> Iterator[tuple[object, ...]]:
    rows = replay().query("searcher == 'policy' and shown == 'blind' and measured == 50")
    row: Any
    for row in rows.itertuples():
        claim = f"{task_title(row.task)}, {condition_in_words(row.searcher, row.trained_k, row.told)}: what seeing its rewards gains in 50 heads"
        numbers = (row.effect, row.effect_low, row.effect_high)
        word = verdicts.gains(row.effect_low, row.effect_high, row.ratio)
        yield claim, "fraction of oracle, paired", None, *numbers, None, None, word
