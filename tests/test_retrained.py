"""A second training beside the published intervals: Welch's test, what it calls different, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from circuitlib.companion import frames, run
from circuitlib.companion.compare import fractions_by_seed, same_distribution
from circuitlib.companion.retrained import retrained
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED, Settings
from circuitlib.manifest import load_frame, read_provenance, save_frame
from circuitlib.paths import ROOT
from circuitlib.studies.evaluate import CONDITION
from circuitlib.studies.retrained import beside, in_short

SEEDS, MANY = 20, 400


def trainings(shift: float = 0.0, conditions: int = MANY) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A published summary, whose intervals are of seeds alone, and the fractions of two trainings by seed: the second by so many standard deviations higher."""
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_tuples(
        [("ioi", "none", "policy", 1, 1 + i % 2, i) for i in range(conditions)], names=CONDITION
    )
    first, again = (
        pd.DataFrame(0.8 + 0.05 * (rng.normal(size=(conditions, SEEDS)) + by), index, range(SEEDS))
        for by in (0.0, shift)
    )
    reach = 2.093 * first.std(axis=1) / SEEDS**0.5
    ends = {"ratio": first.mean(axis=1), "low": first.mean(axis=1) - reach, "high": first.mean(axis=1) + reach}
    return pd.DataFrame(ends).reset_index(), first, again


def apart(table: pd.DataFrame) -> pd.Series:
    return (table["difference_low"] > 0) | (table["difference_high"] < 0)


def test_differences_are_welchs() -> None:
    published, first, again = trainings(0.5, 5)
    table = beside(published, first, again)
    for i, row in enumerate(table.to_dict("records")):
        interval = ttest_ind(again.iloc[i], first.iloc[i], equal_var=False).confidence_interval(0.95)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx(tuple(interval))
        assert row["difference"] == pytest.approx(again.iloc[i].mean() - first.iloc[i].mean())
        assert row["correlation"] == pytest.approx(np.corrcoef(first.iloc[i], again.iloc[i])[0, 1])


def test_of_one_distribution_one_in_twenty_is_told_apart() -> None:
    """And as many leave an interval of seeds alone that is widened; of the bare one, which knows one of the two errors, more do."""
    table = beside(*trainings())
    tolerance = 4 * (0.05 * 0.95 / MANY) ** 0.5
    assert apart(table).mean() == pytest.approx(0.05, abs=tolerance)
    assert (~table["inside"]).mean() == pytest.approx(0.05, abs=tolerance)
    assert (~table["again"].between(table["low"], table["high"])).mean() > 0.1
    short = in_short(table).set_index("planned_k")
    assert short.loc["all", "told_apart"] == pytest.approx(100 * apart(table).mean())
    assert short.loc["all", "largest"] == pytest.approx(100 * table["difference"].abs().max())
    assert short.loc[1, "conditions"] == MANY / 2
    assert apart(beside(*trainings(3.0))).all(), "what is different is noticed"


def test_a_condition_in_which_nothing_varies_is_inside() -> None:
    published, first, again = trainings(conditions=3)
    first.iloc[0], again.iloc[0] = 1.0, 1.0
    published.loc[0, ["ratio", "low", "high"]] = 1.0
    table = beside(published, first, again)
    assert table["varies"].tolist() == [False, True, True]
    row = table.to_dict("records")[0]
    assert [row[name] for name in ("difference", "difference_low", "difference_high")] == [0, 0, 0]
    assert row["inside"]
    assert np.isnan(row["correlation"])
    assert in_short(table)["conditions"].tolist() == [1, 1, 2]


def test_what_cannot_be_compared_is_refused() -> None:
    published, first, again = trainings(conditions=3)
    with pytest.raises(ValueError, match="same conditions"):
        beside(published, first, again.iloc[:2])
    with pytest.raises(ValueError, match="single seed"):
        beside(published, first, again[[0]])


@pytest.mark.long
def test_of_a_published_run(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same to the last digit is no second training; others' fractions are those that are compared, and the table is read once it is published."""
    small = {"train_prompts": 32, "evaluation_prompts": 32, "episodes": 2, "seeds": 2, "steps": 400}
    names = {"training_tasks": ("ioi",), "held_out_task": "agreement", "further_tasks": (), "check_tasks": False}
    settings = Settings.of({"subject": str(checkpoint), "control": "docstrings"} | names | small)
    results = tmp_path / "data" / "results"
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "RESULTS", results)
    monkeypatch.setitem(PUBLISHED, settings.subject, settings)
    again = Run(settings, "runs/again")
    frames.evaluation(again)
    shutil.copytree(again.folder, results / again.folder.name)
    with pytest.raises(ValueError, match="to the last digit"):
        retrained(again)
    path = again.frame_path("evaluation")
    found = load_frame(path)
    noise = np.random.default_rng(0).uniform(0.8, 1.0, len(found)).astype("float32")
    save_frame(path, found.assign(best=found["best"] * noise), read_provenance(path))
    table = retrained(again)
    first, second = (
        fractions_by_seed(load_frame(one.frame_path("evaluation")).query("searcher == 'policy'"))
        for one in (Run(settings), again)
    )
    assert table["again"].to_numpy() == pytest.approx(second.mean(axis=1).to_numpy(), abs=1e-5)
    assert table["ratio"].to_numpy() == pytest.approx(first.mean(axis=1).to_numpy(), abs=1e-5)
    assert table["p"].to_numpy() == pytest.approx(same_distribution(first.to_numpy(), second.to_numpy()), abs=1e-5)
    assert set(table["on"]) == set(table["again_on"]), "both on this processor"
    with pytest.raises(FileNotFoundError, match=r"retrained\.csv"):
        retrained(Run(settings))
    for file in (again.folder / "retrained.csv", again.folder / "retrained.json"):
        shutil.copy(file, results / again.folder.name)
    pd.testing.assert_frame_equal(retrained(Run(settings)), table)


def test_readme_says_how_many_lie_within() -> None:
    counts = []
    for settings in PUBLISHED.values():
        whole: Any = in_short(retrained(Run(settings))).set_index("planned_k").loc["all"]
        count = int(whole["conditions"])
        counts.append(f"{round(count * whole['within'] / 100)} of {count}")
    said = f"in {counts[0]} conditions in which seeds differ on `gpt2-mini` and {counts[1]} on SmolLM2"
    assert said in (ROOT / "README.md").read_text()
