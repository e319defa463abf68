"""Every number of a finding in README is the committed tables'."""

import heapq
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from prose import in_words
from recorded_engine import Recorded, prompts_of
from transformers import PreTrainedTokenizerFast

from circuitlib.ablation.build import BLOCK, SEEDS
from circuitlib.ablation.check_task import LEAST_DAMAGE
from circuitlib.ablation.tables import CONTROL, load_table
from circuitlib.ablation.top import top_heads
from circuitlib.companion.authors import agreement, replay
from circuitlib.companion.circuits import circuits, policy_circuits
from circuitlib.companion.frames import best_heads, evaluation_episodes, head_rewards, say_nothing
from circuitlib.companion.larger_pool import TIMES, larger_pool
from circuitlib.companion.learned import BUDGET
from circuitlib.companion.legend import processor_title
from circuitlib.companion.other_ablations import FEWER, KINDS, side_by_side
from circuitlib.companion.paper import docstring_oracle, docstring_results, headline_as_printed, mechrl, paper_fractions
from circuitlib.companion.planted import planted
from circuitlib.companion.rival_figures import gains_over, mean_table, rival_table
from circuitlib.companion.rival_sentences import extremes
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED, Settings
from circuitlib.companion.speed import recorded
from circuitlib.companion.training_ways import published
from circuitlib.companion.verdicts import CEILING, beats, gains
from circuitlib.manifest import load_frame
from circuitlib.paths import RESULTS, ROOT, SUBJECTS
from circuitlib.search.belief import FEW, GRADIENT_ALONE
from circuitlib.studies.another_prior import AHEAD, DRAWN, GAIN, MORE, SEEING, over_priors
from circuitlib.studies.another_prior import PUBLISHED as PUBLISHED_PRIOR
from circuitlib.studies.by_hand import ROUNDS as ROUNDS_IN_WORDS
from circuitlib.studies.confirmation import BY_HAND, EACH, MEAN, NEAR, by_searcher, judged
from circuitlib.studies.evaluate import ahead, summarise
from circuitlib.studies.intervals import Interval
from circuitlib.studies.left_out import beside
from circuitlib.studies.priced import mean_of, summarise_priced
from circuitlib.studies.priced_contest import ALONE, IN_ROUNDS, ROUNDS, SMALL
from circuitlib.studies.priced_contest import BY_HAND as RULE_BY_HAND
from circuitlib.studies.taught import ANEW, CHOSEN, IMITATES, POLICY, THEN, UNBELIEVING, by_way
from circuitlib.studies.transfer import over_behaviours, shares
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2
from circuitlib.tasks import TASKS
from circuitlib.tasks.base import LOGIT_DIFFERENCE
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION
from circuitlib.tasks.control_text import SPAN, Part

HEADLINE, PLANNED = (5, 1), (5, 5)
"""The k that a policy was trained with, and the k that it plans with."""

MINI, REAL = EMBEDDED, SMOLLM2


@pytest.fixture(scope="module")
def readme() -> str:
    return " ".join((ROOT / "README.md").read_text().split())


class Found:
    """The summary of a published run's evaluation, in README's form."""

    def __init__(self, subject: str) -> None:
        self.run = Run(PUBLISHED[subject])
        self.evaluation, self.pool = load_frame(self.run.frame_path("evaluation")), self.run.settings.evaluation_prompts
        self.summary = summarise(self.evaluation, self.pool)
        self.claims = load_frame(self.run.frame_path("claims"))

    def row(
        self, task: str, searcher: str, measured: int, policy: tuple[int, int] = (0, 0), signal: str = "none"
    ) -> pd.Series:
        rows = self.summary.query(
            "task == @task and searcher == @searcher and measured == @measured and signal == @signal"
        )
        rows = rows[(rows["trained_k"] == policy[0]) & (rows["planned_k"] == policy[1])]
        assert len(rows) == 1
        return rows.iloc[0]

    def ahead(self, task: str, measured: int, other: str, policy: tuple[int, int] = (0, 0)) -> Interval:
        """How much more the headline's policy finds than another searcher, told nothing."""
        rows = self.evaluation.query("task == @task and measured == @measured and signal == 'none'")
        keys = zip(("policy", other), (HEADLINE, policy), strict=True)
        one, two = (
            rows.query(f"searcher == {name!r} and trained_k == {k} and planned_k == {p}") for name, (k, p) in keys
        )
        return ahead(one, two, self.pool)

    def verdicts(self) -> tuple[int, ...]:
        """How many of the paper's fractions are consistent, inconsistent and undecided."""
        words = self.claims.loc[self.claims["unit"] == "fraction of oracle", "verdict"]
        return tuple(int((words == word).sum()) for word in ("consistent", "inconsistent", "undecided"))

    def policy(self, task: str, measured: int, policy: tuple[int, int] = HEADLINE) -> str:
        return f"{100 * self.row(task, 'policy', measured, policy)['ratio']:.0f}"

    def prior(self, task: str, measured: int, signal: str = "none") -> str:
        return f"{100 * self.row(task, 'static prior', measured, signal=signal)['ratio']:.0f}"

    def stands_out(self, task: str) -> bool:
        """Whether some head is worth enough of the metric for fractions of it to say anything."""
        heads = load_frame(self.run.frame_path("heads"))
        return bool(heads.loc[heads["task"] == task, "share"].max() >= LEAST_DAMAGE)

    def seen(self, searcher: str, shown: str, measured: int) -> str:
        """On docstring, told nothing, each episode played several times, as the lead figure has it."""
        rows = load_frame(self.run.frame_path("seeing")).query(
            "task == 'docstring' and told == 'none' and searcher == @searcher and shown == @shown and measured == @measured"
        )
        (row,) = rows[rows["trained_k"].isin((0, HEADLINE[0]))].to_dict("records")
        low, ratio, high = (f"{100 * row[name]:.0f}" for name in ("low", "ratio", "high"))
        return f"{ratio} ({low} to {high})"


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    return {name: Found(name) for name in PUBLISHED}


def said(found: dict[str, Found]) -> list[str]:
    """What README says of the committed results, word for word."""
    mini, real = found[MINI], found[REAL]
    both = (mini, real)

    def line(title: str, searcher: str, shown: str = "none", paper: str = "none") -> str:
        cells = [one.seen(searcher, shown, count) for one in both for count in (10, 50)]
        return f"| {title} | {' | '.join(cells)} | {paper} |"

    def single(one: Found) -> str:
        return f"{one.prior('induction', 1, 'induction')}% and {one.prior('ioi', 1, 'ioi')}%"

    drawn = " | ".join(
        _points(Interval(*one.row("docstring", "random", count)[["ratio", "low", "high"]]))
        for one in both
        for count in (10, 50)
    )
    fractions = paper_fractions()
    paper = f"{100 * fractions['docstring', 5, 'none']:.0f}"
    planning = {one.run.settings.subject: one.ahead("docstring", 10, "policy", PLANNED) for one in both}
    return [
        line("the headline's policy: trained with best-of-5, told nothing", "policy", "seeing", paper),
        line("a list: heads by mean reward in training", "list"),
        f"| random search | {drawn} | {100 * fractions['docstring', 0, 'none']:.0f} |",
        f"{single(mini)} on `gpt2-mini`, {single(real)} on SmolLM2, and at 100% after five",
        f"On SmolLM2 the list by mean reward is at {real.prior('docstring', 5)}% after *five* heads, where the policy is at "
        f"{real.policy('docstring', 5)}%",
        f"On `gpt2-mini` the list stalls at {mini.prior('docstring', 50)}%",
        f"it finds {_points(planning[MINI])} points less after ten heads on `gpt2-mini` and {_points(planning[REAL])} on SmolLM2",
    ]


def _points(interval: Interval, sign: int = 1) -> str:
    """In points, as what is found more, or, with a ``sign`` of -1, less."""
    low, high = sorted(100 * sign * end for end in interval[1:])
    return f"{100 * sign * interval.value:z.0f} ({low:z.0f} to {high:z.0f})"


def said_of_verdicts(found: dict[str, Found]) -> list[str]:
    """What README says of the ledger, and of the headline's policy beside its rivals, word for word."""
    mini, real = found[MINI], found[REAL]
    told_ioi = "docstring, policy trained with k=1, told IOI, after 50 heads"
    rows = [one.claims.set_index("claim").loc[told_ioi] for one in (mini, real)]
    assert [row["verdict"] for row in rows] == ["inconsistent"] * 2
    headline = "docstring, policy trained with k=5, told nothing, after 50 heads"
    assert {one.claims.set_index("claim").loc[headline, "verdict"] for one in (mini, real)} == {"undecided"}
    replayed = agreement().query("task == 'docstring' and trained_k == 1 and told == 'ioi'").iloc[0]
    for found_here in (mini, real):
        consistent = found_here.claims.query("verdict == 'consistent' and unit == 'fraction of oracle'")
        assert consistent["claim"].str.startswith("IOI").all()
        assert (consistent["ours"] > CEILING).all()
    one, two = mini.verdicts(), real.verdicts()
    assert sum(one) == sum(two) == 11
    for claims in (mini.claims, real.claims):
        shares = claims[claims["paper"].notna() & claims["unit"].str.startswith("share of episodes")]
        assert shares["verdict"].tolist() == ["undecided"] * 3
    more = {(name, n): found[name].ahead("docstring", n, "static prior") for name in (MINI, REAL) for n in (10, 50)}
    words = [beats(*interval[1:]) for interval in more.values()]
    assert words == ["undecided", "holds", "the other way round", "undecided"]
    priced: Any = mini.claims.set_index("claim")
    ahead_of_it: list[str] = []
    for rival in ("lists in turns", "attribution, then verify"):
        row = priced.loc[f"docstring, at price 50: the headline's policy ahead of {rival}"]
        assert row["verdict"] == "the other way round"
        ahead_of_it.append(_points(Interval(*(-row[["ours", "high", "low"]]))))
    assert len({*ahead_of_it}) == 1
    beside_random = [beats(*one.ahead("docstring", n, "random")[1:]) for one in (mini, real) for n in (10, 50)]
    assert beside_random == ["holds"] * 4
    others = []
    for model, condition in ((mini, "told induction"), (real, "told nothing")):
        wrong = model.claims.query("verdict == 'inconsistent' and unit == 'fraction of oracle'").set_index("claim")
        other: Any = wrong.drop(index=told_ioi)
        assert [*other.index] == [f"docstring, policy trained with k=1, {condition}, after 50 heads"]
        others.append(
            f"{condition}, {100 * other['ours'].item():.0f}%, in the paper {100 * other['paper'].item():.0f}%"
        )
    return [
        f"The other is on `gpt2-mini` the same policy {others[0]}, and on SmolLM2 {others[1]}",
        f"The paper's text says {100 * headline_as_printed():.0f}%; its own numbers, {docstring_results()['policy', 5, 'none']:.3f} of {docstring_oracle():.3f} logits, are {100 * paper_fractions()['docstring', 5, 'none']:.0f}. "
        f"Of its eleven fractions, {one[0]} are consistent, {one[1]} inconsistent and {one[2]} undecided on `gpt2-mini`, "
        f"{two[0]}, {two[1]} and {two[2]} on SmolLM2",
        ", and its three shares of episodes are undecided on both",
        "; the consistent ones are IOI's, at the ceiling, where the paper's number is taken as given",
        f"told IOI: {100 * rows[0]['ours']:.0f}% and {100 * rows[1]['ours']:.0f}%, in the paper {100 * rows[0]['paper']:.0f}% (replayed on GPT-2 small, {100 * replayed['share']:.0f}%)",
        f"After ten heads it finds {_points(more[MINI, 10])} points more than the list by mean reward on `gpt2-mini`, undecided, and "
        f"{_points(more[REAL, 10], -1)} points *less* on SmolLM2; after fifty, {_points(more[MINI, 50])} more and "
        f"{_points(more[REAL, 50], -1)} less, undecided. At the price of all picks, two lists in turns and attribution are ahead of it on `gpt2-mini`, "
        f"by {ahead_of_it[0]} points each",
    ]


def test_verdicts(readme: str, found: dict[str, Found]) -> None:
    for sentence in said_of_verdicts(found):
        assert sentence in readme, sentence


def test_findings(readme: str, found: dict[str, Found]) -> None:
    for sentence in said(found):
        assert sentence in readme
    for one in found.values():
        for task in one.run.training_tasks:
            assert float(one.prior(task, 5, signal=task)) == 100
        assert beats(*one.ahead("docstring", 10, "policy", PLANNED)[1:]) == "holds"
    tried = [(one, task) for one in found.values() for task in one.run.further_tasks if one.stands_out(task)]
    beside = [one.ahead(task, 50, "random") for one, task in tried]
    words = [beats(*interval[1:]) for interval in beside]
    assert [interval.value > 0 for interval in beside] == [word == "holds" for word in words], "in which it finds less"
    more, undecided, of = (in_words(count) for count in (words.count("holds"), words.count("undecided"), len(words)))
    assert (
        f"finds more than random search in {more} of {of} (a task on a model), and in {undecided}, in which it finds less, the difference is undecided"
        in readme
    )
    assert f"transfer is seen in {more} of {of} cases" in readme
    priced = load_frame(found[MINI].run.frame_path("rivals")).query("task == 'docstring' and price == 20")
    named: Any = priced.groupby("searcher")[["named", "oracle"]].mean()
    for searcher in ("list, in turns", "list of ioi"):
        assert named.loc[searcher, "named"] > 0.99 * named.loc[searcher, "oracle"]


def test_a_larger_pool_and_other_ablations(readme: str) -> None:
    within, ledgers = [], []
    for subject in (MINI, REAL):
        one = Run(PUBLISHED[subject])
        larger: Any = larger_pool(one).set_index("claim")
        before = load_frame(one.frame_path("claims")).set_index("claim").loc[larger.index]
        inside = larger["ours"].between(before["low"], before["high"])
        within.append(int(inside.sum()))
        ledgers.append(larger)
    for ledger in ledgers:
        shares = ledger.loc[ledger.index.str.endswith("one and the same head is the best"), "verdict"]
        assert sorted(shares) == ["inconsistent", "undecided", "undecided"]
    assert "On four times as many prompts one of the shares turns inconsistent on each" in readme
    redundant = "IOI: a tenth of the pairs of its twelve best heads, or more, are redundant"
    ends = [
        100 * load_frame(Run(PUBLISHED[one]).frame_path("claims")).set_index("claim").loc[redundant]["high"]
        for one in (MINI, REAL)
    ]
    wider = [100 * ledger.loc[redundant, ["ours", "low", "high"]] for ledger in ledgers]
    of_pools = " and ".join(f"{value:.0f}, {low:.0f} to {high:.0f}," for value, low, high in wider).rstrip(",")
    assert (
        f"both intervals begin at none, and reach to {ends[0]:.0f} and {ends[1]:.0f}%; on four times as many prompts {of_pools})"
    ) in readme
    claim = "docstring, after {} heads: the headline's policy ahead of list by mean reward"
    ahead_of_it, behind = (ledger.loc[claim.format(n)] for ledger, n in zip(ledgers, (10, 50), strict=True))
    assert (ahead_of_it["verdict"], behind["verdict"]) == ("holds", "the other way round")
    more, less = (
        _points(Interval(*row[["ours", "low", "high"]]), sign) for row, sign in ((ahead_of_it, 1), (behind, -1))
    )
    assert (
        f"the policy is ahead of that list on `gpt2-mini` after ten heads, by {more} points, and after fifty behind it on SmolLM2, by {less}"
        in readme
    )
    said = f"of {len(larger)} claims (all but those of what seeing gains) {within[0]} are found within their intervals on `gpt2-mini`, and {within[1]} on SmolLM2"
    assert said in readme
    words: Any = {}
    for subject in (MINI, REAL):
        beside = side_by_side(Run(PUBLISHED[subject])).set_index("claim")
        words[subject] = beside[[f"verdict_{kind}" for kind in KINDS]]
        assert words[subject].apply(lambda row: len({*row} - {"undecided"}), axis=1).max() == 1
    assert ((words[REAL] == "undecided").mean() > 0.5).all()
    assert (
        f"no verdict turns into its opposite, on either model (on SmolLM2, of {FEWER[REAL]['evaluation_prompts']} prompts, most are undecided)"
        in readme
    )
    fifty = words[MINI].loc[claim.format(50)]
    assert fifty.tolist() == ["holds", "undecided", "undecided"]
    assert "That `gpt2-mini`'s policy finds more than the list after fifty heads is then undecided" in readme
    priced = "docstring, at price {}: the headline's policy ahead of attribution, then verify"
    by_others = [words[one].loc[priced.format(price), "verdict_resample"] for one in (MINI, REAL) for price in (10, 50)]
    assert by_others == ["undecided", "undecided", "undecided", "holds"]
    assert ledgers[1].loc[priced.format(50), "verdict"] == "the other way round"
    assert (
        "By another prompt's values attribution is nowhere seen to be ahead of the policy on docstring, and on SmolLM2 after fifty the policy is ahead, "
        f"where by zeros on {in_words(TIMES)} times the ledger's prompts it is behind"
    ) in readme


def test_circuits(readme: str) -> None:
    """Ten heads by reward or at random, lost and kept; the most that any set keeps on the real model."""
    shares: dict[str, Any] = {}
    for subject in (MINI, REAL):
        run = Run(PUBLISHED[subject])
        both = pd.concat([circuits(run), policy_circuits(run)])
        shares[subject] = both.set_index(["what", "ablation", "ranking", "heads", "task"])["share"].sort_index()

    def range_of(subject: str, ranking: str, what: str, kind: str = "zero") -> str:
        """Without the real model's induction, whose score is hardly told from nothing."""
        of_tasks = 100 * shares[subject].loc[what, kind, ranking, 10]
        assert set(of_tasks.index) == {"induction", "ioi", "docstring"}
        some = of_tasks.drop("induction") if subject == REAL else of_tasks
        return f"{some.min():z.0f} to {some.max():z.0f}"

    rows = {
        "lost without the ten best, zeros in their place": ("damage", "lost", "zero"),
        "lost without the ten best, means over control text": ("damage", "lost", "mean"),
        "lost without ten random heads, zeros": ("random", "lost", "zero"),
        "kept by the ten best alone, zeros elsewhere": ("damage", "kept", "zero"),
        "kept by the ten best alone, means elsewhere": ("damage", "kept", "mean"),
    }
    for title, of in rows.items():
        assert f"| {title} | {range_of(MINI, *of)} | {range_of(REAL, *of)} |" in readme
    most = shares[REAL]["kept"].drop("induction", level="task").max()
    assert f"keeps more than {100 * most:.0f}% of IOI or docstring, as estimated" in readme
    highest = pd.concat([circuits(Run(PUBLISHED[REAL])), policy_circuits(Run(PUBLISHED[REAL]))])
    highest = highest[(highest["what"] == "kept") & (highest["task"] != "induction")]["high"].max()
    assert f"of IOI or docstring, as estimated; intervals reach {100 * highest:.0f}%" in readme
    ends: Any = circuits(Run(PUBLISHED[REAL])).query(
        "what == 'lost' and ablation == 'zero' and heads == 10 and task == 'docstring'"
    )
    ends = ends.set_index("ranking")
    assert ends.loc["random", "high"] > ends.loc["damage", "low"], "intervals of the best and of random heads meet"
    assert f"In percent of a task's score, on {PUBLISHED[REAL].evaluation_prompts // 10} prompts" in readme


def test_redundancy(readme: str) -> None:
    shares = []
    for settings in PUBLISHED.values():
        pairs = load_frame(Run(settings).frame_path("pairs"))
        ioi = pairs[pairs["task"] == "ioi"]
        larger = ioi[["damage_first", "damage_second"]].max(axis=1)
        shares.append(f"{100 * (ioi['interaction'] > 0.1 * larger).mean():.0f}%")
        assert len(ioi) == 66
        claims = load_frame(Run(settings).frame_path("claims"))
        assert claims.loc[claims["unit"] == "share of pairs", "low"].item() == 0
    assert (
        f"Of the 66 pairs among IOI's twelve best heads, {shares[0]} on `gpt2-mini` and {shares[1]} on SmolLM2"
        in readme
    )


def test_kinds_of_heads_rank_as_in_the_paper(readme: str) -> None:
    run = Run(PUBLISHED[SMOLLM2])
    heads = load_frame(run.frame_path("heads")).query("task == 'ioi'").set_index("head")["reward"]
    share = heads.rank(ascending=False) / len(heads)
    scores = load_frame(run.frame_path("detections")).query("task == 'ioi'")
    wide = scores.pivot(index="head", columns="detector", values="score")
    writes = wide[["copies names", "suppresses names"]].max(axis=1) > 0.5
    inhibits = (wide["S-inhibition"] > 1 / 3) & ~writes
    moves = (wide["name mover"] > 1 / 3) & (wide["copies names"] > 0.5)
    assert share[inhibits].round(2).tolist() == [0.05, 0.02, 0.34], "two of the three that README names are high"
    assert moves.sum() >= 2
    assert share[moves].min() > 0.4
    published = mechrl()["heads_20_policy_10_oracle_episodes"]["ioi"]["rank_of_literature_heads_in_oracle_order"]
    groups = mechrl()["literature_heads_gpt2_small"]["ioi"]
    assert f"two of {in_words(inhibits.sum())} S-inhibition heads rank high as there" in readme
    assert sum(published[head] <= 10 for head in groups["s_inhibition"]) >= 2


def said_of_speed(gpu: bool = False) -> list[str]:
    """What README says of speed: ranges over processors or GPUs, and tasks."""
    sweeps = recorded("sweeps", gpu)
    by = sweeps.set_index(["processor", "subject", "workload"])
    speed = by[by["method"] == "sweep"]["speedup"]
    batched = by[by["method"] == "transformers, batched"]["seconds"] / by[by["method"] == "sweep"]["seconds"]
    places = {"gpt2-mini": "on `gpt2-mini`", "gpt2-shape": "at GPT-2 small's sizes", SMOLLM2: "on SmolLM2"}

    places = {subject: place for subject, place in places.items() if subject in set(sweeps["subject"])}

    def times(of: pd.Series, subject: str) -> tuple[str, str]:
        of = of.dropna().xs(subject, level="subject")
        control = of.index.get_level_values("workload") == "control"
        return _range(of[~control]), _range(of[control])

    said = ["{} times for tasks and {} for general damage " + place for place in places.values()]
    hooked = [words.format(*times(speed, subject)) for words, subject in zip(said, places, strict=True)]
    careful = [" and ".join(times(batched, subject)) + " " + place for subject, place in places.items()]
    if gpu:
        titles = " and ".join(map(processor_title, sweeps["processor"].unique()))
        return [f"On a GPU ({titles}): {', '.join(hooked)}; beside the batches, {', '.join(careful)}."]
    processors = " and ".join(map(processor_title, sweeps["processor"].unique()))
    return [
        ", ".join(hooked),
        f"what a careful user would write instead, for tasks and for general damage: {', '.join(careful)}.",
        f"(Measured with nothing else running, on {processors};",
    ]


def test_speeds(readme: str) -> None:
    for sentence in (*said_of_speed(), *said_of_speed(gpu=True)):
        assert sentence in readme, sentence


def said_of_workers() -> list[str]:
    """What README says of many machines: blocks of the default run's tables at the recorded seconds of their positions at GPT-2 small's
    sizes, each, in order, on the first machine that is free."""
    tokenizer, settings = PreTrainedTokenizerFast.from_pretrained(SUBJECTS / MINI), Settings()
    tables: dict[tuple[str, Part], list[tuple[int, int]]] = {}
    parts: tuple[Part, ...] = get_args(Part)
    for part in parts:
        for name in settings.training_tasks if part == "train" else settings.tasks:
            prompts = TASKS[name].prompts(tokenizer, settings.rows(False, part), SEEDS[part])
            tables[name, part] = [(len(group), group.tokens.shape[1]) for group in prompts]
        tables[CONTROL, part] = [(settings.rows(True, part), SPAN)]

    def ends(seconds: list[float], workers: int) -> float:
        free = [0.0] * workers
        for block in seconds:
            heapq.heapreplace(free, free[0] + block)
        return max(free)

    minutes: dict[str, list[float]] = {name: [] for name in ("one", "eight", "many")}
    for _, rows in recorded("sweeps").query("subject == 'gpt2-shape' and method == 'sweep'").groupby("processor"):
        measured = rows.set_index("workload")
        rate: dict[Any, float] = (measured["seconds"] / measured["prompts"] / measured["positions"]).to_dict()
        blocks = {
            table: [
                len(rows) * length * rate.get(table[0], rate["ioi"])
                for count, length in groups
                for rows in torch.arange(count).split(BLOCK)
            ]
            for table, groups in tables.items()
        }
        all_of_them = [seconds for table in blocks.values() for seconds in table]
        assert ends(all_of_them, 64) == max(all_of_them) == max(blocks[CONTROL, "evaluation"])
        for name, workers in (("one", 1), ("eight", 8), ("many", 64)):
            minutes[name].append(ends(all_of_them, workers) / 60)
    one, eight, many = (f"{min(some):.0f} to {max(some):.0f}" for some in minutes.values())
    return [
        f"the default run's {len(blocks)} tables are {len(all_of_them)} blocks",
        f"{one} minutes on one two-core machine, {eight} on eight and {many} on 64",
        f"The limit is the longest block, {BLOCK} control spans",
        f"a table is blocks of {BLOCK} prompts at most",
    ]


def test_many_machines(readme: str) -> None:
    for sentence in said_of_workers():
        assert sentence in readme, sentence


def test_the_work_of_the_top(readme: str) -> None:
    """Shares of (prompt, head) pairs on the committed evaluation tables of tasks; the top is the true one."""
    shares: dict[int, list[float]] = {10: [], 1: []}
    for path in sorted(RESULTS.glob("*/damage_*_evaluation.safetensors")):
        damage = load_table(path).damage.double()
        if len(damage) == Settings().evaluation_prompts:
            for top, of_top in shares.items():
                found = top_heads(Recorded(damage), prompts_of([len(damage)]), LOGIT_DIFFERENCE, damage.shape[1], top)
                assert set(found.heads) == set(damage.mean(0).topk(top).indices.tolist())
                of_top.append(found.measured)
    ten, one = (f"{100 * min(some):.0f} to {100 * max(some):.0f}%" for some in shares.values())
    assert f"For the ten worst among 160 prompts that is {ten} of the work, for the worst one {one}" in readme


def _range(times: pd.Series) -> str:
    return " to ".join(dict.fromkeys(f"{value:.1f}" for value in (times.min(), times.max())))


def test_what_smollm2_can_do(readme: str) -> None:
    behaviours: Any = load_frame(Run(PUBLISHED[SMOLLM2]).frame_path("behaviours")).set_index("task")
    right = behaviours.loc["induction", "right"]
    assert f"It does induction on {100 * right:.0f}% of the prompts only" in readme


def test_the_model_card_of_smollm2() -> None:
    card = " ".join((SUBJECTS / SMOLLM2 / "README.md").read_text().split())
    for sentence in said_of_smollm2():
        assert sentence in card


def said_of_smollm2() -> list[str]:
    """What its model card says of its behaviours, word for word."""
    run = Run(PUBLISHED[SMOLLM2])
    behaviours: Any = load_frame(run.frame_path("behaviours")).set_index("task")
    heads: Any = load_frame(run.frame_path("heads")).groupby("task")["share"]
    begun: Any = load_frame(run.frame_path("beginnings")).groupby("bos")
    lines = []
    for task, row in behaviours.drop(index="prose").iterrows():
        unit = "logits" if row["metric"] == LOGIT_DIFFERENCE.name else "probability"
        share = heads.get_group(task)
        measured = f"{100 * row['right']:.0f}% | {row['mean']:.2g} {unit}"
        lines.append(f"| {task} | {measured} | {100 * share.max():.0f}% | {(share >= 0.05).sum()} |")
    for bos, rows in begun:
        right = rows.set_index("task").loc["induction", "right"]
        lines.append(f"| `{bos}` | {rows['loss'].iloc[0]:.2f} nats | {100 * right:.0f}% |")
    return [*lines, f"prose: {behaviours.loc['prose', 'mean']:.2f} nats per token"]


def said_of_the_replay() -> list[str]:
    """What README says of the paper's own policies on GPT-2, word for word."""
    key = ["task", "searcher", "trained_k", "shown", "measured"]
    curves: Any = replay().query("told == 'none'").set_index(key)

    def row(title: str, searcher: str, k: int = 0, shown: str = "none") -> str:
        cells = []
        for count in (10, 20, 50):
            one = curves.loc[("docstring", searcher, k, shown, count)]
            cells.append(f"{100 * one['ratio']:.0f} ({100 * one['low']:.0f} to {100 * one['high']:.0f})")
        return f"| {title} | {' | '.join(cells)} |"

    def gain(task: str, count: int, k: int = 5) -> str:
        one = curves.loc[(task, "policy", k, "blind", count)]
        return f"{100 * one['effect']:.1f} ({100 * one['effect_low']:.1f} to {100 * one['effect_high']:.1f})"

    flipped, blind = (curves.loc[("docstring", "policy", 5, shown, 50)] for shown in ("flipped", "blind"))
    agrees: Any = agreement().query("task == 'docstring'").set_index(["searcher", "trained_k", "told"])
    paper = agrees.loc[("policy", 5, "none")]
    random, plain = (curves.loc[("docstring", *of, 50)] for of in (("random", 0, "none"), ("policy", 1, "seeing")))
    assert gains(blind["effect_low"], blind["effect_high"], blind["ratio"]) == "loses"
    twenty = curves.xs(20, level="measured").loc["docstring"]
    for rival in ("induction's ten and IOI's, in turns", "IOI's ten and induction's, in turns", "layers in order"):
        behind = twenty.loc[(rival, 0, "none")]
        assert beats(behind["behind_low"], behind["behind_high"]) == "the other way round"
    return [
        row("the headline's policy, sees its rewards", "policy", 5, "seeing"),
        row("the same, sees zeros", "policy", 5, "blind"),
        row("the same, sees its rewards with their signs turned", "policy", 5, "flipped"),
        row("the same, greedy, sees its rewards", "policy, greedy", 5, "seeing"),
        row("the same, greedy, sees zeros", "policy, greedy", 5, "blind"),
        row("two published lists in turns, induction's first", "induction's ten and IOI's, in turns"),
        row("two published lists in turns, IOI's first", "IOI's ten and induction's, in turns"),
        row("layers in order", "layers in order"),
        row("random search", "random"),
        f"Seeing is worth {gain('docstring', 10)} points after ten heads and {gain('docstring', 50)} after fifty, and then worse in "
        f"{int(blind['worse'])} of 15 episodes; with all signs turned it finds {-100 * flipped['effect']:.1f} points more",
        f"Blind, it measures other heads in {100 * blind['changed']:.0f}% of its fifty picks",
        f"On induction, which it was trained on (10 episodes of an earlier run), seeing gains {gain('induction', 50)} points",
        f"The paper reports {100 * paper['paper_share']:.0f}% on 30 other episodes; a difference as large as that from the replay's "
        f"{100 * paper['share']:.0f}% has p = {paper['p']:.2f}",
        f"The paper's policy trained without planning, told nothing, finds {100 * plain['ratio']:.0f}%, random search {100 * random['ratio']:.0f}%",
    ]


def said_of_seeing() -> list[str]:
    """What README says of what seeing gains the policies trained here, and planted ones."""
    counts, gained = [], []
    conditions: list[int] = []
    for settings in PUBLISHED.values():
        frame = load_frame(Run(settings).frame_path("seeing"))
        rows = frame.query("searcher == 'policy' and shown == 'blind' and measured in (10, 20, 50)")
        rows = rows[~rows["task"].isin(say_nothing(Run(settings)))]
        conditions.append(len(rows))
        columns = rows[["effect_low", "effect_high", "ratio"]].to_numpy()
        rows = rows.assign(word=[gains(*row) for row in columns])
        words = rows["word"].value_counts()
        (one,) = rows[rows["word"] == "gains"].to_dict("records")
        assert [one[name] for name in ("task", "told", "trained_k", "measured")] == ["ioi", "ioi", 5, 10]
        gained.append("{:.1f} ({:.1f} to {:.1f})".format(*(100 * one[f"effect{end}"] for end in ("", "_low", "_high"))))
        assert "loses" not in words.index
        early = frame.query(
            "searcher == 'policy' and shown == 'blind' and measured == 5 and task == 'ioi' and trained_k == 5"
        )
        (ends,) = early.loc[early["told"] == "none", ["effect_low", "effect_high", "ratio"]].to_numpy()
        assert gains(*ends) == "gains", "after five heads, told nothing, too"
        counts.append((words["gains nothing"], words["at the ceiling"], words["undecided"]))
    last: Any = planted().query("scale == 3 and noise == 0 and measured == 50").set_index("shown")["ratio"]
    seen: Any = planted().query("scale == 3 and noise == 0 and measured == 50 and shown == 'seeing'").iloc[0]
    noisy = planted().query("measured == 50 and scale == 3")
    noisy = noisy[noisy["noise"] == noisy["noise"].max()].set_index("shown")["ratio"]
    assert noisy["seeing"] - noisy["blind"] < 0.02
    nothing, ceiling, undecided = (
        f"{mini} on `gpt2-mini` and {real} on SmolLM2" for mini, real in zip(*counts, strict=True)
    )
    for scale, most in ((0.3, 0.04), (30, 0.01)):  # hardly, and not at all
        gain: Any = planted().query("scale == @scale and noise == 0 and measured == 50 and shown == 'blind'")
        assert (gain["effect_low"].item() > 0, gain["effect"].item() < most) == (scale < 1, True)
    return [
        f"Of {conditions[0]} conditions on `gpt2-mini` (without greater-than, where no head stands out) and {conditions[1]} on SmolLM2, "
        f"nothing is gained in {nothing}; {ceiling} are at the ceiling, {undecided} are undecided, and one gains",
        f"told IOI, on IOI, after ten heads, by {gained[0]} and {gained[1]} points",
        f"{100 * last['seeing']:.0f}% ({100 * seen['low']:.0f} to {100 * seen['high']:.0f}) seeing, {100 * last['blind']:.0f}% blind and {100 * last['flipped']:.0f}% lied to",
    ]


def said_of_readers() -> list[str]:
    """What README says of what there is to be read."""
    read, gained = [], {}
    for subject, best in ((MINI, ("agreement", 10)), (REAL, ("greater_than", 5))):
        run = Run(PUBLISHED[subject])
        rows: Any = load_frame(run.frame_path("readable"))
        for task, of in rows.groupby("task"):
            if task in run.settings.further_tasks and task not in say_nothing(run):
                read.append(bool(of["effect_low"].max() > 0))
        of = rows[rows["task"] == "docstring"]
        assert not any(gains(*ends) == "gains" for ends in of[["effect_low", "effect_high", "blind"]].to_numpy())
        one = rows.set_index(["task", "measured"]).loc[best]
        gained[subject] = _points(Interval(*one[["effect", "effect_low", "effect_high"]]))
        seen: Any = load_frame(run.frame_path("seeing")).set_index(["task", "measured"]).loc[best]
        policies = seen.query("told == 'none' and searcher == 'policy' and shown == 'blind'")
        ends = policies[["effect_low", "effect_high", "ratio"]].to_numpy()
        assert {gains(*row) for row in ends} == {"gains nothing"}
        if subject == MINI:
            (layers,) = seen.query("told == 'none' and searcher == 'layers in order'")["ratio"]
            assert one["blind"] < 0.3, "the poor order that it begins with"
            after = rows.set_index(["task", "measured"]).loc[("docstring", 20)]
            docstring = _points(Interval(*after[["effect", "effect_low", "effect_high"]]))
        else:
            assert rows.query("task == 'greater_than' and measured >= 10")["effect_low"].max() <= 0, "none after ten"
    return [
        f"In {in_words(sum(read))} of {in_words(len(read))} other cases (a new task on a model) there is something to be read, and policies leave it unread",
        f"gains {gained[MINI]} points by what it has seen on `gpt2-mini`'s agreement after ten heads (beside the poor order that it begins with; layers in order find {100 * layers:.0f}% there), "
        f"and {gained[REAL]} on SmolLM2's greater-than after five, and none after ten, where the policies gain nothing",
        f"no gain is certain on either, though on `gpt2-mini`, after twenty heads, it may be large, {docstring} points",
    ]


def said_of_behaviours() -> list[str]:
    """What README says of behaviours that nothing was trained on."""
    transfer = load_frame(Run(PUBLISHED[REAL]).frame_path("transfer"))
    seen, blind = (shares(transfer, f"policy k=5{how}", 50) for how in ("", ", blind"))
    gain, (most, least) = over_behaviours(seen, blind), extremes(transfer)
    assert gains(*gain[1:], blind.mean()) == "gains nothing"
    assert (most.behaviour, least.behaviour) == ("roman", "capitalize")
    assert most.of == least.of == PUBLISHED[REAL].seeds
    value, low, high = (f"{100 * end:z.1f}" for end in gain)
    plain = {"the list by mean reward": "list, mean", "random search": "random"}
    others = ", ".join(f"{words} {100 * shares(transfer, name, 50).mean():.0f}%" for words, name in plain.items())
    mine, listed, attribution = (
        shares(transfer, name, 10) for name in ("policy k=5", "list, mean", "gradient, then verify")
    )
    return [
        f"On {len(BEHAVIOURS)} short behaviours of SmolLM2",
        f"After ten heads the list is ahead of it by {_points(over_behaviours(listed, mine))} points, and attribution, at the price of ten heads, finds {100 * attribution.mean():.0f}%",
        f"the headline's policy finds {100 * seen.mean():.0f}% in fifty heads ({others}), and seeing is worth {value} ({low} to {high}) points; on *roman* numerals, where it gains most, {100 * most.gain:.1f}, in "
        f"{most.seeds} of {most.of} trainings, on *capitalize* {100 * least.gain:.1f}, a gain in {least.seeds} of them",
    ]


def test_training_with_best_of_five(readme: str, found: dict[str, Found]) -> None:
    mini, real = ([found[name].policy("docstring", 50, (k, 1)) for k in (5, 1)] for name in (MINI, REAL))
    more, same, less = (
        found[name].ahead("docstring", count, "policy", (1, 1)) for name, count in ((MINI, 50), (REAL, 50), (REAL, 10))
    )
    assert [beats(*one[1:]) for one in (more, same, less)] == ["holds", "undecided", "the other way round"]
    for sentence in (
        f"finds {mini[0]}% on `gpt2-mini`, {_points(more)} points more than the one trained with k=1",
        f"and {real[0]}% on SmolLM2, where that finds {real[1]}%; there, in ten heads, it finds {_points(less, -1)} points less",
    ):
        assert sentence in readme


def test_the_policy_otherwise_than_in_the_table_of_rivals(readme: str) -> None:
    """Greedy, and by what is found rather than named."""
    greedy, whole = [], []
    for name in (MINI, REAL):
        run = Run(PUBLISHED[name])
        table = mean_table(load_frame(run.frame_path("picks")), "picks", say_nothing(run))
        greedy.append([f"{share:.0f}%" for share in table.loc["policy k=5, greedy", [5, 10]]])
        plays = load_frame(run.frame_path("rivals")).query("price == @BUDGET")
        plays = plays.assign(found=plays["found"].fillna(0))
        summary = summarise_priced(plays, run.settings.evaluation_prompts, "found")
        by = mean_table(summary, "price", say_nothing(run))[BUDGET]
        whole.append([f"{by[key]:.0f}%" for key in ("headwise", "policy k=5")])
        drawn = table.loc["policy k=5"]
        assert (table.loc["policy k=5, greedy", [5, 10]] > drawn[[5, 10]]).all(), "stronger greedy"
    assert (
        f"greedy with k=5, that finds {greedy[0][0]} in {in_words(5)} heads and {greedy[0][1]} in {in_words(10)} on `gpt2-mini`, {greedy[1][0]} and {greedy[1][1]} on SmolLM2"
        in readme
    )
    assert (
        f"the headwise policy is behind the paper's at this price, at {whole[0][0]} and {whole[1][0]} beside {whole[0][1]} and {whole[1][1]}"
        in readme
    )


def said_of_ways() -> list[str]:
    """What README says of policies that were trained otherwise."""
    worth = []
    for subject in (MINI, REAL):
        rows = published(subject).query("shown == 'blind' and measured in (10, 50)")
        rows = rows[~rows["task"].isin(say_nothing(Run(PUBLISHED[subject])))]
        rows = rows.assign(word=[gains(*row) for row in rows[["effect_low", "effect_high", "ratio"]].to_numpy()])
        assert not (rows.query("task == 'docstring'")["word"] == "gains").any()
        gained = rows[rows["word"] == "gains"]
        assert gained["trained_on"].all()
        assert {*gained["way"]} == {way for way in rows["way"] if "told nothing" in way} - {
            "told nothing, scaled rewards"
        }
        of = rows.query("task == 'docstring' and measured == 50").set_index("way")
        for way in ("told the task, trained blind", "told the task, MaskablePPO"):
            assert of.loc[way, "word"] == "gains nothing"
        ten = 100 * gained[gained["measured"] == 10]["effect"]
        worth.append(f"{ten.min():.0f} to {ten.max():.0f}")
    seen = [
        published(subject)
        .query("shown == 'seeing' and measured == 50 and task == 'docstring'")
        .set_index("way")["ratio"]
        for subject in (MINI, REAL)
    ]
    ways = [f"told the task{by}" for by in ("", ", MaskablePPO", ", trained blind", ", best-of-2")]
    ours, theirs, blind, two = (" and ".join(f"{100 * one[way]:.0f}%" for one in seen) for way in ways)
    more: list[Interval] = []
    for subject in (MINI, REAL):
        rows = published(subject).query("measured == 50 and task == 'docstring'").dropna(subset="more")
        ends = rows.set_index("way").loc[ways[2:], ["more", "more_low", "more_high"]]
        more += [Interval(*row) for row in ends.to_numpy()]
    mini_blind, mini_two, real_blind, real_two = more
    assert [beats(*one[1:]) for one in (mini_blind, real_blind)] == ["undecided"] * 2
    assert [beats(*one[1:]) for one in (mini_two, real_two)] == ["holds", "the other way round"]
    return [
        f"the one trained blind finds {_points(mini_blind, -1)} and {_points(real_blind, -1)} points less than ours, undecided, "
        f"and the one with best-of-2 {_points(mini_two)} more and {_points(real_two, -1)} less",
        f"seeing is worth {worth[0]} points on `gpt2-mini` and {worth[1]} on SmolLM2 after ten heads, on some of the tasks that they were *trained on*",
        f"MaskablePPO finds there {theirs} in fifty heads, a policy trained blind {blind}, one trained with best-of-2 {two}, ours with k=1 {ours}",
    ]


def said_of_changes() -> list[str]:
    """What README says of other lambdas, batches, lists and ablations."""
    lowest, same, kept = [], [], []
    for subject in (MINI, REAL):
        table = load_frame(Run(PUBLISHED[subject]).frame_path("what_if"))
        lists = table[table["searcher"] == "list"].pivot(index="task", columns="change", values="early")
        assert (lists["a list of 12 prompts a task"] - lists["as published"]).abs().max() < 0.005
        found = table.query("searcher == 'policy' and change != 'as published'")
        found = found[~found["change"].str.startswith("a list of")]
        other = found["change"].str.endswith(("in place of zeros", "other prompts"))
        lowest.append(found[~other]["correlation"].min())
        same += found.loc[~other, "same_best"].tolist()
        kept.append({change: rows.set_index("task")["kept"] for change, rows in found[other].groupby("change")})
    mini, real = kept

    def worth(of: Any, change: str) -> str:
        return ", ".join(f"{100 * of[change][task]:z.0f}" for task in ("induction", "ioi", "docstring"))

    titles = {
        "means in place of zeros": "means in the head's place",
        "another prompt's values in place of zeros": "what the head has on another prompt",
        "zeros, other prompts": "zeros, on other prompts",
    }
    return [
        f"the best head of a task changes in {same.count(False)} of {len(same)} cases, and the orders of all heads correlate with at least "
        f"{np.floor(100 * min(lowest)) / 100:.2f}",
        *(f"| {title} | {worth(mini, change)} | {worth(real, change)} |" for change, title in titles.items()),
    ]


def said_of_backup() -> list[str]:
    """What README says of later heads that step in."""
    counts = []
    for subject in (MINI, REAL):
        one = Run(PUBLISHED[subject])
        rows = load_frame(one.frame_path("backup"))
        rewarding = [head in best_heads(one)[task] for task, head in zip(rows["task"], rows["head"], strict=True)]
        rows = rows[rewarding]
        counts.append((int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum()), len(rows)))
    one = Run(PUBLISHED[REAL])
    of_ioi: Any = load_frame(one.frame_path("backup")).query("task == 'ioi'").set_index("head")
    looks = load_frame(one.frame_path("detections")).query("task == 'ioi' and detector == 'name mover'")
    backed: Any = of_ioi.loc[[head for head in looks.nlargest(5, "score")["head"] if of_ioi.loc[head, "low"] > 0]]
    assert (backed["damage"] <= 0).all()
    (more, less, all_), (more_real, less_real, all_real) = counts
    assert (all_, more_real) == (all_real, 0)
    return [
        f"of the {all_} heads that the rewards find, when one is lost, later heads write more after {more} on `gpt2-mini` and none on SmolLM2, and less after {less} and {less_real}",
        f"losing either of {in_words(len(backed))} heads, of the {in_words(5)} that look most at the indirect object, costs nothing, while later heads write more",
    ]


@pytest.mark.parametrize(
    "said_of", [said_of_ways, said_of_readers, said_of_behaviours, said_of_changes, said_of_backup]
)
def test_what_was_tried_otherwise(readme: str, said_of: Callable[[], list[str]]) -> None:
    for sentence in said_of():
        assert sentence in readme, sentence


def test_seeing(readme: str) -> None:
    for sentence in said_of_seeing():
        assert sentence in readme, sentence


def test_the_replay(readme: str) -> None:
    for sentence in said_of_the_replay():
        assert sentence in readme, sentence


RIVALS = {
    IN_ROUNDS: "halving in three rounds, 16 by attribution on ten prompts and 8 of two tasks' lists",
    "halving, 16 by gradient and 16 of other behaviours": "halving, 16 by attribution and 16 that pay in other behaviours",
    f"halving, 16 by {GRADIENT_ALONE} and 16 of other behaviours": "the same, attribution on ten prompts",
    "halving, 16 by gradient": "halving, 16 by attribution",
    "halving, 16 by gradient and layer 0": "halving, 16 by attribution and layer 0",
    "gradient, then verify": "attribution, then verify",
    "belief, look ahead": "a belief learned on other behaviours, looking ahead",
    f"belief, look ahead, {ALONE}": "the same, not shown what heads pay in these",
    "headwise": "the headwise policy, trained on other behaviours",
    "headwise, not shown other behaviours": "the same, not shown what heads pay in those",
    "headwise, blind": "the headwise policy, blind",
    "list, normalised": "a list: heads by mean normalised reward in training",
    "policy k=5": "the paper's policy, trained with best-of-5, drawing its picks",
    "random": "random search",
}


def test_what_the_first_call_prints_is_what_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    code, printed = text[text.index("```python") :].split("```")[1:4:2]
    program = code.removeprefix("python\n").split("\n\nhead_damage(")[0]
    assert "plot_head_damage(frame)" in program
    exec(program, {})
    assert capsys.readouterr().out.strip("\n") == printed.strip("\n")


def test_nothing_is_left_to_be_filled_in(readme: str) -> None:
    assert "TODO" not in readme


def test_rivals(readme: str) -> None:
    tables, plays, plays_at_all = {}, {}, {}
    for subject in (MINI, REAL):
        run = Run(PUBLISHED[subject])
        plays_at_all[subject] = load_frame(run.frame_path("rivals"))
        plays[subject] = plays_at_all[subject].query("price == @BUDGET")
        summary = summarise_priced(plays[subject], run.settings.evaluation_prompts)
        tables[subject] = rival_table(summary, BUDGET, without=say_nothing(run))
    assert say_nothing(Run(PUBLISHED[MINI])) == ["greater_than"]
    assert say_nothing(Run(PUBLISHED[REAL])) == []
    for searcher, words in RIVALS.items():
        played = [table.loc[searcher] if searcher in table.index else None for table in tables.values()]
        cells = ["not played" if row is None else f"{row['mean']:.0f} ({row['lowest']:.0f})" for row in played]
        assert f"| {words} | {' | '.join(cells)} |" in readme
    run = Run(PUBLISHED[REAL])
    real, pool = load_frame(run.frame_path("rivals")), run.settings.evaluation_prompts
    summary = summarise_priced(real, pool)

    def more_than(other: str, price: int = BUDGET) -> list[str]:
        return list(gains_over(real, "headwise", [other], price, pool)[other])

    def by_hand(price: int = BUDGET) -> str:
        named = rival_table(summary, price)["mean"]
        return str(named[~named.index.str.startswith(("headwise", "belief", "policy"))].idxmax())

    of_policy = summary.query("searcher == 'headwise' and price == @BUDGET")[["ratio", "low", "high"]]
    value, low, high = (100 * x for x in mean_of([Interval(*row) for row in of_policy.to_numpy()]))
    assert low < 97 < high
    assert (
        f"On average over SmolLM2's tasks it names {value:.0f} ({low:.0f} to {high:.0f}), so that our goal, 97,"
        in readme
    )
    *tasks, mean = more_than("headwise, blind")
    assert f"it names {mean.removesuffix(' holds')} points less: it uses what it finds, at this price" in readme
    assert all(word.endswith("undecided") for word in (*tasks, *more_than(AHEAD)))
    blind = {price: more_than("headwise, blind", price)[-1].split()[-1] for price in SMALL if price > 1}
    assert [price for price, word in blind.items() if word == "undecided"] == [2, 5, 10]
    assert {*blind.values()} == {"undecided", "holds"}
    mini, quiet = plays_at_all[MINI], say_nothing(Run(PUBLISHED[MINI]))
    for price in SMALL:
        (*_, gain) = gains_over(mini, "headwise", ["headwise, blind"], price, pool, quiet)["headwise, blind"]
        assert gain.endswith("undecided"), price
    largest, *_ = sorted((float(cell.split(" ")[0]) for cell in tasks), reverse=True)
    assert largest / len(tasks) > 0.4 * float(mean.split(" ")[0]), "a good part of that is one task"
    priors: Any = over_priors(load_frame(run.frame_path("another_prior")))
    again = priors.loc[DRAWN, SEEING]
    each = load_frame(run.frame_path("another_prior")).query("fitted == @DRAWN and searcher == @SEEING")
    worst = 100 * each.groupby("draw")["named"].min()
    assert (
        f"with one fitted to the behaviours resampled the same policies name {100 * again['lowest']:.0f} to {100 * again['highest']:.0f} in {again['priors']:.0f} draws, "
        f"at worst {worst.min():.0f} to {worst.max():.0f}, and with the published one as much as with the best of these"
        in readme
    )
    more = (
        load_frame(run.frame_path("another_prior"))
        .query("fitted == @MORE")
        .pivot(index="task", columns="searcher", values="named")
    )
    assert (
        f"Also learned from the {len(CONFIRMATION)} further behaviours below, in one fit, the policies name {100 * more[SEEING].mean():.0f} and the rule {100 * more[AHEAD].mean():.0f}, at worst {100 * more[SEEING].min():.0f} and {100 * more[AHEAD].min():.0f}"
        in readme
    )
    assert more[SEEING].idxmin() == more[AHEAD].idxmin() == "greater_than"
    ways: Any = by_way(load_frame(run.frame_path("taught"))).select_dtypes("number")
    rule, copy, after, begun, anew, unbelieving = (
        f"{100 * ways.loc[way, 'named']:.0f}" for way in (CHOSEN, IMITATES, THEN, POLICY, ANEW, UNBELIEVING)
    )
    assert rule == copy == after == begun
    assert (
        ways.loc[[IMITATES, THEN, POLICY], "ahead_low"].max()
        < 0
        < ways.loc[[IMITATES, THEN, POLICY], "ahead_high"].min()
    )
    assert ways.loc[[ANEW, UNBELIEVING], "ahead_high"].max() < 0
    assert ways.loc[UNBELIEVING, "named"] < ways.loc["attribution", "named"]
    assert (
        f"names as much on behaviours left out, {copy}, as the rule and as PPO made of either; one that sees that, too, but was taught by PPO alone names {anew}, and one so taught that is shown no belief, only estimates and measurements, {unbelieving}, not more than attribution."
        in readme
    )
    others = priors.drop(index=[PUBLISHED_PRIOR, MORE], level="fitted")
    for searcher in (SEEING, AHEAD):
        most = others.xs(searcher, level="what")["highest"].max()
        assert abs(most - priors.loc[(PUBLISHED_PRIOR, searcher), "mean"]) < 0.002, "about as much as with the best"
    gained = others.xs(GAIN, level="what")
    assert (
        f"with {gained['priors'].sum()} other priors on the same episodes, by {100 * gained['lowest'].min():.0f} to {100 * gained['highest'].max():.0f} points"
        in readme
    )
    assert by_hand() == IN_ROUNDS
    at_price, at_five = (more_than(by_hand(price), price)[-1].split(" undecided") for price in (BUDGET, 5))
    assert at_price[1:] == at_five[1:] == [""]
    assert (
        f"best rule made by hand, at this price halving in three rounds: {at_price[0]} points, undecided; "
        f"nor, at the price of {in_words(5)}, than the best there, {at_five[0]}." in readme
    )
    rules: Any = load_frame(run.frame_path("by_hand"))
    best = rules.loc[rules["named"].idxmax()]
    assert (best["candidates"], best["estimate"], best["beside"]) == (*RULE_BY_HAND[:2], "8 of lists in turns")
    assert ROUNDS_IN_WORDS[best["rounds"]] == ROUNDS
    assert f"is the best of {len(rules)} rules by hand on the behaviours" in readme
    confirmed = load_frame(run.frame_path("confirmation"))
    beside_rule: Any = by_searcher(confirmed)
    verdicts = judged(confirmed).set_index(["searcher", "question"])["verdict"]
    said = "{:.0f} ({:z.0f} to {:.0f})".format
    policy, ends = 100 * beside_rule.select_dtypes("number").loc["headwise"], ("ahead", "ahead_low", "ahead_high")
    named = confirmed.pivot(index="behaviour", columns="searcher", values="named")
    seen = 100 * beside(named, "headwise, blind").loc["headwise", [*ends]].astype(float)
    rounds = 100 * beside_rule.loc[IN_ROUNDS, ["named", "low", "high"]].astype(float)
    least = named[IN_ROUNDS].idxmin(), named[IN_ROUNDS].min()
    behind = 100 * beside(named, "headwise").loc[IN_ROUNDS, [*ends]].astype(float)
    below = int((named["headwise"] < EACH).sum())
    apart = named["headwise"] - named[BY_HAND]
    assert 0 < policy["ahead_low"] < 0.5
    assert apart.max() > apart.sum() / 3, "much of it is one behaviour"
    far = confirmed[confirmed["nearest"] <= NEAR]
    near = len(CONFIRMATION) - far["behaviour"].nunique()
    assert (
        f"On {len(CONFIRMATION)} new behaviours of SmolLM2, written down with these questions before a head was measured on any, the policy names "
        f"{said(*policy[['named', 'low', 'high']])} on average: {100 * MEAN:.0f} is undecided again, and {100 * EACH:.0f} on each refuted, on {below} of them, least on "
        f"*{beside_rule['worst']['headwise']}*, {policy['least']:.0f}. Confirmed is that seeing gains, {said(*seen)} points; and, by an interval that hardly excludes none and "
        f"much of it one behaviour, that it names more, by {said(*policy[[*ends]])}, than the rule by hand that was then best on the six tasks. Halving in three rounds, "
        f"looked at afterwards, names as much there or more, {said(*rounds)}, on *{least[0]}* {100 * least[1]:.0f}; the policy names "
        f"{said(*behind)} less, undecided. Without the {near} whose heads pay much as in one that was taught"
    ) in readme
    assert behind.iloc[1] < 0 < behind.iloc[2]
    assert verdicts["headwise"].to_dict() == {
        "names 97% on average": "undecided",
        "names 95% on each": "refuted",
        "names more than the rule made by hand": "confirmed",
        "names more than blind": "confirmed",
    }
    before = rival_table(summary, BUDGET)["mean"].drop(IN_ROUNDS)
    assert before[~before.index.str.startswith(("headwise", "belief", "policy"))].idxmax() == BY_HAND, "as was stated"
    of_far = judged(far).set_index(["searcher", "question"])["verdict"]
    assert of_far["headwise", "names more than the rule made by hand"] == "undecided"
    names_there = beside_rule["named"][~beside_rule.index.str.startswith(("headwise", "belief", "policy"))]
    assert names_there.idxmax() == IN_ROUNDS, "06: as much as the policy, or more"
    assert beats(*beside(named, IN_ROUNDS).loc["headwise", [*ends[1:]]]) == "undecided"
    known = []
    for task in run.tasks:
        rewards = evaluation_episodes(run, task).mean(1)
        best = head_rewards(run, task, "evaluation").argmax()
        known.append(100 * (rewards[:, best].mean() / rewards.amax(1).mean()).item())
    assert (
        f"Knowing each task's best head beforehand would name {np.mean(known):.0f} on average and {min(known):.0f} at worst"
        in readme
    )
    assert f"on the {len(BEHAVIOURS)} behaviours" in readme
    assert f"buys both estimates on {in_words(FEW)} of the 32 prompts" in readme
    found = tables[REAL]
    assert float(found["mean"]["headwise"]) > float(found["mean"]["policy k=5"]) + 20
    for searcher in ("headwise", AHEAD):
        assert [task for task in run.tasks if float(found[task][searcher]) < 95] == ["greater_than"]
    assert {*found["mean"].nlargest(2).index} == {AHEAD, "headwise"}
    hand_made = found[~found.index.str.startswith(("headwise", "belief"))]
    assert hand_made["mean"].idxmax() == IN_ROUNDS, "06: nearly as much"
    assert float(found["mean"][f"belief, look ahead, {ALONE}"]) > 95
    assert (
        float(found["greater_than"][f"belief, look ahead, {ALONE}"])
        > float(found["greater_than"]["halving, 16 by gradient"]) + 10
    )
    assert float(tables[MINI]["mean"]["gradient, then verify"]) > 95
