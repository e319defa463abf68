"""The results of two runs beside each other: equal to rounding, or, for policies, in distribution.

Tables and whatever follows from them alone agree on every processor to rounding. Training amplifies rounding, so
on another processor policies are another draw of the same distribution over seeds. What is compared then is
that distribution, in one test of all conditions at once.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd

from circuitlib.ablation.build import apart
from circuitlib.ablation.tables import load_table
from circuitlib.companion.commands import by_command
from circuitlib.companion.learned import LEARNED
from circuitlib.companion.run import OTHERS, Run
from circuitlib.manifest import content_hash, load_frame
from circuitlib.studies.evaluate import CONDITION

FRAME_TOLERANCE = 1e-3
"""Largest difference of a measured number in the other tables."""

TURNED, TURNED_ANEW = 2, 4
"""In how many of a task's episodes a searcher on the axis of price may turn elsewhere; and where what it was learned on behaviours was
learned anew. So many shares of an episode are the largest difference of what it names, finds and has measured on average."""

TAUGHT = ("headwise", "belief")
"""How the names of searchers begin that were taught on behaviours."""

OPPOSITES = ({"consistent", "inconsistent"}, {"holds", "the other way round"}, {"gains", "loses"})
"""Verdicts (:mod:`circuitlib.companion.verdicts`) that say the contrary of each other."""

SIGNIFICANCE = 0.01
"""Probability with which two draws of one distribution are taken for different, all conditions together."""

SPREAD_FLOOR = 0.01
"""The smallest spread over seeds, in fractions of the oracle, that a difference is measured in: where all
seeds agree, a tenth of a point is no difference."""

INFINITE = float("inf")

Row = tuple[str, str, float, float, bool]


def compare(run: Run, other: Run) -> pd.DataFrame:
    """Columns: result, by (``difference`` or ``distribution``), value (the largest difference, or the
    probability), bar, agrees. A result that one run lacks has an infinite difference."""
    folders = (run.folder, other.folder)
    there = [{str(path.relative_to(folder)) for path in _results(folder)} - by_command(run) for folder in folders]
    both = sorted(there[0] & there[1])
    missing = [_by_difference(name, INFINITE) for name in sorted(there[0] ^ there[1])]
    evaluation = _evaluation(*folders) if "evaluation.parquet" in both else []
    same_policies = bool(evaluation) and all(by == "difference" and value == 0 for _, by, value, *_ in evaluation)
    exact = same_policies and run.settings.seeds == other.settings.seeds
    tables, frames = [], []
    for name in both:
        ours, theirs = (folder / name for folder in folders)
        if ours.suffix == ".safetensors" and ours.name.startswith(("damage_", "estimate_")):
            difference = apart(load_table(ours), load_table(theirs))
            tables.append(_by_difference(name.removesuffix(".safetensors"), difference, run.settings.rounding))
        elif ours.suffix == ".csv":
            found = _stored_difference(ours, theirs, exact)
            frames += [] if found is None else [_by_difference(name, found)]
            frames += [_verdicts(ours, theirs)] if name == "claims.csv" and not exact else []
        elif ours.name.startswith("training_k") and same_policies:
            frames.append(_by_difference(name, _histories(ours, theirs)))
    rivals = _rivals(*folders, same_policies, run.settings.episodes) if "rivals.parquet" in both else []
    columns = ["result", "by", "value", "bar", "agrees"]
    return pd.DataFrame([*missing, *tables, *frames, *evaluation, *rivals], columns=columns)


def _results(folder: Path) -> Iterator[Path]:
    """What a run measures, without manifests and the weights of seeds that are not published."""
    for path in folder.rglob("*.*"):
        if path.suffix != ".json" and not path.stem.endswith(OTHERS):
            yield path


def _by_difference(result: str, difference: float, bar: float = FRAME_TOLERANCE) -> Row:
    return result, "difference", difference, bar, difference <= bar


def _stored_difference(ours: Path, theirs: Path, exact: bool) -> float | None:
    """Of two frames; unless policies are ``exact``, without the rows that rest on them: None where no others are in either."""
    both = [load_frame(ours), load_frame(theirs)]
    if not exact and all("rests_on" in frame for frame in both):
        both = [frame[frame["rests_on"] != "policies"].reset_index(drop=True) for frame in both]
        if not any(map(len, both)):
            return None
    return frame_difference(*both)


def _verdicts(ours: Path, theirs: Path) -> Row:
    """Of claims that rest on policies: how many verdicts are each other's opposites, of which there must be none; fewer or other seeds may well turn one to or from
    ``undecided``. Infinite where other claims are made."""
    here, there = (
        load_frame(path).query("rests_on == 'policies'").set_index("claim")["verdict"] for path in (ours, theirs)
    )
    opposed = [{here.get(claim), word} in OPPOSITES for claim, word in there.items()]
    return _by_difference(
        "claims, opposite verdicts", sum(opposed) if set(here.index) == set(there.index) else INFINITE, 0
    )


def frame_difference(here: pd.DataFrame, there: pd.DataFrame) -> float:
    """The largest difference of two tables' measured numbers; infinite when the tables have other rows or
    columns, miss other numbers, or differ in a word or a whole number."""
    if list(here.columns) != list(there.columns) or len(here) != len(there):
        return INFINITE
    largest = 0.0
    for name in here.columns:
        one, other = here[name], there[name]
        if "f" in one.dtype.kind + other.dtype.kind and {one.dtype.kind, other.dtype.kind} <= set("fi"):
            if not one.isna().equals(other.isna()):
                return INFINITE
            largest = max(largest, float((one - other).abs().fillna(0).max())) if len(one) else largest
        elif not one.equals(other):
            return INFINITE
    return largest


def _evaluation(ours: Path, theirs: Path) -> list[Row]:
    """Searchers without a policy by their differences, policies by the distribution over seeds unless those of the seeds that both
    runs have are the same to the last digit."""
    frames = [load_frame(folder / "evaluation.parquet") for folder in (ours, theirs)]
    # Which head passes 90% first may turn on rounding.
    plain = [frame.query("searcher != 'policy'").drop(columns="reached_90").reset_index(drop=True) for frame in frames]
    by_difference = _by_difference("evaluation, without policies", frame_difference(*plain))
    here, there = (fractions_by_seed(frame.query("searcher == 'policy'")) for frame in frames)
    name = "evaluation, policies"
    if not here.index.equals(there.index):
        return [by_difference, _by_difference(name, INFINITE)]
    both = here.columns.intersection(there.columns)
    if len(both) and here[both].equals(there[both]):
        return [by_difference, _by_difference(name, 0.0)]
    p = same_distribution(here.to_numpy(), there.to_numpy())
    return [by_difference, (name, "distribution", p, SIGNIFICANCE, p > SIGNIFICANCE)]


def _histories(ours: Path, theirs: Path) -> float:
    """Of what the policies found in training, those of the seeds that both runs have."""
    both = [load_frame(path) for path in (ours, theirs)]
    seeds = set(both[0]["seed"]) & set(both[1]["seed"])
    return frame_difference(*(frame[frame["seed"].isin(seeds)].reset_index(drop=True) for frame in both))


def _rivals(ours: Path, theirs: Path, same_policies: bool, episodes: int) -> list[Row]:
    """Searchers on the axis of price: whether both runs have the same ones, of policies of the seeds that both have, and what they name and find on average, as a fraction of the
    oracle (nothing where nothing is found), and have measured, without the paper's policies where these are others; apart, what was learned
    on behaviours, where that was learned anew. One that adapts may turn elsewhere on a rounding, which an episode feels and their mean hardly.
    ``MaskablePPO``, which a command alone trains, need not play."""
    others: tuple[str, ...] = () if same_policies else ("policy",)
    learned = [content_hash(folder / LEARNED) for folder in (ours, theirs) if (folder / LEARNED).exists()]
    anew = TAUGHT if len(set(learned)) > 1 else ()
    played = [load_frame(folder / "rivals.parquet").query("searcher != 'MaskablePPO'") for folder in (ours, theirs)]
    both = set.intersection(*(set(frame.loc[frame["searcher"].str.startswith("policy"), "seed"]) for frame in played))
    means, all_ = [], []
    for frame in played:
        all_.append(set(frame.groupby(["task", "searcher", "price"]).groups))
        frame = frame[~frame["searcher"].str.startswith("policy") | frame["seed"].isin(both)].copy()
        frame["found"] = frame["found"].fillna(0.0)
        by = frame.groupby(["task", "searcher", "price"])
        mean = by[["named", "fresh", "found", "oracle", "measured_best", "recall"]].mean().astype(float)
        for score in ("named", "fresh", "found"):
            mean[score] /= mean["oracle"]
        mean = mean.drop(columns="oracle").reset_index()
        means.append(mean)

    def difference(of: tuple[str, ...], only: bool) -> float:
        chosen = [mean[mean["searcher"].str.startswith(of) == only] if of else mean for mean in means]
        return frame_difference(*(mean.reset_index(drop=True) for mean in chosen))

    left = ", without other policies" if others or anew else ""
    rows = [
        _by_difference("rivals, who plays", 0.0 if all_[0] == all_[1] else INFINITE),
        _by_difference(f"rivals{left}", difference((*others, *anew), only=False), (TURNED + 0.1) / episodes),
    ]
    if anew:
        rows.append(_by_difference("rivals, learned anew", difference(anew, only=True), (TURNED_ANEW + 0.1) / episodes))
    return rows


def fractions_by_seed(evaluation: pd.DataFrame) -> pd.DataFrame:
    """Mean fraction of the oracle, one row per condition and one column per seed."""
    means = evaluation.groupby([*CONDITION, "seed"])[["best", "oracle"]].mean()
    return (means["best"] / means["oracle"]).unstack("seed")


def same_distribution(here: np.ndarray, there: np.ndarray, most: int = 20_000) -> float:
    """How probable it is that two sets of seeds, ``[conditions, seeds]`` each, come from one distribution.

    A permutation test: the statistic is the largest over conditions of the difference of means in units of the
    spread within the sets; seeds change sides in all conditions at once, so that conditions may depend on each
    other as they do. All divisions are taken where there are at most ``most``, otherwise that many at random.
    """
    both = np.concatenate([here, there], axis=1)
    seeds, ours = both.shape[1], here.shape[1]

    def statistic(first: np.ndarray) -> float:
        one, other = both[:, first], both[:, np.setdiff1d(np.arange(seeds), first)]
        spread = np.sqrt((one.var(1) + other.var(1)) / 2 + SPREAD_FLOOR**2)
        return float((np.abs(one.mean(1) - other.mean(1)) / spread).max())

    if comb(seeds, ours) > most:
        rng = np.random.default_rng(0)
        divisions = [rng.permutation(seeds)[:ours] for _ in range(most)]
    else:
        divisions = [np.array(chosen) for chosen in combinations(range(seeds), ours)]
    observed = statistic(np.arange(ours))
    return float(np.mean([statistic(chosen) >= observed - 1e-12 for chosen in divisions]))
