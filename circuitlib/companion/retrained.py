"""Table ``retrained``: the published policies trained again by the same settings, where products are rounded otherwise, beside the published intervals.

``python -m circuitlib retrained`` trains them, in about half an hour, on whatever processor there is; ``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA`` and
``OPENBLAS_CORETYPE`` choose among its kinds of products.
"""

from typing import Any

import pandas as pd

from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.compare import fractions_by_seed, same_distribution
from circuitlib.companion.frames import CONTESTED, evaluation
from circuitlib.companion.run import Run
from circuitlib.manifest import load_frame, read_provenance
from circuitlib.studies import retrained as study
from circuitlib.studies.evaluate import summarise
from circuitlib.studies.retrained import in_short as in_short


def retrained(run: Run) -> pd.DataFrame:
    """Every condition of the evaluation that a policy plays in; columns of :func:`circuitlib.studies.retrained.beside`, and, the same in every row, on and again_on (what
    computed either training's products) and p (how probable so large a difference is in any of the conditions, if the two are draws of one
    distribution; :func:`circuitlib.companion.compare.same_distribution`). The tables are the committed ones, once a few of their rows have been measured again: they are
    equal to rounding, and what is asked is what rounding does to training.

    Raises ``ValueError`` where the same policies come out, to the last digit.
    """
    committed = Run(run.settings)

    def compute() -> pd.DataFrame:
        for part in CONTESTED:
            for name in (*run.tasks_of(part), CONTROL):
                run.adopted_table(name, part)
        again = _policies(evaluation(run))
        found = _policies(load_frame(committed.frame_path("evaluation")))
        first, second = (fractions_by_seed(frame) for frame in (found, again))
        if first.equals(second):
            raise ValueError(
                f"{run.output} holds the committed policies, to the last digit: train them where products are rounded otherwise, as with ATEN_CPU_CAPABILITY=avx2 "
                "OPENBLAS_CORETYPE=Haswell in the environment, or without"
            )
        table = study.beside(summarise(found, run.settings.evaluation_prompts), first, second)
        whole = {"on": _products(committed), "again_on": _products(run)}
        return table.assign(**whole, p=same_distribution(first.to_numpy(), second.to_numpy()))

    return run.frame(
        "retrained",
        compute,
        study.__name__,
        evaluation=committed.hashes("evaluation.parquet"),
        policies=committed.training_hashes(),
    )


def _policies(evaluated: pd.DataFrame) -> pd.DataFrame:
    return evaluated[evaluated["searcher"] == "policy"]


def _products(run: Run) -> str:
    """What computed the products of a run's training, and the rest of it."""
    processor: dict[str, Any] = read_provenance(run.policy_path(1))["processor"]
    return f"{processor['numpy']}, {processor['torch']}"
