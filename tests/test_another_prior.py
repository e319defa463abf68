"""Another prior is fitted to what was chosen and to nothing else, and searches as the published one does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_few import STEPS
from test_priced import LAYERS, drawn

from circuitlib.companion.another_prior import TITLES, another_prior, prior_table
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED as PUBLISHED_RUNS
from circuitlib.companion.settings import Settings
from circuitlib.manifest import load_frame
from circuitlib.search.belief import Believer, Prior, fit_prior, paid_elsewhere
from circuitlib.search.headwise import Headwise
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.priced_policy import Learned, PricedPolicy
from circuitlib.studies import another_prior as study
from circuitlib.studies import left_out
from circuitlib.studies.another_prior import (
    AHEAD,
    BEGUN,
    BLIND,
    DRAWN,
    GAIN,
    MORE,
    PUBLISHED,
    SEEING,
    measure_another_prior,
    over_priors,
    refitted,
)
from circuitlib.studies.priced import Player, priced
from circuitlib.subjects.checkpoints import SMOLLM2

TRAINING = [drawn(seed, task=f"behaviour {seed}", error=1.0) for seed in range(4)]
REWARDS = torch.stack([some.rewards.mean(0) for some in TRAINING])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (study, left_out):
        monkeypatch.setattr(module, "fit_prior", lambda trials, seen, seed: fit_prior(trials, seen, seed, STEPS))


def weights(prior: Prior) -> torch.Tensor:
    return torch.cat([x.flatten() for x in prior.state_dict().values()])


def test_all_behaviours_once_are_the_prior_of_them_all() -> None:
    ours = refitted(TRAINING, REWARDS, LAYERS, [0, 1, 2, 3], seed=0)
    assert torch.equal(weights(ours), weights(left_out.prior_of(TRAINING, REWARDS, LAYERS)))
    some = refitted(TRAINING, REWARDS, LAYERS, [1, 3], seed=0)
    assert torch.equal(weights(some), weights(left_out.prior_of([TRAINING[1], TRAINING[3]], REWARDS[[1, 3]], LAYERS)))


def test_what_was_not_chosen_is_not_seen_and_what_was_twice_counts_twice() -> None:
    chosen = [2, 0, 2]
    prior = refitted(TRAINING, REWARDS, LAYERS, chosen, seed=5)
    other = [TRAINING[0], drawn(90), TRAINING[2], drawn(91)]
    assert torch.equal(
        weights(prior), weights(refitted(other, REWARDS * torch.tensor([[1.0], [9], [1], [9]]), LAYERS, chosen, 5))
    )
    assert not torch.equal(weights(prior), weights(refitted(TRAINING, REWARDS, LAYERS, [2, 0], seed=5)))
    assert not torch.equal(weights(prior), weights(refitted(TRAINING, REWARDS, LAYERS, chosen, seed=6)))


def test_every_prior_plays_the_same_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "PRIORS", {BEGUN: 1, DRAWN: 2})
    played = [drawn(seed + 10, 4, 3.0, f"task {seed}") for seed in range(2)]
    learned = Learned(Prior(7), {seed: Headwise(seed) for seed in range(2)})
    wider = torch.cat([REWARDS, REWARDS.flip(0, 1)])
    more = Learned(Prior(8), {seed: Headwise(seed) for seed in (5, 6)})
    table = measure_another_prior(TRAINING, REWARDS, played, learned, (more, wider), LAYERS, 2)
    assert len(table) == (1 + 1 + 1 + 2) * 2 * 3
    rows: Any = table.set_index(["fitted", "draw", "task", "searcher"])["named"]
    chosen = np.random.default_rng(0).integers(4, size=4).tolist()
    fits = {
        PUBLISHED: (learned, REWARDS),
        BEGUN: (replace(learned, prior=refitted(TRAINING, REWARDS, LAYERS, [0, 1, 2, 3], seed=1)), REWARDS),
        DRAWN: (
            replace(learned, prior=refitted(TRAINING, REWARDS, LAYERS, chosen, seed=0)),
            REWARDS[sorted({*chosen})],
        ),
        MORE: (more, wider),
    }
    assert len({*chosen}) < 4, "one of them twice"
    for how, (one, known) in fits.items():
        believer = Believer(one.prior, LAYERS, paid_elsewhere(known))
        for trials in played:
            ahead = priced(trials, [Player("one", LookAhead(believer))], (2,))
            assert rows[how, 0, trials.task, AHEAD] == pytest.approx(ahead["named"].mean() / ahead["oracle"].mean())
            for name, blind in ((SEEING, False), (BLIND, True)):
                each = [
                    priced(trials, [Player("one", PricedPolicy(network, believer, blind=blind), seed)], (2,))
                    for seed, network in one.policies.items()
                ]
                both = pd.concat(each)
                assert rows[how, 0, trials.task, name] == pytest.approx(both["named"].mean() / both["oracle"].mean())


def test_priors_are_summed_up_over_tasks() -> None:
    values = {("x", 0): [0.8, 0.6], ("x", 1): [1.0, 0.8], ("y", 0): [0.5, 0.7]}
    table = pd.DataFrame(
        {"fitted": how, "draw": draw, "task": task, "searcher": searcher, "named": value - 0.1 * (searcher == BLIND)}
        for (how, draw), of in values.items()
        for task, value in zip("ab", of, strict=True)
        for searcher in (AHEAD, SEEING, BLIND)
    )
    found: Any = over_priors(table)
    assert found.loc[("x", AHEAD)].tolist() == pytest.approx([2, 0.8, 0.7, 0.9])
    assert found.loc[("x", GAIN)].tolist() == pytest.approx([2, 0.1, 0.1, 0.1])
    assert found.loc[("y", BLIND)].tolist() == pytest.approx([1, 0.5, 0.5, 0.5])


def test_the_published_prior_names_what_the_contest_says() -> None:
    run = Run(PUBLISHED_RUNS[SMOLLM2])
    rivals = load_frame(run.frame_path("rivals")).query("price == 8")
    table: Any = (
        load_frame(run.frame_path("another_prior")).set_index(["fitted", "searcher", "task"])["named"].sort_index()
    )
    for searcher in (AHEAD, SEEING, BLIND):
        for task, rows in rivals[rivals["searcher"] == searcher].groupby("task"):
            named = rows["named"].mean() / rows["oracle"].mean()
            assert table.loc[PUBLISHED, searcher, task] == pytest.approx(named, rel=1e-4)
    shown = prior_table(load_frame(run.frame_path("another_prior")))
    drawn_again: Any = load_frame(run.frame_path("another_prior")).query("fitted == @DRAWN and searcher == @AHEAD")
    named = drawn_again.pivot(index="draw", columns="task", values="named").mean(axis=1)
    ends = [100 * end for end in (named.mean(), named.min(), named.max())]
    assert shown.loc[TITLES[DRAWN], "learned belief, look ahead"] == "{:.1f} ({:.1f} to {:.1f})".format(*ends)


def test_only_the_real_model_has_behaviours() -> None:
    with pytest.raises(ValueError, match="behaviours of the real model, of which gpt2-mini has no tables"):
        another_prior(Run(Settings()))
