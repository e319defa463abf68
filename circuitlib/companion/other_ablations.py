"""Table ``other_ablations``: the ledger again, with heads' means and with their values on other prompts where the paper puts zeros.

Everything is measured and trained anew for each, as in a run of its own: a quarter of an hour on two cores, of SmolLM2, on fewer prompts, three hours, so that no run makes this table
by itself; ``python -m circuitlib other-ablations`` does.
"""

from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pandas as pd

from circuitlib.ablation.build import build_table, code_of
from circuitlib.ablation.engine import AblationKind
from circuitlib.companion import verdicts
from circuitlib.companion.claims import claims
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT, Settings
from circuitlib.manifest import StaleResult
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.studies.contest import contest
from circuitlib.studies.pairs import measure_pairs
from circuitlib.studies.priced_contest import priced_contest
from circuitlib.studies.seeing import measure_seeing
from circuitlib.subjects.checkpoints import SMOLLM2

KINDS: tuple[AblationKind, ...] = get_args(AblationKind)
"""What takes a head's place: zeros too, so that the ledgers that are compared are of as many seeds."""

MEASURED_BY = (build_table, Trainer, contest, priced_contest, measure_seeing, measure_pairs)
"""What the numbers come from."""

FEWER = {SMOLLM2: {"train_prompts": 64, "evaluation_prompts": 48}}
"""Of a subject whose tables take hours, at most so many prompts, with zeros too: the first that its run has."""

SHOWN = ["claim", "ours", "low", "high", "verdict"]


def other_ablations(run: Run) -> pd.DataFrame:
    """A row per ablation and claim, by policies of ``KEPT`` seeds; columns ablation, and of the ledger claim, ours, low, high, verdict. The runs, of otherwise the same
    settings, are in folders inside this run's, where they are resumed."""
    settings = compared(run.settings)

    def compute() -> pd.DataFrame:
        runs = {
            kind: replace(run, settings=replace(settings, ablation=kind), output=f"{run.output}/{kind}")
            for kind in KINDS
        }
        ledgers = [claims(one)[SHOWN].assign(ablation=kind) for kind, one in runs.items()]
        return pd.concat(ledgers, ignore_index=True)[["ablation", *SHOWN]]

    return run.frame(
        "other_ablations",
        compute,
        verdicts.__name__,
        settings=asdict(settings),
        kinds=KINDS,
        measured_by={what.__module__: code_of(what.__module__) for what in MEASURED_BY},
    )


def compared(settings: Settings) -> Settings:
    """Settings of the runs that are compared, of one with these: as many seeds as a default run trains; of a subject in ``FEWER`` its fewer prompts, and no
    further tasks, about which there is no claim."""
    settings = replace(settings, seeds=KEPT)
    if settings.subject not in FEWER:
        return settings
    at_most = {name: min(most, getattr(settings, name)) for name, most in FEWER[settings.subject].items()}
    return replace(settings, further_tasks=(), **at_most)


def side_by_side(run: Run) -> pd.DataFrame:
    """A row per claim of a run's ledger: claim, paper, verdict (there), of each ablation ours, low, high and verdict, named as in ``verdict_mean``, and turns:
    whether another ablation's verdict is not that with zeros, by as many seeds.

    Raises ``StaleResult`` where the ledger has other claims than when the table was measured.
    """
    frame = claims(run)[["claim", "paper", "verdict"]]
    for kind, ledger in other_ablations(run).groupby("ablation", sort=False):
        if sorted(ledger["claim"]) != sorted(frame["claim"]):
            command = "python -m circuitlib other-ablations"
            raise StaleResult(f"other_ablations.csv is of a ledger with other claims; measure it again: {command}")
        frame = frame.merge(ledger[SHOWN].set_index("claim").add_suffix(f"_{kind}"), on="claim")
    turns = [frame[f"verdict_{kind}"] != frame["verdict_zero"] for kind in KINDS]
    return frame.assign(turns=np.any(turns, axis=0))


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims have which verdict."""
    return (
        table.groupby("ablation", sort=False)["verdict"].value_counts().unstack("verdict", fill_value=0).reset_index()
    )
