"""Trials: evaluation episodes with all that can be asked of them. What each head pays on the episode's own prompts, what cheap
estimates say of it there, and what it pays on prompts that the episode does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.tables import DamageTable, reward
from circuitlib.search.episodes import ALIKE, BATCH, refuse_mixed, refuse_penalty
from circuitlib.search.meter import Estimate, Meter

EPISODE_SEED = 20_000  # evaluation episodes are drawn with seeds from here on, which training never uses


@dataclass(frozen=True)
class PricedTables:
    """The tables of one task that trials are rows of: damages, general damages, and by name the price of each estimate with its two
    tables, rows and heads as in those.

    Raises ``ValueError`` for estimates of other rows or heads, or of anything else than the damages, and what
    :func:`circuitlib.search.episodes.refuse_mixed` raises, of damages and of each estimate.
    """

    damage: DamageTable
    general: DamageTable
    estimates: Mapping[str, tuple[int, DamageTable, DamageTable]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_mixed([self.damage], self.general)
        for name, (_, task, general) in self.estimates.items():
            for mine, others in ((self.damage, task), (self.general, general)):
                if mine.damage.shape != others.damage.shape:
                    raise ValueError(f"the estimates {name!r} are of other rows or heads than the {mine.name} table")
                for what in ("task", *(what for what in ALIKE if what != "through")):
                    here, there = mine.provenance.get(what), others.provenance.get(what)
                    if here != there:
                        raise ValueError(
                            f"{what} of the {mine.name} table is {here!r}, and of the estimates {name!r} {there!r}"
                        )
            refuse_mixed([task], general)


@dataclass(frozen=True)
class Trials:
    """Episodes of one task, the same for every searcher.

    rows: what each head pays on each pair of a prompt and a span; their means are the rewards. fresh: rewards on up to as many
    prompts that the episode does not have, and the same spans; not a number where there are none. estimates: by name.
    """

    task: str
    rows: Float[Tensor, "e b h"]
    fresh: Float[Tensor, "e h"]
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def rewards(self) -> Float[Tensor, "e h"]:
        """The episodes' rewards."""
        return self.rows.mean(1)

    def some(self, episodes: Int[Tensor, " some"]) -> "Trials":
        """Those of some episodes."""
        bought = {
            name: replace(estimate, task=estimate.task[episodes], general=estimate.general[episodes])
            for name, estimate in self.estimates.items()
        }
        return replace(self, rows=self.rows[episodes], fresh=self.fresh[episodes], estimates=bought)

    def meter(self, repeats_free: bool = False) -> Meter:
        """A new meter, with nothing paid."""
        return Meter(self.rows, self.estimates, repeats_free)


def draw_trials(
    tables: PricedTables, count: int, penalty: float = 1.0, first_seed: int = EPISODE_SEED, again: bool = False
) -> Trials:
    """``count`` trials of a task, the i-th drawn with seed ``first_seed`` + i: prompts and spans as
    :class:`circuitlib.search.episodes.TableEpisodes` draws them, then fresh prompts.

    again: draw prompts with replacement, for training on tables of few rows.
    Raises ``ValueError`` for a penalty that is not a finite number.
    """
    refuse_penalty(penalty)
    drawn = [_drawn(len(tables.damage), len(tables.general), first_seed + i, again) for i in range(count)]
    prompts, spans, others = (torch.from_numpy(np.stack(column)) for column in zip(*drawn, strict=True))
    general = tables.general.damage[spans]
    estimates = {
        name: Estimate(price, task.damage[prompts], other.damage[spans], penalty)
        for name, (price, task, other) in tables.estimates.items()
    }
    fresh = reward(tables.damage.damage[others].mean(1), general.mean(1), penalty)
    return Trials(tables.damage.name, reward(tables.damage.damage[prompts], general, penalty), fresh, estimates)


def _drawn(prompts: int, spans: int, seed: int, again: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts and spans of one episode, and other prompts."""
    rng = np.random.default_rng(seed)
    own, control = rng.choice(prompts, BATCH, replace=again), rng.choice(spans, BATCH, replace=False)
    return own, control, rng.permutation(np.setdiff1d(np.arange(prompts), own))[: BATCH if not again else 0]
