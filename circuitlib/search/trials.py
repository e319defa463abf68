"""Trials: evaluation episodes with all that can be asked of them. What each head pays on the episode's own prompts, what a cheap
estimate says of it there, and what it pays on prompts that the episode does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.tables import DamageTable, reward
from circuitlib.search.episodes import BATCH
from circuitlib.search.meter import Estimate, Meter

EPISODE_SEED = 20_000  # evaluation episodes are drawn with seeds from here on, which training never uses


@dataclass(frozen=True)
class Trials:
    """Episodes of one task, the same for every searcher.

    rows: what each head pays on each pair of a prompt and a span; their means are the rewards. fresh: rewards on as many
    prompts, or as there are, that the episode does not have, and the same spans. estimates: by name. pool: how many prompts the
    episodes are drawn from.
    """

    task: str
    rows: Float[Tensor, "e b h"]
    fresh: Float[Tensor, "e h"]
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    pool: int | None = None

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

    def meter(self) -> Meter:
        """A new meter, with nothing paid."""
        return Meter(self.rows, self.estimates)


def draw_trials(
    table: DamageTable,
    control: DamageTable,
    count: int,
    penalty: float = 1.0,
    estimates: Mapping[str, tuple[int, DamageTable, DamageTable]] | None = None,
    first_seed: int = EPISODE_SEED,
) -> Trials:
    """``count`` trials of a task's table, the i-th drawn with seed ``first_seed`` + i: prompts, spans, then fresh prompts.

    estimates: by name the price and the two tables of estimates, rows as in ``table`` and ``control``.
    Raises ``ValueError`` for tables of fewer rows than an episode takes, and for estimates of other rows.
    """
    for some in (table, control):
        if len(some) < BATCH:
            raise ValueError(f"the {some.name} table has {len(some)} rows; an episode takes {BATCH}")
    for name, (_, task, general) in (estimates or {}).items():
        if task.damage.shape != table.damage.shape or general.damage.shape != control.damage.shape:
            raise ValueError(f"the estimates {name!r} are of other rows or heads than the {table.name} table")
    prompts, spans, others = zip(*(_drawn(len(table), len(control), first_seed + i) for i in range(count)), strict=True)
    at, along = torch.from_numpy(np.stack(prompts)), torch.from_numpy(np.stack(spans))
    general = control.damage[along]
    fresh = (
        table.damage[torch.from_numpy(np.stack(others))].mean(1)
        if len(others[0])
        else torch.full_like(general[:, 0], torch.nan)
    )
    bought = {
        name: Estimate(price, task.damage[at], other.damage[along], penalty)
        for name, (price, task, other) in (estimates or {}).items()
    }
    rows = reward(table.damage[at], general, penalty)
    return Trials(table.name, rows, reward(fresh, general.mean(1), penalty), bought, len(table))


def _drawn(
    prompts: int, spans: int, seed: int
) -> tuple[Int[np.ndarray, " b"], Int[np.ndarray, " b"], Int[np.ndarray, " f"]]:
    """Prompts and spans of one episode, drawn as :class:`circuitlib.search.episodes.TableEpisodes` draws them, and up to as many
    other prompts."""
    rng = np.random.default_rng(seed)
    own, control = rng.choice(prompts, BATCH, replace=False), rng.choice(spans, BATCH, replace=False)
    return own, control, rng.permutation(np.setdiff1d(np.arange(prompts), own))[:BATCH]
