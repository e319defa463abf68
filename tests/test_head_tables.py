"""The tables of heads say what their frames do, read in another way."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr, t

from circuitlib.companion import frames
from circuitlib.companion import head_tables as tables
from circuitlib.companion.circuits import circuits, policy_circuits
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import REFERENCE
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2

BOTH = pytest.mark.parametrize("run", [Run(PUBLISHED[name]) for name in (EMBEDDED, SMOLLM2)], ids=[EMBEDDED, SMOLLM2])


def by_task(run: Run, name: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a committed frame."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in load_frame(run.frame_path(name)).to_dict("records"):
        found.setdefault(str(row["task"]), []).append({str(key): value for key, value in row.items()})
    return found


def best(rows: list[dict[str, Any]], by: str, count: int) -> list[int]:
    return [row["head"] for row in sorted(rows, key=lambda row: -row[by])[:count]]


def values(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows]


def named(run: Run, head: int) -> str:
    layer, column = divmod(head, run.card.heads_per_layer)
    return f"L{layer}.H{column}"


@BOTH
def test_how_a_task_is_spread(run: Run) -> None:
    table: Any = tables.spread_table(frames.heads(run), counted=0.05, bars=(0.1, 0.7), least=5)
    measured = by_task(run, "heads")
    assert [*table.index] == [*measured]
    for task, rows in measured.items():
        shares = values(rows, "share")
        above = sum(share >= 0.05 for share in shares)
        assert table.loc[task].tolist() == [max(shares), above, 0.1 <= max(shares) <= 0.7 and above >= 5]
    assert {*table["within the bars"]} == {True, False}, "the bars tell tasks apart"
    most = int(table["heads above 5%"].max())
    more: Any = tables.spread_table(frames.heads(run), counted=0.05, bars=(0.0, np.inf), least=most)
    assert [*more.index[more["within the bars"]]] == [*table.index[table["heads above 5%"] == most]]


@BOTH
def test_the_best_heads(run: Run) -> None:
    table: Any = tables.best_table(run, 10)
    assert [*table.columns] == [*run.tasks]
    assert [*table.index] == [*range(1, 11), "layers"]
    for task, rows in by_task(run, "heads").items():
        heads = best(rows, "reward", 10)
        layers = sorted(head // run.card.heads_per_layer for head in heads)
        assert table[task].tolist() == [*(named(run, head) for head in heads), " ".join(map(str, layers))]


@BOTH
def test_the_oracle_of_episodes(run: Run) -> None:
    table: Any = tables.oracle_table(run).set_index("task")
    paper = json.loads((REFERENCE / "mechrl_v1.json").read_text())["heads_20_policy_10_oracle_episodes"]
    oracle: Any = load_frame(run.frame_path("evaluation")).drop_duplicates(["task", "episode"]).groupby("task")
    assert [*table.index] == [*run.main_tasks]
    for task, row in table.iterrows():
        rewards = frames.evaluation_episodes(run, task).double().mean(1).numpy()
        ((head, times),) = Counter(rewards.argmax(1).tolist()).most_common(1)
        assert row["oracle, mean reward"] == pytest.approx(oracle.get_group(task)["oracle"].mean(), rel=1e-5)
        assert row["most often best"] == named(run, head)
        assert row["share of episodes"] == pytest.approx(times / run.settings.episodes)
        if task in paper:
            counts = paper[task]["policy_best_head_counts"].values()
            assert row["paper's share (GPT-2)"] == max(counts) / sum(counts)
    assert table["paper's share (GPT-2)"].notna().sum() == len({*paper} & {*run.main_tasks}) > 0


@BOTH
def test_conventions(run: Run) -> None:
    table: Any = tables.conventions_table(frames.conventions(run)).set_index("task")
    measured = by_task(run, "conventions")
    assert [*table.index] == [*measured]
    for task, rows in measured.items():
        folded, raw = values(rows, "folded"), values(rows, "raw")
        alike = spearmanr(folded, raw).statistic
        shared = len({*best(rows, "folded", 10)} & {*best(rows, "raw", 10)})
        largest = np.abs(np.subtract(folded, raw)).max()
        assert table.loc[task].tolist() == pytest.approx([alike, shared, largest])


@BOTH
def test_what_takes_a_heads_place(run: Run) -> None:
    table: Any = tables.kinds_table(frames.kinds(run)).set_index(["damage to", "beside zeros"])
    kinds = {"means": "mean", "another prompt's": "resample", "zeros, other prompts": "again"}
    measured = by_task(run, "kinds")
    assert [*table.index] == [(task, kind) for task in measured for kind in kinds]
    for (task, title), row in table.iterrows():
        rows, kind = measured[task], kinds[title]
        top = best(rows, "zero", 5)
        sizes = [np.mean([one[name] for one in rows if one["head"] in top]) for name in ("zero", kind)]
        alike = spearmanr(values(rows, "zero"), values(rows, kind)).statistic
        assert row.tolist() == pytest.approx([alike, len({*top} & {*best(rows, kind, 5)}), *sizes])


def test_where_the_literatures_heads_stand() -> None:
    paper = json.loads((REFERENCE / "mechrl_v1.json").read_text())
    groups = {name: of for name, of in paper["literature_heads_gpt2_small"]["ioi"].items() if name != "source"}
    ranks = paper["heads_20_policy_10_oracle_episodes"]["ioi"]["rank_of_literature_heads_in_oracle_order"]
    table = tables.literature_table()
    assert len(table) == len(groups) > 3
    for row, (group, heads) in zip(table.itertuples(index=False), groups.items(), strict=True):
        assert row[0] == group.replace("_", " ")
        assert dict(cell.removesuffix(")").split(" (") for cell in row[1].split(", ")) == {
            head: str(ranks[head]) for head in heads
        }
        assert row[2] == np.median([ranks[head] for head in heads])


@BOTH
def test_detectors(run: Run) -> None:
    rewards = {task: {row["head"]: row["reward"] for row in rows} for task, rows in by_task(run, "heads").items()}
    scores, shown = load_frame(run.frame_path("detections")), tables.detected(run)
    assert len(shown) == len(scores)
    table: Any = tables.detectors_table(shown, 3).set_index("class")
    assert [*table.index] == [*scores["detector"].unique()]
    for detector, rows in scores.groupby("detector"):
        (task,) = {*rows["task"]}
        of_task = rewards[task]
        ranked = sorted(of_task, key=lambda head: -of_task[head])
        pairs = sorted(zip(rows["score"], rows["head"], strict=True), key=lambda pair: (-pair[0], pair[1]))
        words = [f"{named(run, head)} ({score:.2f}, rank {1 + ranked.index(head)})" for score, head in pairs[:3]]
        assert table.loc[detector, "on"] == task
        assert table.loc[detector, "strongest (score, rank by reward)"] == ", ".join(words)
        alike = spearmanr(rows["score"], rows["head"].map(of_task)).statistic
        assert table.loc[detector, "rank correlation"] == pytest.approx(alike)
    assert table.loc["S-inhibition", "reads"] == "attention from END to S2"
    assert table.loc["suppresses names", "reads"] == "5 largest logits of minus the OV circuit"


@BOTH
def test_heads_that_look_at_names(run: Run) -> None:
    of_ioi = by_task(run, "detections")["ioi"]
    score = {(row["detector"], row["head"]): row["score"] for row in of_ioi}
    rows = by_task(run, "heads")["ioi"]
    ranked = best(rows, "reward", len(rows))
    for least in (1 / 3, 1 / 2):
        table: Any = tables.looking_table(tables.detected(run), least)
        heads = [
            head for head in range(len(rows)) if max(score["name mover", head], score["S-inhibition", head]) > least
        ]
        assert [*table.index] == [named(run, head) for head in heads]
        assert len(heads) > 0
        for head in heads:
            row = table.loc[named(run, head)]
            read = {
                "looks at IO": "name mover",
                "looks at the second S": "S-inhibition",
                "copies names": "copies names",
                "suppresses names": "suppresses names",
            }
            assert [row[title] for title in read] == [score[detector, head] for detector in read.values()]
            assert (row["reward"], row["rank"]) == (pytest.approx(rows[head]["reward"]), 1 + ranked.index(head))


@BOTH
def test_pairs(run: Run) -> None:
    pairs = load_frame(run.frame_path("pairs"))
    table: Any = tables.pairs_table(run, pairs)
    measured = by_task(run, "pairs")
    tried = sum(map(len, measured.values()))
    bar = t.ppf(1 - 0.05 / (2 * tried), run.settings.evaluation_prompts // 10 - 1)
    counted = 0
    for (task, layers), shown in table.iterrows():
        rows = [
            row
            for row in measured[task]
            if (named(run, row["first"]).split(".")[0] == named(run, row["second"]).split(".")[0]) == (layers == "one")
        ]
        larger = [max(row["damage_first"], row["damage_second"]) for row in rows]
        together = [row["damage_both"] - row["damage_first"] - row["damage_second"] for row in rows]
        both = [*zip(together, larger, strict=True)]
        assert shown.tolist() == pytest.approx(
            [
                len(rows),
                sum(more > 0.1 * most for more, most in both),
                sum(row["excess"] / row["error"] > bar for row in rows),
                sum(more < -0.1 * most for more, most in both),
                np.mean(together),
            ],
            rel=1e-4,
            abs=1e-5,
        )
        counted += len(rows)
    assert counted == tried
    for sure, times in ((0, 0.99), (tried, 1.01)):
        near = pairs.assign(error=pairs["excess"].abs() / (times * bar), excess=pairs["excess"].abs())
        assert tables.pairs_table(run, near)["surely"].sum() == sure, "on either side of the bar"


@BOTH
def test_backup(run: Run) -> None:
    counts: Any = tables.backup_counts(frames.backup(run))
    measured = by_task(run, "backup")
    assert [*counts.index] == [*measured]
    for task, rows in measured.items():
        means = [np.mean(values(rows, name)) for name in ("direct", "damage", "later")]
        more, less = sum(row["low"] > 0 for row in rows), sum(row["high"] < 0 for row in rows)
        assert counts.loc[task].tolist() == pytest.approx([len(rows), more, less, *means])


@BOTH
def test_backup_on_ioi(run: Run) -> None:
    table, rows = tables.ioi_backup_table(run), by_task(run, "backup")["ioi"]
    looks = {row["head"]: row["score"] for row in by_task(run, "detections")["ioi"] if row["detector"] == "name mover"}
    assert len(table) == len(rows)
    for shown, row in zip(table.to_dict("records"), rows, strict=True):
        later_layers = row["head"] < run.card.heads - run.card.heads_per_layer
        assert shown == {
            "head": named(run, row["head"]),
            "looks at IO": looks[row["head"]],
            "direct": row["direct"],
            "damage": row["damage"],
            "later": f"{row['later']:z.2f} ({row['low']:z.2f} to {row['high']:z.2f})",
            "the one that gains most": named(run, row["most"]) if later_layers else pytest.approx(np.nan, nan_ok=True),
            "by": row["gain"],
        }


@BOTH
def test_the_layer_that_hinders(run: Run) -> None:
    table: Any = tables.hindering_table(run, "ioi").reset_index().set_index("way")
    ways = {
        "measured": None,
        "gradient": "everything",
        "norms and patterns held": "frozen",
        "direct effect": "residual",
    }
    kinds = {
        "on fewer prompts, zeros in place": "zero",
        "on fewer prompts, means in place": "mean",
        "on fewer prompts, another prompt's in place": "resample",
    }
    assert [*table.index] == [*ways, *kinds]
    measured: Any = load_frame(run.frame_path("heads")).query("task == 'ioi'")
    sums = measured.groupby(measured["head"] // run.card.heads_per_layer)["reward"].sum()
    assert {*table["layer"]} == {sums.idxmin()}
    assert {*table["subject"]} == {run.title}
    assert table.loc["measured", "sum (logits)"] == pytest.approx(sums.min(), rel=1e-4)
    heads = slice(sums.idxmin() * run.card.heads_per_layer, (sums.idxmin() + 1) * run.card.heads_per_layer)
    for way, through in ways.items():
        task, control = (run.table(name, "evaluation", through=through).damage for name in ("ioi", "control"))  # type: ignore[arg-type]
        rewards = (task.double().mean(0) - run.settings.penalty * control.double().mean(0)).numpy()[heads]
        of_way = table.loc[way, ["sum (logits)", "lowest head", "highest head"]].tolist()
        assert of_way == pytest.approx([rewards.sum(), rewards.min(), rewards.max()], rel=1e-3, abs=1e-5)
    damage: Any = load_frame(run.frame_path("kinds")).set_index(["task", "head"])
    for way, kind in kinds.items():
        paid = (damage.loc["ioi", kind] - run.settings.penalty * damage.loc["control", kind]).to_numpy()[heads]
        of_way = table.loc[way, ["sum (logits)", "lowest head", "highest head"]].tolist()
        assert of_way == pytest.approx([paid.sum(), paid.min(), paid.max()], rel=1e-5, abs=1e-6)
    if run.card.name == EMBEDDED:
        assert (table.loc[[*kinds], "highest head"] < 0).all(), "as the notebook says, no artefact of zeros"


@BOTH
def test_circuits(run: Run) -> None:
    titles = {
        "damage": "by reward",
        "attribution": "by attribution",
        "policy": "in the policy's order",
        "random": "at random",
    }
    for measured, orders in ((circuits(run), ("damage", "attribution", "random")), (policy_circuits(run), ("policy",))):
        for what in ("kept", "lost"):
            table: Any = tables.circuits_table(measured, what, sizes=(1, 50))
            assert {*table.columns} == {titles[order] for order in orders}
            assert {*table.index.get_level_values("heads")} == {1, 50}
            rows = [row for row in measured.to_dict("records") if row["what"] == what and row["heads"] in (1, 50)]
            assert table.size == len(rows)
            for row in rows:
                cell = table.loc[(row["task"], row["ablation"], row["heads"]), titles[row["ranking"]]]
                low, share, high = (100 * row[name] for name in ("low", "share", "high"))
                known = f"{share:z.0f} ({low:z.0f} to {high:z.0f})"
                assert cell == ("not to be told" if high - low > 500 else known)
            for width, cells in ((4.99, {"0 (0 to 499)"}), (5.01, {"not to be told"})):
                wide = tables.circuits_table(measured.assign(share=0.0, low=0.0, high=width), what, sizes=(1, 50))
                assert {*wide.to_numpy().flat} == cells, "on either side of what is too wide"
