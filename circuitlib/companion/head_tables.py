"""Which heads matter, what they do and what they are together, as tables for reading."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from scipy.special import stdtrit

from circuitlib.ablation.estimates import Through
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion import frames, show
from circuitlib.companion.figures import RANKINGS, WIDEST
from circuitlib.companion.ledger_tables import ABLATIONS
from circuitlib.companion.paper import best_head_share, mechrl
from circuitlib.companion.run import Run
from circuitlib.search.oracle import best_head, best_reward
from circuitlib.studies.detectors import DETECTORS
from circuitlib.studies.pairs import SUPERADDITIVE

BESIDE_ZEROS = {"mean": ABLATIONS["mean"], "resample": ABLATIONS["resample"], "again": "zeros, other prompts"}
"""What damage by zeros is compared with, columns of :func:`circuitlib.companion.frames.kinds`, in words."""

WAYS: dict[str, Through | None] = {
    "measured": None,
    "gradient": "everything",
    "norms and patterns held": "frozen",
    "direct effect": "residual",
}
"""How a reward is measured or estimated, in words."""

LOOKS = {"name mover": "looks at IO", "S-inhibition": "looks at the second S"}
"""Detectors of heads that look from the end of an IOI prompt at one of its names, as titles of columns."""


def spread_table(heads: pd.DataFrame, counted: float, bars: tuple[float, float], least: int) -> pd.DataFrame:
    """A row per task: its best head's reward, as a share of the clean metric; how many heads reach the share ``counted``; whether the best one's share is between the
    bars and the heads are ``least`` or more.

    heads: of :func:`circuitlib.companion.frames.heads`."""
    shares = heads.groupby("task", sort=False)["share"]
    best, above = shares.max(), (heads["share"] >= counted).groupby(heads["task"], sort=False).sum()
    within = best.between(*bars) & (above >= least)
    return pd.DataFrame({"best head's share": best, f"heads above {counted:.0%}": above, "within the bars": within})


def best_table(run: Run, count: int) -> pd.DataFrame:
    """A row per rank, a column per task: the names of its ``count`` best heads, and in a last row the layers that they are in, from below."""
    top = frames.heads(run).query("rank <= @count")
    names = top.assign(name=top["head"].map(run.card.head_name)).pivot(index="rank", columns="task", values="name")
    layers = (top.sort_values("head")["head"] // run.card.heads_per_layer).astype(str).groupby(top["task"])
    return pd.concat([names, layers.agg(" ".join).to_frame("layers").T.rename_axis("rank")])[list(run.tasks)]


def oracle_table(run: Run) -> pd.DataFrame:
    """A row per main task: what the oracle finds in an episode, in the metric's unit; the head that is most often the best of an episode, in what share of the episodes it is,
    and that share in the paper's episodes, of another model."""
    rows, papers = [], mechrl()["heads_20_policy_10_oracle_episodes"]
    for task in run.main_tasks:
        rewards = frames.evaluation_episodes(run, task).mean(1)
        counts = best_head(rewards).bincount()
        ours: dict[str, Any] = {
            "task": task,
            "oracle, mean reward": best_reward(rewards).mean().item(),
            "most often best": run.card.head_name(int(counts.argmax())),
            "share of episodes": counts.max().item() / len(rewards),
        }
        rows.append(ours | {"paper's share (GPT-2)": best_head_share(task)[0] if task in papers else None})
    return pd.DataFrame(rows)


def conventions_table(conventions: pd.DataFrame) -> pd.DataFrame:
    """A row per task: how alike heads are ordered by damage under the two conventions, how many of the ten best are the same, and how far a head's two damages are apart at most.

    conventions: of :func:`circuitlib.companion.frames.conventions`."""
    rows = []
    for task, both in conventions.groupby("task", sort=False):
        row = {"task": task, "rank correlation": both["folded"].corr(both["raw"], method="spearman")}
        row["of the ten best, shared"] = _shared(both, "folded", "raw", 10)
        rows.append(row | {"largest difference (logits)": (both["folded"] - both["raw"]).abs().max()})
    return pd.DataFrame(rows)


def kinds_table(kinds: pd.DataFrame) -> pd.DataFrame:
    """A row per task, the control text among them, and ablation beside zeros, or other prompts: how alike heads are ordered by damage, how many of the five best are the same,
    and the mean damage of the five best by zeros under both, in the task's unit.

    kinds: of :func:`circuitlib.companion.frames.kinds`."""
    rows = []
    for task, of_task in kinds.groupby("task", sort=False):
        for kind, name in BESIDE_ZEROS.items():
            row = {"damage to": task, "beside zeros": name}
            row["rank correlation"] = of_task["zero"].corr(of_task[kind], method="spearman")
            row["of the five best, shared"] = _shared(of_task, "zero", kind, 5)
            sizes = of_task.nlargest(5, "zero")[["zero", kind]].mean()
            rows.append(row | {"their mean damage, zeros": sizes["zero"], "so ablated": sizes[kind]})
    return pd.DataFrame(rows)


def _shared(damages: pd.DataFrame, one: str, other: str, count: int) -> int:
    """How many of the ``count`` best heads by one column are among those by another."""
    best, others = (set(damages.nlargest(count, of)["head"]) for of in (one, other))
    return len(best & others)


def literature_table() -> pd.DataFrame:
    """A row per group of the heads that Wang et al. 2022 name for IOI: each with its rank in the paper's oracle order of GPT-2 small's heads, and their median."""
    published, task = mechrl(), "ioi"
    episodes = published["heads_20_policy_10_oracle_episodes"][task]
    ranks = pd.Series(episodes["rank_of_literature_heads_in_oracle_order"])
    groups = {name: heads for name, heads in published["literature_heads_gpt2_small"][task].items() if name != "source"}
    return pd.DataFrame(
        {
            "group (Wang et al. 2022)": [name.replace("_", " ") for name in groups],
            "head (rank)": [", ".join(f"{head} ({ranks[head]})" for head in heads) for heads in groups.values()],
            "median rank": [ranks[heads].median() for heads in groups.values()],
        }
    )


def detected(run: Run) -> pd.DataFrame:
    """A row per detector and head: columns of :func:`circuitlib.companion.frames.detections` and of :func:`circuitlib.companion.frames.heads` on the detector's task, and the head's name."""
    scores = frames.detections(run).merge(frames.heads(run), on=["task", "head"])
    return scores.assign(name=scores["head"].map(run.card.head_name))


def detectors_table(scores: pd.DataFrame, count: int) -> pd.DataFrame:
    """A row per detector: what it reads and on which task, its ``count`` strongest heads with score and rank by reward, and how alike score and reward order all heads.

    scores: of :func:`detected`."""
    rows, reads = [], {detector.name: detector.reads for detector in DETECTORS}
    for (detector, task), heads in scores.groupby(["detector", "task"], sort=False):
        best = heads.nlargest(count, "score")[["name", "score", "rank"]].itertuples(index=False)
        strongest = ", ".join("{} ({:.2f}, rank {})".format(*head) for head in best)
        row = {
            "class": detector,
            "reads": reads[str(detector)],
            "on": task,
            "strongest (score, rank by reward)": strongest,
        }
        rows.append(row | {"rank correlation": heads["score"].corr(heads["reward"], method="spearman")})
    return pd.DataFrame(rows)


def looking_table(scores: pd.DataFrame, least: float) -> pd.DataFrame:
    """A row per head that looks from the end of an IOI prompt at one of its names with more than ``least`` of its attention, from the first layer on: reward (logits) and rank, attention to either,
    and the shares of names that it copies and suppresses.

    scores: of :func:`detected`."""
    of_ioi = scores.query("task == 'ioi'")
    wide = of_ioi.pivot(index=["head", "name", "reward", "rank"], columns="detector", values="score")
    wide = wide.loc[wide[[*LOOKS]].max(axis=1) > least, [*LOOKS, "copies names", "suppresses names"]]
    return wide.rename(columns=LOOKS).reset_index().drop(columns="head").set_index("name")


def pairs_table(run: Run, pairs: pd.DataFrame) -> pd.DataFrame:
    """A row per main task and whether two heads are in one layer or two: how many of the pairs of its best heads are redundant, surely so (at 95% for all pairs together), and overlap, and their mean
    interaction (logits).

    pairs: of :func:`circuitlib.companion.frames.pairs`."""
    larger = pairs[["damage_first", "damage_second"]].max(axis=1)
    reach = pairs["error"] * stdtrit(frames.closer_prompts(run) - 1, 1 - 0.025 / len(pairs))
    counted = {
        "redundant": pairs["excess"] > 0,
        "surely": pairs["excess"] > reach,
        "overlap": pairs["interaction"] < -SUPERADDITIVE * larger,
    }
    first, second = (pairs[which] // run.card.heads_per_layer for which in ("first", "second"))
    layers = (first == second).map({True: "one", False: "two"})
    by = pairs.assign(layers=layers, **counted).groupby(["task", "layers"], sort=False)
    counts = {"pairs": by.size(), **{name: by[name].sum() for name in counted}}
    return pd.DataFrame(counts | {"mean interaction (logits)": by["interaction"].mean()})


def backup_counts(backup: pd.DataFrame) -> pd.DataFrame:
    """A row per task: how many heads were knocked out, after how many of them later heads write more and less, by the interval of each, and means of what these heads write, of what is lost without them,
    and of what later heads write more (logits).

    backup: of :func:`circuitlib.companion.frames.backup`."""
    rows = backup.assign(more=backup["low"] > 0, less=backup["high"] < 0).groupby("task", sort=False)
    counts = {"knocked out": rows.size(), "later heads write more": rows["more"].sum(), "less": rows["less"].sum()}
    titles = {"direct": "direct effect", "damage": "damage", "later": "later"}
    return pd.DataFrame(counts | {f"{title}, mean (logits)": rows[of].mean() for of, title in titles.items()})


def ioi_backup_table(run: Run) -> pd.DataFrame:
    """A row per head knocked out on IOI: its attention to the indirect object; its direct effect, its damage, and how much more later heads write without it, with its 95% interval; and which of
    these gains most, empty where there is none, and how much (logits)."""
    rows = frames.backup(run).query("task == 'ioi'")
    movers = frames.detections(run).query("task == 'ioi' and detector == 'name mover'").set_index("head")["score"]
    names = {head: run.card.head_name(head) for head in range(run.card.heads)}
    return pd.DataFrame(
        {
            "head": rows["head"].map(names),
            LOOKS["name mover"]: rows["head"].map(movers),
            "direct": rows["direct"],
            "damage": rows["damage"],
            "later": show.with_intervals(rows[["later", "low", "high"]], 2),
            "the one that gains most": rows["most"].map(names),
            "by": rows["gain"],
        }
    )


def hindering_table(run: Run, task: str) -> pd.DataFrame:
    """A row per way of measuring or estimating what heads pay, of the layer whose heads hinder a task most in sum, as measured: their sum, and what the lowest and the highest of them pay (logits).
    Of a main task also as measured on fewer prompts, with zeros and with something else in their place (:func:`circuitlib.companion.frames.kinds`)."""
    across = run.card.heads_per_layer
    by_way = {
        way: frames.head_rewards(run, task, "evaluation", through).unflatten(0, (-1, across))
        for way, through in WAYS.items()
    }
    if task in run.main_tasks:
        damage = frames.kinds(run).pivot(index="head", columns="task")
        for kind, words in ABLATIONS.items():
            paid = damage[kind, task] - run.settings.penalty * damage[kind, CONTROL]
            by_way[f"on fewer prompts, {words} in place"] = torch.tensor(paid.tolist()).unflatten(0, (-1, across))
    layer = int(by_way["measured"].sum(1).argmin())
    rows = []
    for way, rewards in by_way.items():
        sizes = {"sum (logits)": rewards[layer].sum().item()}
        sizes |= {"lowest head": rewards[layer].min().item(), "highest head": rewards[layer].max().item()}
        rows.append({"subject": run.title, "layer": layer, "way": way} | sizes)
    return pd.DataFrame(rows).set_index(["subject", "layer"])


def circuits_table(shares: pd.DataFrame, what: str, sizes: Sequence[int]) -> pd.DataFrame:
    """A row per task, ablation and number of heads, a column per order of heads: the share of the score that these heads alone keep (``what`` is ``kept``), or that is lost without them (``lost``), in percent,
    with its 95% interval, unless that is so wide that it says nothing.

    shares: of :func:`circuitlib.studies.faithfulness.shares`."""
    rows = shares.query("what == @what and heads in @sizes")
    cells = show.with_intervals(100 * rows[["share", "low", "high"]], 0)
    cells = cells.mask(rows["high"] - rows["low"] > WIDEST, "not to be told")
    wide = rows.assign(cell=cells).pivot(index=["task", "ablation", "heads"], columns="ranking", values="cell")
    return wide.rename(columns=lambda key: RANKINGS.get(key, (key,))[0])
