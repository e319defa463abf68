"""Everyone on the axis of price: all are registered, pay for what they see, and play the same episodes; summaries, prices and figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawing import examples
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.container import ErrorbarContainer
from scipy.stats import sem, t

from circuitlib.ablation.tables import DamageTable
from circuitlib.companion import rival_figures
from circuitlib.companion.frames import say_nothing
from circuitlib.companion.learned import REAL
from circuitlib.companion.legend import MAIN, SEARCHERS, kind_of
from circuitlib.companion.run import Run
from circuitlib.companion.search_figures import LINES
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.verdicts import beats
from circuitlib.manifest import load_frame
from circuitlib.search.belief import Prior, with_few
from circuitlib.search.headwise import Headwise
from circuitlib.search.meter import Meter
from circuitlib.search.network import ActorCritic
from circuitlib.search.priced_policy import Learned
from circuitlib.search.trials import PricedTables, Trials, draw_trials
from circuitlib.studies import transfer
from circuitlib.studies.contest import DRAWS
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.studies.priced import PRICES, Player, mean_of, price_to, summarise_priced
from circuitlib.studies.priced_contest import RIVAL_ESTIMATES, players, priced_contest
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2
from circuitlib.tasks import TASKS

LAYERS, HEADS = 3, 12


@dataclass
class Everything:
    """All that a small contest is made of: three layers of four heads."""

    training: dict[str, PricedTables]
    evaluation: dict[str, PricedTables]
    policies: dict[int, dict[int, ActorCritic]]
    reference: dict[int, ActorCritic]
    learned: Learned
    behaviours: dict[str, PricedTables]

    def playing(self, training: Mapping[str, PricedTables]) -> list[Player]:
        """Everyone, knowing these tasks."""
        known = self.policies, self.reference, self.learned, self.behaviours
        return list(players(training, list(RIVAL_ESTIMATES), *known, LAYERS, 1.0))

    @cached_property
    def players(self) -> list[Player]:
        """Everyone, knowing the training tasks."""
        return self.playing(self.training)


def eager(seed: int) -> ActorCritic:
    """A network whose choices depend on what it is paid: weights far from their initial ones."""
    network = ActorCritic(2, HEADS, 8, seed)
    network.actor.weight.data *= 300
    return network


@pytest.fixture(scope="module")
def everything(make_table: Callable[..., DamageTable]) -> Everything:
    """Two training tasks, one of them and another to be tried on; estimates are of other damages than those that are measured."""

    def tables(name: str, seed: int, off: int = 0) -> PricedTables:
        def table(task: str, rows: int, of: int) -> DamageTable:
            return make_table(task, prompts=rows, seed=of, scale=0.1 if task == "control" else 1.0)

        estimates = {
            title: (3 if i != 1 else 1, table(name, 40, seed + off * (i + 1)), table("control", 32, 9 + off))
            for i, title in enumerate(RIVAL_ESTIMATES)
        }
        return PricedTables(table(name, 40, seed), table("control", 32, 9), estimates)

    return Everything(
        {name: tables(name, i) for i, name in enumerate(("induction", "ioi"))},
        {name: tables(name, 5 + i) for i, name in enumerate(("ioi", "docstring"))}
        | {"pronoun": tables("pronoun", 7, off=50)},
        {k: {seed: eager(seed) for seed in range(2)} for k in (1, 5)},
        {seed: eager(10 + seed) for seed in range(2)},
        Learned(Prior(0), {seed: Headwise(seed) for seed in range(2)}),
        {"plural": tables("plural", 11)},
    )


@pytest.fixture(scope="module")
def contest(everything: Everything) -> pd.DataFrame:
    """A small contest, on the two tasks whose estimates are the damages themselves."""
    evaluation = {name: everything.evaluation[name] for name in ("ioi", "docstring")}
    known = everything.policies, everything.reference, everything.learned, everything.behaviours
    return priced_contest(evaluation, everything.training, *known, LAYERS, 3, 1.0)


def test_everyone_is_registered_and_nobody_else(everything: Everything) -> None:
    """The players on the axis of price, those on the axis of picks, those on other behaviours, and those of the question whether they search."""
    priced = {player.name for player in everything.playing(dict.fromkeys(TASKS, everything.training["ioi"]))}
    carried = transfer.players(torch.ones(2, HEADS), everything.policies, ("induction", "ioi"), LAYERS)
    picks = {"policy k=1", "policy k=5", "static prior", "random"}
    greedy = {f"policy k={k}, greedy" for k in everything.policies}
    asked = {kind_of(searcher, shown=shown).key for searcher, shown in LINES}
    assert priced | picks | greedy | {player.name for player in carried} | asked == set(SEARCHERS)
    assert {kind.key for kind in MAIN} - priced == {"static prior"}
    in_one_figure = (
        (picks, ("title", "short", "colour")),
        (picks - {"policy k=1"}, ("marker",)),
        ({kind.key for kind in MAIN} - {"static prior"}, ("title", "colour", "marker")),
        (asked - {"list"}, ("title", "short", "colour dashes")),  # one list, or two in turns
        (asked - {key for key in asked if "in turns" in key}, ("title", "short", "colour")),
    )
    for drawn, fields in in_one_figure:
        for field in fields:
            looks = {tuple(getattr(SEARCHERS[key], one) for one in field.split()) for key in drawn}
            assert len(looks) == len(drawn), "no two look alike in one figure"
    assert len({kind.title for kind in SEARCHERS.values()}) == len(SEARCHERS) - 2, "one list is in three of these"


def play(player: Player, trials: Trials, price: int) -> Meter:
    """The meter that a player has paid."""
    meter = trials.meter(player.repeats_free)
    player.searcher.search(meter, price, torch.Generator().manual_seed(player.seed))
    return meter


@examples(few=3, many=20)
@given(price=st.sampled_from(PRICES), first=st.integers(0, 10_000), change=st.sampled_from([-1e6, 1.0, 1e6]))
def test_everyone_pays_for_what_is_seen(everything: Everything, price: int, first: int, change: float) -> None:
    """The price is that of every estimate that was bought and every pair that was measured, each time that it was, or once where that is
    free. Where other rewards stand where nothing was measured, and other estimates where none was bought, the same is done and named."""
    trials = with_few(draw_trials(everything.evaluation["pronoun"], 3, first_seed=first))
    for player in {player.name: player for player in everything.players}.values():
        meter = play(player, trials, price)
        log, count = meter.log, meter.readings().count
        again_and_again = bool(log.whole.all()) and not player.repeats_free
        pairs = torch.full((3,), log.head.shape[1] * meter.batch) if again_and_again else count.sum(1)
        bought = {name: one for name, one in trials.estimates.items() if meter.price_of(name) == 0}
        assert torch.equal(meter.price, sum(one.price for one in bought.values()) + pairs / meter.batch), player.name
        assert meter.price.max() <= price, player.name
        measured = torch.arange(meter.batch)[:, None] < count[:, None]
        others = {name: replace(one, task=change - 2 * one.task) for name, one in trials.estimates.items()}
        hidden = replace(trials, rows=trials.rows.where(measured, trials.rows + change), estimates=others | bought)
        again = play(player, hidden, price).log
        assert torch.equal(log.head, again.head), player.name
        assert torch.equal(log.answer, again.answer), player.name
        for (paid, head), (paid_again, head_again) in zip(log.names, again.names, strict=True):
            assert torch.equal(paid, paid_again), player.name
            assert torch.equal(head, head_again), player.name


def test_everyone_plays_the_same_episodes(contest: pd.DataFrame) -> None:
    assert set(contest.loc[contest["searcher"] != "exhaustive", "price"]) == set(PRICES)
    assert contest.groupby(["task", "episode"])["oracle"].nunique().eq(1).all()
    paid = contest.dropna(subset="named")
    assert (paid["named"] <= paid["oracle"] + 1e-6).all()
    exact = contest.query("searcher == 'list, normalised' and price == 20")
    assert np.allclose(exact["named"], exact["oracle"]), "all twelve heads have been measured"
    seeds = contest.groupby("searcher")["seed"].nunique()
    assert seeds["headwise"] == seeds["policy k=5"] == seeds["policy k=1, planning with 2"] == seeds["MaskablePPO"] == 2
    assert seeds["random"] == seeds["layers by training reward"] == DRAWS
    assert seeds["list, mean"] == 1
    perfect = contest.query("searcher == 'gradient, then verify' and price == 3")
    assert np.allclose(perfect["named"], perfect["oracle"]), "these estimates are the damages themselves"


def test_summary_is_the_interval_of_each_condition(contest: pd.DataFrame) -> None:
    summary = summarise_priced(contest, pool=40)
    some = contest.query("task == 'ioi' and searcher == 'policy k=5' and price == 8")
    best = some.pivot(index="seed", columns="episode", values="named").to_numpy()
    expected = fraction(best, some["oracle"].to_numpy()[:3], 40)
    row = summary.query("task == 'ioi' and searcher == 'policy k=5' and price == 8").iloc[0]
    assert row[["ratio", "low", "high"]].tolist() == pytest.approx(list(expected))
    assert row["measured_best"] == some["measured_best"].mean()
    unpaid = summary.query("searcher == 'gradient, then verify' and price == 2")
    assert unpaid["ratio"].isna().all(), "two do not buy a gradient"


def test_price_to_a_share_by_hand() -> None:
    def rows(searcher: str, ratios: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"task": "ioi", "searcher": searcher, "price": (1, 2, 3), "ratio": ratios})

    summary = pd.concat(
        [rows("falls", [0.95, 0.5, 0.96]), rows("never", [0.1, 0.2, np.nan]), rows("at once", [0.9, 1, 1])]
    )
    found = price_to(summary, 0.9)["ioi"]
    assert found["falls"] == 3
    assert np.isnan(found["never"])
    assert found["at once"] == 1
    both = rival_figures.prices_table(summary, (0.9, 0.96))["ioi"]
    assert both.to_dict() == {"falls": "3 / 3", "never": "– / –", "at once": "1 / 2"}


def test_when_training_is_paid_back_by_hand() -> None:
    """Three tasks, one of which says nothing; attribution names as much as the cheap policy at a smaller price, as much as the good one at a larger, and never as much as the best."""
    named = {
        "gradient, then verify": {3: (0.5, 0.7), 8: (0.6, 0.8), 20: (0.8, 0.9)},
        "policy k=1": {8: (0.5, 0.6)},
        "policy k=5": {8: (0.75, 0.85)},
        "headwise": {8: (0.9, 1.0)},
    }
    rows = [
        {"task": task, "searcher": searcher, "price": price, "ratio": ratio}
        for searcher, prices in named.items()
        for price, ratios in prices.items()
        for task, ratio in zip(("ioi", "docstring", "nothing"), (*ratios, 0.0), strict=True)
    ]
    training = {"policy k=1": 1000, "policy k=5": 5000, "headwise": 720}
    table = rival_figures.payback_table(pd.DataFrame(rows), training, heads=108, price=8, without=["nothing"])
    assert list(table.loc["policy k=1"]) == ["55", "1,000", "10", "3", "–"]
    assert list(table.loc["policy k=5"]) == ["80", "5,000", "50", "20", "417"]
    assert list(table.loc["headwise"])[:3] == ["95", "720", "7"]
    assert list(table.loc["headwise"].isna())[3:] == [True, True]


def test_an_exhaustive_search_costs_all_heads(contest: pd.DataFrame) -> None:
    """It names the best head, of every episode, and no price below buys that."""
    summary = summarise_priced(contest, pool=40)
    rows = summary[summary["searcher"] == "exhaustive"]
    assert rows["price"].tolist() == [HEADS, HEADS]
    assert np.allclose(rows["ratio"], 1)
    plays = contest[contest["searcher"] == "exhaustive"]
    assert np.allclose(plays["named"], plays["oracle"])
    assert set(rival_figures.prices_table(summary, (0.9, 0.99)).loc["exhaustive"]) == {"12 / 12"}
    assert "exhaustive" not in rival_figures.rival_table(summary, 8).index


def test_who_has_measured_the_best_heads(contest: pd.DataFrame) -> None:
    """Shares of episodes, by hand; none where the price buys nothing, though then none has been measured."""
    summary = summarise_priced(contest, pool=40)
    for what in ("measured_best", "recall"):
        table = rival_figures.rival_table(summary, 8, what)
        alone = rival_figures.rival_table(summary, 8, what, without=["ioi"])
        assert alone["mean"].equals(table["docstring"].rename("mean"))
        assert alone["ioi"].equals(table["ioi"])
        for task in ("ioi", "docstring"):
            some = contest.query("task == @task and searcher == 'policy k=5' and price == 8")
            assert table.loc["policy k=5", task] == pytest.approx(100 * some[what].mean())
        assert rival_figures.rival_table(summary, 2, what).loc["gradient, then verify"].isna().all()


SOME = ("random", "gradient, then verify", "headwise", "policy k=5")
"""Of the committed contest: at small prices one of them buys nothing, and another measures no head on all prompts."""


def committed(subject: str) -> tuple[Run, pd.DataFrame, list[str]]:
    """A published run, plays of some, and the tasks that count."""
    run = Run(PUBLISHED[subject])
    plays = load_frame(run.frame_path("rivals")).query("searcher in @SOME")
    return run, plays, [task for task in run.tasks if task not in say_nothing(run)]


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_means_of_every_score(subject: str) -> None:
    run, plays, counted = committed(subject)
    played: dict[tuple[str, int], dict[str, list[Any]]] = {}
    for row in plays.to_dict("records"):
        played.setdefault((row["searcher"], row["price"]), {}).setdefault(row["task"], []).append(row)
    for score in ("named", "found", "fresh"):
        table: Any = rival_figures.scores_table(plays, run.settings.evaluation_prompts, score, say_nothing(run))
        assert table.notna().sum().sum() < len(played), "a price that buys nothing"
        for (searcher, price), by_task in played.items():
            shares = []
            for rows in (by_task[task] for task in counted):
                paid = [0.0 if score == "found" and np.isnan(row["found"]) else row[score] for row in rows]
                bought = not any(np.isnan(row["named"]) for row in rows)
                shares.append(100 * sum(paid) / sum(row["oracle"] for row in rows) if bought else np.nan)
            shown = table.loc[searcher, price]
            assert shown == pytest.approx(np.mean(shares), rel=1e-5, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_how_many_of_the_best_heads_are_measured(subject: str) -> None:
    run, plays, counted = committed(subject)
    summary = summarise_priced(plays, run.settings.evaluation_prompts)
    table: Any = rival_figures.measured_table(summary, 8, say_nothing(run))
    for searcher in SOME:
        at: Any = plays.query("searcher == @searcher and price == 8").groupby("task")
        measured = {task: 100 * np.mean(at.get_group(task)["measured_best"]) for task in run.tasks}
        assert table.loc[searcher, [*run.tasks]].to_dict() == pytest.approx(measured)
        of_counted = [measured[task] for task in counted]
        five = np.mean([100 * np.mean(at.get_group(task)["recall"]) for task in counted])
        expected = [np.mean(of_counted), min(of_counted), five]
        assert table.loc[searcher, ["mean", "lowest", "five best"]].tolist() == pytest.approx(expected)
    assert rival_figures.measured_table(summary, 2).loc["gradient, then verify"].isna().all(), "two do not buy it"


@pytest.mark.parametrize(
    ("name", "of", "chosen", "show"),
    [
        ("few", ("gradient", "direct"), (8, 8), rival_figures.designs_table),
        ("taught", ("way",), ("a belief, looking ahead",), rival_figures.parts_table),
    ],
)
def test_what_was_tried_is_in_percent(
    name: str, of: tuple[str, ...], chosen: tuple[Any, ...], show: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    frame = load_frame(Run(REAL).frame_path(name))
    tried: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in frame.to_dict("records"):
        tried.setdefault(tuple(row[column] for column in of), {})[row["behaviour"]] = 100 * row["named"]
    table: Any = show(frame)
    assert [*table.index] == [key if len(key) > 1 else key[0] for key in tried]
    for (_, shown), (key, named) in zip(table.iterrows(), tried.items(), strict=True):
        values = np.array([*named.values()])
        more = values - np.array([*tried[chosen].values()])
        low, high = t.interval(0.95, len(values) - 1, values.mean(), sem(values))
        assert shown[["named", "low", "high"]].tolist() == pytest.approx([values.mean(), low, min(high, 100)])
        assert (shown["least"], shown["worst"]) == (pytest.approx(min(values)), min(named, key=named.__getitem__))
        ends = t.interval(0.95, len(more) - 1, more.mean(), sem(more)) if key != chosen else (0, 0)
        assert shown[["ahead", "ahead_low", "ahead_high"]].tolist() == pytest.approx([more.mean(), *ends])
    if name == "few":
        assert table["price"].tolist() == frame.groupby([*of], sort=False)["price"].first().tolist(), "no share"
        assert table.index.names == ["gradient on", "direct effect on"]


def test_the_figure_draws_the_summary(contest: pd.DataFrame) -> None:
    summary = summarise_priced(contest, pool=40)
    figure = rival_figures.rivals_chart(summary.sample(frac=1, random_state=0).sort_values("task", ascending=False))
    axes = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in axes] == ["IOI", "docstring"]
    kinds = [kind for kind in MAIN if kind.key != "static prior"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [kind.title for kind in kinds]
    for axis, task in zip(axes, ("ioi", "docstring"), strict=True):
        series = [some for some in axis.containers if isinstance(some, ErrorbarContainer)]
        for some, price in zip(series, rival_figures.SHOWN, strict=True):
            rows = summary[(summary["task"] == task) & (summary["price"] == price)].set_index("searcher")
            expected = rows.reindex([kind.key for kind in kinds])
            assert some.get_label() == f"at price {price}"
            drawn = np.ma.filled(np.ma.asarray(some[0].get_xydata()), np.nan)
            np.testing.assert_allclose(drawn[:, 0], expected["ratio"])
            assert drawn[:, 1].round().tolist() == [*range(len(kinds))], "each in its own row"
            ends = np.array([segment[:, 0] for segment in some[2][0].get_segments() if len(segment)])
            np.testing.assert_allclose(ends, expected[["low", "high"]].dropna())
            assert axis.get_xlim()[0] < np.nanmin(expected["low"]), "nothing leaves the axes"
            assert axis.get_xlim()[1] >= np.nanmax(expected["high"])
    table = rival_figures.rival_table(summary, 8)
    ratios = 100 * summary.query("searcher == 'random' and price == 8")["ratio"].to_numpy()
    shown = table.loc[["random"], ["ioi", "docstring", "mean", "lowest"]].to_numpy()[0]
    np.testing.assert_allclose(shown, [*ratios, ratios.mean(), ratios.min()])


def test_gains_over_others_are_paired_intervals(contest: pd.DataFrame) -> None:
    table = rival_figures.gains_over(contest, "headwise", ("policy k=5", "list, mean"), 8, 40)
    silent: Any = rival_figures.gains_over(contest, "headwise", ("policy k=5", "list, mean"), 8, 40, without=["ioi"])
    assert set(silent.loc["ioi"]) == {"–"}
    assert silent.loc["docstring"].to_dict() == table.loc["docstring"].to_dict()
    at = contest.query("task == 'ioi' and price == 8")
    mine, theirs, listed = (
        at[at["searcher"] == name].pivot(index="seed", columns="episode", values="named").to_numpy()
        for name in ("headwise", "policy k=5", "list, mean")
    )
    oracle = at[at["searcher"] == "list, mean"].sort_values("episode")["oracle"].to_numpy()
    for name, others in (("policy k=5", theirs), ("list, mean", np.repeat(listed, 2, axis=0))):
        value, low, high = fraction(mine, oracle, 40, against=others)
        expected = f"{100 * value:z.0f} ({100 * low:z.0f} to {100 * high:z.0f}) {beats(low, high)}"
        assert table.loc["ioi", name] == expected


def test_seeds_of_another_number_count_whole(contest: pd.DataFrame) -> None:
    """A rival with a seed more than the one: its mean is over all of them."""
    third = contest.query("searcher == 'policy k=5' and seed == 0")
    more = pd.concat([contest, third.assign(seed=2, named=0.0)])
    at = more.query("task == 'ioi' and price == 8")
    mine, theirs = (
        at[at["searcher"] == name].pivot(index="seed", columns="episode", values="named").to_numpy()
        for name in ("headwise", "policy k=5")
    )
    oracle = at[at["searcher"] == "list, mean"].sort_values("episode")["oracle"].to_numpy()
    table = rival_figures.gains_over(more, "headwise", ["policy k=5"], 8, 40)
    value = (mine.mean() - theirs.mean()) / oracle.mean()
    assert str(table.loc["ioi", "policy k=5"]).startswith(f"{100 * value:z.0f} (")
    assert fraction(mine, oracle, 40, against=theirs).value == pytest.approx(value)


def test_the_mean_of_independent_intervals() -> None:
    """Of normal estimates: by simulation, and by hand where there is one."""
    one = Interval(0.3, 0.1, 0.6)
    assert mean_of([one]) == pytest.approx(one)
    half = np.array([0.1, 0.3, 0.6])
    value, low, high = mean_of([Interval(x, x - h, x + h) for x, h in zip((1.0, 2.0, 6.0), half, strict=True)])
    assert value == pytest.approx(3.0)
    draws = np.random.default_rng(0).normal(0, half / 1.959964, (400_000, 3)).mean(1)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([low - 3, high - 3], abs=2e-3)
    weighted = mean_of([Interval(x, x - h, x + h) for x, h in zip((1.0, 2.0, 6.0), half, strict=True)], [1, 2, 5])
    assert weighted.value == pytest.approx((1 + 2 * 2 + 5 * 6) / 8)
    assert weighted.high - weighted.value == pytest.approx(np.sqrt(0.1**2 + 0.6**2 + 3.0**2) / 8)
