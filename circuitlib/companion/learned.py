"""What is learned on behaviours of the real model: a prior and policies that search with a price, and where they are stored.

Trained on behaviours that none of the six tasks is, once, on one subject; played, frozen, on both.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.build import code_of
from circuitlib.ablation.estimates import PRICES
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings, published
from circuitlib.manifest import (
    content_hash,
    is_stored,
    load_frame,
    load_tensors,
    made_on,
    read_provenance,
    save_frame,
    save_tensors,
)
from circuitlib.paths import RESULTS
from circuitlib.search import learning
from circuitlib.search.belief import ESTIMATES, with_few
from circuitlib.search.episodes import BATCH
from circuitlib.search.priced_policy import CONFIG, Learned
from circuitlib.search.trials import Trials, draw_trials
from circuitlib.studies.heads import head_rewards
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.tasks.behaviours import BEHAVIOURS

BUDGET = 8
"""The price for which policies are trained."""

SEEDS = 5
"""Policies that are trained."""

REAL = Settings(subject=SMOLLM2)
"""The run on whose behaviours a search is learned."""

LEARNED, HISTORY = "learned.safetensors", "training_learned.parquet"
CODE = learning.__name__

TRIALS, TRIAL_SEED = 64, 50_000
"""Training episodes per behaviour, drawn with replacement from its 32 prompts, and the seed of the first."""


def training_trials(run: Run, behaviours: Iterable[str] = BEHAVIOURS) -> list[Trials]:
    """Episodes of every behaviour that is learned from, or of others."""
    return [
        with_few(draw_trials(run.priced_tables(name, "train"), TRIALS, run.settings.penalty, TRIAL_SEED, again=True))
        for name in behaviours
    ]


def training_rewards(run: Run, behaviours: Iterable[str] = BEHAVIOURS) -> Float[Tensor, "t h"]:
    """Of every behaviour that is learned from the mean reward of each head."""
    control, penalty = run.table(CONTROL, "train"), run.settings.penalty
    return torch.stack([head_rewards(run.table(name, "train"), control, penalty) for name in behaviours])


def learn(run: Run) -> tuple[Learned, pd.DataFrame]:
    """The prior and the policies, trained on a run's behaviours; and the policies' history."""
    return learning.learn(training_trials(run), training_rewards(run), run.card.layers, BUDGET, SEEDS)


def training_price(teacher: Run) -> int:
    """What was paid for the behaviours of the ``teacher``, the run that has them: every head measured, and both estimates."""
    return len(BEHAVIOURS) * (teacher.card.heads + sum(PRICES[through] for through in ESTIMATES.values()))


def lists_price(run: Run) -> float:
    """What was paid for the tables that lists are made of: every head measured on all training prompts of the tasks that policies are trained on."""
    return len(run.training_tasks) * run.card.heads * run.settings.train_prompts / BATCH


def learned(run: Run) -> Learned:
    """What was learned on the real model: in a run of it with a folder of its own, learned there if it is not yet; in every
    other run, as committed.

    Raises ``StaleResult`` when what is stored is corrupt, or of other code or tables.
    """
    folder, wanted = _home(run), None
    if is_real(run):
        wanted = _provenance(run)
        if not run.reads(folder / LEARNED, wanted["code"]):
            found, history = learn(run)
            save_frame(folder / HISTORY, history, wanted)
            save_tensors(folder / LEARNED, found.tensors(), wanted)
    return Learned.of(load_tensors(folder / LEARNED, wanted)[0])


def learned_hash(run: Run) -> str:
    """The content of what :func:`learned` reads."""
    return content_hash(_home(run) / LEARNED)


def learning_history(run: Run) -> pd.DataFrame:
    """How the policies learned: columns seed, update, known (the fraction of the oracle that is named in the end, mean over
    the episodes that ended), and PPO's diagnostics."""
    return load_frame(_home(run) / HISTORY)


def adopt_learned(run: Run) -> bool:
    """Take what is committed into a run of the real model, as it is, and say whether it was: not if the run has its own, or the
    code is another."""
    ours, committed = run.folder / LEARNED, RESULTS / SMOLLM2 / LEARNED
    if not is_real(run) or is_stored(ours) or not is_stored(committed):
        return False
    provenance = read_provenance(committed)
    if provenance["code"] != code_of(CODE):
        return False
    save_frame(run.folder / HISTORY, load_frame(committed.with_name(HISTORY)), provenance)
    save_tensors(ours, load_tensors(committed)[0], provenance)
    return True


def _home(run: Run) -> Path:
    return run.folder if is_real(run) else RESULTS / SMOLLM2


def is_real(run: Run) -> bool:
    """Whether a run has tables of the behaviours that a search is learned on."""
    return published(run.settings) == REAL


def _provenance(run: Run) -> dict[str, Any]:
    tables = run.table_hashes([*BEHAVIOURS, CONTROL], "train")
    for through in ESTIMATES.values():
        tables |= run.table_hashes([*BEHAVIOURS, CONTROL], "train", through)
    return {
        "subject": run.card.record(),
        "config": asdict(CONFIG),
        "budget": BUDGET,
        "trials": [TRIALS, TRIAL_SEED],
        "seeds": list(range(SEEDS)),
        "penalty": run.settings.penalty,
        "tables": tables,
        "code": code_of(CODE),
    } | made_on()
