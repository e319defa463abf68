"""Tables that no run measures by itself, because it takes long, or another run: a command of its own does each (``python -m circuitlib few``).

They are committed beside the others, kept when a run is published that has none of its own, and not compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any

import pandas as pd

from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.search.belief import ESTIMATES
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION


@dataclass(frozen=True)
class Study:
    """A table ``name``, measured by the function ``name`` of the module ``name`` of this folder, whose ``in_short`` says what the command prints of it.

    words: what it is, and how long it takes. subjects: the published ones that it is about. output: where it is
    measured unless somebody says otherwise. beside: files that it comes with.
    """

    name: str
    words: str
    subjects: tuple[str, ...]
    output: str
    beside: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """Its command."""
        return self.name.replace("_", "-")

    @property
    def files(self) -> tuple[str, ...]:
        """What it leaves in a run's folder, manifests aside."""
        return (f"{self.name}.csv", *self.beside)

    def table(self, run: Run) -> pd.DataFrame:
        """The table of a run: measured, or of a published one read, which raises as reading any frame does."""
        return self._of_module(self.name)(run)

    def in_short(self, table: pd.DataFrame) -> pd.DataFrame:
        """What the command prints."""
        return self._of_module("in_short")(table)

    def _of_module(self, function: str) -> Callable[[Any], pd.DataFrame]:
        # Imported when it is asked for: what compares runs needs the names alone.
        found: Callable[[Any], pd.DataFrame] = getattr(import_module(f"{__package__}.{self.name}"), function)
        return found


STUDIES = (
    Study(
        "training_ways",
        "train policies otherwise than in the paper, and by sb3-contrib's PPO: an hour",
        tuple(PUBLISHED),
        "runs/default",
        ("policy_reference.safetensors",),
    ),
    Study(
        "other_ablations",
        "the ledger with means, and with other prompts' values, in the place of heads: a quarter of an hour; of SmolLM2, on fewer prompts, three hours",
        tuple(PUBLISHED),
        "runs/other-ablations",
    ),
    Study(
        "larger_pool",
        "the ledger again, of four times as many prompts and episodes: a quarter of an hour; of SmolLM2 half a day, or with --device cuda an hour",
        tuple(PUBLISHED),
        "runs/larger-pool",
    ),
    Study(
        "retrained",
        "all policies again, on this processor: do they fall inside the committed intervals? Half an hour",
        tuple(PUBLISHED),
        "runs/retrained",
    ),
    Study(
        "by_hand",
        "which rule made by hand names most on behaviours left out: a quarter of an hour",
        (SMOLLM2,),
        "runs/by-hand",
    ),
    Study("few", "on how many prompts a belief's estimates are best bought: half an hour", (SMOLLM2,), "runs/few"),
    Study(
        "taught",
        "what each part of the search that is taught on behaviours is worth, a network that imitates the rule, and a policy that sees no belief: an hour",
        (SMOLLM2,),
        "runs/taught",
    ),
    Study(
        "another_prior",
        "what would be named on the tasks with another prior, and with all learned of 17 more behaviours: up to an hour",
        (SMOLLM2,),
        "runs/another-prior",
    ),
    Study(
        "confirmation",
        "the search on behaviours on which nothing of it was chosen: five minutes",
        (SMOLLM2,),
        "runs/confirmation",
        tuple(
            f"behaviours/{what}_{name}_train.safetensors"
            for name, what in product(CONFIRMATION, ("damage", *(f"estimate_{one}" for one in ESTIMATES.values())))
        ),
    ),
)


def by_command(run: Run) -> set[str]:
    """The files of a run that commands alone measure: those of ``STUDIES``, and tables to train on of tasks that no policy of the run is trained
    on."""
    others = [name for name in run.tasks if name not in run.training_tasks]
    studies = {file for study in STUDIES for file in study.files}
    return studies | {run.table_path(name, "train").name for name in others}
