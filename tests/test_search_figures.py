"""The figures of "does it search?" draw what their tables say, for subjects of any shape."""

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.container import ErrorbarContainer

mpl.use("Agg")

from circuitlib.ablation.tables import CONTROL, load_table
from circuitlib.companion import search_figures
from circuitlib.companion.frames import evaluation_episodes
from circuitlib.companion.legend import kind_of
from circuitlib.companion.planted import BLINDED, LEARNED
from circuitlib.companion.rival_figures import errs_table
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.verdicts import gains
from circuitlib.manifest import load_frame
from circuitlib.studies.reading import SHOWN, play
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


IN_TURNS = ("induction's ten and IOI's, in turns", "IOI's ten and induction's, in turns")


def rows_of(tasks: tuple[str, ...] = ("docstring", "induction")) -> pd.DataFrame:
    """A replay of random numbers, in random order."""
    rng, rows = np.random.default_rng(0), []
    for task in tasks:
        conditions = [(searcher, 0, "none", "none") for searcher in ("random", "layers in order", *IN_TURNS)]
        conditions += [("policy", k, told, shown) for k in (1, 5) for told in ("none", "ioi") for shown in SHOWN]
        for searcher, k, told, shown in conditions:
            for measured in (1, 2, 10, 20, 50):
                low, ratio, high = np.sort(rng.random(3))
                effect_low, effect, effect_high = np.sort(rng.normal(size=3)) / 20
                rows.append(
                    (task, searcher, k, told, shown, measured, ratio, low, high, effect, effect_low, effect_high)
                )
    columns = ["task", "searcher", "trained_k", "told", "shown", "measured", "ratio", "low", "high"]
    frame = pd.DataFrame(rows, columns=[*columns, "effect", "effect_low", "effect_high"])
    return frame.sample(frac=1, random_state=0)


@pytest.mark.parametrize("k", [1, 5])
def test_replay_curves(k: int) -> None:
    rows = rows_of()
    figure = search_figures.replay_curves(rows, trained_k=k)
    for axis in figure.axes:
        of_task = rows[(rows["task"] == axis.get_title().partition("\n")[0]) & (rows["told"] == "none")]
        lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in axis.lines}
        assert {"in turns, induction first", "in turns, IOI first"} <= set(lines)
        for key in search_figures.LINES:
            label = kind_of(key[0], shown=key[1]).short
            keys = pd.Series(zip(of_task["searcher"], of_task["shown"], strict=True), of_task.index)
            drawn = of_task[(keys == key) & of_task["trained_k"].isin([0, k])].sort_values("measured")
            assert (label in lines) == bool(len(drawn)), "what was not measured is not drawn"
            if len(drawn):
                assert np.allclose(lines[label], drawn[["measured", "ratio"]])


def test_effects() -> None:
    rows = rows_of()
    figure = search_figures.effects(rows, (-20, 20))
    assert figure.axes[0].get_xlim() == (-20, 20)
    by = rows[rows["trained_k"] == 5].set_index(["shown", "measured", "task", "told"])
    assert [axis.get_title() for axis in figure.axes] == ["over zeros", "over turned signs"]
    for axis, shown in zip(figure.axes, ("blind", "flipped"), strict=True):
        series = [some for some in axis.containers if isinstance(some, ErrorbarContainer)]
        labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        places = dict(zip(labels, figure.axes[0].get_yticks(), strict=True))
        assert len(labels) == 4
        for some, measured in zip(series, (10, 20, 50), strict=True):
            points = np.asarray(some[0].get_xydata())
            ends = np.array([segment[:, 0] for segment in some[2][0].get_segments()])
            assert len(points) == 4
            for (x, y), (low, high) in zip(points, ends, strict=True):
                (label,) = (name for name, place in places.items() if abs(place - y) < 0.3)
                task, _, told = label.replace("nothing", "none").partition(", told ")
                row = by.loc[[(shown, measured, *(name.lower() for name in (task, told)))]].iloc[0]
                assert 100 * row["effect"] == pytest.approx(x)
                assert (low, high) == pytest.approx((100 * row["effect_low"], 100 * row["effect_high"]))


def test_gain_table() -> None:
    rows = rows_of()
    table = search_figures.gain_table(rows)
    assert list(table.columns) == [10, 20, 50]
    assert len(table) == 4
    by = rows[(rows["shown"] == "blind") & (rows["trained_k"] == 5)].set_index(["task", "told", "measured"])
    for key, line in table.iterrows():
        for measured, cell in line.items():
            row = by.loc[[(*key, measured)]].iloc[0]  # type: ignore[misc]
            numbers, _, word = cell.partition(") ")
            value, low, high = (float(x) for x in numbers.replace("(", "").replace("to ", "").split())
            assert 100 * row["effect"] == pytest.approx(value, abs=0.051)
            assert (low, high) == pytest.approx((100 * row["effect_low"], 100 * row["effect_high"]), abs=0.051)
            assert word == gains(row["effect_low"], row["effect_high"], row["ratio"])


def test_a_gain_that_rounds_to_nothing_is_equal() -> None:
    rows = rows_of(("docstring",)).query("shown == 'blind' and told == 'none' and trained_k == 5")
    gained = {10: (0.0, -0.0002, 0.0004), 20: (0.0, -0.0006, 0.0), 50: (0.0, 0.0, 0.0)}
    for measured, gain in gained.items():
        rows.loc[rows["measured"] == measured, ["effect", "effect_low", "effect_high"]] = gain
    (line,) = search_figures.gain_table(rows.assign(ratio=0.5)).to_numpy().tolist()
    assert line == ["equal, gains nothing", "0.0 (-0.1 to 0.0) gains nothing", "equal, gains nothing"]
    (ceiling,) = search_figures.gain_table(rows.assign(ratio=1.0)).to_numpy().tolist()
    assert ceiling[-1] == "equal, at the ceiling"


@pytest.mark.parametrize(("layers", "across"), [(7, 5), (30, 9)])
def test_first_picks(layers: int, across: int) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(layers * across), size=3)
    figure = search_figures.first_picks(probabilities, across, ["a", "b", "c"])
    for axis, values, title in zip(figure.axes, probabilities, "abc", strict=False):
        mesh = axis.collections[0]
        grid = np.asarray(mesh.get_array())
        assert np.allclose(grid, values.reshape(layers, across))
        assert mesh.get_clim() == (0, probabilities.max()), "one scale"
        assert axis.get_title() == title


def test_planted_curves() -> None:
    rng = np.random.default_rng(0)
    sources = [(0.3, 0.0), (3.0, 0.0), (10.0, 0.0), (3.0, 0.1), (3.0, 0.4)]
    rows = [(*one, shown, n, *np.sort(rng.random(3))) for one in sources for shown in SHOWN[:3] for n in (20, 50)]
    columns = ["scale", "noise", "shown", "measured", "low", "ratio", "high"]
    planted = pd.DataFrame(rows, columns=columns)
    scales, noises = search_figures.planted_curves(planted, LEARNED, BLINDED).axes
    for axis, column, wanted in ((scales, "scale", [0.3, 3.0, 10.0]), (noises, "noise", [0.0, 0.1, 0.4])):
        series = [some for some in axis.containers if isinstance(some, ErrorbarContainer)]
        for some, shown in zip(series, ("seeing", "blind", "flipped"), strict=True):
            points = np.asarray(some[0].get_xydata())
            assert points[:, 0].tolist() == wanted
            chosen = planted[(planted["shown"] == shown) & (planted["measured"] == 50)]
            chosen = chosen[chosen["noise"] == 0] if column == "scale" else chosen[chosen["scale"] == 3.0]
            assert np.allclose(points[:, 1], chosen.sort_values(column)["ratio"])
        bars = [np.asarray(line.get_ydata())[0] for line in axis.lines if line.get_color() == "black"]
        assert bars == [LEARNED, BLINDED]


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_what_was_played_and_which_heads_are_shared(subject: str) -> None:
    run = Run(PUBLISHED[subject])
    seen: Any = load_frame(run.frame_path("seeing")).query("task == 'docstring' and told == 'none'")
    for what in ("ratio", "best_head"):
        table: Any = search_figures.played_table(load_frame(run.frame_path("seeing")), "docstring", what, everyone=True)
        assert list(table.columns) == [1, 5, 10, 20, 50]
        for k, shown in ((5, "blind"), (1, "seeing")):
            of = seen[(seen["searcher"] == "policy") & (seen["trained_k"] == k) & (seen["shown"] == shown)]
            found = of.set_index("measured")[what]
            assert table.loc[(f"policy k={k}", shown)].tolist() == pytest.approx((100 * found[table.columns]).tolist())
    heads: Any = load_frame(run.frame_path("heads")).set_index(["task", "head"])
    rewards = heads.loc["docstring", "reward"].sort_values(ascending=False)
    shared: Any = search_figures.shared_heads(run, "docstring")
    assert shared.index.tolist() == [*(run.card.head_name(head) for head in rewards.index[:5]), "any other"]
    assert shared["pays, % of the best"].tolist()[:5] == pytest.approx(
        (100 * rewards.iloc[:5] / rewards.iloc[0]).tolist()
    )
    order = heads.loc["ioi", "reward"].sort_values(ascending=False).index.tolist()
    assert shared["rank on IOI"].tolist()[:5] == [order.index(head) + 1 for head in rewards.index[:5]]
    paid = evaluation_episodes(run, "docstring").mean(1)
    best = [run.card.head_name(int(head)) for head in paid.argmax(1)]
    assert shared["is the best"].to_dict() == pytest.approx(
        {name: 100 * best.count(name) / len(best) for name in shared.index[:5]}
        | {"any other": 100 * sum(name not in shared.index for name in best) / len(best)}
    )
    nothing, counted = torch.zeros(len(run.training_tasks)), dict.fromkeys(shared.index, 0)
    for seed, network in run.kept_policies()[5].items():
        for measured in play(network, nothing, paid, seed, "blind", plays=5).head.tolist():
            for episode, order in enumerate(measured):
                name = run.card.head_name(max(order[:10], key=paid[episode].tolist().__getitem__))
                counted[name if name in counted else "any other"] += 1
    total = sum(counted.values())
    assert total == 4 * 5 * len(paid)
    assert shared["found in 10, blind"].to_dict() == pytest.approx({k: 100 * n / total for k, n in counted.items()})


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_where_estimates_rank_the_best_head(subject: str) -> None:
    run = Run(PUBLISHED[subject])
    table: Any = errs_table(run)
    assert list(table.index) == [*run.tasks]
    for task in run.tasks:
        general = load_table(run.table_path(CONTROL, "evaluation")).damage.mean(0)
        truth = load_table(run.table_path(task, "evaluation")).damage.mean(0) - general
        assert table.loc[task, "best head"] == run.card.head_name(int(truth.argmax()))
        assert table.loc[task, "reward"] == pytest.approx(truth.max().item(), rel=1e-4)
        estimate, estimated = (
            load_table(run.table_path(name, "evaluation", "everything")).damage.float().mean(0)
            for name in (task, CONTROL)
        )
        order = (estimate - estimated).argsort(descending=True).tolist()
        assert table.loc[task, "rank by gradient"] == order.index(int(truth.argmax())) + 1


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_what_policies_find_by_how_they_were_trained(subject: str) -> None:
    run = Run(PUBLISHED[subject])
    played = load_frame(run.frame_path("training_ways")).to_dict("records")
    for measured in (10, 50):
        table: Any = search_figures.found_by_way(load_frame(run.frame_path("training_ways")), measured)
        seen = [row for row in played if row["shown"] == "seeing" and row["measured"] == measured]
        assert [*table.columns] == [*run.tasks]
        assert table.size == len(seen)
        for row in seen:
            ends = (100 * row[end] for end in ("ratio", "low", "high"))
            assert table.loc[row["way"], row["task"]] == "{:.0f} ({:.0f} to {:.0f})".format(*ends)


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_other_gains_are_all_but_the_main_one(subject: str) -> None:
    rows = load_frame(Run(PUBLISHED[subject]).frame_path("seeing"))
    table = search_figures.other_gains(rows)
    parts: Any = table.groupby(level=["trained_k", "searcher", "over"], sort=False)
    seen = set()
    for (k, searcher, over), part in parts:
        (shown,) = [name for name, said in search_figures.HIDDEN.items() if said == over]
        of = rows[(rows["shown"] == shown) & (rows["searcher"] == searcher) & (rows["trained_k"] == k)]
        wanted = search_figures.gain_table(of.assign(shown="blind", searcher="policy", trained_k=5))
        assert part.droplevel(["trained_k", "searcher", "over"]).to_dict() == wanted.to_dict()
        seen.add((searcher, k, shown))
    played = rows[rows["effect"].notna()][["searcher", "trained_k", "shown"]].drop_duplicates()
    assert seen == {*played.itertuples(index=False, name=None)} - {("policy", 5, "blind")}
    assert [*dict.fromkeys(table.index.get_level_values("trained_k"))] == [5, 1]


def test_variants_stand_only_in_tables_of_everyone() -> None:
    """Otherwise rows are of the headline's policy, and of what is no policy."""
    for task in ("docstring", "ioi"):
        rows = load_frame(Run().frame_path("seeing"))
        shown = search_figures.played_table(rows, task)
        everyone = search_figures.played_table(rows, task, everyone=True)
        assert {name for name, _ in shown.index if "policy" in name} == {"policy k=5"}
        assert {row for row in everyone.index if "policy" not in row[0]} < {*shown.index}
        assert {name for name, _ in everyone.index} - {name for name, _ in shown.index} == search_figures.VARIANTS
        assert everyone.loc[shown.index].equals(shown)


def test_first_picks_are_the_networks() -> None:
    run = Run()
    first = search_figures.first_probabilities(run)
    assert [*first] == [f"seed {seed}" for seed in range(4)]
    for seed, network in run.kept_policies()[5].items():
        with torch.no_grad():
            logits, _ = network(torch.zeros(1, 2 + 2 * 144))
        assert first[f"seed {seed}"] == pytest.approx(logits.softmax(-1)[0].numpy(), abs=1e-6)


def test_spread() -> None:
    """As over so many heads: of evenly spread picks all of them, of certain ones one."""
    assert search_figures.spread(np.full((2, 8), 1 / 8)) == pytest.approx(8)
    assert search_figures.spread(np.eye(8)[:3]) == pytest.approx(1)
    assert search_figures.spread(np.array([[0.5, 0.5, 0, 0], [1.0, 0, 0, 0]])) == pytest.approx(1.5)
