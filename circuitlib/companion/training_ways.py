"""Table ``training_ways``: does a policy read its rewards if it is trained otherwise than in the paper, or by others' PPO?

Forty trainings take up to an hour on two cores, so that no run makes this table by itself: ``python -m circuitlib training-ways`` does.
"""

from dataclasses import asdict
from itertools import product

import pandas as pd

from circuitlib.ablation.build import code_of
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.aside import ASIDE, is_whole
from circuitlib.companion.frames import evaluation_episodes
from circuitlib.companion.reference import reference_path, reference_provenance
from circuitlib.companion.run import Run
from circuitlib.companion.settings import KEPT, PUBLISHED
from circuitlib.manifest import as_json, made_on, remove, short_hash
from circuitlib.processes import in_processes
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.policy import save_policy
from circuitlib.studies.evaluate import MEASURED
from circuitlib.studies.seeing import Question
from circuitlib.studies.training_ways import OTHER_WAYS, PAPER, Way, WayEpisodes, measure_way, train_way

SEEDS = 5
"""Of each way; of the paper's as well, so that all are known equally well."""

REFERENCE = Way(told=True, by="MaskablePPO")
"""The paper's way, by sb3-contrib's implementation."""


def training_ways(run: Run) -> pd.DataFrame:
    """The paper's way and others, with k = 1 but for one with 2, on every task; columns of :func:`circuitlib.studies.training_ways.measure_way`."""
    tasks = {False: run.training_tasks, True: tuple(name for name in run.tasks if name != run.settings.held_out_task)}
    config, settings, seeds = run.ppo_config(1), run.settings, range(SEEDS)
    ours = (PAPER, *OTHER_WAYS)
    train = run.table_hashes((*tasks[True], CONTROL), "train")
    made_of = {"code": code_of(train_way.__module__), "tables": train, "config": asdict(config), "seeds": list(seeds)}
    made_of |= {"penalty": settings.penalty} | made_on()
    wanted = [as_json(made_of | {"way": asdict(way)}) for way in ours]
    checkpoints = [run.partial / "ppo" / f"{short_hash(one.encode())}.safetensors" for one in wanted]

    def compute() -> pd.DataFrame:
        from circuitlib.companion.maskable import reference_policy  # sb3-contrib comes with [dev]

        control = run.table(CONTROL, "train")
        sources = {
            more: TableEpisodes([run.table(name, "train") for name in names], control, settings.penalty)
            for more, names in tasks.items()
        }
        for checkpoint in checkpoints:
            is_whole(checkpoint, run.partial / ASIDE)
        jobs = [(sources[way.more], way, config, seeds, place) for way, place in zip(ours, checkpoints, strict=True)]
        policies = dict(zip(ours, in_processes(train_way, jobs), strict=True))
        source = WayEpisodes(sources[False], REFERENCE)
        theirs = in_processes(reference_policy, [(source, config, seed) for seed in seeds])
        policies[REFERENCE] = dict(zip(seeds, theirs, strict=True))
        kept = {seed: policies[REFERENCE][seed] for seed in seeds[:KEPT]}
        save_policy(kept, reference_path(run), reference_provenance(run))
        measured, pool = [count for count in MEASURED if count <= config.budget], settings.evaluation_prompts
        questions = [Question(task, evaluation_episodes(run, task).mean(1), {}, 0, pool) for task in run.tasks]
        asked = [
            (way, networks, tasks[way.more], question, measured, policies[PAPER])
            for (way, networks), question in product(policies.items(), questions)
        ]
        return pd.concat(in_processes(measure_way, asked), ignore_index=True)

    table = run.frame(
        "training_ways",
        compute,
        train_way.__module__,
        train=train,
        evaluation=run.table_hashes((*run.tasks, CONTROL), "evaluation"),
        reference=code_of("circuitlib.companion.maskable"),
        config=asdict(config),
        seeds=SEEDS,
        episodes=settings.episodes,
        penalty=settings.penalty,
    )
    for checkpoint in checkpoints:
        remove(checkpoint)  # not before: what is measured of a policy takes long, too
    return table


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """After the most heads measured."""
    return table[table["measured"] == table["measured"].max()]


def published(subject: str) -> pd.DataFrame:
    """The committed table of a published subject: no run of somebody's own trains for an hour to show it."""
    return training_ways(Run(PUBLISHED[subject]))
