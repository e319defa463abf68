"""The numbers beside figures: those of the committed results, as the figures draw them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from test_search_figures import rows_of

from circuitlib.companion import authors, figures, frames, search_figures
from circuitlib.companion.claims import paper_intervals
from circuitlib.companion.lead import lead
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.training_tables import training_oracle
from circuitlib.paths import FIGURES
from circuitlib.studies.evaluate import summarise
from circuitlib.studies.intervals import Interval
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_numbers_beside_figures_are_those_of_committed_results(subject: str) -> None:
    run = Run(PUBLISHED[subject])
    folder = FIGURES if subject == EMBEDDED else FIGURES / run.card.name
    names = [run.card.head_name(head) for head in range(run.card.heads)]
    rewards = {task: frames.evaluation_episodes(run, task).mean(1).numpy() for task in run.main_tasks}
    first, summary = (
        search_figures.first_probabilities(run),
        summarise(frames.evaluation(run), run.settings.evaluation_prompts),
    )
    numbers = {
        "sorted_rewards": figures.drawn_rewards(rewards, names),
        "training_curves": figures.drawn_training(run.training_history(), training_oracle(run)),
        "signals": figures.drawn_signals(summary, "docstring", paper_intervals()),
        "first_picks": search_figures.drawn_picks(np.stack([*first.values()]), names, [*first]),
    }
    if subject == EMBEDDED:
        numbers["lead"] = lead(run.beside())
        numbers["replay"] = search_figures.drawn_lines(authors.replay())
        numbers["replay_effects"] = search_figures.drawn_effects(authors.replay())
    for name, frame in numbers.items():
        committed = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""])
        assert_frame_equal(committed, frame.reset_index(drop=True), check_dtype=False, rtol=1e-4, atol=1e-9, obj=name)
        assert len(frame) > 3


def test_numbers_by_hand() -> None:
    """Of made-up rewards, histories and summaries, by hand."""
    rewards = {"ioi": np.array([[1.0, 4.0, 3.0], [3.0, 4.0, 1.0], [1.0, 4.0, 2.0]])}
    rows = figures.drawn_rewards(rewards, ["a", "b", "c"], top=2)
    assert rows.to_numpy().tolist() == [["ioi", "b", 1.0, 1.0, 1.0, 1.0], ["ioi", "c", 0.5, 0.75, 0.25, 0.5]]
    history = pd.DataFrame(
        {"task": "ioi", "trained_k": 1, "update": update, "seed": seed, "best": float(update * (seed + 1))}
        for update in (1, 2, 3)
        for seed in (0, 1)
    )
    drawn = figures.drawn_training(history, {"ioi": 2.0}, window=2)
    assert drawn["update"].tolist() == [1, 2, 3]
    assert drawn[["mean", "least", "most"]].to_numpy() == pytest.approx(
        np.array([[0.75, 0.5, 1], [1.125, 0.75, 1.5], [1.875, 1.25, 2.5]])
    )
    row = {"task": "ioi", "planned_k": 1, "measured": 50, "ratio": 0.5, "low": 0.4, "high": 0.6}
    summary = pd.DataFrame(
        [
            row | {"searcher": "policy", "trained_k": 5, "signal": "none"},
            row | {"searcher": "random", "trained_k": 0, "signal": "none"},
            row | {"searcher": "static prior", "trained_k": 0, "signal": "none"},
        ]
    )
    signals = figures.drawn_signals(summary, "ioi", {("ioi", 5, "none"): Interval(0.7, 0.6, 0.8)})
    assert signals["searcher"].tolist() == ["policy", "random"]
    assert signals[["paper", "paper_low", "paper_high"]].to_numpy()[0].tolist() == [0.7, 0.6, 0.8]
    assert signals["paper"].isna().tolist() == [False, True]
    replay = rows_of()
    lines = search_figures.drawn_lines(replay)
    assert len(lines) == 2 * 5 * (len(search_figures.LINES) - 1), "but for a list, which was not played"
    told_nothing: Any = replay.query("told == 'none' and trained_k in (0, 5)").set_index(
        ["task", "searcher", "shown", "measured"]
    )
    keys = ["task", "searcher", "shown", "measured"]
    played: Any = lines.set_index(keys)
    assert_frame_equal(played, told_nothing.loc[played.index, played.columns])
    effects = search_figures.drawn_effects(replay)
    assert len(effects) == 2 * 2 * 2 * 3, "tasks, signals, blind and flipped, after 10, 20, 50"
    picks = search_figures.drawn_picks(np.array([[0.25, 0.75], [1, 0]]), ["L0H0", "L0H1"], ["seed 0", "seed 1"])
    assert picks.to_numpy().tolist() == [["L0H0", 0.25, 1], ["L0H1", 0.75, 0]]
