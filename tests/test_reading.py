"""What a policy is shown is what it is said to be shown; a hand-made reader gains by reading exactly what it should."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from circuitlib.companion import planted
from circuitlib.manifest import load_frame
from circuitlib.search.network import ActorCritic
from circuitlib.search.orders import layer_by_layer, random_orders
from circuitlib.search.ppo import PPOConfig
from circuitlib.studies.intervals import fraction, ratio
from circuitlib.studies.planted import Groups
from circuitlib.studies.reading import SHOWN, Blindfold, Plays, Shown, play

HEADS, TASKS = 12, 2
SIGNAL = torch.zeros(TASKS)


class Listens(torch.nn.Module):
    """A network that keeps what it is shown, and prefers heads in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(observations)
        tried = observations[:, TASKS : TASKS + HEADS]
        logits = -100.0 * torch.arange(HEADS) - 1e9 * tried
        return logits.log_softmax(-1), torch.zeros(len(observations))


class Reader(torch.nn.Module):
    """Head 0 first; then head 1 if that paid, and head 2 if it did not; then the rest in order."""

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tried, scores = observations[:, TASKS:].split(HEADS, 1)
        logits = -100.0 * torch.arange(HEADS).repeat(len(observations), 1)
        logits[:, 2] += torch.where((tried[:, 0] > 0) & (scores[:, 0] <= 0), 500.0, 0.0)
        return (logits - 1e9 * tried).log_softmax(-1), torch.zeros(len(observations))


def drawn(episodes: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(episodes, HEADS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shown", SHOWN)
def test_what_is_shown(shown: Shown) -> None:
    """Signal and tried heads are the truth; the scores of tried heads are what ``shown`` says, others zero."""
    rewards, network = drawn(), Listens()
    plays = play(network, torch.tensor([0.0, 1.0]), rewards, 0, shown, plays=2)
    others = {
        "seeing": rewards,
        "blind": torch.zeros_like(rewards),
        "flipped": -rewards,
        "swapped": torch.cat([rewards[-1:], rewards[:-1]]),
    }[shown]
    assert len(network.seen) == HEADS
    for i, seen in enumerate(network.seen):
        assert seen[:, :TASKS].tolist() == [[0.0, 1.0]] * 12
        tried, scores = seen[:, TASKS:].split(HEADS, 1)
        assert tried.tolist() == [[1.0] * i + [0.0] * (HEADS - i)] * 12
        assert torch.allclose(scores, (others / 5).repeat(2, 1) * tried)
    assert (plays.head == torch.arange(HEADS)).all()
    expected = [[max(episode[: i + 1]) for i in range(HEADS)] for episode in rewards.tolist()]
    assert torch.allclose(plays.found, torch.tensor([expected, expected])), "what is found is always the truth"


def test_a_reader_gains_by_reading() -> None:
    """Where head 0 pays, head 1 is the best, otherwise head 2: a closed form for each thing that is shown."""
    rewards = torch.zeros(4, HEADS)
    for i, pays in enumerate((True, False, True, False)):
        rewards[i, 0] = 0.5 if pays else -0.5
        rewards[i, 1 if pays else 2] = 1.0
    found = {shown: play(Reader(), SIGNAL, rewards, 0, shown).found[0, :, 1].tolist() for shown in SHOWN}
    assert found == {
        "seeing": [1.0, 1.0, 1.0, 1.0],
        "blind": [0.5, 1.0, 0.5, 1.0],  # it believes that nothing pays
        "flipped": [0.5, 0.0, 0.5, 0.0],
        "swapped": [0.5, 0.0, 0.5, 0.0],  # the episode before is of the other kind
    }


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), plays=st.integers(1, 3), shown=st.sampled_from(SHOWN))
def test_a_policy_that_does_not_read_plays_the_same_whatever_it_is_shown(seed: int, plays: int, shown: Shown) -> None:
    network, rewards = ActorCritic(TASKS, HEADS, 16, seed), drawn(seed=seed)
    network.actor.weight.data *= 300
    network.hidden_1.weight.data[:, TASKS + HEADS :] = 0
    truth, other = (play(network, SIGNAL, rewards, seed, one, plays) for one in ("seeing", shown))
    assert truth.head.tolist() == other.head.tolist()
    assert sorted(truth.head[0, 0].tolist()) == list(range(HEADS))
    assert all((b >= a).all() for a, b in pairwise(truth.found.unbind(-1)))
    assert truth.found[..., -1].tolist() == [rewards.amax(1).tolist()] * plays


def test_greedy_takes_the_most_probable_and_draws_nothing() -> None:
    network, rewards = ActorCritic(TASKS, HEADS, 16, 0), drawn()
    one, other = (play(network, SIGNAL, rewards, seed, plays=5, greedy=True) for seed in (0, 1))
    assert one.head.tolist() == other.head.tolist()
    assert one.head.shape == (1, 6, HEADS)
    first = network(torch.zeros(1, TASKS + 2 * HEADS))[0].argmax().item()
    assert one.head[0, :, 0].tolist() == [first] * 6


def test_how_many_heads_are_others() -> None:
    heads = torch.tensor([[[0, 1, 2, 3]], [[4, 5, 6, 7]]])
    one, other = Plays(heads, heads.double()), Plays(torch.tensor([[[1, 0, 9, 2]], [[5, 4, 9, 6]]]), heads.double())
    assert one.changed(one, 3) == 0
    assert one.changed(other, 1) == 1.0
    assert one.changed(other, 2) == 0, "in another order they are the same heads"
    assert one.changed(other, 4) == 0.25


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match="there is one episode"):
        play(Listens(), SIGNAL, drawn(1), 0, "swapped")
    network = ActorCritic(TASKS, HEADS, 16, 0)
    with pytest.raises(ValueError, match="shown must be one of"):
        Blindfold(network, HEADS, "half-blind")
    with pytest.raises(ValueError, match="give others"):
        Blindfold(network, HEADS, "swapped")
    assert list(Blindfold(network, HEADS).parameters()) == list(network.parameters())


@pytest.mark.parametrize(("of_seeds", "of_prompts"), [(0.5, 0.5), (0.1, 2.0), (0.15, 1.0)])
def test_intervals_contain_a_rerun(of_seeds: float, of_prompts: float) -> None:
    """One pool of prompts, episodes of 32 of them, five seeds: the interval contains the truth in 95 of 100 reruns, where most of the
    variance is between seeds, between prompts, or both. One that takes episodes as they come contains it in far fewer."""
    rng = np.random.default_rng(0)
    covered, naive, reruns = 0, 0, 600
    for _ in range(reruns):
        pool, seeds = rng.normal(0.5, of_prompts, size=160), rng.normal(0.0, of_seeds, size=(5, 1))
        episodes = np.array([rng.permutation(pool)[:32].mean() for _ in range(30)])
        best, oracle = episodes + seeds, np.full(30, 10.0)
        interval = fraction(best, oracle, 160)
        covered += interval.low <= 0.05 <= interval.high
        wrong = fraction(best, oracle, None)
        naive += wrong.low <= 0.05 <= wrong.high
    assert 0.93 <= covered / reruns <= 0.98
    assert naive <= covered
    assert of_prompts < 2 or naive / reruns < 0.75


@pytest.mark.parametrize("seeds", [1, 20])
def test_intervals_contain_a_rerun_near_the_ceiling(seeds: int) -> None:
    """A list has the best head of nearly every episode, and of some the second: the share of reruns whose interval contains the truth, also of those in which it had
    the best of all thirty."""
    rng = np.random.default_rng(1)
    covered, perfect, reruns = [], [], 600
    for _ in range(reruns):
        heads = rng.normal((2.0, 1.7), (1.0, 0.6), size=(160, 2))  # of each prompt in a pool, what two heads pay
        episodes = np.array([heads[rng.permutation(160)[:32]].mean(0) for _ in range(30)])
        best = np.repeat(episodes[None, :, 0], seeds, 0)
        interval = fraction(best, episodes.max(1), 160)
        covered.append(interval.low <= 0.9967 <= interval.high)  # by ten million episodes of prompts of their own
        perfect.append((best == episodes.max(1)).all())
    assert 0.1 < np.mean(perfect) < 0.9
    assert np.mean(covered) >= 0.95
    assert np.mean(np.array(covered)[perfect]) >= 0.95


def test_none_in_n_is_no_evidence_against_one_in_n() -> None:
    oracle = np.random.default_rng(0).normal(1.0, 0.2, size=30)
    alone, many = fraction(oracle[None], oracle, None), fraction(np.repeat(oracle[None], 20, 0), oracle, None)
    half = 0.5 * oracle.std(ddof=1) / oracle.mean()
    assert tuple(alone) == pytest.approx((1, 1 - 1.959964 * half / 30, 1))
    assert tuple(many) == pytest.approx((1, 1 - 1.959964 * half * np.hypot(1 / 30, 1 / 20), 1))
    widths = [1 - fraction(oracle[None], oracle, pool).low for pool in (64, 160, 640, None)]
    assert widths == sorted(widths, reverse=True), "the more prompts, the narrower"
    assert tuple(fraction(oracle[None], oracle, 160, against=oracle[None])) == (0, 0, 0), (
        "a difference is as it is seen"
    )
    below = oracle[None] * (1 - np.linspace(0.1, 0.4, 30))
    reach = stdtrit(29, 0.975) * np.sqrt((below[0] - below.mean() / oracle.mean() * oracle).var(ddof=1) / 30)
    assert fraction(below, oracle, None).low == pytest.approx((below.mean() - reach) / oracle.mean())
    one_short = oracle.copy()
    one_short[0] *= 0.9999
    assert fraction(one_short[None], oracle, 160).low == pytest.approx(
        fraction(oracle[None], oracle, 160).low, abs=1e-3
    )


def test_fractions_in_closed_form() -> None:
    best, oracle = np.array([[1.0, 3.0], [2.0, 2.0], [0.0, 4.0]]), np.array([2.0, 6.0])
    assert fraction(best, oracle, 64).value == pytest.approx(0.5)
    same = fraction(best, oracle, 64, against=best)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    gain = fraction(best, oracle, None, against=best - 0.4)
    assert gain.value == pytest.approx(0.1)
    always = fraction(np.array([[1.0, 3.0]]), oracle, 64)
    assert tuple(always) == pytest.approx((0.5, 0.5, 0.5)), "one seed, in proportion"
    assert np.isnan(fraction(best, oracle, 32)[1:]).all(), "all episodes are of the same prompts"
    ones = fraction(np.array([[1.0, 1.0, 0.5, 1.0]]), np.ones(4), None)
    assert ones.high == 1
    # A mean of independent episodes: Student's interval.
    values = np.array([[0.1, 0.3, 0.2, 0.6]])
    interval = fraction(values, np.ones(4), None)
    reach = 3.18245 * values.std(ddof=1) / 2
    assert tuple(interval) == pytest.approx((0.3, 0.3 - reach, 0.3 + reach), rel=1e-4)


def test_a_ratio_of_means_contains_the_truth_where_the_whole_varies_as_well() -> None:
    """Sixteen prompts, parts and wholes that vary together, orders or not: 95 of 100 intervals contain the ratio, and where one does not
    exist it is where the whole is not told from nothing."""
    rng = np.random.default_rng(0)
    for noise, orders in ((0.5, 1), (1.5, 1), (0.5, 3)):
        known, covered, total = 0, 0, 500
        for _ in range(total):
            whole = 1 + noise * rng.normal(size=16)
            part = 0.4 * whole + 0.3 * rng.normal(size=16) + 0.2 * rng.normal(size=(orders, 1)) * (orders > 1)
            found = ratio(part.reshape(orders, 16), whole)
            assert found.value == pytest.approx(part.mean() / whole.mean())
            told_apart = abs(whole.mean()) > 2.131450 * whole.std(ddof=1) / 4
            assert orders > 1 or told_apart == np.isfinite(found[1:]).all()
            known += int(np.isfinite(found[1:]).all())
            covered += found.low <= 0.4 <= found.high
        assert 0.93 <= covered / known <= 0.985
    assert tuple(ratio(np.full((1, 4), 2.0), np.full(4, 4.0))) == pytest.approx((0.5, 0.5, 0.5))


def test_orders() -> None:
    generator = torch.Generator().manual_seed(0)
    for heads in random_orders(3, 20, generator), layer_by_layer(3, torch.arange(4), 5, generator):
        assert heads.sort(1).values.tolist() == [list(range(20))] * 3
        assert len({tuple(row) for row in heads.tolist()}) == 3
    assert (heads // 5).tolist() == [[layer for layer in range(4) for _ in range(5)]] * 3


def test_the_first_rewards_tell_the_group() -> None:
    """A reader needs a head of each group and then one group; who does not read finds at most the bar that was set."""
    source, rng = Groups(scale=2.0), np.random.default_rng(0)
    rewards = np.stack([source.draw(rng).rewards for _ in range(2000)])
    assert (rewards.max(1) == 2.0).all()
    groups = rewards[:, : source.groups * source.size].reshape(2000, source.groups, source.size)
    pays = (groups > 0).all(2)
    assert (pays.sum(1) == 1).all()
    assert ((groups < 0).all(2) == ~pays).all()
    assert (groups.max(2).argmax(1) == pays.argmax(1)).all()
    assert source.groups + source.size - 1 <= 50
    hits = 50 / (source.groups * source.size)
    assert hits + (1 - hits) * source.hint < planted.BLINDED
    assert (source.draw(rng).signal == 0).all()
    noisy = np.stack([Groups(noise=0.1).draw(np.random.default_rng(i)).rewards for i in range(500)])
    assert np.std(noisy[:, -1]) == pytest.approx(0.3, rel=0.15), "in no group"
    with pytest.raises(ValueError, match="more than the 144 heads"):
        Groups(groups=4)


@pytest.mark.long
def test_the_positive_control_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two updates teach nothing: what is measured is measured on the same episodes, and the table is whole."""
    monkeypatch.setattr(planted, "SOURCES", planted.SOURCES[:2])
    config = PPOConfig(total_timesteps=800)
    frame = planted.measure(tmp_path / "planted.csv", config)
    assert len(frame) == len(planted.SOURCES) * len(planted.SEES) * len(planted.MEASURED)
    by_shown = frame.pivot(index=["scale", "noise", "measured"], columns="shown", values="ratio")
    assert (by_shown["seeing"] - by_shown["blind"]).abs().max() < 0.05
    assert (by_shown["seeing"] < planted.LEARNED).all()
    assert load_frame(tmp_path / "planted.csv", planted._provenance(config)).equals(
        load_frame(tmp_path / "planted.csv")
    )
