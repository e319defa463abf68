"""The tables that the notebooks show, each a function of a run: measured once, stored with a manifest.

Columns are described where a table is made; every table is about the run's subject alone.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import torch

from circuitlib.ablation.hooks import hooked_control, hooked_task
from circuitlib.ablation.sweep import engine
from circuitlib.companion.detectors import detect
from circuitlib.companion.run import Run
from circuitlib.companion.settings import CANDIDATES, HELD_OUT_TASK, TRAINING_TASKS
from circuitlib.search.evaluate import Entry, draw_episodes, evaluate
from circuitlib.search.oracle import head_order
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.subjects.card import Convention
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import CONTROL, Part
from circuitlib.tasks.prose import prose_paragraphs
from circuitlib.workshop.pretrain import encode_prose, held_out_spans

MAIN_TASKS = (*TRAINING_TASKS, HELD_OUT_TASK)


FURTHER_TASKS = tuple(task for task in TASKS if task not in MAIN_TASKS)
"""Behaviours the paper does not use: three more tries of transfer to a task never trained on."""


PAIR_HEADS = 12


STUDY_SEED = 3
"""The seed of prompts that no damage table uses."""


PIPELINE = (
    "ablation", "control", "corpus", "damage", "decoder", "detectors", "env", "evaluate", "oracle", "ppo",
    "products", "rewards", "searchers", "studies", "subjects", "tasks",
)  # fmt: skip


def report_prompts(run: Run) -> int:
    """Prompts a task on which a behaviour is reported, twice those of a table: 320 in the default run."""
    return 2 * run.settings.evaluation_prompts


def closer_prompts(run: Run) -> int:
    """Prompts a task for what needs a forward pass each: a tenth of a table's, 16 in the default run."""
    return run.settings.evaluation_prompts // 10


def head_rewards(run: Run, task: str, part: Part) -> torch.Tensor:
    """The mean reward ``[heads]`` of each head over all rows of a task's and the control's tables."""
    return run.table(task, part).damage.mean(0) - run.table(CONTROL, part).damage.mean(0)


def behaviours(run: Run) -> pd.DataFrame:
    """Does the subject do the tasks? Columns: task, metric, prompts, right (share of prompts with a
    positive metric), mean (of the metric), and the last row ``prose``: next-token loss in nats."""

    def compute() -> pd.DataFrame:
        rows = []
        for name, task in TASKS.items():
            scores = []
            for prompts in task.prompts(run.subject.tokenizer, report_prompts(run), STUDY_SEED):
                scores.append(hooked_task(run.subject, prompts, task.metric, [()])[:, 0])
            score = torch.cat(scores)
            rows.append(
                (
                    name,
                    task.metric.name,
                    len(score),
                    (score > 0).float().mean().item(),
                    score.mean().item(),
                )
            )
        tokenizer = run.subject.tokenizer
        spans = held_out_spans(
            encode_prose(tokenizer, prose_paragraphs("held_out")), tokenizer.bos_token_id
        )
        loss = hooked_control(run.subject, spans, [()]).mean().item()
        rows.append(("prose", "next-token loss", len(spans), float("nan"), loss))
        return pd.DataFrame(rows, columns=["task", "metric", "prompts", "right", "mean"])

    code = ("ablation", "corpus", "pretrain", "studies", "subjects", "tasks")
    return run.frame("behaviours", compute, code, prompts=report_prompts(run))


def heads(run: Run) -> pd.DataFrame:
    """Every head on every task, over the evaluation tables. Columns: task, head, damage (task metric),
    general (nats), reward, share (reward as a share of the mean clean metric), rank (1 is best)."""
    tables = [f"damage_{task}_evaluation.safetensors" for task in (*TASKS, CONTROL)]

    def compute() -> pd.DataFrame:
        general = run.table(CONTROL, "evaluation").damage.mean(0)
        frames = []
        for task in TASKS:
            table = run.table(task, "evaluation")
            reward = head_rewards(run, task, "evaluation")
            rank = torch.empty_like(reward)
            rank[head_order(reward[None])] = torch.arange(1.0, len(reward) + 1)
            frames.append(
                pd.DataFrame(
                    {
                        "task": task, "head": range(run.subject.heads), "damage": table.damage.mean(0).numpy(),
                        "general": general.numpy(), "reward": reward.numpy(),
                        "share": (reward / table.clean.mean()).numpy(), "rank": rank.int().numpy(),
                    }
                )
            )  # fmt: skip
        return pd.concat(frames, ignore_index=True)

    for task in (*TASKS, CONTROL):
        run.table(task, "evaluation")
    return run.frame("heads", compute, PIPELINE, tables=run.hashes(*tables))


def evaluation(run: Run) -> pd.DataFrame:
    """Every searcher on the same episodes of every task; see :func:`circuitlib.search.evaluate.evaluate`.

    On a training task policies are told the task; on the others they are told nothing and, on the
    held-out task of the paper, also each of the training tasks. The static prior and random search
    stand beside them: told a task, the prior is that task's order; told nothing, the order by the mean
    over both training tasks.
    """
    tables = [f"damage_{task}_evaluation.safetensors" for task in (*TASKS, CONTROL)]
    tables += [f"damage_{task}_train.safetensors" for task in (*TRAINING_TASKS, CONTROL)]
    policies = run.policies()
    signals = {"none": torch.zeros(len(TRAINING_TASKS))}
    training = {task: head_rewards(run, task, "train") for task in TRAINING_TASKS}
    priors = {"none": head_order(torch.stack(list(training.values())))}
    for i, task in enumerate(TRAINING_TASKS):
        signals[task] = torch.eye(len(TRAINING_TASKS))[i]
        priors[task] = head_order(training[task][None])

    def entries(signal: str) -> list[Entry]:
        found = [Entry(RandomSearcher(), "none", seed) for seed in range(run.settings.seeds)]
        found.append(Entry(StaticPrior(priors[signal]), signal))
        for trained, network in policies.items():
            for index, seed in enumerate(network.seeds):
                for planned in CANDIDATES:
                    searcher = PolicySearcher(network.of_seed(index), signals[signal], planned)
                    found.append(Entry(searcher, signal, seed, trained, planned))
        return found

    def compute() -> pd.DataFrame:
        frames = []
        for task in TASKS:
            episodes = draw_episodes(
                run.table(task, "evaluation"),
                run.table(CONTROL, "evaluation"),
                run.settings.episodes,
            )
            if task in TRAINING_TASKS:
                told = [task]
            else:
                told = list(signals) if task == HELD_OUT_TASK else ["none"]
            for i, signal in enumerate(told):
                some = [e for e in entries(signal) if i == 0 or e.searcher.name != "random"]
                frames.append(evaluate(task, episodes, some))
        return pd.concat(frames, ignore_index=True)

    for task in TASKS:
        run.table(task, "evaluation")
    return run.frame(
        "evaluation", compute, PIPELINE, settings={"episodes": run.settings.episodes},
        results=run.hashes(*tables, *(f"policy_k{k}.safetensors" for k in CANDIDATES)),
    )  # fmt: skip


def detections(run: Run) -> pd.DataFrame:
    """Every head on every attention detector; see :func:`circuitlib.companion.detectors.detect`."""
    return run.frame(
        "detections",
        lambda: detect(run.subject, closer_prompts(run), STUDY_SEED),
        ("detectors", "studies", "subjects", "tasks"),
        prompts=closer_prompts(run),
    )


def pairs(run: Run) -> pd.DataFrame:
    """Pairs of the ``PAIR_HEADS`` best heads of each main task, ablated together, by hooks.

    Columns: task, first, second (heads), damage_first, damage_second, damage_both, and interaction =
    both - first - second: above zero where the two back each other up. Task damage, in logits."""
    table = heads(run)

    def compute() -> pd.DataFrame:
        frames = []
        for task in MAIN_TASKS:
            best = table[(table["task"] == task) & (table["rank"] <= PAIR_HEADS)].sort_values(
                "rank"
            )
            top = [int(head) for head in best["head"]]
            sets: list[tuple[int, ...]] = [(), *((head,) for head in top), *combinations(top, 2)]
            metrics = [
                hooked_task(run.subject, prompts, TASKS[task].metric, sets)
                for prompts in TASKS[task].prompts(
                    run.subject.tokenizer, closer_prompts(run), STUDY_SEED
                )
            ]
            means = torch.cat(metrics).double().mean(0)
            damage = {
                heads_: (means[0] - mean).item() for heads_, mean in zip(sets, means, strict=True)
            }
            for first, second in combinations(top, 2):
                one, two, both = damage[first,], damage[second,], damage[first, second]
                frames.append((task, first, second, one, two, both, both - one - two))
        columns = [
            "task",
            "first",
            "second",
            "damage_first",
            "damage_second",
            "damage_both",
            "interaction",
        ]
        return pd.DataFrame(frames, columns=columns)

    inputs = {"heads": run.hashes("heads.csv"), "prompts": closer_prompts(run)}
    return run.frame("pairs", compute, PIPELINE, **inputs)


def conventions(run: Run) -> pd.DataFrame:
    """Damage of every head under both conventions, on the same prompts. Columns: task, head, folded,
    raw (task damage in logits)."""

    def compute() -> pd.DataFrame:
        damages: dict[Convention, list[np.ndarray]] = {"folded": [], "raw": []}
        for convention, columns in damages.items():
            subject = load_subject(run.settings.subject, convention)
            ablate = engine(subject)
            for task in MAIN_TASKS:
                swept = [
                    ablate.task(prompts, TASKS[task].metric)
                    for prompts in TASKS[task].prompts(
                        subject.tokenizer, closer_prompts(run), STUDY_SEED
                    )
                ]
                damage = torch.cat([clean[:, None] - ablated for clean, ablated in swept])
                columns.append(damage.mean(0).numpy())
        return pd.DataFrame(
            {
                "task": np.repeat(MAIN_TASKS, run.subject.heads),
                "head": np.tile(range(run.subject.heads), len(MAIN_TASKS)),
                "folded": np.concatenate(damages["folded"]),
                "raw": np.concatenate(damages["raw"]),
            }
        )

    return run.frame(
        "conventions", compute, ("ablation", "decoder", "products", "studies", "subjects", "tasks")
    )
