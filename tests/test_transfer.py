"""What carries over to other behaviours: the same plays as elsewhere, intervals over behaviours, the table's and the figure's numbers."""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.container import ErrorbarContainer
from scipy import stats

mpl.use("Agg")

from circuitlib.ablation.tables import DamageTable
from circuitlib.companion.legend import SEARCHERS
from circuitlib.companion.rival_figures import transfer_chart, transfer_table
from circuitlib.companion.verdicts import beats, gains
from circuitlib.search.belief import ESTIMATES, GRADIENT
from circuitlib.search.network import ActorCritic
from circuitlib.search.rivals import Verified
from circuitlib.search.trials import EPISODE_SEED, PricedTables, draw_trials
from circuitlib.studies.heads import head_rewards
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.reading import play
from circuitlib.studies.transfer import COUNTS, PLAYS, measure_transfer, over_behaviours, shares

HEADS, LAYERS = 60, 5
BEHAVIOURS = ("plural", "opposite", "tag")
SEEDS = (0, 3)


def eager(seed: int) -> ActorCritic:
    """A network whose choices depend on what it is paid: weights far from their initial ones."""
    network = ActorCritic(2, HEADS, 16, seed)
    network.actor.weight.data *= 300
    return network


@pytest.fixture(scope="module")
def tables(make_table: Callable[..., DamageTable]) -> Callable[[str, int], PricedTables]:
    def make(name: str, prompts: int) -> PricedTables:
        damage, control = make_table(name, prompts, HEADS), make_table("control", 40, HEADS, scale=0.1)
        off = make_table(name, prompts, HEADS, seed=1)
        return PricedTables(damage, control, {what: (3 - 2 * i, off, control) for i, what in enumerate(ESTIMATES)})

    return make


@pytest.fixture(scope="module")
def policies() -> dict[int, dict[int, ActorCritic]]:
    return {k: {seed: eager(10 * k + seed) for seed in SEEDS} for k in (1, 5)}


@pytest.fixture(scope="module")
def transfer(tables: Callable[[str, int], PricedTables], policies: dict[int, dict[int, ActorCritic]]) -> pd.DataFrame:
    behaviours = {name: tables(name, 32) for name in BEHAVIOURS}
    training = {name: tables(name, 50) for name in ("induction", "ioi")}
    return measure_transfer(behaviours, training, policies, LAYERS, 1.0)


def test_the_plays_are_those_of_who_is_blindfolded(
    transfer: pd.DataFrame, tables: Callable[[str, int], PricedTables], policies: dict[int, dict[int, ActorCritic]]
) -> None:
    """The same episodes and random numbers as :func:`circuitlib.studies.reading.play`, seeing and blind."""
    trials = [draw_trials(tables(name, 32), 1) for name in BEHAVIOURS]
    rewards = torch.cat([one.rewards for one in trials])
    oracles = transfer["task"].map(dict(zip(BEHAVIOURS, rewards.amax(1).tolist(), strict=True)))
    np.testing.assert_allclose(transfer["oracle"], oracles, rtol=1e-6)
    for k, networks in policies.items():
        for seed, network in networks.items():
            for shown, name in (("seeing", f"policy k={k}"), ("blind", f"policy k={k}, blind")):
                plays = play(network, torch.zeros(2), rewards, EPISODE_SEED + seed, shown, PLAYS)  # type: ignore[arg-type]
                for count in COUNTS:
                    rows = transfer[(transfer["searcher"] == name) & (transfer["seed"] == seed)]
                    rows = rows[rows["price"] == count]
                    assert rows["task"].tolist() == list(BEHAVIOURS)
                    expected = plays.found[..., count - 1].mean(0)
                    assert rows["found"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    seen = transfer.query("searcher == 'policy k=5'")["found"].to_numpy()
    assert not np.allclose(seen, transfer.query("searcher == 'policy k=5, blind'")["found"]), "blind it does otherwise"


def test_others_pay_and_know_what_they_do_elsewhere(
    transfer: pd.DataFrame, tables: Callable[[str, int], PricedTables]
) -> None:
    for name in BEHAVIOURS:
        player = Player("attribution", Verified(GRADIENT))
        alone = priced(draw_trials(tables(name, 32), 1), [player], COUNTS)
        rows = transfer.query("task == @name and searcher == 'gradient, then verify'")
        assert rows["found"].tolist() == pytest.approx(alone["found"].tolist(), rel=1e-5)
    training = [tables(name, 50) for name in ("induction", "ioi")]
    measured = torch.stack([head_rewards(one.damage, one.general, 1.0) for one in training])
    order = measured.mean(0).argsort(descending=True)
    for name in BEHAVIOURS:
        rewards = draw_trials(tables(name, 32), 1).rewards[0]
        rows = transfer.query("task == @name and searcher == 'list, mean'")
        assert rows["found"].tolist() == pytest.approx([rewards[order[:n]].max().item() for n in COUNTS], rel=1e-5)
        alike = max(np.corrcoef(rewards, task)[0, 1] for task in measured)
        np.testing.assert_allclose(transfer.loc[transfer["task"] == name, "alike"], alike, rtol=1e-4)
    rests = transfer.groupby("rests_on")["searcher"].unique().map(set).to_dict()
    assert rests["policies"] == {f"policy k={k}{shown}" for k in (1, 5) for shown in ("", ", blind")}
    assert "random" in rests["tables"]


def test_intervals_are_over_behaviours() -> None:
    """Student's t of one seed; seeds that differ widen it; a constant gain is certain."""
    rng = np.random.default_rng(0)
    one = 0.5 + 0.1 * rng.normal(size=(1, 31))
    value, low, high = over_behaviours(one)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 30, value, stats.sem(one[0])))
    apart = np.concatenate([one - 0.1, one + 0.1])
    _, lower, higher = over_behaviours(apart)
    assert lower < low < high < higher
    assert over_behaviours(one + 0.05, one) == pytest.approx((0.05, 0.05, 0.05))
    paired = over_behaviours(apart + 0.02 * rng.normal(size=(1, 31)), apart)
    assert paired.high - paired.low < 0.1 * (higher - lower)


def test_the_table_says_them(transfer: pd.DataFrame) -> None:
    table = transfer_table(transfer)
    others = {"policy k=1", "policy k=1, blind"}
    assert set(table.index) == set(transfer["searcher"]) - others
    of_the_other = set(transfer_table(transfer, 1).index)
    assert others <= of_the_other
    assert not [name for name in of_the_other if "k=5" in name]
    for price in COUNTS:
        policy, random = (shares(transfer, searcher, price) for searcher in ("policy k=5", "random"))
        value, low, high = (100 * x for x in over_behaviours(random))
        assert table.loc["random", f"after {price}, %"] == f"{value:.0f} ({low:.0f} to {high:.0f})"
        gain = over_behaviours(policy, random)
        assert gain.value == pytest.approx(policy.mean() - random.mean())
        cell = str(table.loc["random", f"after {price}, policy, trained with k=5 more"])
        assert cell.startswith(f"{100 * gain.value:z.0f} (")
        assert cell.endswith(beats(gain.low, gain.high))
        blind = shares(transfer, "policy k=5, blind", price)
        of_seeing = over_behaviours(policy, blind)
        cell = str(table.loc["policy k=5, blind", f"after {price}, policy, trained with k=5 more"])
        assert cell.endswith(gains(of_seeing.low, of_seeing.high, blind.mean()))


@pytest.mark.parametrize("k", [1, 5])
def test_the_chart_draws_every_behaviour(transfer: pd.DataFrame, k: int) -> None:
    figure = transfer_chart(transfer, k)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert sorted(names) == sorted([*BEHAVIOURS, "mean"])
    in_most = transfer[(transfer["searcher"] == f"policy k={k}") & (transfer["price"] == 50)]
    found = in_most.assign(share=in_most["found"] / in_most["oracle"]).groupby("task")["share"].mean()
    assert names == [*found.sort_values().index, "mean"]
    for axis, price in zip(figure.axes, COUNTS, strict=True):
        series = {str(some.get_label()): some for some in axis.containers if isinstance(some, ErrorbarContainer)}
        for searcher, label in (
            ("random", "random"),
            ("list, mean", "list by mean reward"),
            (f"policy k={k}", SEARCHERS[f"policy k={k}"].title),
            (f"policy k={k}, blind", SEARCHERS[f"policy k={k}, blind"].title),
        ):
            rows = transfer[(transfer["searcher"] == searcher) & (transfer["price"] == price)]
            by = (rows["found"] / rows["oracle"]).groupby(rows["task"])
            mean = over_behaviours(shares(transfer, searcher, price))
            drawn = np.asarray(series[label][0].get_xydata())
            np.testing.assert_allclose(drawn[:, 0], [*by.mean()[names[:-1]], mean.value])
            assert (np.abs(drawn[:, 1] - axis.get_yticks()) < 0.3).all()
            *ends, of_all = (segment[:, 0] for segment in series[label][2][0].get_segments() if len(segment))
            np.testing.assert_allclose(of_all, mean[1:])
            assert len(ends) == (0 if searcher == "list, mean" else len(BEHAVIOURS)), "one seed has no interval"
            for end, name in zip(ends, names, strict=False):
                some = by.get_group(name)
                half = stats.t.ppf(0.975, len(some) - 1) * stats.sem(some)
                np.testing.assert_allclose(end, (some.mean() - half, min(some.mean() + half, 1)), rtol=1e-5)
