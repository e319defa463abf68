"""The tables that the notebooks show, each a function of a run: measured once, stored with a manifest.

Columns are described where a table is made; every table is about the run's subject alone.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.build import SEEDS, ablation_of, measure_rows
from circuitlib.ablation.hooks import HOOKED, hooked_control, hooked_task
from circuitlib.ablation.hooks import run as run_hooked
from circuitlib.ablation.tables import reward
from circuitlib.companion.detectors import detect
from circuitlib.companion.run import Run
from circuitlib.companion.settings import CANDIDATES
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.evaluate import MEASURED, Entry, draw_episodes, evaluate
from circuitlib.search.oracle import head_order
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.subjects.beginning import NOTHING as NOTHING_FIRST
from circuitlib.subjects.beginning import beginning
from circuitlib.subjects.card import Convention
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.base import encode_texts
from circuitlib.tasks.control_text import CONTROL, SPAN, Part, control_paragraphs
from circuitlib.tasks.prose import held_out_spans

PAIR_HEADS = 12
"""Best heads of a task that are ablated in pairs."""

BEGINNINGS = {SMOLLM2: ("<|im_start|>",)}
"""What prompts could begin with as well: SmolLM2's file names the chat marker as its BOS."""

STUDY_SEED = 3
"""The seed of prompts that no damage table uses."""


def closer_prompts(run: Run) -> int:
    """Prompts per task for what needs a forward pass per head: a tenth of a table's, 16 in the default run."""
    return run.settings.evaluation_prompts // 10


def head_rewards(run: Run, task: str, part: Part) -> Float[Tensor, " heads"]:
    """The mean reward of each head over all rows of a task's and the control's tables."""
    damage, general = (run.table(name, part).damage.mean(0) for name in (task, CONTROL))
    return reward(damage, general, run.settings.penalty)


def _table_hashes(run: Run, names: Sequence[str], part: Part) -> dict[str, str]:
    for name in names:
        run.table(name, part)
    return run.hashes(*(run.table_path(name, part).name for name in names))


def behaviours(run: Run) -> pd.DataFrame:
    """Does the subject do the tasks? On twice as many prompts as an evaluation table has. Columns: task, metric,
    prompts, right (share of prompts with a positive metric), mean (of the metric), and the last row ``prose``:
    next-token loss in nats."""
    count = 2 * run.settings.evaluation_prompts

    def rows() -> Iterator[tuple[str, str, int, float, float]]:
        tokenizer = run.subject.tokenizer
        for name in run.tasks:
            task = TASKS[name]
            groups = task.prompts(tokenizer, count, STUDY_SEED)
            score = torch.cat([hooked_task(run.subject, g, task.metric, [()])[:, 0] for g in groups])
            right = (score > 0).double().mean().item()
            yield name, task.metric.name, len(score), right, score.mean().item()
        spans = held_out_spans(tokenizer)
        loss = hooked_control(run.subject, spans, [()]).mean().item()
        yield "prose", "next-token loss", len(spans), float("nan"), loss

    def compute() -> pd.DataFrame:
        return pd.DataFrame(rows(), columns=["task", "metric", "prompts", "right", "mean"])

    return run.frame("behaviours", compute, __name__, prompts=count, tasks=list(run.tasks))


def sizes(run: Run) -> pd.DataFrame:
    """The subject's sizes, columns what and is."""

    def compute() -> pd.DataFrame:
        from transformers import AutoModelForCausalLM

        config = run.subject.bridge.cfg
        with torch.device("meta"):  # the bridge's own parameters hold some weights twice
            plain = AutoModelForCausalLM.from_config(run.subject.bridge.original_model.config)
        found = {
            "layers": run.card.layers,
            "heads per layer": run.card.heads_per_layer,
            "heads of keys and values": config.n_key_value_heads or config.n_heads,
            "width": config.d_model,
            "width of a head": config.d_head,
            "vocabulary": config.d_vocab,
            "context": config.n_ctx,
            "parameters": plain.num_parameters(),
        }
        return pd.DataFrame(found.items(), columns=["what", "is"])

    return run.frame("sizes", compute, __name__)


def beginnings(run: Run) -> pd.DataFrame:
    """What hangs on what prompts begin with: as the run's do, with another token, with none.

    Columns: bos, loss (nats, clean, of the same tokens of control text each time), task (the main ones), clean (mean
    metric over the evaluation prompts), right (share of them with a positive metric), and, over some of them,
    rank_correlation of the heads' damages and shared_5 (of the five heads that do most damage, those that are the same)
    with the run's own."""
    count, spans = closer_prompts(run), run.settings.rows(True, "evaluation")
    others = [*BEGINNINGS.get(run.settings.subject, ()), NOTHING_FIRST]
    others = [bos for bos in others if bos != run.card.bos]

    def rows() -> Iterator[tuple[object, ...]]:
        text = run.settings.text
        paragraphs = encode_texts(run.subject.with_bos(NOTHING_FIRST).tokenizer, control_paragraphs(text))
        tokens = torch.tensor([ids[: SPAN - 1] for ids in paragraphs if len(ids) >= SPAN - 1][:spans])
        for subject in (run.subject, *map(run.subject.with_bos, others)):
            loss = _loss(subject, tokens)
            for name in run.main_tasks:
                task, recipe, table = TASKS[name], run.recipe(name, "evaluation"), run.table(name, "evaluation")
                chosen = recipe.some_rows(count)
                own = damage = table.damage[chosen].mean(0)
                clean = table.clean
                if subject is not run.subject:
                    damage = measure_rows(subject, recipe, chosen).damage.mean(0)
                    groups = task.prompts(subject.tokenizer, recipe.count, SEEDS[recipe.part])
                    clean = torch.cat([hooked_task(subject, g, task.metric, [()])[:, 0] for g in groups])
                correlation = pd.Series(damage).rank().corr(pd.Series(own).rank())
                shared = set(damage.topk(5).indices.tolist()) & set(own.topk(5).indices.tolist())
                right = (clean > 0).double().mean().item()
                yield subject.card.bos, loss, name, clean.mean().item(), right, correlation, len(shared)

    def compute() -> pd.DataFrame:
        columns = ["bos", "loss", "task", "clean", "right", "rank_correlation", "shared_5"]
        return pd.DataFrame(rows(), columns=columns)

    tables = _table_hashes(run, run.main_tasks, "evaluation")
    return run.frame("beginnings", compute, __name__, tables=tables, others=others, prompts=count, spans=spans)


def _loss(subject: Subject, tokens: Int[Tensor, "n pos"]) -> float:
    """The mean loss (nats) of these tokens but the first, after what the subject's prompts begin with."""
    losses, first = [], torch.tensor(beginning(subject.tokenizer), dtype=tokens.dtype)
    for some in tokens.split(HOOKED):
        begun = torch.cat([first.expand(len(some), -1), some], dim=1)
        logits = run_hooked(subject.bridge, begun)[:, len(first) : -1]
        losses.append(F.cross_entropy(logits.mT, some[:, 1:], reduction="none").mean(1))
    return torch.cat(losses).mean().item()


def heads(run: Run) -> pd.DataFrame:
    """Every head on every task, over the evaluation tables. Columns: task, head, damage (task metric),
    general (nats), reward, share (reward as a share of the mean clean metric), rank (1 is best)."""

    def of(task: str) -> pd.DataFrame:
        table, control = (run.table(name, "evaluation") for name in (task, CONTROL))
        rewards = head_rewards(run, task, "evaluation")
        columns = {"damage": table.damage.mean(0), "general": control.damage.mean(0), "reward": rewards}
        columns["share"] = rewards / table.clean.mean()
        names = {"task": task, "head": range(run.card.heads)}
        return pd.DataFrame(names | {name: values.numpy() for name, values in columns.items()})

    def compute() -> pd.DataFrame:
        return pd.concat(map(of, run.tasks), ignore_index=True)

    tables = _table_hashes(run, (*run.tasks, CONTROL), "evaluation")
    frame = run.frame("heads", compute, __name__, tables=tables, penalty=run.settings.penalty)
    # Not stored: heads that are equal to rounding may change places on another processor.
    rank = frame.groupby("task")["reward"].rank(method="first", ascending=False)
    return frame.assign(rank=rank.astype(int))


def evaluation_episodes(run: Run, task: str) -> Float[Tensor, "episodes batch heads"]:
    """The rows of a task's evaluation episodes, the same for every searcher; their means are the rewards."""
    table, control = (run.table(name, "evaluation") for name in (task, CONTROL))
    return draw_episodes(table, control, run.settings.episodes, run.settings.penalty)


def evaluation(run: Run) -> pd.DataFrame:
    """Every searcher on the same episodes of every task; see :func:`circuitlib.search.evaluate.evaluate`.

    On a training task policies are told the task; on the others they are told nothing and, on the
    held-out task of the paper, also each of the training tasks. The static prior and random search
    stand beside them: told a task, the prior is that task's order; told nothing, the order by the mean
    over all training tasks. All go on until all heads are measured, policies beyond the picks of their training.
    """
    trained_on = run.training_tasks
    policies = run.policies()
    signals = {told: signal_of(trained_on, told) for told in (NOTHING, *trained_on)}
    training = {task: head_rewards(run, task, "train") for task in trained_on}
    priors = {task: head_order(rewards[None]) for task, rewards in training.items()}
    priors[NOTHING] = head_order(torch.stack(list(training.values())))

    def entries(signal: str) -> Iterator[Entry]:
        yield Entry(StaticPrior(priors[signal]), signal)
        for trained, networks in policies.items():
            for seed, network in networks.items():
                for planned in CANDIDATES:
                    searcher = PolicySearcher(network, signals[signal], planned)
                    yield Entry(searcher, signal, seed, trained, planned)

    def of(task: str) -> Iterator[pd.DataFrame]:
        told = [task] if task in trained_on else [NOTHING]
        if task == run.settings.held_out_task:
            told = list(signals)
        episodes = evaluation_episodes(run, task)
        random = [Entry(RandomSearcher(), seed=seed) for seed in range(run.settings.seeds)]
        for i, signal in enumerate(told):
            compared = [*random, *entries(signal)] if i == 0 else entries(signal)
            yield evaluate(task, episodes, compared, (*MEASURED, run.card.heads))

    def compute() -> pd.DataFrame:
        return pd.concat([frame for task in run.tasks for frame in of(task)], ignore_index=True)

    return run.frame(
        "evaluation",
        compute,
        __name__,
        settings={"episodes": run.settings.episodes, "penalty": run.settings.penalty},
        tables={
            "evaluation": _table_hashes(run, (*run.tasks, CONTROL), "evaluation"),
            "train": _table_hashes(run, (*trained_on, CONTROL), "train"),
        },
        policies=run.hashes(*(run.policy_path(k).name for k in CANDIDATES)),
    )


def detections(run: Run) -> pd.DataFrame:
    """Every head on every detector; see :func:`circuitlib.companion.detectors.detect`."""
    return run.frame(
        "detections",
        lambda: detect(run.subject, run.tasks, closer_prompts(run), STUDY_SEED),
        "circuitlib.companion.detectors",
        prompts=closer_prompts(run),
        tasks=list(run.tasks),
        seed=STUDY_SEED,
    )


def pairs(run: Run) -> pd.DataFrame:
    """Pairs of the ``PAIR_HEADS`` best heads of each main task, ablated together as the run ablates, by hooks.

    Columns: task, first, second (heads), damage_first, damage_second, damage_both, and interaction =
    both - first - second: above zero where the two back each other up. Task damage, in logits."""

    def rows() -> Iterator[tuple[str, int, int, float, float, float, float]]:
        ablation = ablation_of(run.settings.ablation, run.subject.tokenizer, run.settings.text)
        for name in run.main_tasks:
            task = TASKS[name]
            top = head_order(head_rewards(run, name, "evaluation")[None])[:PAIR_HEADS].tolist()
            sets: list[tuple[int, ...]] = [(), *((head,) for head in top), *combinations(top, 2)]
            groups = task.prompts(run.subject.tokenizer, closer_prompts(run), STUDY_SEED)
            scores = torch.cat([hooked_task(run.subject, g, task.metric, sets, ablation) for g in groups])
            means = scores.double().mean(0)
            damage = dict(zip(sets, (means[0] - means).tolist(), strict=True))
            for first, second in combinations(top, 2):
                one, two, both = damage[first,], damage[second,], damage[first, second]
                yield name, first, second, one, two, both, both - one - two

    def compute() -> pd.DataFrame:
        damages = ["damage_first", "damage_second", "damage_both"]
        return pd.DataFrame(rows(), columns=["task", "first", "second", *damages, "interaction"])

    tables = _table_hashes(run, (*run.main_tasks, CONTROL), "evaluation")
    inputs = {"prompts": closer_prompts(run), "heads": PAIR_HEADS, "penalty": run.settings.penalty, "seed": STUDY_SEED}
    return run.frame("pairs", compute, __name__, tables=tables, **inputs)


def conventions(run: Run) -> pd.DataFrame:
    """Damage of every head under both conventions, on the same rows of the evaluation tables. Columns: task, head,
    folded, raw (task damage in logits)."""
    own = run.card.convention
    other: Convention = "raw" if own == "folded" else "folded"
    count = closer_prompts(run)

    def compute() -> pd.DataFrame:
        subject, parts = load_subject(run.settings.subject, other, bos=run.settings.bos), []
        for name in run.main_tasks:
            recipe = run.recipe(name, "evaluation")
            chosen = recipe.some_rows(count)
            damages = {own: run.table(name, "evaluation").damage[chosen]}
            damages[other] = measure_rows(subject, recipe, chosen).damage
            means = {convention: damages[convention].mean(0).numpy() for convention in ("folded", "raw")}
            parts.append(pd.DataFrame({"task": name, "head": range(run.card.heads)} | means))
        return pd.concat(parts, ignore_index=True)

    tables = _table_hashes(run, run.main_tasks, "evaluation")
    return run.frame("conventions", compute, __name__, tables=tables, prompts=count)
