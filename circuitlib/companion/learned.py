"""What is learned on behaviours of the real model: a prior and policies that search with a price, and where they are stored.

Trained on behaviours that none of the six tasks is, once, on one subject; played, frozen, on both.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from circuitlib.ablation.build import code_of
from circuitlib.ablation.heads import head_rewards
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
from circuitlib.search.belief import ESTIMATES, Belief, Believer, Seen, fit_prior, paid_elsewhere, see
from circuitlib.search.priced_policy import CONFIG, Learned, train
from circuitlib.search.trials import Trials, draw_trials
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.control_text import CONTROL
from circuitlib.threads import threads_of_one_core

BUDGET = 8
"""The price for which policies are trained."""

SEEDS = 3
"""Policies that are trained."""

REAL = Settings(subject=SMOLLM2)
"""The run on whose behaviours a search is learned."""

LEARNED, HISTORY = "learned.safetensors", "training_learned.parquet"
CODE = "circuitlib.search.priced_policy"

TRIALS, TRIAL_SEED = 64, 50_000
"""Training episodes per behaviour, drawn with replacement from its 32 prompts, and the seed of the first."""


def training_trials(run: Run) -> list[Trials]:
    """Episodes of every behaviour that is learned from."""
    return [
        draw_trials(run.priced_tables(name, "train"), TRIALS, run.settings.penalty, TRIAL_SEED, again=True)
        for name in BEHAVIOURS
    ]


def learn(run: Run) -> tuple[Learned, pd.DataFrame]:
    """The prior and the policies, trained on a run's behaviours; and the policies' history. Every behaviour is seen twice, with
    what heads pay in the others and without, as on a model of which nothing else is known. In training its episodes
    are believed by a prior fitted to the others, so that policies meet beliefs that err as they will on a new task."""
    trials, layers = training_trials(run), run.card.layers
    control, penalty = run.table(CONTROL, "train"), run.settings.penalty
    rewards = torch.stack([head_rewards(run.table(name, "train"), control, penalty) for name in BEHAVIOURS])

    def seen_without(*out: int) -> tuple[list[Trials], list[Seen]]:
        """Of the behaviours that are not left ``out``, each with what is paid in the others of them, and without."""
        left = [i for i in range(len(trials)) if i not in out]
        others = [paid_elsewhere(rewards[[j for j in left if j != i]]) for i in left]
        both = [see(trials[i].estimates, layers, paid) for i, paid in zip(left, others, strict=True)]
        return [trials[i] for i in left] * 2, both + [see(trials[i].estimates, layers) for i in left]

    def believed(i: int) -> list[Belief]:
        """Of behaviour i by a prior that was not fitted to it, with what is paid in the others, and without."""
        prior = fit_prior(*seen_without(i), seed=0)
        paid = paid_elsewhere(rewards[[j for j in range(len(trials)) if j != i]])
        return [Believer(prior, layers, known).belief(trials[i].estimates) for known in (paid, None)]

    with threads_of_one_core(len(trials)) as pool:
        beliefs = [*zip(*pool.map(believed, range(len(trials))), strict=True)]
    both = [belief for how in beliefs for belief in how]
    with threads_of_one_core(SEEDS) as pool:
        trained = dict(enumerate(pool.map(lambda seed: train(trials * 2, both, layers, BUDGET, seed), range(SEEDS))))
    history = pd.DataFrame([row for _, rows in trained.values() for row in rows])
    prior = fit_prior(*seen_without(), seed=0)
    return Learned(prior, {seed: network for seed, (network, _) in trained.items()}), history


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
