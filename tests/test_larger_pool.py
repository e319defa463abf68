"""The ledger of a larger pool is that of a run of its own, beside the claims that were undecided."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_run import small_run

from circuitlib.companion import larger_pool as study
from circuitlib.companion.claims import SEEING, claims, undecided
from circuitlib.companion.larger_pool import in_short, larger_pool, once_undecided
from circuitlib.companion.other_ablations import SHOWN
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.subjects.checkpoints import EMBEDDED


@pytest.mark.long
def test_the_ledger_of_a_larger_pool(checkpoint: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "TIMES", 2)
    mine = small_run(elsewhere, str(checkpoint), "runs/mine", seeds=2, steps=400)
    table = larger_pool(mine)
    settings = replace(mine.settings, evaluation_prompts=64, episodes=4)
    whole = claims(Run(settings, f"{mine.output}/larger"))
    seen = whole["claim"].str.contains("seeing gains")
    assert table.equals(whole[~seen][SHOWN].reset_index(drop=True)), "the ledger's own rows"
    assert in_short(table)["claims"].sum() == len(table)
    beside = once_undecided(mine)
    assert beside["claim"].tolist() == undecided(mine)["claim"].tolist()
    numbers = ["ours", "low", "high"]
    found = table.set_index("claim").loc[beside["claim"], numbers].to_numpy()
    assert (beside[[f"{name}_larger" for name in numbers]].to_numpy() == found).all()


def test_the_committed_table_is_of_the_same_claims() -> None:
    """And what was found once more lies where it did: by its own larger pool no claim turns into its opposite."""
    run = Run(PUBLISHED[EMBEDDED])
    before, after = claims(run).set_index("claim"), larger_pool(run).set_index("claim")
    before = before[before["measured_in"] != SEEING]
    assert before.index.tolist() == after.index.tolist()
    words = before["verdict"].str.cat(after["verdict"], sep=", ")
    opposite = {"consistent, inconsistent", "inconsistent, consistent"} | {
        "holds, the other way round",
        "the other way round, holds",
    }
    assert not set(words) & opposite
