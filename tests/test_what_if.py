"""What would change: one thing at a time, on the same episodes, by hand."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib.ablation.tables import DamageTable
from circuitlib.search.env import budget_for
from circuitlib.search.episodes import BATCH
from circuitlib.search.network import ActorCritic
from circuitlib.search.trials import EPISODE_SEED, PricedTables, draw_trials
from circuitlib.studies.reading import play
from circuitlib.studies.what_if import KINDS, Setting, drawn, found, ordered, settings_of, what_if

EPISODES, HEADS = 4, 12


def _networks() -> dict[int, ActorCritic]:
    networks = {seed: ActorCritic(2, HEADS, 8, seed) for seed in (0, 1)}
    for network in networks.values():
        torch.nn.init.normal_(network.actor.weight, generator=torch.Generator().manual_seed(1))
    return networks


@pytest.mark.parametrize("penalty", [1.0, 0.5])
def test_one_thing_is_changed_at_a_time(penalty: float) -> None:
    first, *others = settings_of(penalty)
    assert first == Setting("as published", penalty)
    assert len({one.change for one in others}) == len(others)
    for one in others:
        differs = [one.penalty != penalty, one.batch != BATCH, one.training is not None]
        assert sum(differs) == 1


def test_episodes_as_published_are_everybodys(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi"), make_table("control", scale=0.1)
    usual = draw_trials(PricedTables(task, control), EPISODES).rewards
    torch.testing.assert_close(drawn(task, control, Setting("", 1.0), EPISODES), usual)
    whole = drawn(task, control, Setting("", 2.0, batch=len(task)), EPISODES)
    of_all = task.damage.mean(0) - 2 * control.damage.mean(0)
    torch.testing.assert_close(whole, of_all.expand(EPISODES, -1))


def test_what_is_compared_by_hand(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi"), make_table("control", scale=0.1)
    rewards, networks, signal = drawn(task, control, Setting("", 1.0), EPISODES), _networks(), torch.zeros(2)
    mean = rewards.mean(0)
    turned = mean.flip(0)
    order = ordered(rewards, turned)
    assert order["same_best"] == (mean.argmax() == turned.argmax()).item()
    assert order["shared"] == len({*mean.topk(5).indices.tolist()} & {*turned.topk(5).indices.tolist()})
    assert order["correlation"] == pytest.approx(pd.Series(mean).rank().corr(pd.Series(turned).rank()))
    assert order["kept"] == pytest.approx((mean[turned.argmax()] / mean.max()).item())

    listed, policy = found(rewards, [3, 1, 2], networks, signal, len(task))
    oracle = rewards.max(1).values.mean().item()
    by_list = rewards[:, [3, 1, 2]].max(1).values.mean().item() / oracle
    assert listed["early"] == pytest.approx(by_list)
    assert listed["all"] == pytest.approx(by_list)
    plays = [play(network, signal, rewards, EPISODE_SEED + seed).found[0] for seed, network in networks.items()]
    best = torch.stack(plays).mean((0, 1)) / oracle
    assert budget_for(HEADS) >= 10
    assert policy["early"] == pytest.approx(best[9].item())
    assert policy["all"] == pytest.approx(best[-1].item())
    assert policy["ahead"] == pytest.approx(by_list - best[9].item(), abs=1e-6)
    assert policy["ahead_low"] < policy["ahead"] < policy["ahead_high"]


def test_every_change_has_a_row_for_each_task(make_table: Callable[..., DamageTable]) -> None:
    """Zeros on the same prompts in every column of kinds: nothing changes; with lambda 0 the general damage does not count."""
    training = {name: make_table(name, seed=1) for name in ("induction", "ioi")}
    evaluation, control = {"docstring": make_table("docstring")}, make_table("control", scale=2.0)
    kinds = pd.concat(
        pd.DataFrame({"task": table.name, "head": range(HEADS)} | dict.fromkeys(("zero", *KINDS), table.damage.mean(0)))
        for table in (evaluation["docstring"], control)
    )
    frame = what_if(evaluation, control, training, control, _networks(), kinds, 1.0, EPISODES).set_index("change")
    assert set(frame.index) == {one.change for one in settings_of(1.0)} | {*KINDS.values()}
    assert (frame["rests_on"] == frame["searcher"].map({"list": "tables", "policy": "policies"})).all()
    assert frame.groupby(level=0)["searcher"].agg(list).map(lambda both: both == ["list", "policy"]).all()
    frame = frame[frame["searcher"] == "policy"]
    same = frame.loc[list(KINDS.values())]
    assert same["same_best"].all()
    assert (same[["shared"]] == 5).all(axis=None)
    assert same[["correlation", "kept"]].to_numpy() == pytest.approx(np.ones((3, 2)))
    assert same[["ahead_low", "ahead_high", "low", "high"]].isna().all(axis=None)
    assert frame.loc["as published", ["low", "high"]].notna().all()
    damage = evaluation["docstring"].damage.mean(0)
    usual = damage - control.damage.mean(0)
    assert frame.loc["lambda 0", "correlation"] == pytest.approx(
        pd.Series(drawn(evaluation["docstring"], control, Setting("", 0.0), EPISODES).mean(0)).corr(
            pd.Series(usual), method="spearman"
        )
    )
    assert frame["correlation"].nunique() > 4
