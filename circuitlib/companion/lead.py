"""The lead figure: the paper's headline on three models, the policy seeing and blind beside what it must beat.

Every number of the first sentences of README and notebook 00 is one that the figure draws; both are made here, of one table.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuitlib.companion.authors import HEADLINE, HEADS, SUBJECT, replay
from circuitlib.companion.claims import paper_intervals
from circuitlib.companion.frames import evaluation, named
from circuitlib.companion.legend import AFTER, subject_title
from circuitlib.companion.run import Run
from circuitlib.companion.seeing import seeing
from circuitlib.companion.show import described
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.evaluate import summarise

_, TRAINED_K, TOLD = HEADLINE

FEW = 10
"""Heads measured at which it shows who knows something; the paper measures :data:`circuitlib.search.env.BUDGET`."""


class Row(NamedTuple):
    """A searcher of the figure, and where it is found: in the replay, and in ``seeing``, ``evaluation`` or, by price, in ``named``
    of a run. By its name, and what a policy is shown; empty where it was not measured."""

    label: str
    replayed: tuple[str, str] = ("", "")
    seen: tuple[str, str] = ("", "")
    evaluated: str = ""
    priced: str = ""


ROWS = (
    Row("policy, sees its rewards", ("policy", "seeing"), ("policy", "seeing")),
    Row("policy, sees zeros", ("policy", "blind"), ("policy", "blind")),
    Row("the same, greedy, sees its rewards", ("policy, greedy", "seeing"), ("policy, greedy", "seeing")),
    Row("the same, greedy, sees zeros", ("policy, greedy", "blind"), ("policy, greedy", "blind")),
    Row(
        "two lists in turns, induction's first",
        ("induction's ten and IOI's, in turns", NOTHING),
        priced="list, in turns",
    ),
    Row(
        "two lists in turns, IOI's first",
        ("IOI's ten and induction's, in turns", NOTHING),
        priced="list, in turns, reversed",
    ),
    Row("one list, by mean reward", seen=("list", NOTHING)),
    Row("layers in order", ("layers in order", NOTHING), ("layers in order", NOTHING)),
    Row("random", ("random", NOTHING), evaluated="random"),
    Row("attribution, then verify (price)", priced="gradient, then verify"),
)
"""From the top: the policy as the paper plays it, drawing its picks, and greedy, taking its likeliest head; what knows the training tasks; what
knows nothing; and the rival to use instead. (On GPT-2 small lists are the two published ones of ten heads each, elsewhere of all heads.)"""

POLICY, BLIND, GREEDY, GREEDY_BLIND, LISTS, LISTS_REVERSED, _, LAYERS, RANDOM, ATTRIBUTION = (row.label for row in ROWS)

PAPER = "paper"
"""The row of the paper's own number, which is drawn above the policy that sees."""

FIRST_OF_GROUP = (2, 4, 7, 9)
"""Rows with a line above them."""


def lead(runs: Sequence[Run]) -> pd.DataFrame:
    """The headline's policy and its rivals on the task never shown to it, told nothing: the paper's own on GPT-2 small, replayed, then each
    run's. Columns: subject, heads (of the subject), task, row (a label of :data:`ROWS`, or ``paper``), measured (heads, or the price of so
    many), ratio (best reward over the paired oracle's) with its 95% interval (low, high). What was not measured has no row."""
    keys = ["subject", "heads", "task", "row", "measured"]
    paper = (SUBJECT, HEADS, "docstring", PAPER, BUDGET, *paper_intervals()["docstring", TRAINED_K, TOLD])
    rows = [dict(zip([*keys, "ratio", "low", "high"], paper, strict=True))]
    found = pd.DataFrame([*rows, *_replayed(), *(row for run in runs for row in _here(run))])
    return found.reindex(columns=[*keys, "ratio", "low", "high"])


def _rows(found: pd.DataFrame, label: str, axis: str, **of: object) -> Iterator[dict[str, Any]]:
    for row in found[found[axis].isin((FEW, BUDGET))].to_dict("records"):
        yield {**of, "row": label, "measured": row[axis], **{name: row[name] for name in ("ratio", "low", "high")}}


def _told_nothing(found: pd.DataFrame, task: str) -> pd.DataFrame:
    """The headline's policy on a task, and what is no policy."""
    return found[(found["task"] == task) & (found["told"] == TOLD) & found["trained_k"].isin((0, TRAINED_K))]


def _replayed() -> Iterator[dict[str, Any]]:
    found = _told_nothing(replay(), "docstring")
    for row in ROWS:
        some = found[(found["searcher"] == row.replayed[0]) & (found["shown"] == row.replayed[1])]
        yield from _rows(some, row.label, "measured", subject=SUBJECT, heads=HEADS, task="docstring")


def _here(run: Run) -> Iterator[dict[str, Any]]:
    task = run.settings.held_out_task
    if task not in run.main_tasks:
        return
    seen, found, priced = _told_nothing(seeing(run), task), evaluation(run), named(run)
    found = found[(found["task"] == task) & found["searcher"].isin([row.evaluated for row in ROWS])]
    evaluated = summarise(found, run.settings.evaluation_prompts)
    priced = priced[priced["task"] == task].dropna(subset="ratio")
    of = {"subject": subject_title(run.card.name), "heads": run.card.heads, "task": task}
    for row in ROWS:
        some = seen[(seen["searcher"] == row.seen[0]) & (seen["shown"] == row.seen[1])]
        yield from _rows(some, row.label, "measured", **of)
        yield from _rows(evaluated[evaluated["searcher"] == row.evaluated], row.label, "measured", **of)
        yield from _rows(priced[priced["searcher"] == row.priced], row.label, "price", **of)


def thesis(found: pd.DataFrame, notebooks: str = "") -> str:
    """The first sentences of README and notebook 00, in Markdown: what the paper claims, what holds, what does not, what to use instead; every
    number is one that :func:`lead_figure` draws; ``notebooks``: where those are that the links lead to; without it they are named. For the published runs, of which the words are true (``tests/test_readme.py``)."""

    def each(row: str, measured: int = BUDGET, named: bool = False) -> str:
        rows = found[(found["row"] == row) & (found["measured"] == measured)]
        of_models = zip(rows["subject"], rows["ratio"], strict=True)
        *others, last = (f"{_percent(ratio)}{f' on {model}' if named else ''}" for model, ratio in of_models)
        return f"{', '.join(others)} and {last}" if others else last

    *_, real = found["subject"].unique()
    paper = each(PAPER)
    search, rivals, heads, ledger = (
        f"([{name[:2]}]({notebooks}{name}.ipynb))" if notebooks else f"({name[:2]})"
        for name in ("05_does_it_search", "06_rivals", "07_which_heads", "08_figures_and_ledger")
    )
    return f"""- **What the paper claims.** An agent can be taught to discover circuits: trained on induction and IOI, it finds on docstring, never shown to it, a head worth {paper} of the best, in {BUDGET} of {SUBJECT}'s {HEADS} heads {ledger}.
- **What holds.** On docstring it finds a head worth most of the best: {each(POLICY, named=True)}, where random search finds {each(RANDOM)}; the first by the paper's own policy, the others, a small model trained here and a real one, by ours. Whether that agrees with {paper} within five points is undecided: the paper's episodes are too few {ledger}.
- **What is not seen: that it searches, on docstring or, on average, on other new tasks.** Shown zeros in place of its rewards, which the paper does not try, it finds as much, on {SUBJECT} a little more: {each(BLIND)} {search}. (Whether docstring's rewards tell a searcher anything is not known; some other tasks' do.)
- **What finds about as much without a policy, or more, on one model or another.** In {FEW} heads the policy finds {each(POLICY, FEW)}, or, taking its likeliest head each time (*greedy*), {each(GREEDY, FEW)}. The training tasks' best heads, in turns, find {each(LISTS, FEW)} with induction's first, and {each(LISTS_REVERSED, FEW)} with IOI's; the layers in order find {each(LAYERS, FEW)} {search}.
- **Nor is it seen, on {real}, that the heads that pay most are a circuit.** They are needed, where that can be told, but not seen to be enough {heads}.
- **What to use instead.** *Attribution, then verify*: `head_damage(..., control=texts, verify=7)` estimates all heads by one gradient, which costs as much as measuring three heads, and measures the best. It needs no other task. At the price of {FEW} heads it names, on docstring, one worth {each(ATTRIBUTION, FEW, named=True)} of the best, and {each(ATTRIBUTION)} at that of {BUDGET}. At the smaller price it names more on average than every list; on {real} lists name more on greater-than, and elsewhere it names more or the question is open. There *halving in three rounds*, which needs training tasks, names more still on average {rivals}. On {SUBJECT} it was not measured. All this is by zeros."""


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f}%"


SMALL, TEXT = 8, 8.5
"""Sizes of letters in points: the figure is as wide as a page."""


@described
def lead_figure(found: pd.DataFrame) -> Figure:
    """What the headline's policy finds on a task that was never shown to it, told nothing, in percent of what the oracle finds on the same
    episodes: a panel a model, a row a searcher, after ten heads measured (open circles) and after fifty (filled squares), with 95% intervals;
    the two numbers beside. The paper's own number is the diamond in the first row, with the interval that so few episodes leave. A row that was not measured on a model says so."""
    subjects = list(found["subject"].unique())
    size = (1.6 + 2.0 * len(subjects), 0.28 * len(ROWS) + 1.45)
    figure, axes = plt.subplots(1, len(subjects), figsize=size, sharey=True, squeeze=False)
    for axis, subject in zip(axes[0], subjects, strict=True):
        of_subject = found[found["subject"] == subject]
        _panel(axis, of_subject)
        (heads,), (task,) = of_subject["heads"].unique(), of_subject["task"].unique()
        axis.set_title(f"{subject}\n{task}, {heads} heads", fontsize=TEXT, loc="left")
    axes[0][0].set_yticks(
        range(-1, len(ROWS)), [f"{PAPER}, after {BUDGET}", *(row.label for row in ROWS)], fontsize=TEXT
    )
    axes[0][0].set_ylim(len(ROWS) - 0.4, -2.2)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=SMALL)
    return figure


def _panel(axis: Axes, found: pd.DataFrame) -> None:
    for place in FIRST_OF_GROUP:
        axis.axhline(place - 0.5, color="0.8", lw=0.7)
    for count, column, shift in ((FEW, 128, -0.14), (BUDGET, 156, 0.14)):
        colour, marker, filling = AFTER[count]
        some = found[(found["measured"] == count) & (found["row"] != PAPER)].set_index("row")
        some = some.reindex([row.label for row in ROWS if row.label in some.index])
        y = np.array([place for place, row in enumerate(ROWS) if row.label in some.index])
        x = 100 * some[["ratio", "low", "high"]].to_numpy()
        errors = np.abs(x[:, 1:].T - x[:, 0])
        looks: dict[str, Any] = {
            "fmt": marker,
            "ms": 4.5,
            "mfc": filling,
            "mew": 1.1,
            "color": colour,
            "elinewidth": 1.6,
        }
        axis.errorbar(x[:, 0], y + shift, xerr=errors, label=f"after {count} heads measured", clip_on=False, **looks)
        axis.text(
            column, -1.9, f"after\n{count}", ha="right", va="center", fontsize=SMALL, color="0.35", linespacing=0.9
        )
        for value, place in zip(x[:, 0], y, strict=True):
            weight = "bold" if count == BUDGET else "normal"
            axis.text(column, place, f"{value:.0f}", ha="right", va="center_baseline", fontsize=TEXT, weight=weight)
    for x, low, high in 100 * found.loc[found["row"] == PAPER, ["ratio", "low", "high"]].to_numpy():
        axis.plot((low, high), (-1, -1), color="#CC79A7", lw=1.6, clip_on=False)
        axis.plot(x, -1, "D", ms=4.5, color="#CC79A7", mec="black", mew=0.6, clip_on=False)
        axis.text(156, -1, f"{x:.0f}", ha="right", va="center_baseline", fontsize=TEXT)
    for place, row in enumerate(ROWS):
        if row.label not in set(found["row"]):
            axis.text(50, place, "not measured", ha="center", va="center", fontsize=SMALL, color="0.45", style="italic")
    axis.axvline(100, color="black", lw=0.8, ls=":")
    axis.set(xlim=(0, 157), xticks=(0, 50, 100))
    axis.set_xlabel("% of the oracle", fontsize=SMALL, loc="left")
    axis.tick_params(labelsize=SMALL, left=False)
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_bounds(0, 100)
