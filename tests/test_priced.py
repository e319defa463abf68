"""The search with a price: trials, beliefs, looking ahead, the environment and the policy, against closed forms and brute force."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from drawing import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from torch.distributions import Normal

from circuitlib.ablation.tables import DamageTable
from circuitlib.search import priors
from circuitlib.search.belief import (
    ALONE,
    DIRECT,
    DIRECT_ON_FEW,
    FEW,
    GRADIENT,
    GRADIENT_ALONE,
    GRADIENT_ON_FEW,
    Belief,
    Believer,
    Prior,
    fit_prior,
    likelihood,
    paid_elsewhere,
    see,
    with_few,
)
from circuitlib.search.correlated import AT_ONCE, Correlated, Gaussian
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.headwise import GLOBALS, PER_HEAD, Headwise, observe
from circuitlib.search.lookahead import AMOUNTS, LookAhead, allowed, gains, measure
from circuitlib.search.meter import Estimate, Meter, Readings
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.priced_env import PricedEnv
from circuitlib.search.priced_policy import Learned, PricedPolicy, train
from circuitlib.search.rivals import Verified
from circuitlib.search.searchers import RandomSearcher, StaticPrior
from circuitlib.search.trials import PricedTables, Trials, draw_trials
from circuitlib.studies.priced import Player, priced

LAYERS, HEADS, BATCH = 3, 12, 32


def drawn(seed: int, episodes: int = 6, error: float = 0.5, task: str = "planted", heads: int = HEADS) -> Trials:
    """Trials whose estimates err: of each head by as much as heads differ, times ``error``."""
    g = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g)

    mean = noise(episodes, 1, heads).exp()
    rows = mean + 0.5 * noise(episodes, BATCH, heads)
    general = 0.01 * noise(episodes, BATCH, heads)
    gradient = Estimate(3, rows + error * noise(episodes, 1, heads), general)
    direct = Estimate(1, rows + 2 * noise(episodes, 1, heads), general)
    return with_few(Trials(task, rows, rows.mean(1), {GRADIENT: gradient, DIRECT: direct}))


def some_readings(trials: Trials, seed: int) -> Readings:
    """What is known after some random measurements."""
    g = torch.Generator().manual_seed(seed)
    meter = trials.meter()
    for _ in range(5):
        meter.further(torch.randint(HEADS, (len(trials.rows), 1), generator=g), 3)
    return meter.readings()


def test_trials_are_the_episodes_of_training(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi", prompts=80), make_table("control", prompts=40)
    estimate, general = make_table("ioi", prompts=80), make_table("control", prompts=40)
    trials = draw_trials(PricedTables(task, control, {"x": (3, estimate, general)}), 3, 0.5, first_seed=7)
    source, same = TableEpisodes([task], control, 0.5), TableEpisodes([estimate], general, 0.5)
    for i in range(3):
        for rows, episodes in ((trials.rows, source), (trials.estimates["x"].rewards, same)):
            expected = torch.from_numpy(episodes.draw(np.random.default_rng(7 + i)).rewards)
            torch.testing.assert_close(rows[i].mean(0), expected)
    again = draw_trials(PricedTables(task, control), 3, 0.5, first_seed=7)
    assert torch.equal(again.rows, trials.rows)
    assert torch.equal(trials.some(torch.tensor([2, 0])).rewards, trials.rewards[[2, 0]])


def test_fresh_prompts_are_others(make_table: Callable[..., DamageTable]) -> None:
    """Prompt i pays i: the mean of all other prompts follows from the mean of the episode's."""
    table, control = make_table("ioi", prompts=64), make_table("control", prompts=32)
    number = torch.arange(64.0)[:, None].expand_as(table.damage)
    trials = draw_trials(PricedTables(DamageTable(table.clean, number.clone(), table.provenance), control), 4, 0.0)
    torch.testing.assert_close(trials.fresh + trials.rewards, torch.full_like(trials.fresh, 63.0))
    few = PricedTables(make_table("ioi", prompts=32), control)
    assert draw_trials(few, 2).fresh.isnan().all()


def test_tables_that_do_not_fit_are_refused(make_table: Callable[..., DamageTable]) -> None:
    control = make_table("control", prompts=32)
    with pytest.raises(ValueError, match="ioi table has 31 rows; an episode takes 32"):
        PricedTables(make_table("ioi", prompts=31), control)
    with pytest.raises(ValueError, match="estimates 'x' are of other rows or heads than the ioi table"):
        PricedTables(make_table("ioi", prompts=40), control, {"x": (3, make_table("ioi", prompts=41), control)})


def test_lists_by_hand() -> None:
    rewards = torch.tensor([[10.0, 9.0, 0.0, 1.0], [0.0, 0.05, 1.0, 0.2]])
    assert priors.by_mean(rewards).tolist() == [0, 1, 3, 2]
    assert priors.by_normalised_mean(rewards).tolist() == [0, 2, 1, 3]
    assert priors.by_maximum(rewards).tolist() == [0, 2, 1, 3]
    assert priors.in_turns(rewards).tolist() == [0, 2, 1, 3]
    assert priors.layers_by_mean(rewards, 2).tolist() == [0, 1]


def some_belief(seed: int) -> Belief:
    g = torch.Generator().manual_seed(seed)
    mean, deviation = (torch.rand(1, HEADS, 2, generator=g) + 0.2 for _ in range(2))
    weight = torch.rand(1, HEADS, 2, generator=g).log_softmax(2)
    return Belief(mean - 0.5, deviation, weight, torch.rand(1, HEADS, generator=g) + 0.2, torch.full((1, 1), 2.0))


@examples(4, 20)
@given(seed=st.integers(0, 1000))
def test_posterior_is_bayes_on_a_grid(seed: int) -> None:
    trials, belief = drawn(seed, 1), some_belief(seed)
    readings = some_readings(trials, seed)
    after = belief.given(readings)
    grid = torch.linspace(-30, 30, 120_001, dtype=torch.float64)
    for head in range(HEADS):
        at = 0, head
        components = Normal(belief.mean[at].double(), belief.deviation[at].double()).log_prob(grid[:, None])
        log = (components + belief.log_weight[at]).logsumexp(1)
        count = int(readings.count[at])
        rows = trials.rows[0, :count, head].double() / 2.0
        if count:
            error = (
                belief.noise[at].double() * (1 / count - 1 / BATCH) ** 0.5
            )  # of a mean of some of the episode's pairs
            log = log - 0.5 * ((rows.mean() - grid) / error).square()
        weight = (log - log.max()).exp()
        weight = weight / weight.sum()
        expected = (weight * grid).sum()
        spread = ((grid - expected).square() * weight).sum().sqrt()
        assert after.expected[at].item() == pytest.approx(expected.item(), abs=5e-4)
        assert after.spread[at].item() == pytest.approx(spread.item(), rel=2e-3)
    again = after.given(Readings(torch.zeros_like(readings.count), torch.zeros_like(readings.mean)))
    torch.testing.assert_close(again.expected, after.expected)


def test_draws_are_of_the_belief() -> None:
    belief, g = some_belief(4), torch.Generator().manual_seed(0)
    draws = torch.cat([belief.draw(g) for _ in range(20_000)])
    torch.testing.assert_close(draws.mean(0), belief.expected[0], rtol=0, atol=0.04)
    torch.testing.assert_close(draws.std(0), belief.spread[0], rtol=0.04, atol=0)


def test_who_has_measured_all_pairs_knows() -> None:
    trials, belief = drawn(8, 1), some_belief(8)
    meter = trials.meter()
    meter.further(torch.tensor([[3, 7]]), BATCH)
    after = belief.given(meter.readings())
    for head in (3, 7):
        assert after.expected[0, head].item() == pytest.approx(trials.rewards[0, head].item() / 2, abs=1e-4)
        assert after.spread[0, head] < 2e-3 * belief.spread[0, head]


def test_knowledge_gradient_by_simulation() -> None:
    """What naming is expected to gain by n of an episode's pairs, drawn many times, if it is then known of which component a head is."""
    belief, g, draws = some_belief(1), torch.Generator().manual_seed(1), 100_000
    nothing = torch.zeros(1, HEADS)
    now, found = belief.expected[0], gains(belief, Readings(nothing.long(), nothing))[0]
    for head in (int(now.argmax()), 0, 5, 11):
        others = torch.cat([now[:head], now[head + 1 :]]).max()
        which = torch.multinomial(belief.log_weight[0, head].exp(), draws, replacement=True, generator=g)
        mean, deviation = belief.mean[0, head][which], belief.deviation[0, head][which]
        true = mean + deviation * torch.randn(draws, generator=g)
        pairs = torch.randn(draws, BATCH, generator=g)
        pairs = true[:, None] + belief.noise[0, head] * (pairs - pairs.mean(1, keepdim=True))  # whose mean is the truth
        for column, amount in enumerate(AMOUNTS):
            error = belief.noise[0, head].square() * (1 / amount - 1 / BATCH)
            weight = deviation.square() / (deviation.square() + error)
            then = mean + weight * (pairs[:, :amount].mean(1) - mean)
            expected = torch.maximum(then, others).mean() - now.max()
            assert found[head, column].item() == pytest.approx(expected.item(), abs=6e-3)


def test_gains_too_small_for_single_precision_are_told_apart() -> None:
    """Of heads ever further behind the best, against an integral whose integrand is nowhere negative, to gains of 1e-13."""
    belief, deviation, noise = some_belief(3), 0.02, 0.1
    mean = torch.linspace(0, 0.15, HEADS)[None, :, None].expand(-1, -1, 2)
    known = replace(
        belief,
        mean=mean,
        deviation=torch.full((1, HEADS, 2), deviation),
        log_weight=torch.full((1, HEADS, 2), 0.5).log(),
        noise=torch.full((1, HEADS), noise),
    )
    nothing = torch.zeros(1, HEADS)
    found, (best, second) = gains(known, Readings(nothing.long(), nothing))[0], mean[0, :, 0].topk(2).values.tolist()
    smallest = np.inf
    for head, column in product(range(HEADS), range(len(AMOUNTS))):
        error = noise**2 * (1 / AMOUNTS[column] - 1 / BATCH)
        moves = deviation**2 / np.sqrt(deviation**2 + error)
        behind = (best - (second if head == HEADS - 1 else mean[0, head, 0].item())) / moves
        expected = moves * quad(lambda z, least: (z - least) * norm.pdf(z), behind, behind + 20, args=(behind,))[0]
        if expected > 1e-13:
            smallest = min(smallest, expected)
            assert found[head, column].item() == pytest.approx(expected, rel=1e-4)
        else:
            assert found[head, column] < 2e-13
    assert smallest < 1e-11, "so that rounding to single precision would tell"


def test_a_blind_policy_knows_what_it_has_tried() -> None:
    """It is shown counts as they are, and means as they were expected; so it does not go on with one head for ever."""
    seen: list[Readings] = []

    class Curious(Headwise):
        def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            heads = observations[:, GLOBALS:].unflatten(1, (HEADS, PER_HEAD))
            seen.append(Readings((BATCH * heads[..., 9]).round().long(), heads[..., 10]))
            return super().forward(observations)

    trials, believer = drawn(5, 3), Believer(Prior(0), LAYERS)
    for blind in (False, True):
        seen.clear()
        meter = trials.meter()
        PricedPolicy(Curious(0), believer, blind=blind).search(meter, 6, torch.Generator())
        assert seen[-1].count.sum() > seen[0].count.sum() == 0
        surprise = torch.stack([one.mean for one in seen]).abs().max().item()
        assert (surprise < 1e-5) == blind


def test_a_blind_policy_measures_the_same_whatever_it_is_paid() -> None:
    """And names by what it is paid; seeing, it measures otherwise."""
    trials, g = drawn(3, 20, error=1.0), torch.Generator().manual_seed(0)
    other = trials.rows + 3 * torch.randn(trials.rows.shape, generator=g)
    paid_otherwise = replace(trials, rows=other)
    same = {}
    for blind in (True, False):
        policy = PricedPolicy(Headwise(0), Believer(Prior(0), LAYERS), blind=blind)
        logs = []
        for some in (trials, paid_otherwise):
            meter = some.meter()
            policy.search(meter, 6, torch.Generator())
            logs.append(meter.log)
        one, two = logs
        same[blind] = torch.equal(one.head, two.head) and torch.equal(one.count, two.count)
        assert not torch.equal(one.naming(HEADS)[1][:, -1], two.naming(HEADS)[1][:, -1])
    assert same == {True: True, False: False}


def test_a_prior_learns_which_estimates_to_distrust() -> None:
    """Heads of the first layer are worth three times their estimate, those of others what it says."""

    def task(seed: int) -> Trials:
        trials = drawn(seed, 16, error=0.1)
        factor = torch.ones(HEADS)
        factor[: HEADS // LAYERS] = 3.0
        return Trials("planted", trials.rows * factor, trials.fresh * factor, trials.estimates)

    taught = [task(seed) for seed in range(8)]
    prior = fit_prior(taught, [see(some.estimates, LAYERS) for some in taught], seed=0, steps=200)
    held_out = task(99)
    seen = see(held_out.estimates, LAYERS)
    belief = prior(seen)
    plain = held_out.estimates[GRADIENT].rewards.mean(1) / belief.scale
    true = held_out.rewards / belief.scale
    assert (belief.expected - true).square().mean() < 0.3 * (plain - true).square().mean()
    variance = held_out.rows.var(1) / belief.scale.square()
    assert likelihood(belief, true, variance) > likelihood(Prior(0)(seen), true, variance)
    best = held_out.rewards.argmax(1)
    right = [(x.argmax(1) == best).double().mean() for x in (belief.expected, plain)]
    assert right[0] > right[1]


def test_a_prior_learns_that_a_head_may_be_far_from_its_estimate() -> None:
    """One head in twelve, and never another, pays ten times what is estimated in one episode of four; and pays in other behaviours."""

    def task(seed: int) -> Trials:
        trials, g = drawn(seed, 32, error=0.1), torch.Generator().manual_seed(seed)
        factor = torch.ones(32, 1, HEADS)
        factor[torch.rand(32, generator=g) < 0.25, :, 7] = 10.0
        rows = trials.rows * factor
        return Trials("planted", rows, rows.mean(1), trials.estimates)

    paid = torch.full((2, HEADS), 0.1)
    paid[:, 7] = 1.0
    taught, elsewhere = [task(seed) for seed in range(8)], paid_elsewhere(paid)
    prior = fit_prior(taught, [see(some.estimates, LAYERS, elsewhere) for some in taught], seed=0, steps=300)
    belief = Believer(prior, LAYERS, elsewhere).belief(task(99).estimates)
    far = belief.log_weight[..., 1].exp().mean(0)
    reach = (belief.spread / belief.expected.abs().clamp(min=0.1)).mean(0)
    assert reach[7] > 2 * reach[[*range(7), *range(8, HEADS)]].max()
    assert far[7] > 2 * far[[*range(7), *range(8, HEADS)]].max()


def test_what_is_paid_elsewhere_by_hand() -> None:
    known, mean, first, second, third, often = paid_elsewhere(
        torch.tensor([[4.0, 1.0], [2.0, 1.0], [1.0, 10.0], [0.0, 1.0]])
    ).T
    assert known.tolist() == [1, 1]
    assert mean.tolist() == pytest.approx([5 * (1 + 1 + 0.1 + 0) / 4, 5 * (0.25 + 0.5 + 1 + 1) / 4])
    torch.testing.assert_close(torch.stack([first, second, third], 1), torch.tensor([[1, 1, 0.1], [1, 1, 0.5]]))
    assert often.tolist() == pytest.approx([5 * 2 / 4, 5 * 4 / 4])


def test_estimates_on_few_pairs_by_hand() -> None:
    """What they say is of the first pairs, and who buys both pays for the passes that they take."""
    trials = drawn(1)
    meter = trials.meter()
    gradient, direct = meter.estimate(GRADIENT_ON_FEW), meter.estimate(DIRECT_ON_FEW)
    assert meter.price.tolist() == [(3 + 1) * FEW / BATCH] * len(trials.rows)
    for few, all_ in ((gradient, trials.estimates[GRADIENT]), (direct, trials.estimates[DIRECT])):
        assert torch.equal(few.rewards, all_.rewards[:, :FEW])
    alone = trials.meter()
    assert alone.estimate(GRADIENT_ALONE).task.shape[1] == ALONE
    assert alone.price.tolist() == [3 * ALONE / BATCH] * len(trials.rows)


def test_features_do_not_depend_on_the_scale() -> None:
    trials = drawn(0)
    larger = {n: Estimate(e.price, 7 * e.task, 7 * e.general) for n, e in trials.estimates.items()}
    first, second = see(trials.estimates, LAYERS), see(larger, LAYERS)
    for name in ("features", "mean", "spread"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(7 * first.scale, second.scale)


def observation_of(trials: Trials, seed: int, heads: int = HEADS, layers: int = LAYERS) -> torch.Tensor:
    belief = Believer(Prior(0), layers).belief(trials.estimates)
    nothing = torch.zeros(len(trials.rows), heads)
    readings = Readings(nothing.long(), nothing)
    left = torch.full((len(trials.rows),), 100)
    return observe(belief, readings, allowed(readings, left, BATCH), left / 100, layers)


def test_heads_of_a_layer_are_alike_to_the_network() -> None:
    """Exchanging two heads' observations exchanges their probabilities, and changes nothing else."""
    network, observation = Headwise(0), observation_of(drawn(1), 1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    swapped = observation.clone()
    per_head = swapped[:, GLOBALS:].unflatten(1, (HEADS, PER_HEAD))
    per_head[:, [1, 2]] = per_head[:, [2, 1]].clone()
    (one, value), (two, other) = network(observation), network(swapped)
    order = [0, 2, 1, *range(3, HEADS)]
    torch.testing.assert_close(one.unflatten(1, (HEADS, -1))[:, order].flatten(1), two, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.exp().sum(1), torch.ones(len(one)))


def test_one_network_plays_models_of_any_shape() -> None:
    network = Headwise(0)
    for layers, across in ((3, 4), (5, 7)):
        trials = drawn(0, heads=layers * across)
        meter = trials.meter()
        PricedPolicy(network, Believer(Prior(0), layers)).search(meter, 6, torch.Generator())
        assert 5.5 < meter.price.min() <= meter.price.max() <= 6


def test_the_environment_is_the_meter() -> None:
    """The same actions: the same observations, and rewards that add up to what the meter's log names."""
    trials, believer = drawn(5, 1), Believer(Prior(0), LAYERS)
    env = PricedEnv([trials], [believer.belief(trials.estimates)], LAYERS, num_envs=1, budget=5.0)
    observation, meter = env.reset(0), trials.meter()
    belief = believer.belief({name: meter.estimate(name) for name in (GRADIENT_ON_FEW, DIRECT_ON_FEW)})
    rng, share = np.random.default_rng(0), trials.rewards / trials.rewards.max()
    whole = (5 - 1) * BATCH
    total = share[0, belief.expected.argmax()].item()
    for _ in range(100):
        left = torch.round((5 - meter.price) * BATCH).long()
        possible = allowed(meter.readings(), left, BATCH)
        expected = observe(belief, meter.readings(), possible, left / whole, LAYERS)
        torch.testing.assert_close(observation, expected, rtol=1e-4, atol=1e-4)
        action = rng.choice(np.flatnonzero(possible.flatten()))
        observation, reward, over, final = env.step(torch.tensor([action]))
        measure(meter, torch.tensor([action]), torch.tensor([True]))
        total += reward.item()
        named = share[0, belief.given(meter.readings()).expected.argmax()].item()
        assert total == pytest.approx(named, abs=1e-5)
        if over:
            assert final == pytest.approx([named], abs=1e-5)
            return
        assert final == []
    raise AssertionError("an episode did not end")


def test_trials_that_do_not_fit_are_refused(make_table: Callable[..., DamageTable]) -> None:
    some, fewer = drawn(5, 3), drawn(6, 2)
    beliefs = [Believer(Prior(0), LAYERS).belief(trials.estimates) for trials in (some, fewer)]
    for trials, believed in (([some, fewer], beliefs), ([some], beliefs[1:])):
        with pytest.raises(ValueError, match=r"must be of as many episodes, not of \[2, 3\]"):
            PricedEnv(trials, believed, LAYERS, num_envs=1, budget=5)
    for trials, believed in (([some], [beliefs[0]] * 2), ([], [])):
        with pytest.raises(ValueError, match=f"every task needs a belief, and there are {len(trials)} and"):
            PricedEnv(trials, believed, LAYERS, num_envs=1, budget=5)
    with pytest.raises(ValueError, match="a budget of 1 pays for nothing beside the estimates, which cost 1"):
        PricedEnv([some], beliefs[:1], LAYERS, num_envs=1, budget=1)
    tables = PricedTables(make_table("ioi"), make_table("control"))
    with pytest.raises(ValueError, match="penalty must be finite, not nan"):
        draw_trials(tables, 1, float("nan"))


def test_training_finds_more_than_it_began_with_and_repeats() -> None:
    """A few updates on planted trials: the same seed learns the same, and what is known in the end does not fall."""
    trials, prior = [drawn(seed, 32, task=f"task {seed}") for seed in range(4)], Prior(0)
    beliefs = [Believer(prior, LAYERS).belief(some.estimates) for some in trials]
    config = PPOConfig(total_timesteps=2560, num_envs=16, num_steps=16, num_minibatches=4, gamma=1.0, ent_coef=0.002)
    (one, history), (two, _) = (train(trials, beliefs, LAYERS, 5, 0, config) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    fresh = Headwise(0)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), fresh.parameters(), strict=True))
    assert np.isfinite([row["known"] for row in history[-3:]]).any()
    tensors = Learned(prior, {0: one, 3: fresh}).tensors()
    again = Learned.of(tensors)
    assert sorted(again.policies) == [0, 3]
    assert all(torch.equal(x, again.tensors()[name]) for name, x in tensors.items())


def test_correlated_belief_by_brute_force() -> None:
    """After every step the mean is the conditional mean of a joint Gaussian of heads and of what was seen."""
    trials = drawn(2, 1)
    rows = torch.stack([drawn(seed, 1).rows[0] for seed in (10, 11)])
    gaussian = Gaussian.of(rows)
    meter = trials.meter()
    Correlated(gaussian, "ucb").search(meter, 2, torch.Generator())
    log = meter.log
    seen, heads = [], log.head[0].tolist()
    count = dict[int, int]()
    for head in heads:
        first = count.get(head, 0)
        seen.append(trials.rows[0, first : first + AT_ONCE, head].mean().item())
        count[head] = first + AT_ONCE
    cov, mean = gaussian.covariance.double(), gaussian.mean.double()
    among = cov[heads][:, heads] + gaussian.noise**2 / AT_ONCE * torch.eye(len(heads), dtype=torch.float64)
    shift = torch.tensor(seen, dtype=torch.float64) - mean[heads]
    posterior = mean + cov[:, heads] @ torch.linalg.solve(among, shift)
    assert log.names[-1][1].item() == posterior.argmax().item()
    assert len(log.names) == len(heads) + 1 == 2 * BATCH // AT_ONCE + 1


def test_priced_by_hand() -> None:
    trials = drawn(4, 5)
    order, rewards = torch.arange(HEADS), trials.rewards
    players = [
        Player("list", StaticPrior(order)),
        Player("attribution", Verified(GRADIENT)),
        Player("random", RandomSearcher(), seed=3),
    ]
    frame = priced(trials, players, prices=(1, 3, 5))
    assert len(frame) == 3 * 3 * 5
    assert np.allclose(frame["oracle"], np.tile(rewards.amax(1), 9))
    of_list = frame.query("searcher == 'list' and price == 3")
    assert np.allclose(of_list["named"], rewards[:, :3].amax(1))
    assert np.allclose(of_list["found"], of_list["named"])
    best = rewards.argmax(1)
    assert of_list["measured_best"].tolist() == (best < 3).tolist()
    five = rewards.topk(5).indices
    assert np.allclose(of_list["recall"], (five < 3).double().mean(1))
    unpaid = frame.query("searcher == 'attribution' and price == 1")
    assert unpaid[["named", "fresh", "found"]].isna().all().all()
    assert not unpaid["measured_best"].any()
    bought = frame.query("searcher == 'attribution' and price == 3")
    estimate = trials.estimates[GRADIENT].rewards.mean(1)
    assert np.allclose(bought["named"], rewards.gather(1, estimate.argmax(1, keepdim=True))[:, 0])
    assert bought["found"].isna().all()


def test_overspending_is_an_error() -> None:
    class Spendthrift(RandomSearcher):
        def search(self, meter: Meter, budget: float | int, generator: torch.Generator) -> None:
            super().search(meter, budget + 1, generator)

    with pytest.raises(ValueError, match=r"spendthrift spent 3.0 of a budget of 2"):
        priced(drawn(0), [Player("spendthrift", Spendthrift())], prices=(2,))


@pytest.mark.parametrize("thompson", [False, True])
def test_looking_ahead_spends_its_budget_and_gains(thompson: bool) -> None:
    trials = drawn(6, 40, error=1.0)
    searcher = LookAhead(Believer(Prior(0), LAYERS), thompson=thompson)
    frame = priced(trials, [Player("look ahead", searcher)], prices=(1, 3))
    before, after = (frame.query("price == @price")["named"].mean() for price in (1, 3))
    assert before < after <= trials.rewards.amax(1).mean()
    meter = trials.meter()
    searcher.search(meter, 0.9, torch.Generator())
    assert not meter.price.any()
