"""Sentences of the notebooks that state what was measured: each is made of the table beside it, so that none says another number than its row.

Every function returns Markdown, a point a line; what a verdict is comes from :mod:`circuitlib.companion.verdicts`.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pandas as pd

from circuitlib.companion.legend import task_title
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.verdicts import CEILING, gains
from circuitlib.companion.verdicts import agreement as verdict
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING

SHOWN = {"seeing": "seeing its rewards", "blind": "seeing zeros", "flipped": "with their signs turned"}
"""What a policy is shown, in a sentence."""

SIDES = {"paper": "in the paper", "replayed": "in the replay"}
"""Whose numbers a row of the comparison has."""


def listed(parts: Iterable[str]) -> str:
    """``a, b and c``."""
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


def percent(share: float) -> str:
    """Without decimals."""
    return f"{100 * share:z.0f}%"


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions of the oracle, in points, with its interval."""
    return f"{100 * value:z.1f} ({100 * low:z.1f} to {100 * high:z.1f})"


def as_list(lines: Iterable[str]) -> str:
    """A point a line."""
    return "\n".join(f"- {line}" for line in lines)


def replay_sentences(replay: pd.DataFrame) -> str:
    """On each task of the replay, told nothing: what the headline's policy finds by what it is shown, what seeing gains it, and after how many heads
    each other searcher is at the ceiling.

    replay: of :func:`circuitlib.companion.authors.replay`, or rows like it."""
    lines = []
    for task, rows in replay[replay["told"] == "none"].groupby("task", sort=False):
        policy = rows[(rows["searcher"] == "policy") & (rows["trained_k"] == 5) & (rows["measured"] == BUDGET)]
        by_shown: Any = policy.set_index("shown")
        found = listed(f"{percent(by_shown.loc[shown, 'ratio'])} {words}" for shown, words in SHOWN.items())
        value, low, high, blind = by_shown.loc["blind", ["effect", "effect_low", "effect_high", "ratio"]]
        others = rows[(rows["trained_k"] == 0) & (rows["ratio"] > CEILING)].groupby("searcher", sort=False)["measured"]
        first = "; ".join(f"{searcher} after {count}" for searcher, count in others.min().items()) or "none of them"
        lines.append(
            f"**{task_title(str(task))}, told nothing.** The headline's policy finds, in {BUDGET} heads, {found}; seeing is worth "
            f"{points(value, low, high)} points: it *{gains(low, high, blind)}*. Above {percent(CEILING)}: {first}."
        )
    return as_list(lines)


def gain_sentences(title: str, rows: pd.DataFrame, without: Collection[str] = (), trained_k: int = HEADLINE_K) -> str:
    """How many conditions have which word of what seeing gains the policy trained with ``trained_k``, which draws its picks, and the most that any interval reaches; and where
    it gains over rewards with their signs turned.

    rows: of :func:`circuitlib.companion.seeing.seeing`. without: tasks of which a fraction says nothing, which are not counted."""
    drawn = rows.query("searcher == 'policy' and trained_k == @trained_k and measured in (10, 20, @BUDGET)")
    drawn = drawn[~drawn["task"].isin(without)]
    chosen: Any = drawn[drawn["shown"] == "blind"]
    turned: Any = drawn[drawn["shown"] == "flipped"]
    words, turned_words = (
        [gains(*ends) for ends in some[["effect_low", "effect_high", "ratio"]].to_numpy()] for some in (chosen, turned)
    )
    counts = listed(f"*{word}* in {count}" for word, count in pd.Series(words).value_counts().sort_index().items())
    changed = chosen.loc[chosen["measured"] == BUDGET, "changed"].mean()
    left = f" (without {listed(map(task_title, without))}, where no head stands out)" if len(without) else ""
    return as_list(
        [
            f"**{title}**, {len(chosen)} comparisons, with k={trained_k}{left}: {counts}. Seeing gains on: {_where(chosen, words)}. No single interval "
            f"reaches above {100 * chosen['effect_high'].max():.1f} points. Blind, they measure other heads in {percent(changed)} of {BUDGET} picks. "
            f"Over turned signs seeing gains on: {_where(turned, turned_words)}."
        ]
    )


def _where(rows: Any, words: Sequence[str]) -> str:
    """The conditions in which something is gained."""
    gained = (row for row, word in zip(rows.itertuples(), words, strict=True) if word == "gains")
    said = [
        f"{task_title(row.task)} told {'nothing' if row.told == NOTHING else task_title(row.told)}, after {row.measured}"
        for row in gained
    ]
    return "; ".join(said) or "none"


def planted_sentences(control: pd.DataFrame, learned: float, blinded: float) -> str:
    """At which scales and noises of planted rewards a policy has learned to read, by both bars, and where seeing gains it something.

    control: of :func:`circuitlib.companion.planted.planted`. learned, blinded: the bars."""
    last: Any = control[control["measured"] == BUDGET].pivot(index=["scale", "noise"], columns="shown", values="ratio")
    ends: Any = control[(control["measured"] == BUDGET) & (control["shown"] == "blind")].set_index(["scale", "noise"])
    words = {place: gains(*row) for place, row in ends[["effect_low", "effect_high", "ratio"]].iterrows()}
    met = last[(last["seeing"] >= learned) & (last["blind"] <= blinded)].index

    def places(wanted: str) -> str:
        return listed(_place(*place) for place, word in words.items() if word == wanted)

    both = "; ".join(
        f"{_place(*place)}, with {listed(f'{percent(last.loc[place, shown])} {how}' for shown, how in SHOWN.items())}"
        for place in met
    )
    kinds = dict.fromkeys(words.values())
    return as_list(
        [
            f"**Both bars** ({percent(learned)} seeing, {percent(blinded)} blind) are met at {both or 'no place'}.",
            f"**What seeing is worth:** {'; '.join(f'*{kind}* at {places(kind)}' for kind in kinds)}.",
        ]
    )


def _place(scale: float, noise: float) -> str:
    return f"{scale:g} logits" + (f" with noise of {noise:g}" if noise else "")


def headline_sentences(agreement: pd.DataFrame) -> str:
    """How clear the replay's differences from the paper are, and the headline as a share of what the same policy finds when it is told induction, where
    the replayed one is at the ceiling: the paper's episodes may have paid better.

    agreement: of :func:`circuitlib.companion.authors.agreement`."""
    words = pd.Series([verdict(*ends) for ends in agreement[["low", "high"]].to_numpy()]).value_counts().sort_index()
    of: Any = agreement.query("task == 'docstring' and trained_k == 5").set_index("told")
    shares = listed(f"{percent(of.loc['none', name] / of.loc['induction', name])} {who}" for name, who in SIDES.items())
    return as_list(
        [
            f"Of {len(agreement)} rows: {listed(f'{count} *{word}*' for word, count in words.items())}.",
            f"On docstring, told induction, the policy of the headline finds {percent(of.loc['induction', 'paper_share'])} of the oracle in the paper and "
            f"{percent(of.loc['induction', 'share'])} in the replay. As a share of *that*, the headline is {shares}.",
        ]
    )
