"""The positive control of "does it read?": policies trained by the same PPO on planted episodes that are worth reading.

Table ``planted`` of no subject: ``python -m circuitlib planted`` measures it again, in about ten minutes.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from circuitlib.manifest import code_hash, load_frame, made_on, save_frame
from circuitlib.paths import RESULTS
from circuitlib.processes import in_processes
from circuitlib.search.oracle import best_reward
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.search.trials import EPISODE_SEED
from circuitlib.studies.intervals import fraction
from circuitlib.studies.planted import Groups
from circuitlib.studies.reading import Shown, play

PATH = RESULTS / "planted" / "planted.csv"

SCALES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""What the best head pays, in logits; on GPT-2 small it is 2 to 3.4."""

NOISES = (0.1, 0.2, 0.4)
"""Standard deviations between episodes, at the middle scale, as shares of what the best head pays."""

SOURCES = (*(Groups(scale=scale) for scale in SCALES), *(Groups(noise=noise) for noise in NOISES))
SEEDS, EPISODES = 5, 300
MEASURED = (5, 10, 20, 50)
SEES: tuple[Shown, ...] = ("seeing", "blind", "flipped")

LEARNED, BLINDED = 0.95, 0.60
"""Policies have learned to read where they find at least the first of the oracle seeing, and at most the second blind, after 50 heads.
Set before training."""


def measure(path: Path, config: PPOConfig | None = None) -> pd.DataFrame:
    """Train the paper's network, by default by the paper's settings with k=1, on every source, one process per core, and let it
    play. Writes the table."""
    config = config or PPOConfig()
    found = in_processes(_of, [(source, config) for source in SOURCES])
    frame = pd.DataFrame(row for rows in found for row in rows)
    save_frame(path, frame, _provenance(config) | made_on())
    return frame


def _of(source: Groups, config: PPOConfig) -> list[dict[str, Any]]:
    rows = list(_rows(source, config))
    print(f"planted, scale {source.scale}, noise {source.noise}: done", flush=True)
    return rows


def _rows(source: Groups, config: PPOConfig) -> Iterator[dict[str, Any]]:
    networks = Trainer(source, config, range(SEEDS)).train()
    episodes = [source.draw(np.random.default_rng(EPISODE_SEED + i)).rewards for i in range(EPISODES)]
    rewards = torch.from_numpy(np.stack(episodes))
    oracle, signal = best_reward(rewards).numpy(), torch.zeros(len(source.tasks))
    seeing: dict[int, np.ndarray] = {}
    for shown in SEES:
        plays = [play(network, signal, rewards, seed, shown) for seed, network in networks.items()]
        for count in MEASURED:
            best = torch.cat([one.found[..., count - 1] for one in plays]).numpy()
            row = {"scale": source.scale, "noise": source.noise, "shown": shown, "measured": count}
            row |= dict(zip(("ratio", "low", "high"), fraction(best, oracle, None), strict=True))
            if shown == "seeing":
                seeing[count] = best
            else:
                effect = fraction(seeing[count], oracle, None, against=best)
                row |= dict(zip(("effect", "effect_low", "effect_high"), effect, strict=True))
            yield row


def _provenance(config: PPOConfig) -> dict[str, Any]:
    return {
        "sources": [asdict(source) for source in SOURCES],
        "config": asdict(config),
        "seeds": SEEDS,
        "episodes": EPISODES,
        "code": code_hash(__name__),
    }


def planted() -> pd.DataFrame:
    """The committed table. Columns: scale, noise (:class:`circuitlib.studies.planted.Groups`), shown, measured, ratio (mean best
    reward over the oracle's) with its interval over seeds and episodes (low, high), and, unless seeing, effect: the ratio of the same
    policies seeing minus this one's, with its interval.

    Raises :class:`circuitlib.manifest.StaleResult` when it is of other code.
    """
    return load_frame(PATH, _provenance(PPOConfig()))
