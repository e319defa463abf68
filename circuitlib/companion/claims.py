"""The ledger of claims: the paper's number, ours, how ours was measured, and the verdict, which is computed, never written by hand.

One rule for all rows: beside a number of the paper, ours is consistent where the 95% interval of the difference lies within
:data:`circuitlib.companion.verdicts.MARGIN` of zero, inconsistent where all of it lies outside, and otherwise undecided. A claim
without one holds where the interval of what it says is more lies above zero, is the other way round where it lies below, and is
otherwise undecided.

Rewards of different models have different scales, so what is compared is a fraction of the oracle of the same run. The paper publishes no spread
of its fractions; on docstring and induction the replay of its policies tells how much those of so few episodes vary, and that is counted, as is the interval of its shares of
episodes. Its fractions on IOI, of which no rewards are published, are taken as given.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion import authors, verdicts
from circuitlib.companion.frames import closer_prompts, evaluation, evaluation_episodes, pairs, rivals
from circuitlib.companion.legend import ATTRIBUTION, SEARCHERS, condition_in_words, task_title
from circuitlib.companion.paper import PAPER, best_head_share, mechrl, paper_fractions
from circuitlib.companion.run import Run
from circuitlib.companion.seeing import seeing
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.manifest import content_hash
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING
from circuitlib.search.oracle import best_head
from circuitlib.studies.evaluate import CONDITION, after_picks, ahead, by_seed, summarise
from circuitlib.studies.intervals import Interval, difference, fraction, share
from circuitlib.studies.undecided import repeated, seeds_as_one, what_decides

COUNTS = (10, BUDGET)
"""Heads measured after which the headline's policy is set beside its rivals."""

RIVALS = ("static prior", "random")
"""Searchers that the paper has none or too little of, told nothing."""

PRICED_RIVALS = ("list, in turns", ATTRIBUTION)
"""The same, on the axis of price."""

REDUNDANT = 0.1
"""Heads of a task are redundant when more than this share of their pairs is."""

SEEING = "notebook 05"
"""Where what seeing gains is measured."""

COLUMNS = [
    "claim",
    "unit",
    "paper",
    "paper_low",
    "paper_high",
    "ours",
    "low",
    "high",
    "verdict",
    "measured_in",
    "rests_on",
    "note",
]

Row = tuple[object, ...]
"""The ``COLUMNS`` of one claim."""

NONE = Interval(np.nan, np.nan, np.nan)
"""Where the paper has no number."""


def claims(run: Run) -> pd.DataFrame:
    """The ledger, one row per claim about tasks that the subject does. Raises ``StaleResult`` when the paper's numbers are not those
    that were written down.

    Columns: claim, unit, paper, paper_low, paper_high (the interval that is counted), ours, low, high (95% interval of ours, missing where it is not known), verdict,
    measured_in (the notebook), rests_on (``policies``, which another processor trains differently, or
    ``tables``, which it measures alike), note.
    """
    mechrl()
    for measured in (evaluation, rivals, seeing, pairs):
        measured(run)
    tables = [run.table_path(task, "evaluation").name for task in (*run.main_tasks, CONTROL)]
    return run.frame(
        "claims",
        lambda: _ledger(run, _evidence(run)),
        __name__,
        results=run.hashes("evaluation.parquet", "rivals.parquet", "seeing.csv", "pairs.csv", *tables),
        paper=content_hash(PAPER),
        replay=content_hash(authors.FOLDER / authors.FRAMES["agreement"]),
        episodes=run.settings.episodes,
    )


def without_seeing(run: Run) -> pd.DataFrame:
    """The ledger, measured now, but for what seeing gains: playing everything blind as well takes longest."""
    return _ledger(run, _evidence(run, seen=False))


def undecided(run: Run) -> pd.DataFrame:
    """What would decide each undecided claim, but for what seeing gains, of which no plays are kept; columns of the ledger, and of
    :func:`circuitlib.studies.undecided.what_decides`."""
    ledger, evidence = claims(run), _evidence(run)
    open_ones = (ledger["verdict"] == "undecided") & (ledger["measured_in"] != SEEING)

    def verdicts(times: int, seeds: bool) -> pd.Series:
        return _ledger(run, evidence.of(times, seeds))["verdict"][open_ones]

    return ledger[open_ones].join(what_decides(verdicts, evidence.pool))


@dataclass(frozen=True)
class _Evidence:
    """What claims are computed from: rows of the run's frames, episodes' pool of prompts, and how many ``times`` as many prompts as it has they are
    taken to be of."""

    evaluation: pd.DataFrame
    rivals: pd.DataFrame
    seeing: pd.DataFrame | None
    pairs: pd.DataFrame
    pool: int
    times: int = 1

    def of(self, times: int, seeds: bool) -> "_Evidence":
        """As if the same were found on so many ``times`` as many prompts and episodes, and, without ``seeds``, by boundlessly many. What seeing gains stays as it
        is."""
        found, priced = self.evaluation, self.rivals
        if not seeds:
            found, priced = seeds_as_one(found, CONDITION), seeds_as_one(priced, ["searcher", "price"])
        found, priced = repeated(found, times), repeated(priced, times)
        return replace(self, evaluation=found, rivals=priced, pool=times * self.pool, times=times)


def _evidence(run: Run, seen: bool = True) -> _Evidence:
    counts = {min(count, run.card.heads) for count in COUNTS}
    found, priced = evaluation(run), rivals(run)
    return _Evidence(
        found[found["task"].isin(run.main_tasks) & (found["planned_k"] <= 1) & found["measured"].isin(counts)],
        priced[(priced["task"] == run.settings.held_out_task) & priced["price"].isin(COUNTS)],
        seeing(run) if seen else None,
        pairs(run),
        run.settings.evaluation_prompts,
    )


def _ledger(run: Run, evidence: _Evidence) -> pd.DataFrame:
    return pd.DataFrame(_rows(run, evidence), columns=COLUMNS)


def _rows(run: Run, evidence: _Evidence) -> Iterator[Row]:
    yield from _fractions(run, evidence)
    if run.settings.held_out_task in run.main_tasks:
        yield from _gains(run, evidence)
        yield from _rivals(run, evidence)
        yield from _priced_rivals(run, evidence)
    yield from _one_best_head(run, evidence)
    if "ioi" in run.main_tasks:
        yield _superadditive(run, evidence)


def agrees(ours: Interval, paper: Interval) -> str:
    """The verdict on a row with a number of the paper's."""
    _, low, high = difference(ours, paper)
    return verdicts.agreement(low, high)


def _fractions(run: Run, evidence: _Evidence) -> Iterator[Row]:
    """What the paper has a fraction of, in the conditions that this run has: as many heads as picks, without planning."""
    summary = after_picks(summarise(evidence.evaluation, evidence.pool))
    for (task, k, told), paper in paper_intervals().items():
        trained_on = task in run.training_tasks
        if task not in run.main_tasks or told not in ([task] if trained_on else [NOTHING, *run.training_tasks]):
            continue
        searcher = "policy" if k else "random"
        row = summary.query("task == @task and signal == @told and searcher == @searcher and trained_k == @k")
        ours, n = Interval(*row[["ratio", "low", "high"]].to_numpy().squeeze(0)), row["measured"].item()
        claim = f"{task_title(task)}, {condition_in_words(searcher, k, told)}, after {n} heads"
        rests_on = ("notebook 04", "policies" if k else "tables")
        note = ("trained on" if trained_on else "never shown") if k else f"of {run.card.heads} heads"
        yield claim, "fraction of oracle", *paper, *ours, agrees(ours, paper), *rests_on, note


def paper_intervals() -> dict[tuple[str, int, str], Interval]:
    """The paper's fractions of the oracle, by task, trained k and signal (:func:`circuitlib.companion.paper.paper_fractions`), with the interval of its difference
    from the replay, which counts the few episodes of both; where there are no rewards to replay, on IOI, without a width, since nothing says how much they vary."""
    return {(task, k, told): _of_paper(task, k, told, given) for (task, k, told), given in paper_fractions().items()}


def _of_paper(task: str, k: int, told: str, given: float) -> Interval:
    rows = authors.agreement().query("task == @task and trained_k == @k and told == @told")
    if rows.empty:
        return Interval(given, given, given)
    value, low, high = rows[["difference", "low", "high"]].to_numpy().squeeze(0)
    return Interval(given, given - (high - value), given + (value - low))


def _rivals(run: Run, evidence: _Evidence) -> Iterator[Row]:
    """The policy of the headline, trained with k=5 and told nothing, beside what the paper lacks at its price."""
    told_nothing = evidence.evaluation.query(f"task == {run.settings.held_out_task!r} and signal == {NOTHING!r}")
    for count in sorted({min(count, run.card.heads) for count in COUNTS}):
        rows = told_nothing[told_nothing["measured"] == count]
        policy = rows.query("searcher == 'policy' and trained_k == @HEADLINE_K")
        for searcher in RIVALS:
            more = ahead(policy, rows[rows["searcher"] == searcher], evidence.pool)
            claim = f"{task_title(run.settings.held_out_task)}, after {count} heads: {_ahead_of(searcher)}"
            rests_on = (verdicts.beats(more.low, more.high), "notebook 04", "policies")
            yield claim, "fraction of oracle, paired", *NONE, *more, *rests_on, "told nothing"


def _ahead_of(searcher: str) -> str:
    return f"the headline's policy ahead of {SEARCHERS[searcher].title}"


def _gains(run: Run, evidence: _Evidence) -> Iterator[Row]:
    """What the policy of the headline gains by seeing its rewards, where that was measured."""
    if evidence.seeing is None:
        return
    rows: Any = evidence.seeing.query(
        f"task == {run.settings.held_out_task!r} and searcher == 'policy' and trained_k == {HEADLINE_K} and told == {NOTHING!r} and shown == 'blind'"
    )
    for row in rows[rows["measured"].isin(COUNTS)].itertuples():
        claim = f"{task_title(row.task)}, after {row.measured} heads: what seeing gains the headline's policy"
        word = verdicts.gains(row.effect_low, row.effect_high, row.ratio)
        numbers = row.effect, row.effect_low, row.effect_high
        yield claim, "fraction of oracle, paired", *NONE, *numbers, word, SEEING, "policies", "over zeros"


def _priced_rivals(run: Run, evidence: _Evidence) -> Iterator[Row]:
    """The same policy beside rivals on the axis of price, by the head that each would name."""
    for count, searcher in product(COUNTS, PRICED_RIVALS):
        at = evidence.rivals[evidence.rivals["price"] == count]
        policy, rival = (at[at["searcher"] == one] for one in (f"policy k={HEADLINE_K}", searcher))
        mine, theirs = (by_seed(one, "named") for one in (policy, rival))
        oracle = by_seed(policy, "oracle")[0]
        more = fraction(mine, oracle, evidence.pool, against=theirs)
        claim = f"{task_title(run.settings.held_out_task)}, at price {count}: {_ahead_of(searcher)}"
        rests_on = (verdicts.beats(more.low, more.high), "notebook 06", "policies")
        yield claim, "fraction of oracle, paired", *NONE, *more, *rests_on, "told nothing"


def _one_best_head(run: Run, evidence: _Evidence) -> Iterator[Row]:
    for task in run.main_tasks:
        if task in mechrl()["heads_20_policy_10_oracle_episodes"]:
            rewards = evaluation_episodes(run, task).mean(1)
            most = best_head(rewards).bincount().max().item() / len(rewards)
            ours = share(most, evidence.times * len(rewards), evidence.pool)
            paper = share(*best_head_share(task), None)
            claim = f"{task_title(task)}: in how many episodes one and the same head is the best"
            rests_on = (agrees(ours, paper), "notebook 02", "tables")
            yield claim, "share of episodes", *paper, *ours, *rests_on, "the head that is it most often"


def _superadditive(run: Run, evidence: _Evidence) -> Row:
    """Low and high: the shares of pairs whose excess is above zero, and is not below it, at 95% for all pairs together, by Student's t over
    prompts (Bonferroni)."""
    rows, prompts = evidence.pairs.query("task == 'ioi'"), evidence.times * closer_prompts(run)
    reach = rows["error"] / evidence.times**0.5 * stdtrit(prompts - 1, 1 - 0.025 / len(rows))
    ours = Interval(*((rows["excess"] + shift > 0).mean() for shift in (0, -reach, reach)))
    claim = f"{task_title('ioi')}: a tenth of the pairs of its twelve best heads, or more, are redundant"
    rests_on = (verdicts.beats(ours.low - REDUNDANT, ours.high - REDUNDANT), "notebook 07", "tables")
    note = f"more damage than the sum, by a tenth of the larger; over {prompts} prompts"
    return claim, "share of pairs", *NONE, *ours, *rests_on, note
