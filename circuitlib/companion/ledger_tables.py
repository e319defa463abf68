"""What puts the ledger to the test, as tables for reading: other ablations, policies trained again, more prompts, other settings."""

from collections.abc import Mapping, Sequence

import pandas as pd

from circuitlib.companion.claims import agrees, claims, paper_intervals, undecided
from circuitlib.companion.larger_pool import larger_pool, once_undecided
from circuitlib.companion.legend import task_title
from circuitlib.companion.other_ablations import side_by_side
from circuitlib.companion.paper import docstring_oracle, docstring_results
from circuitlib.companion.retrained import in_short, retrained
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.companion.show import with_intervals
from circuitlib.companion.verdicts import beats
from circuitlib.companion.what_if import what_if
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.intervals import Interval

ABLATIONS = {"zero": "zeros", "mean": "means", "resample": "another prompt's"}
"""What stands in a head's place, as titles of columns."""


def verdicts_table(ledgers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per verdict, of claims beside a number of the paper's and of those without one; a column per ledger, by title: how many of its claims have it."""
    sides = {True: "beside a number of the paper's", False: "without one"}
    counts = {
        title: ledger.groupby([ledger["paper"].notna().map(sides), "verdict"]).size()
        for title, ledger in ledgers.items()
    }
    return pd.DataFrame(counts).fillna(0).astype(int).rename_axis(["claims", "verdict"])


def _ours(rows: pd.DataFrame, suffix: str = "") -> pd.Series:
    return with_intervals(rows[[f"{end}{suffix}" for end in ("ours", "low", "high")]], 2)


def ablations_table(run: Run) -> pd.DataFrame:
    """A row per claim: the paper's number, the ledger's verdict, by all seeds, and ours with its interval and verdict under each ablation."""
    beside = side_by_side(run).set_index("claim")
    cells = {name: _ours(beside, f"_{kind}") + " " + beside[f"verdict_{kind}"] for kind, name in ABLATIONS.items()}
    return beside[["paper", "verdict"]].rename(columns={"verdict": "in the ledger"}).assign(**cells)


def turned(run: Run) -> tuple[pd.Index, pd.Index]:
    """The claims whose verdict under another ablation is not that with zeros, and, among these, those that turn from one word to another, not to or from ``undecided``."""
    beside = side_by_side(run).set_index("claim")
    words = beside[[f"verdict_{kind}" for kind in ABLATIONS]]
    opposed = words.apply(lambda row: len({*row} - {"undecided"}) > 1, axis=1)
    return beside.index[beside["turns"]], beside.index[opposed]


def turning_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row per subject: how many claims there are, how many verdicts turn (:func:`turned`), and how many of these into another word, not to or from ``undecided``."""
    rows = {run.title: (len(claims(run)), *map(len, turned(run))) for run in runs}
    columns = ["claims", "verdicts that turn", "from one decided word to another"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("subject")


def trainings_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row per subject and planning: columns of :func:`circuitlib.studies.retrained.in_short`, with differences in points; what computed the products of the two trainings, and how
    probable so large a difference is in any condition (p)."""
    titles = {
        "within": "within, %",
        "told_apart": "told apart, %",
        "largest": "largest difference",
        "mean": "mean difference",
        "correlation": "seeds correlate",
    }
    tables = {}
    for run in runs:
        again = retrained(run)
        of_both = {"kernels": f"{again['on'][0]}; again {again['again_on'][0]}", "p": again["p"][0]}
        short = in_short(again).drop(columns="inside").rename(columns=titles)
        tables[run.title] = short.set_index("planned_k").assign(**of_both)
    return pd.concat(tables, names=["subject"])


def headline_again(run: Run) -> pd.DataFrame:
    """A row per heads measured: what the headline's policy finds on docstring, told nothing, in percent of the oracle, with the published interval, and trained again."""
    query = "task == 'docstring' and signal == @NOTHING and trained_k == @HEADLINE_K and planned_k == 1"
    headline = retrained(run).query(query).set_index("measured")
    return 100 * headline[["ratio", "low", "high", "again", "difference"]]


def prompts_table(run: Run) -> pd.DataFrame:
    """A row per undecided claim: ours with its interval, and how many prompts would decide it, with the seeds that there are and with boundlessly many."""
    titles = {"prompts": "prompts needed", "prompts_alone": "with boundlessly many seeds"}
    table = undecided(run).set_index("claim")[["ours", "low", "high", *titles]]
    return table.astype(dict.fromkeys(titles, "Int64")).rename(columns=titles)


def deciding_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row per subject: how many claims are undecided, and how many of them would be decided by how many times as many prompts."""
    rows = {}
    for run in runs:
        needed, have = prompts_table(run), run.settings.evaluation_prompts
        rows[run.title] = {
            "undecided": len(needed),
            **{
                f"decided by {times} times as many": (needed["prompts needed"] <= times * have).sum()
                for times in (4, 64)
            },
            "not by 64 times as many, with any number of seeds": needed["with boundlessly many seeds"].isna().sum(),
        }
    return pd.DataFrame(rows).T.rename_axis("subject")


def inside_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row per subject: how many claims there are, but for what seeing gains, and how many of them the larger pool finds within the interval of the smaller one."""
    rows = {}
    for run in runs:
        larger, before = larger_pool(run).set_index("claim"), claims(run).set_index("claim")
        within = larger["ours"].between(*(before.loc[larger.index, end] for end in ("low", "high")))
        rows[run.title] = {"claims": len(larger), "within the smaller pool's interval": within.sum()}
    return pd.DataFrame(rows).T.rename_axis("subject")


def larger_table(run: Run) -> pd.DataFrame:
    """A row per claim that was undecided: how many prompts should decide it, ours with its interval before and by the larger pool, and the verdict there."""
    once = once_undecided(run).set_index("claim")
    cells = {
        "prompts needed": once["prompts"].astype("Int64"),
        "before": _ours(once),
        "larger pool": _ours(once, "_larger"),
    }
    return pd.DataFrame(cells | {"verdict": once["verdict_larger"]})


def changes_table(run: Run, task: str) -> pd.DataFrame:
    """A row per change of a setting, on one task: what becomes of its best heads, what the list and the headline's policy then find in ten heads, as fractions of the
    paired oracle, the policy in all picks, whether the list is ahead of it, and, on docstring, whether that agrees with the paper's headline (both words empty where there is no
    interval)."""
    rows = what_if(run).query("task == @task").set_index("change")
    listed, policy = (rows[rows["searcher"] == name] for name in ("list", "policy"))
    names = {"same_best": "same best head", "shared": "of the five best over all prompts"}
    shown = policy[["same_best", "shared", "correlation", "kept"]].rename(columns=names)
    words = {"list ahead": policy.apply(lambda row: beats(row["ahead_low"], row["ahead_high"]), axis=1)}
    headline = paper_intervals().get((task, HEADLINE_K, NOTHING))
    if headline is not None:
        ours = policy[["all", "low", "high"]]
        words["headline"] = ours.apply(lambda row: agrees(Interval(*row), headline), axis=1)
    known = policy["low"].notna()
    found = {"list": listed["early"], "policy": policy["early"], "policy, 50 heads": policy["all"]}
    return shown.assign(**found, **{name: word.where(known, "") for name, word in words.items()})


def published_table() -> pd.DataFrame:
    """The paper's mean best rewards on docstring after fifty heads, as its author's files have them: searcher, told, logits, and percent of its oracle."""
    random, *policies = (
        {
            "searcher": f"policy, trained with k={k}" if k else searcher,
            "told": {NOTHING: "nothing"}.get(told, task_title(told)) if k else "",
            "mean best reward (logits)": logits,
            "% of the oracle": 100 * logits / docstring_oracle(),
        }
        for (searcher, k, told), logits in docstring_results().items()
    )
    return pd.DataFrame([*policies, random])
