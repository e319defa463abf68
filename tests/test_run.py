"""A run reads what is stored, measures what is not, and refuses what is stale."""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib.ablation.build import ablation_of
from circuitlib.ablation.sweep import Sweep
from circuitlib.ablation.tables import DamageTable, save_table
from circuitlib.companion import claims, frames, run, training
from circuitlib.companion.commands import by_command
from circuitlib.companion.run import Run
from circuitlib.companion.seeing import seeing
from circuitlib.companion.settings import CANDIDATES, KEPT, PUBLISHED, Settings
from circuitlib.manifest import StaleResult, is_stored, load_frame, read_provenance, remove, restamp, save_frame
from circuitlib.paths import RESULTS, ROOT
from circuitlib.search.policy import load_policy
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.studies.contest import DRAWS
from circuitlib.studies.evaluate import EPISODE_SEED
from circuitlib.studies.reading import play
from circuitlib.tasks import TASKS

PUBLIC = [Run(settings) for settings in PUBLISHED.values()]


def test_subjects_do_not_share_folders(checkpoint: Path, tmp_path: Path) -> None:
    """Directories that end in the same name, and hub names that do, are different subjects."""
    names = ["gpt2-mini", "gpt2", "odd", "one/odd", "two/odd", str(checkpoint)]
    for place in ("one", "two"):
        shutil.copytree(checkpoint, tmp_path / place / "odd")
        names.append(str(tmp_path / place / "odd"))
    runs = [Run(Settings(name), "runs/mine") for name in names]
    for folders in ("folder", "figures", "notebooks"):
        assert len({getattr(one, folders) for one in runs}) == len(names)


def test_committed_results_cannot_be_overwritten() -> None:
    with pytest.raises(ValueError, match="give an output folder"):
        Run(Settings(seeds=4))
    with pytest.raises(TypeError, match="output must be str, not None"):
        Run(Settings(), None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no setting sedes; there are"):
        Run.of({"sedes": 3})


def test_settings_that_are_not_published_have_a_folder_named_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    """So that one change in a notebook's cell of parameters is enough."""
    assert Run.of({"seeds": 2}).output == "runs/seeds-2"
    assert "into runs/seeds-2" in capsys.readouterr().out
    assert Run.of({"seeds": 2, "steps": 800}) == Run.of({"steps": 800, "seeds": 2})
    assert Run.of({"penalty": 2, "seeds": 20}) == Run.of({"penalty": 2.0})
    lists = [["ioi"], ["induction"]]
    assert len({Run.of({"training_tasks": some}).output for some in lists}) == len(lists)
    assert all(re.fullmatch(r"runs/[\w.-]+", Run.of({"training_tasks": some}).output) for some in lists)
    capsys.readouterr()
    for settings in PUBLISHED.values():
        assert Run.of({"subject": settings.subject}).output == ""
    assert Run.of({"seeds": 2}, "runs/mine").output == "runs/mine"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("public", PUBLIC, ids=lambda one: one.settings.subject)
def test_every_committed_result_is_what_the_code_makes(public: Run) -> None:
    """Reading checks content and provenance: subject, seeds, settings and hashes of the code."""

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in public.folder.rglob("*") if path.is_file()}

    before = files()
    for task in (*public.training_tasks, "control"):
        assert len(public.table(task, "train")) == public.recipe(task, "train").count
    for task in (*public.tasks, "control"):
        assert len(public.table(task, "evaluation")) == public.recipe(task, "evaluation").count
    assert set(public.policies()) == set(CANDIDATES)
    assert len(public.training_history()) > 100
    for measure in (
        frames.behaviours,
        frames.heads,
        frames.evaluation,
        frames.named,
        frames.where,
        frames.detections,
        frames.pairs,
        frames.backup,
        frames.conventions,
        frames.kinds,
        claims.claims,
    ):
        assert len(measure(public)) > 5
    assert before == files()
    results = {path for path in before if path.suffix != ".json"}
    assert all(is_stored(path) for path in results)
    manifests = {path.with_suffix(".json") for path in results}
    assert set(before) == results | manifests | {public.folder / "subject.json"}


@pytest.mark.parametrize("public", PUBLIC, ids=lambda one: one.settings.subject)
def test_reading_loads_no_model(public: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(run, "load_subject", refuse)
    anew = Run.of({"subject": public.settings.subject})
    assert anew.policies()
    for frame in (frames.heads, claims.claims, frames.conventions, frames.rivals):
        assert len(frame(anew))
    with pytest.raises(AssertionError, match="a model is loaded"):
        _ = anew.subject


def test_committed_results_are_small() -> None:
    """A subject's, and beside them those of the behaviours that a search was learned on, of those that it was confirmed on, and of the studies that commands of their own
    measure, with the weights of others' policies."""

    def size(files: Iterable[Path]) -> int:
        return sum(path.stat().st_size for path in files)

    studies = {Run(settings).folder / name for settings in PUBLISHED.values() for name in by_command(Run(settings))}
    studies |= {path.with_suffix(".json") for path in studies}
    for folder in filter(Path.is_dir, RESULTS.iterdir()):
        files = {path for path in folder.rglob("*") if path.is_file()}
        behaviours = {path for path in files if path.parent.name == "behaviours"}
        confirmed = behaviours & studies
        assert size(behaviours - confirmed) < 3e6, folder
        assert size(confirmed) < 1.5e6, folder
        others = {path for path in files & studies if path.stem == "policy_reference"}
        assert size(others) < 2.3e6, folder
        assert size(files & studies - others - confirmed) < 0.56e6, folder
        assert size(files - behaviours - studies) < 12e6, folder
    for path in [*RESULTS.rglob("*.csv"), *RESULTS.rglob("*.parquet")]:
        assert is_stored(path), f"{path} has no manifest"
        read_provenance(path)


def test_results_of_another_subject_or_text_are_refused(checkpoint: Path, elsewhere: Path) -> None:
    """Even in the same folder: a checkpoint may be replaced by another, or by itself with one id changed."""
    directory = elsewhere / "model"
    shutil.copytree(checkpoint, directory)
    settings = Settings(str(directory), evaluation_prompts=32, control="docstrings")
    mine = Run(settings, "runs/mine")
    table = mine.table("control", "evaluation")
    assert table.provenance["text"] == "docstrings"
    frame = pd.DataFrame({"a": [1.5]})
    mine.frame("study", lambda: frame, "circuitlib.search.oracle")
    other = Run(replace(settings, control="wikitext-2"), "runs/mine")
    with pytest.raises(StaleResult, match="text is 'docstrings', wanted 'wikitext-2'"):
        other.table("control", "evaluation")
    with pytest.raises(StaleResult, match="text is 'docstrings', wanted 'wikitext-2'"):
        other.frame("study", lambda: frame, "circuitlib.search.oracle")
    raw = Run(replace(settings, convention="raw"), "runs/mine")
    with pytest.raises(StaleResult, match="is of the convention folded"):
        raw.table("control", "evaluation")
    changes: dict[str, Callable[[dict], object]] = {
        "config.json": lambda content: content.update(n_head=4),
        "tokenizer.json": lambda content: content["model"]["vocab"].update({"zz": 1}),
    }
    for file, change in changes.items():
        before = (directory / file).read_text()
        content = json.loads(before)
        change(content)
        (directory / file).write_text(json.dumps(content))
        with pytest.raises(StaleResult, match=f"another model: {file.removesuffix('.json')} is"):
            Run(settings, "runs/mine").table("control", "evaluation")
        (directory / file).write_text(before)
    Run(settings, "runs/mine").table("control", "evaluation")
    (directory / "special_tokens_map.json").write_text(json.dumps({"bos_token": "Ġthe"}))
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": "Ġthe"}))
    with pytest.raises(StaleResult, match="another model: bos is"):
        Run(settings, "runs/mine").table("ioi", "evaluation")


def test_results_can_be_read_where_the_model_is_not(checkpoint: Path, elsewhere: Path) -> None:
    directory = elsewhere / "model"
    shutil.copytree(checkpoint, directory)
    settings = Settings(str(directory), evaluation_prompts=32, control="docstrings")
    measured = Run(settings, "runs/mine").table("control", "evaluation")
    shutil.rmtree(directory)
    gone = Run(settings, "runs/mine")
    assert torch.equal(gone.table("control", "evaluation").damage, measured.damage)
    with pytest.raises(FileNotFoundError, match=r"there is no config\.json"):
        gone.table("ioi", "evaluation")


def test_a_table_that_other_code_made_is_measured_again_on_a_few_rows(checkpoint: Path, elsewhere: Path) -> None:
    settings = Settings(str(checkpoint), train_prompts=32, control="docstrings")
    mine = Run(settings, "runs/mine")
    table, path = mine.table("ioi", "train"), mine.table_path("ioi", "train")
    hashed, content = mine.hashes(path.name), path.read_bytes()
    old = table.provenance | {"code": "0123456789abcdef"}
    restamp(path, old)
    mine.table("ioi", "train")
    assert read_provenance(path) == table.provenance
    assert (mine.hashes(path.name), path.read_bytes()) == (hashed, content)
    save_table(DamageTable(table.clean, table.damage + 1e-3, old), path)
    with pytest.raises(StaleResult, match=r"the code has changed, and its rows by up to 1\.0e-03"):
        mine.table("ioi", "train")
    for nothing in ({"damage": table.damage * torch.nan}, {"clean": table.clean * torch.nan}):
        save_table(replace(table, provenance=old, **nothing), path)
        with pytest.raises(StaleResult, match="the code has changed, and its rows by up to nan"):
            mine.table("ioi", "train")
    restamp(path, old | {"seed": 9})
    with pytest.raises(StaleResult, match=r"code is '0123456789abcdef'.*seed is 9"):
        mine.table("ioi", "train")


def test_a_table_of_other_packages_text_is_refused_by_their_names(checkpoint: Path, elsewhere: Path) -> None:
    mine = Run(Settings(str(checkpoint), evaluation_prompts=32, control="docstrings"), "runs/mine")
    table, path = mine.table("control", "evaluation"), mine.table_path("control", "evaluation")
    versions = table.provenance["versions"]
    old = table.provenance | {"code": "0123456789abcdef", "versions": versions | {"numpy": "1.0", "sympy": "1.0"}}
    save_table(replace(table, damage=table.damage + 1, provenance=old), path)
    said = r"\(made with other versions of numpy, sympy, and its text is docstrings of such packages: install those of constraints"
    with pytest.raises(StaleResult, match=said):
        mine.table("control", "evaluation")
    for same in (versions, [versions, versions]):
        save_table(replace(table, damage=table.damage + 1, provenance=old | {"versions": same}), path)
        with pytest.raises(StaleResult, match=r"its rows by up to 1\.0e\+00$"):
            mine.table("control", "evaluation")


STEPS, UPDATES = 800, 2


@pytest.fixture(scope="module")
def policies_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where policies that were trained once are kept."""
    return tmp_path_factory.mktemp("policies")


@pytest.fixture
def trained(make_run: Callable[..., Run], policies_of_all: Path) -> Run:
    """A run of one seed more than are kept whose policies are trained."""
    mine = make_run(seeds=KEPT + 1, steps=STEPS)
    if not any(policies_of_all.iterdir()):
        mine.policies()
        for path in (*mine.folder.glob("policy_*"), *mine.folder.glob("training_*")):
            shutil.copy(path, policies_of_all)
    else:
        shutil.copytree(policies_of_all, mine.folder, dirs_exist_ok=True)
    return mine


def test_policies_are_what_the_trainer_learns(trained: Run) -> None:
    mine = trained
    for k, networks in mine.policies().items():
        config = PPOConfig(total_timesteps=STEPS, candidates=k)
        anew = Trainer(mine.training_episodes(), config, range(KEPT + 1)).train()
        assert set(networks) == set(anew)
        for seed, stored in networks.items():
            for key, value in stored.state_dict().items():
                fresh = anew[seed].state_dict()[key]
                torch.testing.assert_close(value, fresh, atol=2e-3, rtol=2e-3)
    history = mine.training_history()
    assert set(history["trained_k"]) == set(CANDIDATES)
    assert set(history["update"]) == {*range(1, UPDATES + 1)}
    assert not list(mine.partial.glob("ppo/*"))
    with pytest.raises(StaleResult, match=f"config.total_timesteps is {STEPS}, wanted 2800"):
        Run(replace(mine.settings, steps=2800), mine.output).policies()
    path = mine.policy_path(1)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(StaleResult, match="is corrupt"):
        load_policy(path)


def test_weights_of_the_first_seeds_are_kept_apart(trained: Run) -> None:
    """From the others', which a published run does not have; without them nothing is missing there, and all are trained anew elsewhere."""
    mine, done = trained, list[int]()
    policies, kept = mine.policies(), mine.kept_policies()
    assert [list(some) for some in (*policies.values(), *kept.values())] == [[*range(KEPT + 1)]] * 2 + [
        [*range(KEPT)]
    ] * 2
    assert set(mine.training_history()["seed"]) == set(range(KEPT + 1))
    assert list(load_policy(mine.policy_path(5))[0]) == list(range(KEPT))
    others = mine.policy_path(5).with_stem("policy_k5_others")
    assert list(load_policy(others)[0]) == [KEPT]
    content = others.read_bytes()
    remove(others)
    anew = mine.policies(done.append)[5][KEPT].state_dict()
    assert sum(done) == UPDATES
    assert others.read_bytes() == content
    assert all(value.equal(anew[key]) for key, value in policies[5][KEPT].state_dict().items())


def test_policies_of_other_code_are_trained_again_for_a_few_updates(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where these find the same, the weights stay and are stamped anew; where they do not, all is trained anew."""
    mine = trained
    paths = [*mine.folder.glob("policy_*.safetensors"), *mine.folder.glob("training_k*.parquet")]
    stored = {path: read_provenance(path) for path in paths}
    content = {path: path.read_bytes() for path in paths}
    assert len(paths) == 6

    def of_other_code() -> None:
        for path, provenance in stored.items():
            path.write_bytes(content[path])
            restamp(path, provenance | {"code": "another"})

    def refuse(*arguments: object) -> None:
        raise AssertionError("trained anew")

    of_other_code()
    with monkeypatch.context() as patched:
        patched.setattr(training, "ProcessPoolExecutor", refuse)
        mine.policies()
        assert {path: read_provenance(path) for path in paths} == stored
        assert {path: path.read_bytes() for path in paths} == content
        of_other_code()
        history = paths[-1]
        save_frame(history, load_frame(history).assign(best=0.5), stored[history] | {"code": "another"})
        with pytest.raises(AssertionError, match="trained anew"), pytest.warns(UserWarning, match="by other code"):
            mine.policies()
    mine.policies()
    assert {path: path.read_bytes() for path in paths} == content


def test_frames_are_measured_once(make_run: Callable[..., Run]) -> None:
    mine, calls = make_run(), list[int]()

    def compute() -> pd.DataFrame:
        calls.append(1)
        return pd.DataFrame({"a": [1.0, None], "b": ["none", "x"]})

    first = mine.frame("study", compute, "circuitlib.search.oracle", size=3)
    assert mine.frame("study", compute, "circuitlib.search.oracle", size=3).equals(first)
    assert first["b"].tolist() == ["none", "x"]
    assert len(calls) == 1
    with pytest.raises(StaleResult, match=r"inputs\.size is 3, wanted 4"):
        mine.frame("study", compute, "circuitlib.search.oracle", size=4)


def test_a_frame_that_other_code_made_is_measured_again_on_one_task(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, asked = make_run(), list[tuple[str, ...]]()
    of = {"a": [1.0, 0.123456789], "b": [3.0]}

    def measure(tasks: Sequence[str]) -> pd.DataFrame:
        asked.append(tuple(tasks))
        rows = [(task, place, value) for task in tasks for place, value in enumerate(of[task])]
        return pd.DataFrame([*rows, ("every", 0, len(tasks))], columns=["task", "place", "value"])

    def frame(**inputs: int) -> pd.DataFrame:
        return mine.frame_by_task("study", measure, ("a", "b"), "circuitlib.search.oracle", **inputs)

    def set_aside() -> list[Path]:
        return [*mine.partial.rglob("study*.csv")]

    first, path = frame(size=3), mine.frame_path("study")
    provenance, content = read_provenance(path), path.read_bytes()
    assert asked == [("a", "b")]
    # A code of each parity, so that each task is asked in turn.
    for code, task in (("0" * 15 + "2", "a"), ("0" * 15 + "3", "b")):
        with monkeypatch.context() as patch:
            patch.setattr(run, "code_of", lambda module, code=code: code)
            assert frame(size=3).equals(first)
            assert asked.pop() == (task,)
            assert frame(size=3).equals(first), "stamped: not asked again"
            assert read_provenance(path) == provenance | {"code": code}
    assert (path.read_bytes(), asked, set_aside()) == (content, [("a", "b")], [])
    restamp(path, provenance)
    with pytest.raises(StaleResult, match=r"inputs\.size is 3, wanted 4"):
        frame(size=4)
    path.write_text("task,place,value\n")
    with pytest.warns(UserWarning, match="study.csv is corrupt"):
        assert frame(size=3).equals(first)
    of["a"][1] = of["b"][0] = 0.5
    restamp(path, provenance | {"code": "another"})
    with pytest.warns(UserWarning, match="study.csv was made by other code"):
        assert frame(size=3)["value"].tolist() == [1.0, 0.5, 0.5, 2.0]
    assert set_aside()


@pytest.mark.long
def test_a_task_that_is_left_out_is_left_out_everywhere(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The held-out task among them: the ledger then has no row about it, and nothing fails."""
    monkeypatch.setattr("circuitlib.studies.seeing.PLAYS", 1)
    mine = make_run()
    path = mine.folder / "tasks.csv"
    report = load_frame(path)
    report["left_out"] = report["left_out"].astype(object)
    report.loc[report["task"].isin(["docstring", "greater_than"]), "left_out"] = "It cannot."
    save_frame(path, report, read_provenance(path))
    assert mine.left_out == {"docstring": "It cannot.", "greater_than": "It cannot."}
    assert mine.main_tasks == ("induction", "ioi")
    assert mine.further_tasks == ("pronoun", "agreement")
    assert set(frames.heads(mine)["task"]) == {"induction", "ioi", "pronoun", "agreement"}
    evaluation = frames.evaluation(mine)
    assert set(evaluation["task"]) == {"induction", "ioi", "pronoun", "agreement"}
    found = claims.claims(mine)
    assert not found["claim"].str.contains("docstring").any()
    assert {"notebook 02", "notebook 04", "notebook 07"} <= set(found["measured_in"])
    report.loc[report["task"].isin(["induction", "ioi"]), "left_out"] = "Nor this."
    save_frame(path, report, read_provenance(path))
    with pytest.raises(ValueError, match=r"does no task that policies are trained on\. Nor this\."):
        frames.evaluation(Run(mine.settings, mine.output))


@pytest.mark.long
def test_pairs_are_ablated_as_the_run_ablates(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against heads that are swept one at a time, with zero and with the mean over control spans."""
    monkeypatch.setattr(frames, "PAIR_HEADS", 3)
    for kind in ("zero", "mean"):
        mine = make_run(ablation=kind)
        pairs = frames.pairs(mine).query("task == 'ioi'")
        sweep = Sweep(mine.subject, ablation_of(kind, mine.subject.tokenizer, "docstrings"))
        groups = TASKS["ioi"].prompts(mine.subject.tokenizer, frames.closer_prompts(mine), frames.STUDY_SEED)
        damage = torch.cat([sweep.task(group, TASKS["ioi"].metric).damage for group in groups]).mean(0).numpy()
        for column in ("first", "second"):
            assert np.allclose(damage[pairs[column].to_numpy()], pairs[f"damage_{column}"], atol=1e-4)
        shutil.rmtree(mine.folder)


def test_whatever_determines_a_frame_is_an_input(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that stand in other modules than the one whose code is hashed; whatever is measured."""
    mine = make_run()
    for measure in ("measure_pairs", "measure_behaviours"):
        monkeypatch.setattr(frames, measure, lambda *arguments: pd.DataFrame({"a": [1.0]}))
    for name, frame in (("PAIR_HEADS", frames.pairs), ("STUDY_SEED", frames.behaviours)):
        monkeypatch.setattr(frames, name, 2)
        frame(mine)
        monkeypatch.setattr(frames, name, 3)
        with pytest.raises(StaleResult, match=r"inputs\.(heads|seed)"):
            frame(mine)


def test_heads_are_means_of_rows(make_run: Callable[..., Run]) -> None:
    mine = make_run(penalty=0.5)
    table = frames.heads(mine).set_index(["task", "head"])
    for task in ("ioi", "agreement"):
        rows, spans = mine.table(task, "evaluation"), mine.table("control", "evaluation")
        rewards = rows.damage.mean(0) - 0.5 * spans.damage.mean(0)
        ours = table.loc[task]
        assert np.allclose(ours["reward"], rewards, atol=1e-5)
        assert np.allclose(ours["share"], rewards / rows.clean.mean(), atol=1e-5)
        assert ours["rank"].idxmin() == int(rewards.argmax())
        assert sorted(ours["rank"]) == list(range(1, mine.card.heads + 1))


def test_a_run_is_inside_the_checkout() -> None:
    for public in PUBLIC:
        assert ROOT in public.folder.parents


def test_seeing_by_brute_force(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios, effects and shares of one condition, played again by hand; what each policy is told; what rests on what."""
    monkeypatch.setattr("circuitlib.studies.seeing.PLAYS", 2)
    monkeypatch.setattr("circuitlib.search.env.BUDGET", 20)
    mine = make_run()
    frame = seeing(mine)
    rewards = frames.evaluation_episodes(mine, "docstring").mean(1)
    oracle = rewards.amax(1).mean().item()
    training = sum(frames.head_rewards(mine, name, "train") for name in mine.training_tasks)
    ten = torch.as_tensor(training).argsort(descending=True)[:10]
    of_list = frame.query("task == 'docstring' and searcher == 'list' and measured == 10").iloc[0]
    assert of_list["ratio"] == pytest.approx(rewards[:, ten].amax(1).mean().item() / oracle, abs=1e-5)
    hits = [head in ten.tolist() for head in rewards.argmax(1).tolist()]
    assert of_list["best_head"] == pytest.approx(np.mean(hits), abs=1e-5)
    assert np.isnan(of_list["low"]), "32 prompts are one batch, and say nothing of others"
    assert of_list["best_head"] != 0 or not any(hits)
    random = frame.query("searcher == 'random' and measured == 20").set_index("task")["best_head"]
    chance, tries = 20 / 144, 2 * DRAWS * len(rewards) * len(random)
    assert abs(random.mean() - chance) < 4 * math.sqrt(chance * (1 - chance) / tries) < chance

    ratios = {}
    for shown in ("seeing", "flipped"):
        found = []
        for seed, network in mine.policies()[5].items():
            signal = torch.tensor([0.0, 1.0])
            plays = play(network, signal, rewards, EPISODE_SEED + seed, shown, plays=2)
            found.append(plays.found[..., 19].mean().item())
        ratios[shown] = np.mean(found) / oracle
    policies = frame.query("task == 'docstring' and searcher == 'policy' and trained_k == 5 and told == 'ioi'")
    twenty = policies[policies["measured"] == 20].set_index("shown")
    for shown, ratio in ratios.items():
        assert twenty.loc[shown, "ratio"] == pytest.approx(ratio, abs=1e-5)
    assert twenty.loc["flipped", "effect"] == pytest.approx(ratios["seeing"] - ratios["flipped"], abs=1e-5)
    assert frame.loc[frame["shown"].isin(["none", "seeing"]), ["effect", "changed"]].isna().all(axis=None)
    assert frame.loc[frame["shown"] == "blind", "changed"].between(0, 1).all()
    told = frame[frame["trained_k"] > 0].groupby("task")["told"].agg(set).to_dict()
    assert told["induction"] == {"none", "induction"}
    assert told["docstring"] == {"none", "induction", "ioi"}
    assert told["agreement"] == {"none"}
    drawn = frame.query("shown == 'blind' and trained_k == 5 and task == 'docstring'").groupby(["searcher", "told"])
    counts = drawn["measured"].agg(list).to_dict()
    assert counts["policy", "none"] == list(range(1, 21)), "a curve"
    assert counts["policy", "ioi"] == counts["policy, greedy", "none"] == [1, 5, 10, 20]
    assert set(frame.loc[frame["trained_k"] > 0, "rests_on"]) == {"policies"}
    assert set(frame.loc[frame["trained_k"] == 0, "rests_on"]) == {"tables"}
    assert seeing(mine).equals(frame), "read again, not measured again"
