"""Every number of a finding in README is the committed tables'."""

import pandas as pd
import pytest
from recorded_engine import Recorded, prompts_of

from circuitlib.ablation.tables import load_table
from circuitlib.ablation.top import top_heads
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.companion.speed import recorded
from circuitlib.manifest import load_frame
from circuitlib.paths import RESULTS, ROOT
from circuitlib.search.evaluate import summarise
from circuitlib.tasks.base import LOGIT_DIFFERENCE

PLAIN, PLANNED = (5, 1), (5, 5)


@pytest.fixture(scope="module")
def readme() -> str:
    return " ".join((ROOT / "README.md").read_text().split())


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return summarise(load_frame(Run().frame_path("evaluation")))


def test_findings(readme: str, summary: pd.DataFrame) -> None:
    def row(
        task: str, searcher: str, measured: int, policy: tuple[int, int] | None = None, signal: str = "none"
    ) -> pd.Series:
        rows = summary.query("task == @task and searcher == @searcher and measured == @measured and signal == @signal")
        if policy:
            rows = rows[(rows["trained_k"] == policy[0]) & (rows["planned_k"] == policy[1])]
        assert len(rows) == 1
        return rows.iloc[0]

    def share(*condition: object, **signal: str) -> str:
        return f"{100 * row(*condition, **signal)['ratio']:.0f}"  # type: ignore[arg-type]

    def interval(*condition: object) -> str:
        found = row(*condition)  # type: ignore[arg-type]
        return f"({100 * found['low']:.0f} to {100 * found['high']:.0f})"

    docstring, prior = ("docstring", "policy"), ("docstring", "static prior")
    said = [
        f"with best-of-5 planning reaches {share(*docstring, 50, PLAIN)}% "
        f"{interval(*docstring, 50, PLAIN)} after 50 heads measured",
        f"random search reaches {share('docstring', 'random', 50)}% (the paper",
        f"is at {share('induction', 'static prior', 1, signal='induction')}% and "
        f"{share('ioi', 'static prior', 1, signal='ioi')}% of the oracle after a *single* head",
        f"the list stalls** at {share(*prior, 50)}%",
        f"the policy is at {share(*docstring, 10, PLAIN)}% {interval(*docstring, 10, PLAIN)} and the list "
        f"at {share(*prior, 10)}% {interval(*prior, 10)}; after fifty, at "
        f"{share(*docstring, 50, PLAIN)}% and still at {share(*prior, 50)}%",
        f"is at {share('agreement', 'policy', 10, PLANNED)}% of the oracle after ten heads on subject-verb "
        f"agreement (random {share('agreement', 'random', 10)}%, the list {share('agreement', 'static prior', 10)}%), "
        f"{share('greater_than', 'policy', 10, PLANNED)}% on greater-than (random "
        f"{share('greater_than', 'random', 10)}%, the list {share('greater_than', 'static prior', 10)}%) "
        f"and {share('pronoun', 'policy', 10, PLANNED)}% on pronouns (random "
        f"{share('pronoun', 'random', 10)}%, the list {share('pronoun', 'static prior', 10)}%). "
        "After fifty it is below random search on the last two: "
        f"{share('greater_than', 'policy', 50, PLANNED)}% against {share('greater_than', 'random', 50)}% and "
        f"{share('pronoun', 'policy', 50, PLANNED)}% against {share('pronoun', 'random', 50)}%",
        f"IOI's alone is at {share(*prior, 1, signal='ioi')}% after one head and at "
        f"{share(*prior, 20, signal='ioi')}% after twenty, which no policy reaches",
        f"is at {share(*docstring, 10, PLANNED)}% after ten heads, without at "
        f"{share(*docstring, 10, PLAIN)}%; after fifty, at "
        f"{share(*docstring, 50, PLANNED)}% and {share(*docstring, 50, PLAIN)}%",
    ]
    for sentence in said:
        assert sentence in readme
    policies = summary.query("task == 'docstring' and searcher == 'policy' and measured <= 50")
    assert policies["ratio"].max() < row(*prior, 20, signal="ioi")["ratio"]
    for task in ("induction", "ioi"):
        assert float(share(task, "static prior", 5, signal=task)) == 100


def test_redundancy(readme: str) -> None:
    pairs = load_frame(Run().folder / "pairs.csv")
    ioi = pairs[pairs["task"] == "ioi"]
    larger = ioi[["damage_first", "damage_second"]].max(axis=1)
    backed = (ioi["interaction"] > 0.1 * larger).mean()
    assert f"Of the {len(ioi)} pairs among IOI's twelve best heads, {100 * backed:.0f}%" in readme


def test_speeds(readme: str) -> None:
    """The range over processors, and over tasks."""
    sweeps = recorded("sweeps")
    speed = sweeps[sweeps["method"] == "sweep"].set_index(["subject", "workload"])["speedup"]
    for subject, place in (("gpt2-mini", "on `gpt2-mini`"), ("gpt2-shape", "at GPT-2 small's sizes")):
        tasks, general = (_range(speed[subject][names]) for names in (["ioi", "induction"], ["control"]))
        assert f"{tasks} times for tasks and {general} for general damage {place}" in readme
    for processor in sweeps["processor"].unique():
        assert processor in readme


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
