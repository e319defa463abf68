"""The committed pages to explore: made from the results that are committed, small, and on their own."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuitlib.__main__ import main
from circuitlib.ablation.estimates import PRICES
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion import explore
from circuitlib.companion.episode_replay import (
    LINES,
    SEEDS,
    SHOWN,
    TYPICAL_AFTER,
    replay_figure,
    searchers,
    typical,
    without_policy,
)
from circuitlib.companion.explore import PAGES, TEMPLATES, hashes_of, page_html
from circuitlib.companion.frames import evaluation_episodes
from circuitlib.companion.headmap import DIGITS, map_figure
from circuitlib.companion.legend import ATTRIBUTION, SEARCHERS, subject_title, task_title
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K, PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import FIGURES, RESULTS, RUNS
from circuitlib.search.env import budget_for
from circuitlib.search.episodes import BATCH, NOTHING, signal_of
from circuitlib.search.oracle import best_reward
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.reading import Plays, play
from circuitlib.studies.seeing import PLAYS
from circuitlib.subjects.checkpoints import EMBEDDED

FOLDER = FIGURES / "explore"
CLOSE = 10.0 ** (1 - DIGITS)
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
EACH_SUBJECT = pytest.mark.parametrize("run", [Run(settings) for settings in PUBLISHED.values()], ids=list(PUBLISHED))


def text_of(name: str, folder: Path = FOLDER) -> str:
    return (folder / f"{name}.html").read_text(encoding="utf-8")


def data_of(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text_of(name, folder), re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@EACH_PAGE
def test_made_from_the_committed_results_by_this_code(page: Any) -> None:
    data = data_of(page.name)
    assert data["made_from"] == hashes_of(RESULTS / name for name in data["made_from"]), (
        "results have changed since the pages were made; `python -m circuitlib explore --output figures/explore` makes them again"
    )
    assert list(data["subjects"]) == [subject_title(name) for name in PUBLISHED]
    assert page_html(page, data) == text_of(page.name)


@EACH_PAGE
def test_small_and_on_its_own_with_its_picture_beside_it(page: Any) -> None:
    text = text_of(page.name)
    assert len(text.encode()) < 300_000
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == [f"{page.name}.png"]
    assert "@import" not in text
    assert (FOLDER / f"{page.name}.png").is_file()


@EACH_SUBJECT
def test_the_map_shows_what_the_tables_hold(run: Run) -> None:
    data = data_of("head_map")["subjects"][run.title]
    heads, detections = (load_frame(run.frame_path(name)) for name in ("heads", "detections"))
    assert [task["name"] for task in data["tasks"]] == list(run.tasks)
    assert [task["title"] for task in data["tasks"]] == [task_title(name) for name in run.tasks]
    for task in data["tasks"]:
        rows = heads[heads["task"] == task["name"]].sort_values("head")
        for column in ("damage", "reward"):
            np.testing.assert_allclose(task[column], rows[column], rtol=CLOSE)
        assert task["rank"] == rows["reward"].rank(method="first", ascending=False).astype(int).tolist()
        damage = run.table(task["name"], "evaluation").damage.numpy()
        np.testing.assert_allclose(task["error"], damage.std(0, ddof=1) / np.sqrt(len(damage)), rtol=2 * CLOSE)
        np.testing.assert_allclose(data["general"], rows["general"], rtol=CLOSE)
    assert len(data["detectors"]) == detections["detector"].nunique()
    for detector in data["detectors"]:
        rows = detections[detections["detector"] == detector["name"]].sort_values("head")
        np.testing.assert_allclose(detector["score"], rows["score"], rtol=CLOSE)


@EACH_SUBJECT
def test_the_replay_shows_what_the_tables_hold(run: Run) -> None:
    data = data_of("episode_replay")["subjects"][run.title]
    picks = budget_for(run.card.heads)
    seeing = load_frame(run.frame_path("seeing"))
    for task in data["tasks"]:
        rewards = evaluation_episodes(run, task["name"]).mean(1)
        rows = seeing.query(f"task == {task['name']!r} and searcher == 'policy' and trained_k == {HEADLINE_K}")
        rows = rows.query("told == 'none' and shown == 'blind'")
        assert rows["measured"].tolist() == list(range(1, picks + 1))
        for name, column in (("effect", "effect"), ("low", "effect_low"), ("high", "effect_high")):
            np.testing.assert_allclose(task["gains"][name], rows[column], rtol=CLOSE)
        assert task["title"] == task_title(task["name"])
        for shown, paid in zip(task["episodes"], rewards, strict=False):
            np.testing.assert_allclose(shown["rewards"], paid, rtol=CLOSE)
            assert len(shown["seeds"]) == len(SEEDS)
            orders = [shown["random"], shown["layers"], data["list"], *(o for s in shown["seeds"] for o in s.values())]
            assert {len(order) for order in orders} == {picks}
            assert len(shown["attribution"]) == picks - data["gradient_price"]
            for order in (*orders, shown["attribution"]):
                assert len(set(order)) == len(order)
                assert 0 <= min(order) <= max(order) < run.card.heads
            assert [head // run.card.heads_per_layer for head in shown["layers"]] == sorted(
                head // run.card.heads_per_layer for head in shown["layers"]
            )


@EACH_SUBJECT
def test_attribution_measures_what_the_estimates_of_the_episode_say_pays_most(run: Run) -> None:
    general = run.table(CONTROL, "evaluation", through="everything").damage.double().numpy()
    for task in data_of("episode_replay")["subjects"][run.title]["tasks"]:
        damage = run.table(task["name"], "evaluation", through="everything").damage.double().numpy()
        for i, episode in enumerate(task["episodes"]):
            rng, order = np.random.default_rng(EPISODE_SEED + i), episode["attribution"]
            prompts, spans = (rng.choice(len(some), BATCH, replace=False) for some in (damage, general))
            estimated = damage[prompts].mean(0) - run.settings.penalty * general[spans].mean(0)
            # Estimates that are equal to rounding may change places.
            np.testing.assert_allclose(estimated[order], np.sort(estimated)[::-1][: len(order)], rtol=1e-5, atol=1e-6)


def test_the_pages_looks_are_the_legends() -> None:
    ours = data_of("episode_replay")["searchers"]
    assert ours == searchers()
    keys = {"policy, seeing", "policy, blind", "layers in order", "list", ATTRIBUTION, "random"}
    assert {(one["title"], one["colour"]) for one in ours.values()} == {
        (SEARCHERS[key].title, SEARCHERS[key].colour) for key in keys
    }
    assert [bool(one["dashes"]) for one in ours.values()] == [bool(kind.dashes) for kind in LINES.values()]
    assert len({one["dashes"] for one in ours.values()}) == len(ours), "each is told in grey, too"
    script = (TEMPLATES / "episode_replay.js").read_text(encoding="utf-8")
    for key, kind in LINES.items():
        assert kind.colour.lower() not in script.lower(), "the script has no looks of its own"
        assert kind.title == key or f'"{kind.title}"' not in script


def plays_of(found: list[list[float]]) -> Plays:
    """Of one episode, by play: what is found, the same before and after as many heads as are compared."""
    values = torch.tensor(found)[..., None].repeat(1, 1, TYPICAL_AFTER)
    return Plays(torch.zeros_like(values, dtype=torch.long), values)


def test_a_typical_play_is_the_one_nearest_to_the_mean() -> None:
    # By play and episode; means 3 and 0, then 2 and 0.
    one = plays_of([[0.0, 0.0], [8.0, 3.0], [4.0, -1.0], [0.0, -2.0]])
    other = plays_of([[0.0, 0.0], [3.0, 9.0], [5.0, -9.0], [0.0, 0.0]])
    assert typical([one]).tolist() == [2, 0]
    assert typical([other]).tolist() == [1, 0]
    assert typical([one, other]).tolist() == [2, 0], "1 + 3 off, where others are off by 5, 6 and 5"
    one.found[..., : TYPICAL_AFTER - 1] = 100 * torch.rand_like(one.found[..., : TYPICAL_AFTER - 1])
    assert typical([one]).tolist() == [2, 0], "what was found before does not count"


@EACH_SUBJECT
def test_who_draws_without_a_policy_is_shown_in_a_typical_play_of_the_table(run: Run) -> None:
    table = load_frame(run.frame_path("seeing")).query("trained_k == 0 and measured == @TYPICAL_AFTER")
    for task in data_of("episode_replay")["subjects"][run.title]["tasks"]:
        rewards = evaluation_episodes(run, task["name"]).mean(1)
        for key, plays in without_policy(run, task["name"], rewards).items():
            found = plays.found[..., TYPICAL_AFTER - 1].numpy()
            (row,) = table[(table["task"] == task["name"]) & (table["searcher"] == LINES[key].key)].itertuples()
            assert found.mean() / best_reward(rewards).mean().item() == pytest.approx(row.ratio, abs=1e-6)
            for i, episode in enumerate(task["episodes"]):
                shown = rewards[i, episode[key][:TYPICAL_AFTER]].max().item()
                off = np.abs(found[:, i] - found[:, i].mean())
                assert abs(shown - found[:, i].mean()) == pytest.approx(off.min(), abs=1e-6)


def test_the_policys_plays_are_those_of_the_table() -> None:
    run, task, seed = Run(PUBLISHED[EMBEDDED]), "induction", 0
    network = run.policies()[HEADLINE_K][seed]
    signal = torch.from_numpy(signal_of(run.training_tasks, NOTHING))
    rewards = evaluation_episodes(run, task).mean(1)
    data = next(one for one in data_of("episode_replay")["subjects"][EMBEDDED]["tasks"] if one["name"] == task)
    ours = {shown: [episode["seeds"][seed][shown] for episode in data["episodes"]] for shown in SHOWN}
    every = [play(network, signal, rewards, EPISODE_SEED + seed, shown, PLAYS) for shown in SHOWN]
    found = np.stack([plays.found[..., TYPICAL_AFTER - 1].numpy() for plays in every])
    off = np.abs(found - found.mean(1, keepdims=True)).sum(0)
    for shown, plays in zip(SHOWN, every, strict=True):
        for i, order in enumerate(ours[shown]):
            assert order == plays.head[off[:, i].argmin(), i].tolist()
    assert ours["seeing"] != ours["blind"]


def test_the_picture_of_the_map_names_the_best_heads() -> None:
    subjects = data_of("head_map")["subjects"]
    titles = [axis.get_title() for axis in map_figure(subjects).axes if axis.get_visible() and axis.get_title()]
    wanted = []
    for name, settings in PUBLISHED.items():
        run, rewards = Run(settings), load_frame(Run(settings).frame_path("heads"))
        for task in run.tasks:
            best = rewards.query("task == @task").nlargest(1, "reward")["head"].item()
            wanted.append(f"{task_title(task)}\nbest: {run.card.head_name(best)}")
        assert subject_title(name) in subjects
    assert titles == wanted


def test_each_map_of_the_picture_has_a_scale_in_its_unit() -> None:
    subjects = data_of("head_map")["subjects"]
    maps = [axis for axis in map_figure(subjects).axes if axis.get_visible() and axis.images]
    tasks = [task for data in subjects.values() for task in data["tasks"]]
    for axis, task in zip(maps, tasks, strict=True):
        (image,), rewards = axis.images, np.array(task["reward"])
        assert image.colorbar is not None
        most = np.abs(rewards).max()
        scale = image.colorbar.ax
        assert scale.get_xlabel() == task["unit"]
        assert scale.get_xlim() == pytest.approx((-most, most)) == (image.norm.vmin, image.norm.vmax)
        ends = [float(text.get_text().replace("\u2212", "-")) for text in scale.get_xticklabels()]
        assert ends == pytest.approx([-most, 0, most], rel=0.05)
        # A quarter of the largest has half its colour.
        shares = np.array([-1, -0.25, 0, 0.25, 1])
        np.testing.assert_allclose(np.asarray(image.norm(most * shares)), [0, 0.25, 0.5, 0.75, 1])
    units = {task["name"]: task["unit"] for task in tasks}
    assert units["greater_than"] == "probability"
    assert units["induction"] == "logits"


def test_the_picture_of_the_replay_dashes_what_hinders() -> None:
    subjects = data_of("episode_replay")["subjects"]
    figure = replay_figure(subjects)
    for row, data in enumerate(subjects.values()):
        episode = next(one for one in data["tasks"] if one["name"] == "docstring")["episodes"][0]
        rewards = np.array(episode["rewards"])
        for axis, shown in zip(figure.axes[3 * row : 3 * row + 2], ("seeing", "blind"), strict=True):
            places = [(line.get_xdata(), line.get_ydata()) for line in axis.lines if line.get_marker() == "_"]
            heads = {round(float(np.ravel(y)[0])) * data["across"] + int(np.ravel(x)[0]) for x, y in places}
            assert heads == {head for head in episode["seeds"][0][shown] if rewards[head] < 0}
            assert heads


def test_the_picture_of_the_replay_draws_the_best_so_far() -> None:
    subjects = data_of("episode_replay")["subjects"]
    figure = replay_figure(subjects)
    for row, name in enumerate(PUBLISHED):
        data = subjects[subject_title(name)]
        _, _, curves = figure.axes[3 * row : 3 * row + 3]
        rewards = evaluation_episodes(Run(PUBLISHED[name]), "docstring").mean(1)[0].numpy()
        drawn = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in curves.lines}
        titles = {key: kind.title for key, kind in LINES.items()}
        np.testing.assert_allclose(
            drawn[titles["list"]], np.maximum.accumulate(rewards[data["list"]]) / rewards.max(), rtol=1e-3, atol=1e-4
        )
        assert set(titles.values()) <= set(drawn)
        begins = {str(line.get_label()): np.asarray(line.get_xdata())[0] for line in curves.lines}
        assert begins[titles["attribution"]] == 1 + PRICES["everything"]
        assert begins[titles["list"]] == 1


def test_the_command_writes_no_committed_pages_unless_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []

    def write(folder: Path) -> list[Path]:
        folders.append(folder)
        return []

    monkeypatch.setattr(explore, "write_pages", write)
    assert main(["explore"]) == main(["explore", "--output", str(FOLDER)]) == 0
    assert folders == [RUNS / "explore", FOLDER]


@pytest.mark.long
def test_the_command_makes_the_committed_pages(tmp_path: Path) -> None:
    assert main(["explore", "--output", str(tmp_path)]) == 0
    for page in PAGES:
        ours, committed = data_of(page.name, tmp_path), data_of(page.name)
        assert ours["made_from"] == committed["made_from"]
        assert (tmp_path / f"{page.name}.png").is_file()
        for name, subject in committed["subjects"].items():
            assert [task["name"] for task in ours["subjects"][name]["tasks"]] == [
                task["name"] for task in subject["tasks"]
            ]
