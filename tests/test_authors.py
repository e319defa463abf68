"""The replay of published policies, on files made in the test in the author's layout, against brute force."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from circuitlib import __main__ as command
from circuitlib.companion import authors, replayed, verdicts
from circuitlib.companion.authors import FILES, HEADS, Files, Published, by_chance, holm, published_order
from circuitlib.manifest import StaleResult
from circuitlib.search.network import ActorCritic

PLAYS = 4


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository like the author's, of random policies and rewards; the hashes asked for are its own."""
    root, rng = tmp_path / "clone", np.random.default_rng(0)
    for name, published in FILES.items():
        path = root / published.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".pt"):
            ours = ActorCritic(2, HEADS, 8, seed=len(name)).state_dict()
            theirs = {"hidden_1": "trunk.0", "hidden_2": "trunk.2"}
            split = ((name.rpartition("."), value) for name, value in ours.items())
            torch.save({f"{theirs.get(layer, layer)}.{part}": value for (layer, _, part), value in split}, path)
        else:
            np.save(path, rng.exponential(size=(15 if "transfer" in name else 10, HEADS)).astype(np.float32))
        _expect(monkeypatch, name, path)
    monkeypatch.setattr(authors, "PLAYS", PLAYS)
    return root


def _expect(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    expected = Published(FILES[name].folder, hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(FILES, name, expected)


def test_files_of_other_bytes_or_none_are_refused(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "real_k5_oracle_scores.npy"
    path = clone / FILES[name].folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"real_k5_oracle_scores\.npy is not the file of commit 21b1d98"):
        Files.read(clone)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"is not in .*; clone https://github\.com/.* 'phase 5/results'"):
        Files.read(clone)
    assert command.main(["authors", str(clone)]) == 2
    (clone / name).write_bytes(content)
    assert Files.read(clone).rewards["induction"].shape == (10, HEADS), "side by side in a folder, too"
    np.save(path, np.load(clone / name)[:-1])
    _expect(monkeypatch, name, path)
    with pytest.raises(ValueError, match=r"the files hold rewards of .*'induction': 9"):
        Files.read(clone)


def test_nothing_in_a_file_is_executed(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "executed"),)

    for name, write in (("phase6_mt_k1_policy.pt", torch.save), ("real_k5_oracle_scores.npy", pickle.dump)):
        path = clone / FILES[name].folder / name
        before = path.read_bytes()
        with path.open("wb") as file:
            write(Payload(), file)
        with monkeypatch.context() as patch:
            _expect(patch, name, path)
            with pytest.raises((pickle.UnpicklingError, ValueError)):
                Files.read(clone)
        path.write_bytes(before)
    assert not (tmp_path / "executed").exists()


@pytest.mark.long
def test_replay_by_brute_force(clone: Path, tmp_path: Path) -> None:
    frames = authors.measure(clone, tmp_path / "out")
    replay, files = frames["replay"], Files.read(clone)
    rewards = files.rewards["docstring"].numpy()
    oracle = rewards.max(1)
    assert np.allclose(replay.query("task == 'docstring'")["oracle"], oracle.mean())
    order = published_order("induction")
    rows = replay.query('searcher == "induction\'s ten"').set_index("measured")["best"]
    for measured in (1, 7, 10, 50):
        assert rows[measured] == pytest.approx(rewards[:, order[:measured]].max(1).mean(), rel=1e-5)
    early = files.rewards["induction"].mean(0).argsort(descending=True)[:3].tolist()
    rows = replay.query('searcher == "induction\'s list of the earlier run"').set_index("measured")["best"]
    assert rows[3] == pytest.approx(rewards[:, early].max(1).mean(), rel=1e-5)
    first_layer = replay.query("searcher == 'layers in order' and task == 'docstring'").set_index("measured")["best"]
    assert first_layer[12] == pytest.approx(rewards[:, :12].max(1).mean(), rel=1e-5)
    key = ["task", "trained_k", "told", "measured"]
    policies = replay[replay["searcher"] == "policy"]
    seeing: Any
    seeing, blind = (policies[policies["shown"] == shown].set_index(key) for shown in ("seeing", "blind"))
    assert np.allclose(blind["effect"], seeing["ratio"] - blind["ratio"], atol=1e-6)
    assert (policies["low"] <= policies["ratio"] + 1e-9).all()
    assert (policies["high"] >= policies["ratio"] - 1e-9).all()
    random = replay.query("searcher == 'random' and task == 'docstring' and measured == 50").iloc[0]
    policy = seeing.loc[("docstring", 5, "none", 50)]
    assert random["behind"] == pytest.approx(policy["ratio"] - random["ratio"], abs=1e-6)
    greedy = replay[replay["searcher"] == "policy, greedy"]
    assert set(greedy["shown"]) == {"seeing", "blind", "flipped", "swapped"}
    assert ((policies["changed"].dropna() >= 0) & (policies["changed"].dropna() <= 1)).all()
    assert set(policies.loc[policies["changed"].notna(), "measured"]) == {10, 20, 50}
    paper: Any = frames["agreement"].set_index(["task", "searcher", "trained_k", "told"])
    assert paper.groupby("task").size().to_dict() == {"docstring": 7, "induction": 2}
    assert paper.loc[("docstring", "policy", 5, "none"), "paper"] == 2.1031
    told = paper.loc[("induction", "policy", 1, "induction")]
    seen = seeing.loc[("induction", 1, "induction", 50)]
    assert told["share"] == pytest.approx(seen["ratio"]), "of the oracle of the episodes that are replayed"
    assert told["paper_share"] == pytest.approx(3.4079 / 3.4021)
    assert told["difference"] == pytest.approx((seen["best"] - 3.4079) / 3.4021, abs=1e-6)
    assert told["low"] < told["difference"] < told["high"]
    with pytest.raises(ValueError, match="is of another run"):
        authors.load_frame(tmp_path / "out" / "agreement.csv", authors._provenance() | {"plays": 7})


def test_what_is_by_chance_is_found_so() -> None:
    """Means of 30 plays on 30 other episodes of the same distribution: probabilities are uniform, and the interval of the
    difference contains 0 in 95 of 100; from a distribution a whole deviation lower neither is so, and the sign says which."""
    rng, probabilities, covered = np.random.default_rng(0), [], 0
    for _ in range(150):
        episodes = rng.normal(2.0, 0.3, size=45)
        plays = episodes + rng.normal(0.0, 0.2, size=(20, 45))
        p, (low, high) = by_chance(plays[0, 15:].mean(), plays[:, :15], 30)
        probabilities.append(p)
        covered += low <= 0 <= high
    assert 0.4 < np.mean(probabilities) < 0.6
    assert np.mean(np.array(probabilities) < 0.05) < 0.12
    assert covered / 150 > 0.88
    p, (low, high) = by_chance(1.6, plays[:, :15], 30)
    assert p < 0.01
    assert 0 < low < plays[:, :15].mean() - 1.6 < high


def test_what_is_said_of_the_committed_replay() -> None:
    """Claims and the table beside the paper are the committed tables', and a replay that differs is noticed."""
    curves, rows, claims = authors.replay(), authors.agreement(), replayed.first_claims()
    beside = replayed.beside_the_paper()
    assert len(beside) == len(rows) == 9
    for (_, row), verdict in zip(rows.iterrows(), beside["verdict"], strict=True):
        assert row["low"] < row["difference"] < row["high"]
        assert verdict == verdicts.agreement(row["low"], row["high"])
    words = {"consistent", "inconsistent", "undecided", "gains", "loses", "gains nothing", "at the ceiling"}
    assert set(claims["verdict"]) <= words | {"holds", "the other way round"}
    assert claims["claim"].is_unique
    headline = claims[claims["claim"].str.startswith("docstring, policy trained with k=5, told nothing, after 50")]
    assert headline["paper"].item() == pytest.approx(2.1031 / 2.1745, abs=1e-4)
    assert replayed.compared({"replay": curves, "agreement": rows})
    for name, column in (("replay", "effect"), ("agreement", "p")):
        frames = {"replay": curves, "agreement": rows}
        frames |= {name: frames[name].assign(**{column: frames[name][column] + 0.01})}
        assert not replayed.compared(frames)


def test_other_codes_replay_is_compared_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who edits the code measures again, and learns whether it changed anything."""
    frames = {"replay": authors.replay(), "agreement": authors.agreement()}
    monkeypatch.setattr(authors, "code_hash", lambda module: "another")
    with pytest.raises(StaleResult, match="code is"):
        authors.replay()
    assert replayed.compared(frames)


@pytest.mark.long
def test_the_command(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside a committed replay of the same files: equal, and noticed where it is not."""
    monkeypatch.setattr(authors, "FOLDER", tmp_path / "committed")
    authors.measure(clone, authors.FOLDER)
    arguments = ["authors", str(clone), "--output", str(tmp_path / "out")]
    assert command.main(arguments) == 0
    assert "\nequal to the committed replay" in capsys.readouterr().out
    monkeypatch.setattr(replayed, "compared", lambda frames: False)
    monkeypatch.setattr(authors, "measure", lambda clone, folder: {"agreement": authors.agreement()})
    assert command.main(arguments) == 1
    assert "not equal to the committed replay" in capsys.readouterr().out


def test_holm_in_closed_form() -> None:
    assert holm(pd.Series([0.01, 0.04, 0.03, 0.5])).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_the_lists_are_the_papers() -> None:
    assert published_order("docstring")[:2] == [10, 1]
    assert authors.interleaved([1, 2, 3], [2, 1, 4]) == [1, 2, 3, 4]
