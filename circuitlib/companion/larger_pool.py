"""Table ``larger_pool``: the ledger again, of four times as many prompts per task and four times as many episodes: is what the published one leaves undecided then decided?

Everything but the training of policies is of the larger pool, as in a run of its own: a quarter of an hour on two cores, so that no run makes this table by itself; ``python -m
circuitlib larger-pool`` does.
"""

from dataclasses import asdict, replace

import pandas as pd

from circuitlib.ablation.build import code_of
from circuitlib.companion import verdicts
from circuitlib.companion.claims import undecided, without_seeing
from circuitlib.companion.other_ablations import MEASURED_BY, SHOWN
from circuitlib.companion.run import Run

TIMES = 4
"""As many prompts, and episodes, as the run has."""


def larger_pool(run: Run) -> pd.DataFrame:
    """A row per claim but for what seeing gains; columns of the ledger claim, ours, low, high, verdict. The larger run, of otherwise the same settings, is in a folder inside this run's, where it is
    resumed."""
    of = run.settings
    settings = replace(of, evaluation_prompts=TIMES * of.evaluation_prompts, episodes=TIMES * of.episodes)
    return run.frame(
        "larger_pool",
        lambda: without_seeing(replace(run, settings=settings, output=f"{run.output}/larger"))[SHOWN],
        verdicts.__name__,
        settings=asdict(settings),
        measured_by={what.__module__: code_of(what.__module__) for what in MEASURED_BY},
    )


def once_undecided(run: Run) -> pd.DataFrame:
    """A row per claim that a run's ledger leaves undecided (but for what seeing gains): claim, paper, ours, low, high, prompts (that would decide it if the same were found on more:
    :func:`circuitlib.companion.claims.undecided`), and ours, low, high and verdict by the larger pool, named as in ``verdict_larger``."""
    larger = larger_pool(run).set_index("claim")[SHOWN[1:]].add_suffix("_larger")
    return undecided(run)[["claim", "paper", *SHOWN[1:4], "prompts"]].join(larger, on="claim")


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims have which verdict."""
    return table["verdict"].value_counts().rename_axis("verdict").reset_index(name="claims")
