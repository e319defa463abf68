"""The paper's own policies on the paper's own model: its author's published files, replayed.

The author published the two trained policies of the paper and, for GPT-2 small, the reward of every head in 15 docstring
episodes (those of the paper's oracle) and in 10 induction episodes (of an earlier run). So the headline can be played again on
GPT-2 itself, without its weights. The files carry no licence and are not here: who has a clone of that repository can
measure again (``python -m circuitlib authors CLONE``); what was measured is committed, with the files' hashes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.companion.paper import PAPER, TRAINED_ON, mechrl, oracles, results
from circuitlib.companion.settings import HEADLINE_K
from circuitlib.manifest import code_hash, content_hash, load_frame, made_on, save_frame
from circuitlib.paths import RESULTS
from circuitlib.search.env import BUDGET
from circuitlib.search.episodes import NOTHING, signal_of
from circuitlib.search.network import ActorCritic
from circuitlib.search.oracle import best_reward, head_order
from circuitlib.search.orders import layer_by_layer, random_orders
from circuitlib.studies.intervals import Interval, fraction
from circuitlib.studies.reading import SHOWN, Plays, play

REPOSITORY, COMMIT = "https://github.com/BarsatKhadka/causality-RL", "21b1d98"
SUBJECT = "GPT-2 small"
FOLDER = RESULTS / "gpt2-authors"
"""Where what was measured is committed."""

FRAMES = {"replay": "replay.parquet", "agreement": "agreement.csv"}

LAYERS, HEADS_PER_LAYER = 12, 12
HEADS = LAYERS * HEADS_PER_LAYER
PLAYS = 300
"""Plays of each episode by each searcher that draws; the same random numbers whatever a policy is shown."""

HEADLINE = ("policy", HEADLINE_K, NOTHING)
"""The searcher, trained k and signal of the paper's headline."""

CHANGED = (10, 20, 50)
"""Heads measured at which it is counted how many of them are others than a seeing policy's."""


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

EPISODES = {"docstring": 15, "induction": 10}
"""In them, of 32 prompts each."""

PLAYED = {"docstring": 30, "induction": 20}
"""Episodes that the paper's own numbers are means of."""


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
        if (found := {task: len(values) for task, values in rewards.items()}) != EPISODES:
            raise ValueError(f"the files hold rewards of {found} episodes, not {EPISODES}")
        return cls(policies, {task: values.float() for task, values in rewards.items()})


def _network(state: dict[str, Tensor]) -> ActorCritic:
    """Theirs and ours are the same network under other names."""
    names = {"trunk.0": "hidden_1", "trunk.2": "hidden_2", "actor": "actor", "critic": "critic"}
    network = ActorCritic(len(TRAINED_ON), HEADS, len(state["trunk.0.weight"]), seed=0)
    layers = ((name.rpartition("."), value) for name, value in state.items())
    network.load_state_dict({f"{names[layer]}.{part}": value for (layer, _, part), value in layers})
    return network


class Played(NamedTuple):
    """A searcher's condition, what it measured, and what it found."""

    task: str
    searcher: str
    trained_k: int
    told: str
    shown: str
    plays: Plays


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
    """What needs no policy, by name: orders of heads, one for each play of each episode ``[plays * e, h]`` or one for all."""
    count = PLAYS * len(files.rewards[task])
    yield "random", random_orders(count, HEADS, generator)
    yield "layers in order", layer_by_layer(count, torch.arange(LAYERS), HEADS_PER_LAYER, generator)
    if task == "docstring":
        induction, ioi = map(published_order, TRAINED_ON)
        yield "induction's ten and IOI's, in turns", torch.tensor([interleaved(induction, ioi)])
        yield "IOI's ten and induction's, in turns", torch.tensor([interleaved(ioi, induction)])
        yield "induction's ten", torch.tensor([induction])
        yield "IOI's ten", torch.tensor([ioi])
        yield "induction's list of the earlier run", head_order(files.rewards["induction"])[None]


def _in_order(rewards: Float[Tensor, "e h"], orders: Int[Tensor, "n k"]) -> Plays:
    """Heads measured in order, 50 of them; a shorter list stays where it ends."""
    episodes, last = len(rewards), min(BUDGET, orders.shape[1]) - 1
    heads = orders.view(-1, episodes if len(orders) > 1 else 1, orders.shape[1])[
        ..., [min(i, last) for i in range(BUDGET)]
    ]
    heads = heads.expand(-1, episodes, -1)
    return Plays(heads, rewards.expand(len(heads), -1, -1).gather(-1, heads).cummax(-1).values)


def played(files: Files) -> Iterator[Played]:
    """Every searcher on every episode: policies, drawing and greedy, seeing their rewards, zeros, turned signs and another
    episode's rewards; random search, layers in order, and lists."""
    for task, rewards in files.rewards.items():
        for name, orders in _orders(task, files, torch.Generator().manual_seed(0)):
            yield Played(task, name, 0, NOTHING, NOTHING, _in_order(rewards, orders))
        every = product(files.policies.items(), (NOTHING, *TRAINED_ON), (False, True), SHOWN)
        for (k, network), told, greedy, shown in every:
            signal = torch.from_numpy(signal_of(TRAINED_ON, told))
            plays = play(network, signal, rewards, 1, shown, PLAYS, greedy)
            yield Played(task, "policy, greedy" if greedy else "policy", k, told, shown, plays)


def _curves(runs: list[Played], oracle: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """What :func:`replay` describes."""
    seeing = {one[:4]: one.plays for one in runs if one.shown == "seeing"}
    for one in runs:
        ceiling, blindfolded = oracle[one.task], one.shown not in (NOTHING, "seeing")
        condition = dict(zip(one._fields[:5], one[:5], strict=True))
        saw = seeing[one[:4]] if blindfolded else seeing[(one.task, *HEADLINE)]
        for measured in range(1, BUDGET + 1):
            best, other = (plays.found[:, :, measured - 1].mean(0).numpy() for plays in (one.plays, saw))
            row = condition | {"measured": measured, "best": best.mean(), "oracle": ceiling.mean()}
            row |= _columns("ratio low high", fraction(best[None], ceiling, None))
            ahead = fraction(other[None], ceiling, None, against=best[None])
            if blindfolded:
                row |= _columns("effect effect_low effect_high", ahead)
                row |= {"better": int((other > best).sum()), "worse": int((other < best).sum())}
                row |= {"changed": one.plays.changed(saw, measured)} if measured in CHANGED else {}
            elif not one.trained_k:
                row |= _columns("behind behind_low behind_high", ahead)
            yield row


def _columns(names: str, interval: Interval) -> dict[str, float]:
    return dict(zip(names.split(), interval, strict=True))


def by_chance(paper: float, values: Float[np.ndarray, "plays e"], played: int) -> tuple[float, tuple[float, float]]:
    """How probable a paper's mean of one play on each of ``played`` other episodes is, if it and ``values`` come from one
    distribution, two-sided; and the 95% interval of mean(values) - paper. A bootstrap of both means."""
    rng, (plays, episodes) = np.random.default_rng(0), values.shape
    shape = (20_000, played)
    theirs = values[rng.integers(plays, size=shape), rng.integers(episodes, size=shape)].mean(1)
    ours = values.mean(0)[rng.integers(episodes, size=(shape[0], episodes - 1))].mean(1)
    noise, difference = ours - theirs, values.mean() - paper
    p = 2 * min((noise >= difference).mean(), (noise <= difference).mean())
    low, high = difference - np.percentile(noise, [97.5, 2.5])
    return float(min(p, 1)), (float(low), float(high))


def _agreement(runs: list[Played], oracle: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """What :func:`agreement` describes."""
    theirs = results()
    for one in runs:
        paper = theirs.get((one.task, one.searcher, one.trained_k, one.told))
        if paper is not None and one.shown in (NOTHING, "seeing"):
            values, ceiling = one.plays.found[:, :, -1].numpy(), oracles()[one.task]
            p, (low, high) = by_chance(paper, values, PLAYED[one.task])
            condition = {"task": one.task, "searcher": one.searcher, "trained_k": one.trained_k, "told": one.told}
            found = {
                "paper": paper,
                "replayed": values.mean(),
                "paper_share": paper / ceiling,
                "share": values.mean() / oracle[one.task].mean(),
            }
            difference = {"difference": (values.mean() - paper) / ceiling, "low": low / ceiling, "high": high / ceiling}
            yield condition | found | difference | {"p": p}


def holm(p: pd.Series) -> pd.Series:
    """Probabilities adjusted for being several (Holm 1979, "A simple sequentially rejective multiple test procedure", https://www.jstor.org/stable/4615733)."""
    ordered = p.sort_values()
    adjusted = (ordered * np.arange(len(p), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(p.index)


def measure(clone: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """Replay everything into ``folder``: tables ``replay`` (curves) and ``agreement`` (with the paper's own numbers)."""
    files = Files.read(clone)
    runs = list(played(files))
    oracle = {task: best_reward(rewards).numpy() for task, rewards in files.rewards.items()}
    agreement = pd.DataFrame(_agreement(runs, oracle))
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
        "episodes": EPISODES,
        "plays": PLAYS,
        "code": code_hash(__name__),
    }


def replay() -> pd.DataFrame:
    """The committed replay, after each of 50 heads measured.

    Columns: task, searcher, trained_k, told, shown (:data:`circuitlib.studies.reading.Shown`, or ``none`` without a policy), measured,
    best (mean largest reward so far, logits), oracle, ratio of the two with its interval (low, high); for a policy that is not
    shown its rewards effect, the ratio of the same policy seeing them minus this one's, with its interval, in how many
    episodes seeing is better and worse, and changed, the share of its heads that the seeing one did not measure; for searchers
    without a policy behind, the headline's ratio minus theirs, with its interval. All intervals are paired and over
    episodes, which share no prompt.

    Raises :class:`circuitlib.manifest.StaleResult` when it is of other files or code.
    """
    return load_frame(FOLDER / FRAMES["replay"], _provenance())


def agreement() -> pd.DataFrame:
    """Whether the committed replay agrees with the paper's own numbers, where rewards were published to replay. Columns: task, searcher, trained_k, told, paper and
    replayed (mean best reward after 50 heads, logits), paper_share and share (of the oracle's: the paper's, and that of the replayed episodes, which on docstring are the same
    episodes), difference of the rewards as a share of the paper's oracle, with its interval, p, p_holm (for all rows together)."""
    return load_frame(FOLDER / FRAMES["agreement"], _provenance())
