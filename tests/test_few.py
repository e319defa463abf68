"""On how many prompts estimates are bought: prices, who is judged by which prior, and intervals over behaviours."""

from collections.abc import Sequence

import pandas as pd
import pytest
import torch
from scipy.stats import t
from test_priced import LAYERS, drawn

from circuitlib.companion.few import few as few_of_a_run
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.search.belief import (
    DIRECT_ON_FEW,
    FEW,
    GRADIENT_ON_FEW,
    Believer,
    Prior,
    Seen,
    fit_prior,
    paid_elsewhere,
)
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.trials import Trials
from circuitlib.studies import left_out
from circuitlib.studies.few import CHOSEN, DESIGNS, Design, bought, by_design, measure_few
from circuitlib.studies.left_out import prior_of
from circuitlib.studies.priced import Player, priced

BEHAVIOURS, STEPS, BUDGET = 3, 20, 1


def taught() -> list[Trials]:
    return [drawn(seed, task=f"behaviour {seed}", error=1.0) for seed in range(BEHAVIOURS)]


def mean_rewards(trials: list[Trials]) -> torch.Tensor:
    return torch.stack([some.rewards.mean(0) for some in trials])


def test_what_is_bought_has_its_share_of_the_price() -> None:
    trials = drawn(0)
    for design in DESIGNS:
        some = bought(trials, design).estimates
        gradient, direct = some[GRADIENT_ON_FEW], some[DIRECT_ON_FEW]
        assert (gradient.price, direct.price) == (3 * design.gradient / 32, design.direct / 32)
        assert (gradient.task.shape[1], direct.general.shape[1]) == design
    chosen = bought(trials, CHOSEN).estimates
    for name in (GRADIENT_ON_FEW, DIRECT_ON_FEW):
        assert chosen[name].price == trials.estimates[name].price
        assert torch.equal(chosen[name].rewards, trials.estimates[name].rewards)
    assert Design(FEW, FEW) == CHOSEN


def test_a_behaviour_is_searched_by_a_prior_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand; whatever it pays in training."""
    fitted: list[set[str]] = []

    def fit(trials: Sequence[Trials], seen: Sequence[Seen], seed: int) -> Prior:
        fitted.append({some.task for some in trials})
        return fit_prior(trials, seen, seed, STEPS)

    monkeypatch.setattr(left_out, "fit_prior", fit)
    training, played = taught(), [drawn(seed + 10, error=3.0, task=f"behaviour {seed}") for seed in range(BEHAVIOURS)]
    rewards = mean_rewards(training)
    designs = (Design(4, 4), CHOSEN)
    table = measure_few(training, played, rewards, LAYERS, BUDGET, designs)
    everyone = {some.task for some in training}
    assert sorted(map(sorted, fitted)) == sorted(sorted(everyone - {one}) for one in everyone for _ in designs)
    assert table["price"].tolist() == [0.5] * BEHAVIOURS + [1.0] * BEHAVIOURS
    left = [bought(training[i], CHOSEN) for i in (0, 2)]
    prior = prior_of(left, rewards[[0, 2]], LAYERS)
    searcher = LookAhead(Believer(prior, LAYERS, paid_elsewhere(rewards[[0, 2]])))
    found = priced(bought(played[1], CHOSEN), [Player("by hand", searcher)], (BUDGET,))
    row = table[table["behaviour"] == "behaviour 1"].iloc[-1]
    assert row["named"] == pytest.approx(found["named"].mean() / found["oracle"].mean())
    assert row["named"] < 1
    one = training[1]
    others = [training[0], Trials(one.task, one.rows.flip(2), one.fresh.flip(1), one.estimates), training[2]]
    changed = measure_few(others, played, mean_rewards(others), LAYERS, BUDGET, (CHOSEN,)).set_index("behaviour")
    assert changed.loc["behaviour 1", "named"] == row["named"]


def test_intervals_are_students_over_behaviours() -> None:
    named = {(4, 4): [0.5, 0.7, 0.9], CHOSEN: [0.8, 0.85, 0.95]}
    table = pd.DataFrame(
        {"gradient": design[0], "direct": design[1], "price": sum(design) / 8, "behaviour": name, "named": value}
        for design, values in named.items()
        for name, value in zip("abc", values, strict=True)
    )
    few_prompts, chosen = by_design(table).to_dict("records")
    assert (few_prompts["low"], few_prompts["high"]) == pytest.approx((0.7 - t.ppf(0.975, 2) * 0.2 / 3**0.5, 1.0))
    more = pd.Series(named[4, 4]) - pd.Series(named[CHOSEN])
    ends = t.interval(0.95, 2, more.mean(), more.sem())
    assert (few_prompts["ahead_low"], few_prompts["ahead_high"]) == pytest.approx(ends)
    assert (few_prompts["least"], few_prompts["worst"]) == (0.5, "a")
    assert chosen["ahead"] == chosen["ahead_low"] == chosen["ahead_high"] == 0


def test_only_the_real_model_has_behaviours() -> None:
    with pytest.raises(ValueError, match="behaviours of the real model, of which gpt2-mini has no tables"):
        few_of_a_run(Run(Settings()))
