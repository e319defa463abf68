"""Circuits kept and ablated: a transformer whose circuit is known, sets of heads one at a time, shares in closed form."""

from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import INDUCTION, OWN, PREVIOUS, induction_transformer
from transformers import PreTrainedTokenizerBase

from circuitlib import head_damage
from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.build import ablation_of
from circuitlib.ablation.engine import AblationKind, Engine
from circuitlib.ablation.hooks import Hooks, hooked_task
from circuitlib.ablation.sweep import engine
from circuitlib.companion import figures
from circuitlib.companion.learned import REAL, learned
from circuitlib.companion.run import Run
from circuitlib.search.belief import DIRECT, GRADIENT, Believer, with_few
from circuitlib.search.correlated import Correlated, Gaussian
from circuitlib.search.lookahead import LookAhead
from circuitlib.search.meter import Estimate
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import head_order
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.priced_policy import PricedPolicy
from circuitlib.search.rivals import Halving, LayersByReward, Verified
from circuitlib.search.searchers import RandomSearcher, Searcher, StaticPrior
from circuitlib.search.trials import Trials
from circuitlib.studies.circuits import measure_circuits
from circuitlib.studies.faithfulness import shares
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS, Task

KNOWN = {PREVIOUS, INDUCTION}
TASK = TASKS["induction"]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> Subject:
    return load_subject(str(induction_transformer(tmp_path_factory.mktemp("by_hand"), tokenizer, sharp=12)))


def test_it_does_induction_and_every_engine_finds_its_two_heads(by_hand: Subject) -> None:
    prompts = TASK.prompts(by_hand.tokenizer, 8, 0)
    for one in (engine(by_hand), Hooks(by_hand), Attribution(by_hand)):
        scores = one.task(prompts[0], TASK.metric)
        assert (scores.clean > 1).all()
        assert set(scores.damage.mean(0).topk(2).indices.tolist()) == KNOWN
    frame = head_damage(by_hand, prompts)
    assert set(frame.nlargest(2, "damage").index) == KNOWN
    assert frame["damage"].nlargest(3).iloc[-1] < 0.01 * frame["damage"].max()


def test_a_gradient_does_not_see_what_saturated_attention_hides(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Sharper attention is the same circuit; but the slope of a saturated pattern says nothing of its collapse: the gradient takes the
    loss of the first head for a gain."""
    subject = load_subject(str(induction_transformer(tmp_path, tokenizer, sharp=30)))
    prompts = TASK.prompts(subject.tokenizer, 16, 0)[0]
    measured, estimated = (
        one.task(prompts, TASK.metric).damage.mean(0) for one in (engine(subject), Attribution(subject))
    )
    assert set(measured.topk(2).indices.tolist()) == KNOWN
    assert measured[PREVIOUS] > 0.9 * measured[INDUCTION]
    assert estimated[PREVIOUS] < 0 < estimated[INDUCTION]


def test_every_searcher_that_measures_all_heads_names_one_of_them(by_hand: Subject) -> None:
    prompts = TASK.prompts(by_hand.tokenizer, 32, 0)[0]
    engines: dict[str, Engine] = {"damage": engine(by_hand), GRADIENT: Attribution(by_hand)}
    engines[DIRECT] = Attribution(by_hand, through="residual")
    rows = {name: one.task(prompts, TASK.metric).damage[None] for name, one in engines.items()}
    nothing = torch.zeros_like(rows["damage"])
    estimates = {name: Estimate(price, rows[name], nothing) for name, price in ((GRADIENT, 3.0), (DIRECT, 1.0))}
    trials = with_few(Trials("induction", rows["damage"], rows["damage"].mean(1), estimates))
    heads = by_hand.heads
    layers = torch.arange(by_hand.layers).flip(0)
    taught = learned(Run(REAL))
    believer = Believer(taught.prior, by_hand.layers)
    searchers: list[Searcher] = [
        RandomSearcher(),
        StaticPrior(torch.arange(heads).flip(0)),
        LayersByReward(layers),
        Verified(GRADIENT),
        Halving(heads),
        PolicySearcher(ActorCritic(2, heads, 8, 0), np.zeros(2, dtype=np.float32)),
        Correlated(Gaussian.of(rows["damage"]), "thompson"),
        Correlated(Gaussian.of(rows["damage"]), "ucb", GRADIENT),
        LookAhead(believer),
        LookAhead(believer, thompson=True),
        *(PricedPolicy(policy, believer) for policy in taught.policies.values()),
        *(PricedPolicy(policy, believer, blind=True) for policy in taught.policies.values()),
    ]
    for searcher in searchers:
        meter = trials.meter()
        searcher.search(meter, heads + 3, torch.Generator().manual_seed(0))
        assert int(meter.log.naming(heads)[1][0, -1]) in KNOWN, searcher


def test_the_known_circuit_is_faithful_and_complete_and_others_are_not(by_hand: Subject) -> None:
    others = [head for head in range(by_hand.heads) if head not in KNOWN]
    rankings = {"known": [[*KNOWN, *others]], "others": [[*others, *KNOWN]], "half": [[INDUCTION, *others]]}
    frame = measure_circuits(by_hand, {TASK: rankings}, (2, 5), 8, 3, ("zero",), "docstrings")
    share = shares(frame).set_index(["ranking", "heads", "what"])["share"]
    assert share["known", 2, "kept"] == pytest.approx(1, abs=0.05)
    assert share["known", 2, "lost"] == pytest.approx(1, abs=0.05)
    for ranking in ("others", "half"):
        assert share[ranking, 5, "kept"] == pytest.approx(0, abs=0.1)
    assert share["others", 5, "lost"] == pytest.approx(0, abs=0.1)
    assert share["half", 2, "lost"] == pytest.approx(1, abs=0.1)
    damage = engine(by_hand).task(TASK.prompts(by_hand.tokenizer, 8, 0)[0], TASK.metric).damage
    assert set(head_order(damage)[:2].tolist()) == KNOWN


@pytest.mark.parametrize("task", [TASKS["ioi"], OWN], ids=lambda task: task.name)
def test_scores_are_those_of_each_set_by_itself(task: Task, odd: Subject) -> None:
    subject, order = odd, [3, 14, 11, 7, 0]
    rankings = {"one": [order], "two": [order[::-1], [5, 6, 7, 8, 9]]}
    kinds: tuple[AblationKind, ...] = ("zero", "mean")
    frame = measure_circuits(subject, {task: rankings}, (1, 3), 5, 3, kinds, "docstrings")
    assert len(frame) == 2 * 3 * 3 * 5
    assert set(frame["task"]) == {task.name}
    groups = task.prompts(subject.tokenizer, 5, 3)

    ablations = {kind: ablation_of(kind, subject.tokenizer, "docstrings") for kind in kinds}

    @cache
    def by_itself(kind: AblationKind, heads: tuple[int, ...]) -> np.ndarray:
        scores = [hooked_task(subject, group, task.metric, [heads], ablations[kind])[:, 0] for group in groups]
        return torch.cat(scores).numpy()

    for names, rows in frame.groupby(["ablation", "ranking", "order", "heads"]):
        kind, ranking, i, n = cast(tuple[AblationKind, str, int, int], names)
        circuit = rankings[ranking][i][:n]
        rest = [head for head in range(subject.heads) if head not in circuit]
        for column, heads in (("kept", rest), ("ablated", circuit)):
            assert np.allclose(rows[column], by_itself(kind, tuple(heads)), atol=2e-4), (names, column)


@pytest.mark.parametrize("order", [[3, 14], [3, 14, 3], [3, 14, 999], [-1, 0, 1]])
def test_an_order_without_so_many_heads_is_refused(odd: Subject, order: list[int]) -> None:
    rankings = {TASKS["ioi"]: {"one": [[1, 2, 3], order]}}
    with pytest.raises(ValueError, match=r"ioi, one: no order of 3 different heads, of 0 to \d+"):
        measure_circuits(odd, rankings, (1, 3), 5, 3, ("zero",), "docstrings")


def _scores(
    kept: list[float], ablated: list[float], order: int = 0, heads: int = 3, clean: float = 5.0
) -> pd.DataFrame:
    """Of one circuit, and of none: a model whose score is 5 whole and 1 without any head."""
    names = {"task": "ioi", "ablation": "zero", "ranking": "damage", "order": order, "prompt": range(len(kept))}
    none = pd.DataFrame(names | {"heads": 0, "kept": 1.0, "ablated": clean})
    return pd.concat([none, pd.DataFrame(names | {"heads": heads, "kept": kept, "ablated": ablated})])


def test_shares_in_closed_form() -> None:
    table = shares(_scores([3.0, 5.0, 4.0], [1.0, 2.0, 0.0])).set_index("what")
    assert table["share"].to_dict() == {"kept": pytest.approx(0.75), "lost": pytest.approx(1.0)}
    # Of equal wholes the interval is that of a mean: Student's t with two degrees of freedom.
    reach = 4.302653 * np.std([3, 5, 4], ddof=1) / 3**0.5 / 4
    assert table.loc["kept", "high"] == pytest.approx(0.75 + reach, abs=1e-5), "it may be above one"
    assert table.loc["kept", "low"] == pytest.approx(0.75 - reach, abs=1e-5)
    both = pd.concat([_scores([3.0, 5.0], [1.0, 1.0]), _scores([1.0, 1.0], [5.0, 5.0], order=1)])
    mean = shares(both).set_index("what")["share"]
    assert mean.to_dict() == {"kept": pytest.approx(0.375), "lost": pytest.approx(0.5)}
    nothing = shares(_scores([3.0, 5.0, 4.0], [1.0, 2.0, 0.0], clean=1.0))
    assert nothing[["low", "high"]].isna().all(axis=None), "a share of nothing is not known"


def test_the_figure_shows_the_shares() -> None:
    parts = [
        _scores([3.0, 3.0 + n, 4.0], [1.0, 2.0, 0.0], heads=n).assign(ranking=name, ablation=kind)
        for n in (1, 5)
        for name in "ab"
        for kind in ("zero", "mean")
    ]
    table = shares(pd.concat(parts).drop_duplicates())
    wild = table.assign(ranking="c", low=-9.0, high=9.0)
    figure = figures.circuit_curves(pd.concat([table, wild]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"], "c says nothing"
    panels = [(what, kind) for what in ("kept", "lost") for kind in ("zero", "mean")]
    for axis, (what, kind) in zip(figure.axes, panels, strict=True):
        low, high = axis.get_ylim()
        assert len(axis.lines) == 2 + 2, "two rankings, nothing and all"
        some = table[(table["what"] == what) & (table["ablation"] == kind)]
        for line, (_, of_ranking) in zip(axis.lines, some.groupby("ranking", sort=False), strict=False):
            assert np.allclose(line.get_ydata(), of_ranking["share"])
            beside = np.asarray(line.get_xdata()) / of_ranking["heads"]
            assert beside.between(0.9, 1.1).all()
            assert of_ranking["share"].between(low, high).all()
