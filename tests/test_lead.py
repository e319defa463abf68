"""The lead figure draws what the committed frames say, and the first sentences cite nothing else."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

mpl.use("Agg")

from prose import A_MINUTE

from circuitlib.companion import show
from circuitlib.companion.authors import FOLDER, FRAMES, SUBJECT, agreement
from circuitlib.companion.claims import undecided
from circuitlib.companion.frames import say_nothing
from circuitlib.companion.lead import ATTRIBUTION, FEW, LISTS, LISTS_REVERSED, POLICY, ROWS, lead, lead_figure, thesis
from circuitlib.companion.legend import subject_title
from circuitlib.companion.rival_figures import MEAN, gains_over
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.verdicts import agreement as agrees
from circuitlib.companion.verdicts import beats, gains
from circuitlib.manifest import load_frame
from circuitlib.paths import ROOT
from circuitlib.search.env import BUDGET
from circuitlib.studies.evaluate import summarise
from circuitlib.studies.priced import summarise_priced
from circuitlib.studies.priced_contest import IN_ROUNDS
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return lead([Run(PUBLISHED[name]) for name in (EMBEDDED, SMOLLM2)])


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    show.set_style("any")
    yield
    plt.close("all")


def frame_of(subject: str, name: str) -> pd.DataFrame:
    return load_frame(Run(PUBLISHED[subject]).frame_path(name)).query("task == 'docstring'")


@pytest.mark.parametrize("subject", [SMOLLM2, EMBEDDED])
@pytest.mark.parametrize("measured", [FEW, BUDGET])
def test_rows_are_the_frames(found: pd.DataFrame, subject: str, measured: int) -> None:
    """Read from the frames in another way than the figure's table is made."""
    ours: Any = found[(found["subject"] == subject_title(subject)) & (found["measured"] == measured)].set_index("row")[
        ["ratio", "low", "high"]
    ]
    seen: Any = frame_of(subject, "seeing").query("told == 'none' and measured == @measured and trained_k in (0, 5)")
    seen = seen.set_index(["searcher", "shown"])[["ratio", "low", "high"]].sort_index()
    pool = PUBLISHED[subject].evaluation_prompts
    evaluated: Any = summarise(frame_of(subject, "evaluation").query("searcher == 'random'"), pool)
    evaluated = evaluated[evaluated["measured"] == measured].set_index("searcher")[["ratio", "low", "high"]]
    priced: Any = summarise_priced(frame_of(subject, "rivals"), pool)
    priced = priced[priced["price"] == measured].set_index("searcher")[["ratio", "low", "high"]]
    wanted = {
        "policy, sees its rewards": seen.loc[("policy", "seeing")],
        "policy, sees zeros": seen.loc[("policy", "blind")],
        "the same, greedy, sees its rewards": seen.loc[("policy, greedy", "seeing")],
        "the same, greedy, sees zeros": seen.loc[("policy, greedy", "blind")],
        "two lists in turns, induction's first": priced.loc["list, in turns"],
        "two lists in turns, IOI's first": priced.loc["list, in turns, reversed"],
        "one list, by mean reward": seen.loc[("list", "none")],
        "layers in order": seen.loc[("layers in order", "none")],
        "random": evaluated.loc["random"],
        "attribution, then verify (price)": priced.loc["gradient, then verify"],
    }
    assert set(ours.index) == set(wanted)
    for row, numbers in wanted.items():
        assert ours.loc[row].tolist() == pytest.approx(numbers.tolist())


def test_rows_of_gpt2_are_the_replays(found: pd.DataFrame) -> None:
    replay = load_frame(FOLDER / FRAMES["replay"]).query(
        "task == 'docstring' and told == 'none' and trained_k in (0, 5)"
    )
    by: Any = replay.set_index(["searcher", "shown", "measured"])[["ratio", "low", "high"]].sort_index()
    ours: Any = found.query("subject == @SUBJECT and row != 'paper'").set_index(["row", "measured"])[
        ["ratio", "low", "high"]
    ]
    searchers = {row.label: row.replayed for row in ROWS if row.replayed[0]}
    assert len(ours) == 2 * len(searchers) == 16
    for (row, measured), numbers in ours.iterrows():
        assert numbers.tolist() == by.loc[(*searchers[row], measured)].tolist()


def test_every_mark_interval_and_number_is_the_tables(found: pd.DataFrame) -> None:
    figure = lead_figure(found)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [f"paper, after {BUDGET}", *(row.label for row in ROWS)]
    labels = labels[1:]
    for axis, subject in zip(figure.axes, (SUBJECT, EMBEDDED, "SmolLM2"), strict=True):
        assert axis.get_title(loc="left").startswith(subject)
        written = {(round(y), text.get_text()) for text in axis.texts for _, y in [text.get_position()] if y >= 0}
        series = [some for some in axis.containers if isinstance(some, ErrorbarContainer)]
        for some, measured in zip(series, (FEW, BUDGET), strict=True):
            rows = found[(found["subject"] == subject) & (found["measured"] == measured) & (found["row"] != "paper")]
            rows = rows.set_index("row")
            points = np.asarray(some[0].get_xydata())
            ends = [segment[:, 0] for segment in some[2][0].get_segments()]
            assert len(points) == len(rows)
            for (x, y), (low, high) in zip(points, ends, strict=True):
                row = rows.loc[labels[round(y)]]
                assert [low, x, high] == pytest.approx([100 * row[name] for name in ("low", "ratio", "high")])
                assert (round(y), f"{x:.0f}") in written
        empty = set(labels) - set(found.loc[found["subject"] == subject, "row"])
        assert {labels[y] for y, text in written if text == "not measured"} == empty
    assert figure.axes[0].lines[-2].get_xdata()[0] == 100 * found.query("row == 'paper'")["ratio"].item()  # type: ignore[index]


def test_no_letter_is_smaller_than_eight_points_on_a_page(found: pd.DataFrame, tmp_path: Path) -> None:
    figure = lead_figure(found)
    show.save_figure(figure, "lead", tmp_path, "three models")
    assert figure.get_figwidth() <= 7.8
    own = [text for axis in figure.axes for text in (*axis.texts, *axis.get_xticklabels(), *axis.get_yticklabels())]
    own += figure.texts
    own += [text for legend in figure.legends for text in legend.get_texts()]
    assert min(float(text.get_fontsize()) for text in own if text.get_text()) >= 8


def test_every_number_of_the_first_sentences_stands_in_the_figure(found: pd.DataFrame) -> None:
    drawn = {f"{100 * ratio:.0f}" for ratio in found["ratio"]}
    said = set(re.findall(r"(\d+)%", thesis(found)))
    assert said <= drawn
    text = re.sub(r"\(\d\d\)|`[^`]+`", "", thesis(found))
    others = set(re.findall(r"\b(\d+)\b(?!%)", text.replace("SmolLM2", "").replace(SUBJECT, "").replace(EMBEDDED, "")))
    assert others == {"144", str(FEW), str(BUDGET)}


def test_the_words_of_the_first_sentences_are_true(found: pd.DataFrame) -> None:
    by: Any = found.set_index(["subject", "row", "measured"])[["ratio", "low", "high"]].sort_index()
    for subject in (SMOLLM2, EMBEDDED):
        rows = frame_of(subject, "seeing").query(f"told == 'none' and trained_k == 5 and measured == {BUDGET}")
        blind = rows.query("searcher == 'policy' and shown == 'blind'").iloc[0]
        assert gains(blind["effect_low"], blind["effect_high"], blind["ratio"]) == "gains nothing"
        claims: Any = load_frame(Run(PUBLISHED[subject]).frame_path("claims")).set_index("claim")
        headline = "docstring, policy trained with k=5, told nothing, after 50 heads"
        assert claims.loc[headline, "verdict"] == "undecided"
        plan: Any = undecided(Run(PUBLISHED[subject])).set_index("claim")
        assert plan.loc[headline, ["prompts", "prompts_alone"]].isna().all(), "with any number of prompts"
        # Over the tasks a gradient names more than every list that knows two of them; on the real model's greater-than the lists do, and elsewhere nowhere for certain.
        run = Run(PUBLISHED[subject])
        plays, pool = load_frame(run.frame_path("rivals")), run.settings.evaluation_prompts
        known = [name for name in plays["searcher"].unique() if name.startswith("list")]
        assert len(known) > 5
        others = [*known, IN_ROUNDS]
        ahead = gains_over(plays, "gradient, then verify", others, FEW, pool, say_nothing(run)).T
        words: Any = ahead.apply(lambda cells: cells.str.extract(r"\) (.+)$", expand=False))
        assert (words.loc[known, MEAN] == "holds").all()
        assert words.loc[IN_ROUNDS, MEAN] == ("the other way round" if subject == SMOLLM2 else "undecided")
        behind = (words.loc[known] == "the other way round").any()
        assert [*behind.index[behind]] == (["greater_than"] if subject == SMOLLM2 else [])
        # Where a reader gains by rewards, no policy is seen to.
        read = load_frame(run.frame_path("readable")).query("effect_low > 0")
        read = read[read["task"].isin((run.settings.held_out_task, *run.further_tasks))]
        assert len(read) >= 1
        seeing = load_frame(run.frame_path("seeing")).query(
            "searcher == 'policy' and told == 'none' and shown == 'blind'"
        )
        both: Any = read[["task", "measured"]].merge(seeing, on=["task", "measured"])
        assert len(both) == 2 * len(read), "of either k"
        words = [gains(*row) for row in both[["effect_low", "effect_high", "ratio"]].to_numpy()]
        assert "gains" not in words
        assert words.count("gains nothing") > 1
        assert "docstring" not in set(read["task"])
        # The rival is ahead of the policy after ten heads: their intervals do not meet.
        assert (
            by.loc[(subject_title(subject), ATTRIBUTION, FEW), "low"]
            > by.loc[(subject_title(subject), POLICY, FEW), "high"]
        )
    replay = load_frame(FOLDER / FRAMES["replay"]).query(
        "task == 'docstring' and told == 'none' and measured == @BUDGET"
    )
    blind = replay.query("searcher == 'policy' and trained_k == 5 and shown == 'blind'").iloc[0]
    assert gains(blind["effect_low"], blind["effect_high"], blind["ratio"]) == "loses"
    ioi_first = load_frame(FOLDER / FRAMES["replay"]).query(
        "task == 'docstring' and searcher == \"IOI's ten and induction's, in turns\" and measured == @FEW + 1"
    )
    assert ioi_first["ratio"].item() == pytest.approx(1), "all with one head more"
    fewer = load_frame(FOLDER / FRAMES["replay"]).query(
        "task == 'docstring' and searcher == \"induction's ten and IOI's, in turns\" and measured == @FEW - 1"
    )  # by the very last
    assert f"{100 * fewer['ratio'].item():.0f}" == f"{100 * by.loc[(SUBJECT, LISTS_REVERSED, FEW), 'ratio']:.0f}"
    (of_lists,) = [row for row in ROWS if row.label == LISTS]
    lists = replay[replay["searcher"] == of_lists.replayed[0]].iloc[0]
    assert beats(lists["behind_low"], lists["behind_high"]) == "the other way round"
    paper = (
        agreement().query("task == 'docstring' and searcher == 'policy' and trained_k == 5 and told == 'none'").iloc[0]
    )
    assert agrees(paper["low"], paper["high"]) == "undecided"
    for subject in (SUBJECT, EMBEDDED, "SmolLM2"):
        assert by.loc[(subject, LISTS, BUDGET), "ratio"] > by.loc[(subject, POLICY, BUDGET), "ratio"]


def test_readme_begins_with_the_thesis(found: pd.DataFrame) -> None:
    readme = (ROOT / "README.md").read_text()
    text = thesis(found, "notebooks/")
    assert text in readme
    assert readme.index("figures/lead.png") < readme.index(text) < 4500


def test_the_front_is_read_in_two_minutes(found: pd.DataFrame) -> None:
    """What is claimed, what holds, on what evidence, what to use, from the first words in short on, at the speed that is counted with elsewhere; with the figure's caption in twenty seconds more."""
    readme = (ROOT / "README.md").read_text()
    starts = [readme.index(words) for words in ("**In short**", "*Every percentage above", "Two language models are")]
    sentences, caption = (readme[start:end] for start, end in itertools.pairwise(starts))
    without_the_picture = re.sub(r"!\[.*?\]\(.*?\)", "", sentences)
    assert len(without_the_picture.split()) <= 2 * A_MINUTE
    assert len((without_the_picture + caption).split()) <= (2 + 1 / 3) * A_MINUTE
