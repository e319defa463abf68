"""The tables that the notebooks show, each a function of a run: measured once, stored with a manifest.

How each is measured stands in a module of its own, whose code, with all that it imports, is part of the manifest; whatever
else determines the table is an input. So an edit of the search makes no table stale that passes through the model.
Every table is about the run's subject alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.ablation.build import Recipe
from circuitlib.ablation.check_task import LEAST_DAMAGE
from circuitlib.ablation.estimates import Through
from circuitlib.ablation.tables import CONTROL, DamageTable
from circuitlib.companion.learned import BUDGET, is_real, learned, learned_hash
from circuitlib.companion.legend import ATTRIBUTION, MAIN
from circuitlib.companion.reference import reference_hash, reference_policies
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.search.belief import ESTIMATES, GRADIENT
from circuitlib.search.oracle import head_order
from circuitlib.search.trials import PricedTables, draw_trials
from circuitlib.studies.backup import measure_backup
from circuitlib.studies.beginnings import measure_beginnings
from circuitlib.studies.behaviours import measure_behaviours
from circuitlib.studies.circuits import measure_circuits
from circuitlib.studies.contest import contest
from circuitlib.studies.conventions import measure_conventions, other_than
from circuitlib.studies.curves import measure_curves
from circuitlib.studies.detectors import DETECTORS, detect
from circuitlib.studies.heads import head_means
from circuitlib.studies.heads import head_rewards as rewards_of_tables
from circuitlib.studies.kinds import measure_kinds
from circuitlib.studies.pairs import measure_pairs
from circuitlib.studies.picks import picks_contest
from circuitlib.studies.priced import summarise_priced
from circuitlib.studies.priced_contest import RIVAL_ESTIMATES, priced_contest
from circuitlib.studies.readable import measure_readable
from circuitlib.studies.transfer import measure_transfer
from circuitlib.studies.where import measure_where, traits
from circuitlib.subjects.beginning import NO_TOKEN
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.subjects.sizes import sizes_of
from circuitlib.tasks import TASKS, Task
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.control_text import Part

SLOW = {
    "behaviours": measure_behaviours.__module__,
    "beginnings": measure_beginnings.__module__,
    "pairs": measure_pairs.__module__,
    "backup": measure_backup.__module__,
    "conventions": measure_conventions.__module__,
    "kinds": measure_kinds.__module__,
    "circuits": measure_circuits.__module__,
}
"""Frames that take many passes through the model beside the tables, and the modules that measure them."""

BUYABLE: dict[Part, dict[str, Through]] = {"train": ESTIMATES, "evaluation": RIVAL_ESTIMATES}
"""The estimates that there are tables of, by part."""

PAIR_HEADS = 12
"""Best heads of a task that are ablated in pairs."""

NAME_MOVERS = 5
"""Heads that look from the end of an IOI prompt at the indirect object more than others."""

BEGINNINGS = {SMOLLM2: ("<|im_start|>",)}
"""What prompts could begin with as well: SmolLM2's file names the chat marker as its BOS."""

STUDY_SEED = 3
"""The seed of prompts that no damage table uses."""


def closer_prompts(run: Run) -> int:
    """Prompts per task for what needs a forward pass per head: a tenth of a table's, 16 in the default run."""
    return run.settings.evaluation_prompts // 10


def head_rewards(run: Run, task: str, part: Part, through: Through | None = None) -> Float[Tensor, " heads"]:
    """The mean reward of each head over all rows of a task's and the control's tables; ``through``: as it is estimated."""
    damage, general = (run.table(name, part, through=through) for name in (task, CONTROL))
    return rewards_of_tables(damage, general, run.settings.penalty)


def _tables(run: Run, names: Sequence[str]) -> list[tuple[Recipe, DamageTable]]:
    return [(run.recipe(name, "evaluation"), run.table(name, "evaluation")) for name in names]


def _of(names: Sequence[str], best: Mapping[str, list[int]]) -> dict[Task, list[int]]:
    return {TASKS[name]: best[name] for name in names}


def behaviours(run: Run) -> pd.DataFrame:
    """Does the subject do the tasks? On twice as many prompts as an evaluation table has; see
    :func:`circuitlib.studies.behaviours.measure_behaviours`."""
    tasks, count = run.tasks, 2 * run.settings.evaluation_prompts
    return run.frame_by_task(
        "behaviours",
        lambda some: measure_behaviours(run.subject, [TASKS[name] for name in some], count, STUDY_SEED),
        tasks,
        SLOW["behaviours"],
        prompts=count,
        tasks=list(tasks),
        seed=STUDY_SEED,
    )


def sizes(run: Run) -> pd.DataFrame:
    """The subject's sizes; see :func:`circuitlib.subjects.sizes.sizes_of`."""
    return run.frame("sizes", lambda: sizes_of(run.subject), sizes_of.__module__)


def beginnings(run: Run) -> pd.DataFrame:
    """What hangs on what prompts begin with, on the main tasks: as the run's do, with another token, with none; see
    :func:`circuitlib.studies.beginnings.measure_beginnings`."""
    count, spans = closer_prompts(run), run.settings.rows(True, "evaluation")
    others = [*BEGINNINGS.get(run.settings.subject, ()), NO_TOKEN]
    others = [bos for bos in others if bos != run.card.bos]
    return run.frame_by_task(
        "beginnings",
        lambda some: measure_beginnings(run.subject, others, _tables(run, some), count, run.settings.text, spans),
        run.main_tasks,
        SLOW["beginnings"],
        tables=run.table_hashes(run.main_tasks, "evaluation"),
        others=others,
        prompts=count,
        spans=spans,
    )


def heads(run: Run) -> pd.DataFrame:
    """Every head on every task, over the evaluation tables: columns of :func:`circuitlib.studies.heads.head_means`, and
    rank (1 is best)."""
    penalty = run.settings.penalty

    def compute() -> pd.DataFrame:
        tables = {name: run.table(name, "evaluation") for name in run.tasks}
        return head_means(tables, run.table(CONTROL, "evaluation"), penalty)

    hashes = run.table_hashes((*run.tasks, CONTROL), "evaluation")
    frame = run.frame("heads", compute, head_means.__module__, tables=hashes, penalty=penalty)
    # Not stored: heads that are equal to rounding may change places on another processor.
    rank = frame.groupby("task")["reward"].rank(method="first", ascending=False)
    return frame.assign(rank=rank.astype(int))


def say_nothing(run: Run) -> list[str]:
    """Tasks of which no head is worth ``LEAST_DAMAGE`` of the metric: a fraction of their oracle says nothing, and stands in no mean."""
    most = heads(run).groupby("task", sort=False)["share"].max()
    return most.index[most < LEAST_DAMAGE].tolist()


def evaluation_episodes(run: Run, task: str) -> Float[Tensor, "episodes batch heads"]:
    """The rows of a task's evaluation episodes, the same for every searcher; their means are the rewards."""
    table, control = (run.table(name, "evaluation") for name in (task, CONTROL))
    return draw_trials(PricedTables(table, control), run.settings.episodes, run.settings.penalty).rows


def evaluation(run: Run) -> pd.DataFrame:
    """Every searcher on the same episodes of every task; see :func:`circuitlib.studies.contest.contest`."""
    held_out, episodes, penalty = run.settings.held_out_task, run.settings.episodes, run.settings.penalty
    policies = run.policies()
    return run.frame(
        "evaluation",
        lambda: contest(*_contested(run), policies, held_out, episodes, penalty),
        contest.__module__,
        settings={"held_out": held_out, "episodes": episodes, "penalty": penalty},
        **_contested_hashes(run),
    )


def curves(run: Run) -> pd.DataFrame:
    """What the headline's policy and the other searchers of :func:`evaluation` have found after every head; see :func:`circuitlib.studies.curves.measure_curves`."""
    episodes, penalty, pool = run.settings.episodes, run.settings.penalty, run.settings.evaluation_prompts
    policies = {HEADLINE_K: run.policies()[HEADLINE_K]}
    return run.frame(
        "curves",
        lambda: measure_curves(*_contested(run), policies, episodes, penalty, pool),
        measure_curves.__module__,
        settings={"episodes": episodes, "penalty": penalty},
        **_contested_hashes(run),
    )


CONTESTED: tuple[Part, Part] = ("evaluation", "train")
"""What is played on, and what lists are made of."""


def _contested(run: Run) -> tuple[dict[str, DamageTable], dict[str, DamageTable]]:
    """Tables of all tasks that are contested, and of those trained on."""
    evaluation, train = ({name: run.table(name, part) for name in (*run.tasks_of(part), CONTROL)} for part in CONTESTED)
    return evaluation, train


def _contested_hashes(run: Run) -> dict[str, Any]:
    """Of the tables and policies of a contest."""
    tables = {part: run.table_hashes((*run.tasks_of(part), CONTROL), part) for part in CONTESTED}
    return {"tables": tables, "policies": run.training_hashes()}


def rivals(run: Run) -> pd.DataFrame:
    """Every searcher with every budget, told nothing; see
    :func:`circuitlib.studies.priced_contest.priced_contest`."""
    policies, episodes, penalty = run.policies(), run.settings.episodes, run.settings.penalty
    reference, taught, known = reference_policies(run), learned(run), tuple(BEHAVIOURS) if is_real(run) else ()

    def compute() -> pd.DataFrame:
        tables = _priced_tables(run)
        contestants = tables["evaluation"], tables["train"], policies, reference, taught
        behaviours = {name: run.priced_tables(name, "train") for name in known}
        return priced_contest(*contestants, behaviours, run.card.layers, episodes, penalty)

    return run.frame(
        "rivals",
        compute,
        priced_contest.__module__,
        settings={"episodes": episodes, "penalty": penalty},
        tables=_priced_hashes(run),
        policies=run.training_hashes(),
        reference=reference_hash(run),
        learned=learned_hash(run),
        behaviours=run.table_hashes(known, "train"),
    )


def named(run: Run) -> pd.DataFrame:
    """What every searcher of :func:`rivals` names at every price, and has measured, mean over its plays; see
    :func:`circuitlib.studies.priced.summarise_priced`. Taken to rest on policies throughout (``rests_on``), as plays that a rounding turns do: two runs are compared by the plays."""
    plays, pool = rivals(run), run.settings.evaluation_prompts
    return run.frame(
        "named",
        lambda: summarise_priced(plays, pool).assign(rests_on="policies"),
        summarise_priced.__module__,
        rivals=run.hashes(run.frame_path("rivals").name),
        pool=pool,
    )


def picks(run: Run) -> pd.DataFrame:
    """What searchers that pick have found after so many picks, told nothing, whatever they paid to choose them; see
    :func:`circuitlib.studies.picks.picks_contest`."""
    policies, episodes, penalty = run.policies(), run.settings.episodes, run.settings.penalty
    pool = run.settings.evaluation_prompts

    def compute() -> pd.DataFrame:
        tables = _priced_tables(run)
        return picks_contest(tables["evaluation"], tables["train"], policies, run.card.layers, episodes, penalty, pool)

    return run.frame(
        "picks",
        compute,
        picks_contest.__module__,
        settings={"episodes": episodes, "penalty": penalty},
        tables=_priced_hashes(run),
        policies=run.training_hashes(),
    )


def _priced_tables(run: Run) -> dict[Part, dict[str, PricedTables]]:
    """The tables of a contest in which estimates can be bought."""
    return {
        part: {name: run.priced_tables(name, part, buyable) for name in run.tasks_of(part)}
        for part, buyable in BUYABLE.items()
    }


def _priced_hashes(run: Run) -> dict[str, Any]:
    return {
        f"{part}, {through or 'measured'}": run.table_hashes((*run.tasks_of(part), CONTROL), part, through)
        for part, buyable in BUYABLE.items()
        for through in (None, *buyable.values())
    }


def readable(run: Run) -> pd.DataFrame:
    """What seeing its rewards is worth to a reader that knows the training tasks alone, on every task; see
    :func:`circuitlib.studies.readable.measure_readable`."""
    settings = run.settings
    by_part: dict[Part, Sequence[str]] = {"evaluation": run.tasks, "train": run.training_tasks}

    def compute() -> pd.DataFrame:
        evaluation, training = (
            {name: PricedTables(run.table(name, part), run.table(CONTROL, part)) for name in names}
            for part, names in by_part.items()
        )
        chosen = settings.episodes, settings.penalty, settings.evaluation_prompts
        return measure_readable(evaluation, training, *chosen)

    return run.frame(
        "readable",
        compute,
        measure_readable.__module__,
        settings={"episodes": settings.episodes, "penalty": settings.penalty},
        tables={part: run.table_hashes((*names, CONTROL), part) for part, names in by_part.items()},
    )


def where(run: Run) -> pd.DataFrame:
    """Where each searcher of the main text wins at the price that policies are trained for, beside attribution, on all tasks of which a fraction
    of the oracle says something; see :func:`circuitlib.studies.where.measure_where`."""
    played, quiet, settings = rivals(run).query("price == @BUDGET"), say_nothing(run), run.settings
    tasks, present = [task for task in run.tasks if task not in quiet], set(played["searcher"])
    searchers = [kind.key for kind in MAIN if kind.key in present]

    def compute() -> pd.DataFrame:
        classes = {}
        for task in tasks:
            trials = draw_trials(run.priced_tables(task, "evaluation"), settings.episodes, settings.penalty)
            classes[task] = traits(trials.rewards, trials.estimates[GRADIENT].rewards.mean(1), run.card.layers)
        return measure_where(played, classes, searchers, ATTRIBUTION, settings.evaluation_prompts)

    return run.frame(
        "where",
        compute,
        measure_where.__module__,
        rivals=run.hashes(run.frame_path("rivals").name),
        tables={
            through or "measured": run.table_hashes((*tasks, CONTROL), "evaluation", through)
            for through in (None, ESTIMATES[GRADIENT])
        },
        searchers=[*searchers, ATTRIBUTION],
        price=BUDGET,
        penalty=settings.penalty,
    )


def transfer(run: Run) -> pd.DataFrame:
    """What the paper's policies find on behaviours that none was trained on; of the real model alone, which has them.
    See :func:`circuitlib.studies.transfer.measure_transfer`.

    Raises ``ValueError`` for a run of another model.
    """
    if not is_real(run):
        raise ValueError(f"behaviours to transfer to are those of {SMOLLM2}, and this run is of {run.card.name}")
    policies, penalty = run.policies(), run.settings.penalty

    def compute() -> pd.DataFrame:
        behaviours, training = (
            {name: run.priced_tables(name, "train") for name in names} for names in (BEHAVIOURS, run.training_tasks)
        )
        return measure_transfer(behaviours, training, policies, run.card.layers, penalty)

    return run.frame(
        "transfer",
        compute,
        measure_transfer.__module__,
        tables={
            through or "measured": run.table_hashes((*BEHAVIOURS, *run.training_tasks, CONTROL), "train", through)
            for through in (None, *ESTIMATES.values())
        },
        policies=run.training_hashes(),
        penalty=penalty,
    )


def detections(run: Run) -> pd.DataFrame:
    """Every head on every detector; see :func:`circuitlib.studies.detectors.detect`."""
    detectors = [detector for detector in DETECTORS if detector.task.name in run.tasks]
    return run.frame(
        "detections",
        lambda: detect(run.subject, detectors, closer_prompts(run), STUDY_SEED),
        detect.__module__,
        prompts=closer_prompts(run),
        tasks=list(run.tasks),
        seed=STUDY_SEED,
    )


def best_heads(run: Run) -> dict[str, list[int]]:
    """The ``PAIR_HEADS`` best heads of each main task."""
    return {
        name: head_order(head_rewards(run, name, "evaluation")[None])[:PAIR_HEADS].tolist() for name in run.main_tasks
    }


def pairs(run: Run) -> pd.DataFrame:
    """Pairs of the best heads of each main task, ablated together as the run ablates; see
    :func:`circuitlib.studies.pairs.measure_pairs`."""
    count, settings, best = closer_prompts(run), run.settings, best_heads(run)
    return run.frame_by_task(
        "pairs",
        lambda some: measure_pairs(run.subject, _of(some, best), count, STUDY_SEED, settings.ablation, settings.text),
        run.main_tasks,
        SLOW["pairs"],
        prompts=count,
        heads=best,
        seed=STUDY_SEED,
    )


def backup(run: Run) -> pd.DataFrame:
    """What later heads write more once one of the best heads is gone, or one of IOI's ``NAME_MOVERS`` strongest name movers, which the
    paper says are backed up; see :func:`circuitlib.studies.backup.measure_backup`."""
    count, best = closer_prompts(run), best_heads(run)
    if "ioi" in best:
        movers = detections(run).query("task == 'ioi' and detector == 'name mover'")
        strongest = movers.nlargest(NAME_MOVERS, "score")["head"].tolist()
        best["ioi"] += [head for head in strongest if head not in best["ioi"]]
    return run.frame_by_task(
        "backup",
        lambda some: measure_backup(run.subject, _of(some, best), count, STUDY_SEED),
        run.main_tasks,
        SLOW["backup"],
        prompts=count,
        heads=best,
        seed=STUDY_SEED,
    )


def conventions(run: Run) -> pd.DataFrame:
    """Damage of every head under both conventions, on some rows of the main tasks' evaluation tables; see
    :func:`circuitlib.studies.conventions.measure_conventions`."""
    count = closer_prompts(run)

    def measure(some: Sequence[str]) -> pd.DataFrame:
        other = run.loaded(other_than(run.card.convention))
        return measure_conventions(other, _tables(run, some), count)

    hashes = run.table_hashes(run.main_tasks, "evaluation")
    return run.frame_by_task("conventions", measure, run.main_tasks, SLOW["conventions"], tables=hashes, prompts=count)


def kinds(run: Run) -> pd.DataFrame:
    """Damage of every head under every kind of ablation, on a few rows, because all heads are swept twice, of the evaluation tables of the
    main tasks and the control text; see :func:`circuitlib.studies.kinds.measure_kinds`."""
    count, names = closer_prompts(run) // 2, (*run.main_tasks, CONTROL)
    return run.frame_by_task(
        "kinds",
        lambda some: measure_kinds(run.subject, _tables(run, some), count),
        names,
        SLOW["kinds"],
        tables=run.table_hashes(names, "evaluation"),
        prompts=count,
    )
