"""Speed: the recorded tables, and what a measurement and a step of PPO cost, in closed form.

Costs are operations of matrix products: one of ``[a, b]`` and ``[b, c]`` is 2abc. For one position of one sequence, with
width d, hidden width m of the MLP (counted twice in a gated one), w = heads * d_head and g = key heads * d_head,

* the query costs 2dw, keys and values 4dg, scores and their sums over T positions 4Tw (a causal product is
  counted whole), the output projection 2wd, and the MLP 4dm (6dm gated);
* a logit costs 2d, so all of them 2d * vocabulary.

Norms, softmax and activations are not counted: they are a matter of memory, not of arithmetic.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from circuitlib.companion.legend import GPUS_IN_WORDS
from circuitlib.manifest import load_frame, read_provenance
from circuitlib.paths import RESULTS
from circuitlib.subjects.types import Bridge

RECORDED = RESULTS / "speed"
"""One folder per processor or GPU, each with the tables of ``python -m circuitlib benchmark``."""


def recorded(name: str, gpu: bool = False) -> pd.DataFrame:
    """The committed tables of a part of the benchmark (sweeps, policies or growth) on all processors, or GPUs, that it was
    measured on, the last column naming the ``processor``."""
    paths = [path for path in sorted(RECORDED.glob(f"*/{name}.csv")) if (path.parent.name in GPUS_IN_WORDS) == gpu]
    return pd.concat([load_frame(path).assign(processor=path.parent.name) for path in paths], ignore_index=True)


def recorded_machines(name: str) -> dict[str, dict[str, Any]]:
    """The machines that these tables were measured on, by processor or GPU, which has a name in words (:mod:`circuitlib.companion.legend`)."""
    machines = {path.parent.name: read_provenance(path)["machine"] for path in sorted(RECORDED.glob(f"*/{name}.csv"))}
    return {where: {k: v for k, v in machine.items() if k != "processor"} for where, machine in machines.items()}


@dataclass(frozen=True)
class Shape:
    """The sizes that costs depend on."""

    layers: int
    heads: int
    key_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    gated: bool
    parallel: bool
    vocabulary: int

    @classmethod
    def of(cls, bridge: Bridge) -> "Shape":
        """Read from a bridge."""
        cfg = bridge.cfg
        return cls(
            layers=int(cfg.n_layers),
            heads=int(cfg.n_heads),
            key_heads=int(cfg.n_key_value_heads or cfg.n_heads),
            d_head=int(cfg.d_head),
            d_model=int(cfg.d_model),
            d_mlp=int(cfg.d_mlp),
            gated=bool(cfg.gated_mlp),
            parallel=bool(cfg.parallel_attn_mlp),
            vocabulary=len(bridge.W_E),
        )

    @property
    def width(self) -> int:
        """All heads side by side."""
        return self.heads * self.d_head

    def attention(self, positions: int, queries: int) -> int:
        """One sequence's heads, up to ``hook_z``."""
        keys = 4 * positions * self.d_model * self.key_heads * self.d_head
        return keys + (2 * self.d_model + 4 * positions) * queries * self.width

    def output(self, queries: int) -> int:
        """One sequence's output projection."""
        return 2 * queries * self.width * self.d_model

    def mlp(self, queries: int) -> int:
        """One sequence's MLP."""
        return (6 if self.gated else 4) * queries * self.d_model * self.d_mlp


@dataclass(frozen=True)
class Cost:
    """flops: of all matrix products. attentions, mlps: block evaluations, counted in sequences."""

    flops: int
    attentions: int
    mlps: int


def pass_flops(shape: Shape, positions: int, unembedded: int) -> int:
    """One forward pass of one sequence, with all logits of ``unembedded`` positions."""
    block = shape.attention(positions, positions) + shape.output(positions) + shape.mlp(positions)
    return shape.layers * block + 2 * unembedded * shape.d_model * shape.vocabulary


def hooks_cost(shape: Shape, prompts: int, positions: int) -> Cost:
    """One forward pass per head and a clean one, every logit at every position."""
    passes = prompts * (shape.layers * shape.heads + 1)
    blocks = passes * shape.layers
    return Cost(passes * pass_flops(shape, positions, positions), blocks, blocks)


def sweep_cost(shape: Shape, prompts: int, positions: int, logits: int, last_only: bool) -> Cost:
    """:class:`circuitlib.ablation.sweep.Sweep`: the clean pass once, and for each head only what comes after it.

    A call's comparison with the bridge on one prompt, a pass of each, comes on top.

    logits: logits that a score reads (candidates of a task, or ``positions * (vocabulary + 1)``, the target's being
    computed once more by itself). last_only: a task, scored at the last position; otherwise the control loss, for
    which ``positions`` is one less than the span's, its last one not being run.
    """
    flops = attentions = mlps = 0
    for i in range(shape.layers):
        queries = 1 if last_only and i == shape.layers - 1 else positions
        # The clean pass, and of the blocks before it everything; then each earlier head's own pass.
        own = i * shape.heads
        attended = prompts * (1 + own)
        flops += attended * (shape.attention(positions, queries) + shape.output(queries))
        attentions += attended
        # A head of this very block is subtracted before the MLP, unless the two are parallel.
        fed = attended if shape.parallel else attended + prompts * shape.heads
        flops += fed * shape.mlp(queries)
        mlps += fed
        flops += prompts * shape.output(queries)  # every head's output by itself
    flops += prompts * (1 + shape.layers * shape.heads) * 2 * shape.d_model * logits
    return Cost(flops, attentions, mlps)


def training_step(observation: int, hidden: int, heads: int, update_epochs: int) -> int:
    """Operations of :class:`circuitlib.search.ppo_seeds.Learner` for one environment step of one seed.

    A pass forward in the rollout; in each epoch one forward, one backward to the weights, and one to each layer's
    input but the first's, which needs no gradient.
    """
    first, later = 2 * observation * hidden, 2 * hidden * (hidden + heads + 1)
    return first * (1 + 2 * update_epochs) + later * (1 + 3 * update_epochs)
