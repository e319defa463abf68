"""Rules by hand that drop candidates in rounds fixed beforehand: their search, and the choice among many, against loops over plain numbers."""

import numpy as np
import pytest
import torch
from drawing import examples
from hypothesis import given
from hypothesis import strategies as st
from test_priced import BATCH, HEADS, LAYERS, drawn

from circuitlib.companion.by_hand import in_short, rules_table
from circuitlib.companion.commands import STUDIES
from circuitlib.companion.learned import REAL, lists_price
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.search.belief import GRADIENT, GRADIENT_ALONE
from circuitlib.search.meter import Meter
from circuitlib.search.priors import by_normalised_mean
from circuitlib.search.rivals import Halving
from circuitlib.search.trials import Trials
from circuitlib.studies.by_hand import CANDIDATES, GRADIENTS, ROUNDS, besides, measure_by_hand
from circuitlib.studies.priced_contest import BY_HAND
from circuitlib.studies.priced_contest import ROUNDS as CONTESTED

BUDGET = 4


def played(
    trials: Trials, rule: tuple[int, str, list[int], tuple[tuple[int, int], ...]], budget: float
) -> list[tuple[int, float]]:
    """Of each episode the head that is named in the end, and what was paid: by loops."""
    candidates, estimate, always, rounds = rule
    bought, ends = trials.estimates[estimate], []
    for episode in range(len(trials.rows)):
        said = bought.rewards[episode].mean(0).tolist()
        named, paid, known = int(np.argmax(said)), bought.price, 0
        others = sorted((head for head in range(HEADS) if head not in always), key=lambda head: -said[head])
        left = [*always, *others[:candidates]]
        for more, kept in rounds:
            if paid + more * len(left) / BATCH > budget:
                break
            paid, known = paid + more * len(left) / BATCH, known + more
            means = {head: trials.rows[episode, :known, head].mean().item() for head in left}
            left = sorted(left, key=lambda head: -means[head])[:kept]
            named = left[0]
        ends.append((named, paid))
    return ends


@examples(40, 200)
@given(
    seed=st.integers(0, 5),
    candidates=st.integers(1, 8),
    always=st.lists(st.integers(0, HEADS - 1), max_size=3, unique=True),
    sizes=st.lists(st.tuples(st.integers(1, 10), st.integers(1, 6)), min_size=1, max_size=3),
    budget=st.floats(1, 9),
)
def test_rounds_that_are_fixed_beforehand(
    seed: int, candidates: int, always: list[int], sizes: list[tuple[int, int]], budget: float
) -> None:
    trials, rounds = drawn(seed), tuple(sizes)
    meter = trials.meter()
    Halving(candidates, GRADIENT_ALONE, always=always, rounds=rounds).search(meter, budget, torch.Generator())
    assert (meter.price <= budget).all()
    if trials.estimates[GRADIENT_ALONE].price > budget:
        assert not meter.price.any()
        return
    price, head = meter.log.naming(HEADS)
    expected = played(trials, (candidates, GRADIENT_ALONE, always, rounds), budget)
    assert head[:, -1].tolist() == [named for named, _ in expected]
    assert meter.price.tolist() == pytest.approx([paid for _, paid in expected])
    assert (price[:, -1] <= meter.price).all()


def test_the_choice_among_rules() -> None:
    """Every rule on every behaviour, which is played by what the others pay."""
    some = [drawn(seed, task=f"behaviour {seed}", error=1.5) for seed in range(3)]
    rewards = torch.stack([one.rewards.mean(0) for one in some])
    listed = torch.randperm(HEADS, generator=torch.Generator().manual_seed(1))
    table = measure_by_hand(some, rewards, listed, LAYERS, BUDGET)
    assert len(table) == len(GRADIENTS) * len(CANDIDATES) * 5 * len(ROUNDS)
    for place in (0, 77, 140, len(table) - 1):
        row = table.iloc[place]
        shares = []
        for i, trials in enumerate(some):
            others = torch.stack([rewards[j] for j in range(3) if j != i])
            beside = {
                "none": [],
                "layer 0": list(range(HEADS // LAYERS)),
                "8 of lists in turns": listed[:8].tolist(),
                "8 of other behaviours": by_normalised_mean(others)[:8].tolist(),
                "16 of other behaviours": by_normalised_mean(others)[:16].tolist(),
            }
            assert besides(listed, others, LAYERS) == beside
            meter = trials.meter()
            rule = Halving(
                int(row["candidates"]), row["estimate"], always=beside[row["beside"]], rounds=ROUNDS[row["rounds"]]
            )
            rule.search(meter, BUDGET, torch.Generator())
            _, head = meter.log.naming(HEADS)
            named = trials.rewards[torch.arange(len(head)), head[:, -1]].mean()
            shares.append((named / trials.rewards.amax(1).mean()).item())
        assert row["named"] == pytest.approx(np.mean(shares), abs=1e-6)
        assert (row["least"], row["worst"]) == (pytest.approx(min(shares), abs=1e-6), some[int(np.argmin(shares))].task)
    with pytest.raises(ValueError, match="at least two behaviours"):
        measure_by_hand(some[:1], rewards[:1], listed, LAYERS, BUDGET)


def test_the_committed_choice() -> None:
    """The rule of the contest is the first of the table, which the command prints."""
    table = load_frame(Run(REAL).frame_path("by_hand"))
    (study,) = (one for one in STUDIES if one.name == "by_hand")
    short = study.in_short(table)
    assert short.equals(in_short(table))
    assert short["named"].is_monotonic_decreasing
    assert short["named"].iloc[0] == table["named"].max()
    first, *_ = rules_table(table).index
    candidates, estimate, count = BY_HAND
    assert first[:3] == (estimate, candidates, f"{count} of lists in turns")
    assert ROUNDS[first[3]] == CONTESTED
    assert sum(more for more, _ in CONTESTED) == BATCH, "the last are known whole"
    assert GRADIENT in GRADIENTS


@pytest.mark.parametrize("subject", list(PUBLISHED))
def test_what_its_lists_cost(subject: str) -> None:
    """A meter that measures every head of both tasks on all their training prompts, whatever they pay."""
    run = Run(PUBLISHED[subject])
    rows = torch.zeros(len(run.training_tasks), len(run.table("ioi", "train")), run.card.heads)
    meter = Meter(rows[:, :BATCH])
    for _ in range(0, rows.shape[1], BATCH):
        meter.measure(torch.arange(run.card.heads).expand(len(rows), -1))
    assert lists_price(run) == meter.price.sum().item()
