"""Everyone on the axis of price: all that the figure draws is played, summaries and prices against brute force, the figure's numbers."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from circuitlib.ablation.tables import DamageTable
from circuitlib.companion import rival_figures
from circuitlib.companion.legend import RIVALS
from circuitlib.companion.verdicts import beats
from circuitlib.search.belief import ESTIMATES, Prior
from circuitlib.search.headwise import Headwise
from circuitlib.search.network import ActorCritic
from circuitlib.search.priced_policy import Learned
from circuitlib.search.trials import PricedTables
from circuitlib.studies.contest import DRAWS
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.studies.priced import PRICES, price_to, summarise_priced
from circuitlib.studies.priced_contest import priced_contest


@pytest.fixture(scope="module")
def contest(make_table: Callable[..., DamageTable]) -> pd.DataFrame:
    """A small contest: two training tasks, one of them and another to be tried on; three layers of four heads."""

    def tables(name: str, seed: int) -> PricedTables:
        def table(task: str, rows: int, of: int) -> DamageTable:
            return make_table(task, prompts=rows, seed=of, scale=0.1 if task == "control" else 1.0)

        estimates = {
            title: (3 - 2 * i, table(name, 40, seed), table("control", 32, 9)) for i, title in enumerate(ESTIMATES)
        }
        return PricedTables(table(name, 40, seed), table("control", 32, 9), estimates)

    training = {name: tables(name, i) for i, name in enumerate(("induction", "ioi"))}
    evaluation = {name: tables(name, 5 + i) for i, name in enumerate(("ioi", "docstring"))}
    policies = {k: {seed: ActorCritic(2, 12, 8, seed) for seed in range(2)} for k in (1, 5)}
    learned = Learned(Prior(0), {seed: Headwise(seed) for seed in range(2)})
    behaviours = {"plural": tables("plural", 11)}
    return priced_contest(evaluation, training, policies, learned, behaviours, layers=3, episodes=3, penalty=1.0)


def test_everyone_plays_the_same_episodes(contest: pd.DataFrame) -> None:
    assert {kind.key for kind in RIVALS} <= set(contest["searcher"])
    assert set(contest["price"]) == set(PRICES)
    assert contest.groupby(["task", "episode"])["oracle"].nunique().eq(1).all()
    paid = contest.dropna(subset="named")
    assert (paid["named"] <= paid["oracle"] + 1e-6).all()
    exact = contest.query("searcher == 'list, normalised' and price == 20")
    assert np.allclose(exact["named"], exact["oracle"]), "all twelve heads have been measured"
    seeds = contest.groupby("searcher")["seed"].nunique()
    assert seeds["headwise"] == seeds["policy k=5"] == 2
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


def test_the_figure_draws_the_summary(contest: pd.DataFrame) -> None:
    summary = summarise_priced(contest, pool=40)
    figure = rival_figures.rival_curves(summary)
    axes = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in axes] == ["IOI", "docstring"]
    for axis, of_task in zip(axes, (summary[summary["task"] == task] for task in ("ioi", "docstring")), strict=True):
        lines = {line.get_label(): line for line in axis.get_lines()}
        for kind in RIVALS:
            expected = of_task.loc[of_task["searcher"] == kind.key, "ratio"].to_numpy()
            np.testing.assert_allclose(np.asarray(lines[kind.title].get_ydata(), dtype=float), expected)
            assert axis.get_ylim()[0] < np.nanmin(expected), "nothing leaves the axes"
    table = rival_figures.rival_table(summary, 8)
    ratios = 100 * summary.query("searcher == 'random' and price == 8")["ratio"].to_numpy()
    shown = table.loc[["random"], ["ioi", "docstring", "mean", "lowest"]].to_numpy()[0]
    np.testing.assert_allclose(shown, [*ratios, ratios.mean(), ratios.min()])
    for field in ("key", "title", "colour", "marker"):
        assert len({getattr(kind, field) for kind in RIVALS}) == len(RIVALS)


def test_gains_over_others_are_paired_intervals(contest: pd.DataFrame) -> None:
    table = rival_figures.gains_over(contest, "headwise", ("policy k=5", "list, mean"), 8, 40)
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
    assert rival_figures.mean_of([one]) == pytest.approx(one)
    half = np.array([0.1, 0.3, 0.6])
    value, low, high = rival_figures.mean_of(
        [Interval(x, x - h, x + h) for x, h in zip((1.0, 2.0, 6.0), half, strict=True)]
    )
    assert value == pytest.approx(3.0)
    draws = np.random.default_rng(0).normal(0, half / 1.959964, (400_000, 3)).mean(1)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([low - 3, high - 3], abs=2e-3)
