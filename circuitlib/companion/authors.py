"""The paper's own policies on the paper's own model: its author's published files, replayed.

The author published the two trained policies of the paper and, for GPT-2 small, the reward of every head in 15 docstring
episodes (those of the paper's oracle) and in 10 induction episodes (of an earlier run). So the headline can be played again on
GPT-2 itself, without its weights. The files carry no licence and are not here: who has a clone of that repository can
measure again (``python -m circuitlib authors CLONE``); what was measured is committed, with the files' hashes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.companion.paper import PAPER, mechrl
from circuitlib.manifest import code_hash, content_hash, load_frame, made_on, save_frame
from circuitlib.paths import RESULTS
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.intervals import fraction
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import best_reward, head_order
from circuitlib.search.orders import layers_in_order, random_orders
from circuitlib.search.reading import SHOWN, play

REPOSITORY, COMMIT = "https://github.com/BarsatKhadka/causality-RL", "21b1d98"
SUBJECT = "GPT-2 small"
FOLDER = RESULTS / "gpt2-authors"
"""Where what was measured is committed."""

FRAMES = {"replay": "replay.parquet", "agreement": "agreement.csv"}

TRAINED_ON = ("induction", "ioi")
"""The paper's training tasks, in the order of its signal."""

LAYERS, HEADS_PER_LAYER = 12, 12
HEADS = LAYERS * HEADS_PER_LAYER
PLAYS = 300
"""Plays of each episode by each searcher that draws; the same random numbers whatever a policy is shown."""


class Published(NamedTuple):
    """A file of the author's: its folder in the repository, and its SHA-256."""

    folder: str
    sha256: str


FILES = {
    "phase6_mt_k1_policy.pt": Published(
        "phase 6/results", "85ba3ebf26044d31468bc6b8a72cdf56cf17031ec45ce6b58d51b2c42eb18fa0"
    ),
    "phase6_mt_k5_policy.pt": Published(
        "phase 6/results", "96cfb724f15a40f3cc17e8db8434363c7d3c9f96414838a3a376e120d18221d5"
    ),
    "transfer_mt_k5_oracle_scores.npy": Published(
        "phase 6/results", "558747df53f571e9fce206f72896ab9c8e19aecdd52749ce78305a573ee6e23c"
    ),
    "real_k5_oracle_scores.npy": Published(
        "phase 5/results", "35c48e5f94ab3858c9c4d5ba71c15e6b33f5712db8aea85d550a4ca9fcf1962f"
    ),
}


def files_of(clone: Path) -> dict[str, Path]:
    """The author's files in a clone of the repository, or side by side in a folder.

    Raises ``FileNotFoundError`` for one that is missing and ``ValueError`` for one of other bytes.
    """
    found = {}
    for name, published in FILES.items():
        places = [clone / published.folder / name, clone / name]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"{name} is not in {clone}; clone {REPOSITORY} (commit {COMMIT}), which holds it in {published.folder!r}"
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != published.sha256:
            raise ValueError(f"{path} is not the file of commit {COMMIT}: its SHA-256 is not {published.sha256}")
        found[name] = path
    return found


@dataclass(frozen=True)
class Files:
    """What the files hold. policies: by the k they were trained with. rewards: of each task's episodes."""

    policies: dict[int, ActorCritic]
    rewards: dict[str, Float[Tensor, "e h"]]

    @classmethod
    def read(cls, clone: Path) -> "Files":
        """Raises as :func:`files_of` does. Nothing in a file is executed."""
        paths = files_of(clone)
        policies = {
            k: _network(torch.load(paths[f"phase6_mt_k{k}_policy.pt"], "cpu", weights_only=True)) for k in (1, 5)
        }
        names = {"docstring": "transfer_mt_k5_oracle_scores.npy", "induction": "real_k5_oracle_scores.npy"}
        rewards = {task: torch.from_numpy(np.load(paths[name], allow_pickle=False)) for task, name in names.items()}
        return cls(policies, {task: values.float() for task, values in rewards.items()})


def _network(state: dict[str, Tensor]) -> ActorCritic:
    """Theirs and ours are the same network under other names."""
    names = {"trunk.0": "hidden_1", "trunk.2": "hidden_2", "actor": "actor", "critic": "critic"}
    network = ActorCritic(len(TRAINED_ON), HEADS, len(state["trunk.0.weight"]), seed=0)
    layers = ((name.rpartition("."), value) for name, value in state.items())
    network.load_state_dict({f"{names[layer]}.{part}": value for (layer, _, part), value in layers})
    return network


class Played(NamedTuple):
    """A searcher's condition, and what it found: the best reward after each head measured."""

    task: str
    searcher: str
    trained_k: int
    told: str
    shown: str
    best: Float[np.ndarray, "plays e n"]


def head_number(name: str) -> int:
    """The number of a head that the paper writes as layer.head."""
    layer, head = name.split(".")
    return HEADS_PER_LAYER * int(layer) + int(head)


def published_order(task: str) -> list[int]:
    """The ten best heads of a task in the paper's own order."""
    return [head_number(name) for name in mechrl()["heads_20_policy_10_oracle_episodes"][task]["oracle_top10"]]


def interleaved(first: list[int], second: list[int]) -> list[int]:
    """Two lists in turns, each head once."""
    return list(dict.fromkeys(head for pair in zip(first, second, strict=True) for head in pair))


def _orders(task: str, files: Files, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """What needs no policy: orders of heads ``[plays or 1, h]``, by name."""
    yield "random", random_orders(PLAYS, HEADS, generator)
    yield "layers in order", layers_in_order(PLAYS, LAYERS, HEADS_PER_LAYER, generator)
    if task == "docstring":
        induction, ioi = map(published_order, TRAINED_ON)
        yield "induction's ten and IOI's, in turns", torch.tensor([interleaved(induction, ioi)])
        yield "induction's ten", torch.tensor([induction])
        yield "IOI's ten", torch.tensor([ioi])
        yield "induction's list of the earlier run", head_order(files.rewards["induction"])[None]


def _found(rewards: Float[Tensor, "e h"], orders: Int[Tensor, "plays k"]) -> np.ndarray:
    """The best reward after each of 50 heads measured in order, ``[plays, e, 50]``; a shorter list stays where it ends."""
    best = rewards[:, orders].cummax(-1).values.transpose(0, 1)
    return best[:, :, [min(i, best.shape[2] - 1) for i in range(BUDGET)]].numpy()


def played(files: Files) -> Iterator[Played]:
    """Every searcher on every episode: policies seeing their rewards, zeros, turned signs and another episode's rewards,
    greedy too; random search, layers in order, and lists."""
    for task, rewards in files.rewards.items():
        for name, orders in _orders(task, files, torch.Generator().manual_seed(0)):
            yield Played(task, name, 0, NOTHING, "", _found(rewards, orders))
        for k, network in files.policies.items():
            for told in (NOTHING, *TRAINED_ON):
                signal = torch.from_numpy(signal_of(TRAINED_ON, told))
                for shown in SHOWN:
                    plays = play(network, signal, rewards, 1, shown, PLAYS)
                    yield Played(task, "policy", k, told, shown, plays.found.numpy())
                plays = play(network, signal, rewards, 1, greedy=True)
                yield Played(task, "policy, greedy", k, told, "seeing", plays.found.numpy())


def _curves(runs: list[Played], oracle: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Fractions of the oracle after each head measured, and the paired effect of seeing: seeing minus what is shown."""
    seeing = {
        (one.task, one.trained_k, one.told): one.best
        for one in runs
        if one.shown == "seeing" and one.searcher == "policy"
    }
    for one in runs:
        condition = one._asdict()
        del condition["best"]
        for measured in range(1, BUDGET + 1):
            ceiling, draws = oracle[one.task], len(oracle[one.task]) - 1
            best = one.best[:, :, measured - 1].mean(0)
            row = condition | {"measured": measured, "best": best.mean(), "oracle": ceiling.mean()}
            row |= dict(zip(("ratio", "low", "high"), fraction(best[None], ceiling, draws), strict=True))
            if one.trained_k and one.searcher == "policy" and one.shown != "seeing":
                saw = seeing[one.task, one.trained_k, one.told][:, :, measured - 1].mean(0)
                effect = fraction(saw[None], ceiling, draws, against=best[None])
                row |= dict(zip(("effect", "effect_low", "effect_high"), effect, strict=True))
                row |= {"better": int((saw > best).sum()), "worse": int((saw < best).sum())}
            yield row


def _agreement(runs: list[Played]) -> Iterator[dict[str, Any]]:
    """The paper's docstring numbers beside the replay's, after 50 heads.

    The paper's are means of one play on each of 30 episodes; these are of ``PLAYS`` plays on 15 others. p: how
    probable so large a difference is if all come from one distribution, by a bootstrap of both means.
    """
    transfer = mechrl()["transfer_docstring_30_episodes"]
    names = {NOTHING: "unknown", "induction": "told_induction", "ioi": "told_ioi"}
    theirs = {("random", 0, NOTHING): transfer["random"]["mean_best"]}
    theirs |= {("policy", k, told): transfer[f"k{k}"][name] for k in (1, 5) for told, name in names.items()}
    ceiling = transfer["oracle_15_episodes"]["mean_best"]
    rng = np.random.default_rng(0)
    for one in runs:
        paper = theirs.get((one.searcher, one.trained_k, one.told))
        if one.task == "docstring" and paper is not None and one.shown in ("", "seeing"):
            values = one.best[:, :, -1]
            plays, episodes = values.shape
            shape = (20_000, 30)
            mean_of_30 = values[rng.integers(plays, size=shape), rng.integers(episodes, size=shape)].mean(1)
            resampled = values.mean(0)[rng.integers(episodes, size=(shape[0], episodes - 1))].mean(1)
            by_chance, seen = mean_of_30 - resampled, paper - values.mean()
            p = float((np.abs(by_chance) >= abs(seen)).mean())
            low, high = np.percentile(-seen - by_chance, [2.5, 97.5])
            yield {
                "searcher": one.searcher,
                "trained_k": one.trained_k,
                "told": one.told,
                "paper": paper,
                "replayed": values.mean(),
                "paper_share": paper / ceiling,
                "share": values.mean() / ceiling,
                "difference": -seen / ceiling,
                "low": low / ceiling,
                "high": high / ceiling,
                "p": p,
            }


def holm(p: pd.Series) -> pd.Series:
    """Probabilities adjusted for being several (Holm 1979, "A simple sequentially rejective multiple test procedure")."""
    ordered = p.sort_values()
    adjusted = (ordered * np.arange(len(p), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(p.index)


def measure(clone: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """Replay everything into ``folder``: tables ``replay`` (curves) and ``agreement`` (with the paper's own numbers)."""
    files = Files.read(clone)
    runs = list(played(files))
    oracle = {task: best_reward(rewards).numpy() for task, rewards in files.rewards.items()}
    agreement = pd.DataFrame(_agreement(runs))
    frames = {"replay": pd.DataFrame(_curves(runs, oracle)), "agreement": agreement.assign(p_holm=holm(agreement["p"]))}
    for name, frame in frames.items():
        save_frame(folder / FRAMES[name], frame, _provenance() | made_on())
    return frames


def _provenance() -> dict[str, Any]:
    return {
        "repository": REPOSITORY,
        "commit": COMMIT,
        "files": {name: published.sha256 for name, published in FILES.items()},
        "paper": content_hash(PAPER),
        "plays": PLAYS,
        "code": code_hash(__name__),
    }


def replay() -> pd.DataFrame:
    """The committed replay. Columns: task, searcher, trained_k, told, shown (for policies, see
    :data:`circuitlib.search.reading.Shown`), measured, best (mean largest reward so far, logits), oracle, ratio of the two with
    its interval (low, high) over episodes; for a policy that is not shown its rewards effect, the ratio of the same policy
    seeing them minus this one's, with its interval, and in how many episodes seeing is better and worse.

    Raises :class:`circuitlib.manifest.StaleResult` when it is of other files or code.
    """
    return load_frame(FOLDER / FRAMES["replay"], _provenance())


def agreement() -> pd.DataFrame:
    """Whether the committed replay agrees with the paper's own docstring numbers. Columns: searcher, trained_k, told, paper and
    replayed (mean best reward after 50 heads, logits), paper_share and share (of the same ceiling, the paper's oracle, which was
    measured on the episodes of the replay), difference of the shares with its interval, p, p_holm (for all rows together)."""
    return load_frame(FOLDER / FRAMES["agreement"], _provenance())
