"""The axis of picks: what is found after so many heads taken, against brute force, and against the axis of price where a pick costs one."""

from typing import Any

import pandas as pd
import pytest
import torch
from test_priced import LAYERS, drawn
from test_rivals import Everything, everything

from circuitlib.companion.frames import say_nothing
from circuitlib.companion.legend import ATTRIBUTION, SEARCHERS
from circuitlib.companion.rival_figures import mean_table
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import ROOT
from circuitlib.search.belief import GRADIENT
from circuitlib.search.env import SCORE_SCALE
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.rivals import Halving, LayersByReward, Verified
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import Trials, draw_trials
from circuitlib.studies.intervals import fraction
from circuitlib.studies.picks import PICKS, measure_picks, picking, picks_contest
from circuitlib.studies.priced import Player, priced
from circuitlib.studies.priced_contest import FROZEN

SIGNAL = torch.zeros(2).numpy()
__all__ = ["everything"]


@pytest.fixture
def trials() -> Trials:
    return drawn(3, error=2.0)


def shown(frame: pd.DataFrame, searcher: str) -> dict[int, float]:
    return dict(frame[frame["searcher"] == searcher][["picks", "ratio"]].itertuples(index=False))


def test_an_order_has_found_the_best_of_its_first_heads(trials: Trials) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    frame = measure_picks(trials, [Player("list", StaticPrior(order)), Player("verify", Verified(GRADIENT))], 48)
    assert set(frame["picks"]) == {1, 5, 10}, "there are twelve heads"
    assert set(frame["rests_on"]) == {"tables"}
    oracle = trials.rewards.amax(1)
    estimated = trials.estimates[GRADIENT].rewards.mean(1).argsort(dim=1, descending=True, stable=True)
    for name, heads in (("list", order.expand(6, -1)), ("verify", estimated)):
        for count, ratio in shown(frame, name).items():
            best = trials.rewards.gather(1, heads[:, :count]).amax(1)
            assert ratio == pytest.approx((best.mean() / oracle.mean()).item())


def test_a_planners_pick_measures_all_its_candidates(trials: Trials) -> None:
    """Of two seeds, whose intervals are over seeds as well."""
    networks = [ActorCritic(2, 12, 8, seed) for seed in range(2)]
    everyone = [Player("policy", PolicySearcher(network, SIGNAL, 2), seed) for seed, network in enumerate(networks)]
    frame = measure_picks(trials, everyone, 48)
    assert set(frame["rests_on"]) == {"policies"}
    played: Any = priced(trials, everyone, (2, 10, 20)).pivot(
        index=["price", "seed"], columns="episode", values="found"
    )
    for count, *interval in frame[["picks", "ratio", "low", "high"]].to_numpy():
        expected = fraction(played.loc[2 * count].to_numpy(), trials.rewards.amax(1).numpy(), 48)
        assert interval == pytest.approx(list(expected))


def test_everyone_who_picks_and_greedy_policies(everything: Everything) -> None:
    """The contest's episodes; a greedy policy takes its likeliest head, by hand."""
    evaluation = {"ioi": everything.evaluation["ioi"]}
    frame = picks_contest(evaluation, everything.training, everything.policies, LAYERS, 3, 1.0, 40)
    counts: Any = frame.groupby("searcher")["picks"].agg(set)
    assert set(map(tuple, map(sorted, counts))) == {(1, 5, 10)}
    names = {player.name for player in picking(iter(everything.players))} - {"MaskablePPO"}
    assert set(frame["searcher"]) == names | {"policy k=1, greedy", "policy k=5, greedy"}
    rewards = draw_trials(evaluation["ioi"], 3).rewards
    best = []
    for network in everything.policies[5].values():
        observation = torch.zeros(3, 2 + 2 * 12)
        for _ in range(5):
            head = network(observation)[0].argmax(1, keepdim=True)
            observation[:, 2:14].scatter_(1, head, 1.0)
            observation[:, 14:].scatter_(1, head, rewards.gather(1, head) / SCORE_SCALE)
        best.append(rewards.where(observation[:, 2:14] > 0, -torch.inf).amax(1))
    expected = (torch.stack(best).mean() / rewards.amax(1).mean()).item()
    assert shown(frame, "policy k=5, greedy")[5] == pytest.approx(expected, abs=1e-5)
    assert shown(frame, "policy k=5, greedy")[5] != pytest.approx(shown(frame, "policy k=5")[5], abs=1e-3)


def test_who_measures_parts_of_heads_makes_no_picks() -> None:
    network = ActorCritic(2, 12, 8, 0)
    everyone = [
        Player("random", RandomSearcher()),
        Player("layers", LayersByReward(torch.arange(LAYERS))),
        Player("halving", Halving(12)),
        Player("exhaustive", StaticPrior(torch.arange(12)), prices=(12,)),
        Player("policy", PolicySearcher(network, SIGNAL, 2)),
        Player("policy, repeats free", PolicySearcher(network, SIGNAL, 2), repeats_free=True),
    ]
    assert [player.name for player in picking(iter(everyone))] == ["random", "layers", "policy"]


@pytest.mark.parametrize("settings", PUBLISHED.values(), ids=PUBLISHED)
def test_where_a_pick_costs_one_the_committed_axes_agree(settings: Any) -> None:
    """Random numbers are the same, and so what is found; attribution's axis of price begins once its gradient is paid."""
    run = Run(settings)
    picks: Any = load_frame(run.frame_path("picks")).set_index(["task", "searcher", "picks"])["ratio"]
    rivals = load_frame(run.frame_path("rivals"))
    found: Any = rivals.groupby(["task", "searcher", "price"])[["found", "oracle"]].mean()
    found = found["found"] / found["oracle"]
    searchers = set(picks.index.get_level_values("searcher"))
    assert {"random", "list, in turns", "policy k=5", f"{FROZEN}, then verify"} < searchers
    compared = 0
    for task, searcher, count in picks.index:
        free = 3 if searcher in (f"{GRADIENT}, then verify", f"{FROZEN}, then verify") else 0
        price = count * int(searcher.rpartition("with ")[2] if "planning" in searcher else 1) + free
        if (task, searcher, price) in found.index and not searcher.startswith(("direct", "gradient on")):
            assert picks.loc[task, searcher, count] == pytest.approx(found.loc[task, searcher, price], abs=1e-6)
            compared += 1
    assert compared > 400
    assert set(picks.index.get_level_values("picks")) == set(PICKS)


@pytest.mark.parametrize("settings", PUBLISHED.values(), ids=PUBLISHED)
def test_by_picks_attribution_is_ahead_of_lists_and_policies(settings: Any) -> None:
    """As README and notebook 06 say, on average over tasks, at every number of picks of the table. (After others lists may be ahead.)"""
    said = "found more than every list and policy at each number of picks"
    assert said in (ROOT / "README.md").read_text()
    run = Run(settings)
    table = mean_table(load_frame(run.frame_path("picks")), "picks", say_nothing(run))
    assert list(table.columns) == list(PICKS)
    titles = table.index.map(lambda searcher: SEARCHERS[searcher].title)
    others = table[titles.str.startswith(("list", "policy", "layers", "random"))]
    assert len(others) == 18
    assert (others < table.loc[ATTRIBUTION]).all(axis=None)


def test_means_are_over_tasks_that_say_something() -> None:
    rows = [("ioi", "random", 1, 0.5), ("docstring", "random", 1, 0.7), ("quiet", "random", 1, 9.0)]
    rows += [("ioi", "random", 5, 0.6), ("docstring", "random", 5, float("nan")), ("quiet", "random", 5, 9.0)]
    table = mean_table(pd.DataFrame(rows, columns=["task", "searcher", "picks", "ratio"]), "picks", ["quiet"])
    assert table.loc["random", 1] == pytest.approx(60.0)
    assert table[5].isna().all(), "of one task it is not known"
