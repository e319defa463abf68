"""The recorded tables of speed, as tables for reading."""

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.companion import speed
from circuitlib.search.ppo import PPOConfig


def sweeps_table(sweeps: pd.DataFrame) -> pd.DataFrame:
    """A row per processor, subject, workload and way of measuring all heads: seconds per prompt, how many times as fast as hooks it is, what share of the processor's rate of
    matrix products it reaches, and its largest difference from hooks, and from hooks in float64, beside the largest size of what is measured (logits, probability or nats).

    sweeps: of :func:`circuitlib.companion.speed.recorded`."""
    measured = {
        "seconds per prompt": (sweeps["seconds"] / sweeps["prompts"]).map("{:.4f}".format),
        "speedup": sweeps["speedup"],
        "share of matmul rate": sweeps["share"].map("{:.0%}".format),
        "error": sweeps["error"].map("{:.0e}".format),
        "from float64": sweeps["exact_error"].map("{:.0e}".format),
        "size": sweeps["scale"],
    }
    return sweeps[["method", "processor", "subject", "workload", "positions"]].assign(**measured).set_index("method")


def costs_table(sizes: dict[str, speed.Shape], positions: int = 61) -> pd.DataFrame:
    """A row per model, by title, and for a task's prompt and a control span of ``positions`` tokens: billions of operations of matrix products by hooks and by the sweep, their
    ratio, and how many blocks hooks evaluate, and MLPs and attentions the sweep."""
    rows = []
    for title, shape in sizes.items():
        hooks = speed.hooks_cost(shape, 1, positions)
        every_logit = (positions - 1) * (shape.vocabulary + 1)
        sweeps = {
            "task": speed.sweep_cost(shape, 1, positions, 2, True),
            "control": speed.sweep_cost(shape, 1, positions - 1, every_logit, False),
        }
        for what, sweep in sweeps.items():
            flops = (hooks.flops / 1e9, sweep.flops / 1e9, hooks.flops / sweep.flops)
            rows.append((title, what, *flops, hooks.mlps, sweep.mlps, sweep.attentions))
    columns = ["sizes", f"{positions} positions of", "GFLOP, hooks", "GFLOP, sweep", "ratio"]
    return pd.DataFrame(rows, columns=[*columns, "blocks, hooks", "MLPs, sweep", "attentions, sweep"])


def order_table(task: str, exact: Float[Tensor, " heads"], narrow: Float[Tensor, " heads"]) -> pd.DataFrame:
    """One row: whether mean damages of a task that were measured in bfloat16 order heads as those in float32 do."""
    ranks, narrow_ranks = (pd.Series(damage.numpy()).rank() for damage in (exact, narrow))
    best, narrow_best = ({*damage.topk(10).indices.tolist()} for damage in (exact, narrow))
    said = {
        "task": task,
        "rank correlation over 0.9": ranks.corr(narrow_ranks) > 0.9,
        "same best head": bool(exact.argmax() == narrow.argmax()),
        "at least 8 of 10 best shared": len(best & narrow_best) >= 8,
    }
    return pd.DataFrame([said])


def policies_table(policies: pd.DataFrame) -> pd.DataFrame:
    """A row per processor and way of training: how many seeds side by side, seconds of the whole training, steps per second of all seeds, how many times as fast as the processor's first way it is, per seed by
    seconds and of all seeds by steps, memory (GiB), and the mean best reward of the training's last episodes on each task (logits).

    policies: of :func:`circuitlib.companion.speed.recorded`."""
    per_seed, rate = policies["seconds"] / policies["seeds"], policies["rate"]
    first, first_rate = (of.groupby(policies["processor"]).transform("first") for of in (per_seed, rate))
    measured = {
        "steps per second": rate.map("{:,.0f}".format),
        "times, by seconds": first / per_seed,
        "times, by steps": rate / first_rate,
        "GiB, at most": policies["resident"],
    }
    shown = policies[["processor", "method", "seeds", "seconds"]].assign(**measured)
    return shown.join(policies[["induction", "ioi"]])


def bounds_table(policies: pd.DataFrame, heads: int) -> pd.DataFrame:
    """A row per processor: how many steps of PPO per second its rate of float32 products would allow (:func:`circuitlib.companion.speed.training_step`) on a subject of so many
    heads, what share of that is reached, in percent, and what share ten times the processor's first way of training would be.

    policies: of :func:`circuitlib.companion.speed.recorded`."""
    config, machines, rows = PPOConfig(), speed.recorded_machines("policies"), []
    operations = speed.training_step(2 + 2 * heads, config.hidden, heads, config.update_epochs)
    for processor, ways in policies.groupby("processor", sort=False):
        bound = 1e9 * machines[str(processor)]["float32 matrix products, GFLOP/s"] / operations
        rates = ways["steps"] * ways["seeds"] / ways["seconds"]
        shares = [100 * rates.max() / bound, 1000 * rates.iloc[0] / bound]
        rows.append((processor, operations / 1e6, f"{bound:,.0f}", *shares))
    columns = ["processor", "million operations per step", "steps per second, at most", "% reached"]
    return pd.DataFrame(rows, columns=[*columns, f"% that ten times {policies['method'].iloc[0]} would be"])


def memory_table(growth: pd.DataFrame) -> pd.DataFrame:
    """A row per way of measuring all heads of many prompts: how many there are and were measured, seconds, and memory (GiB) with the model loaded and at most.

    growth: of :func:`circuitlib.companion.speed.recorded`."""
    columns = ["processor", "subject", "method", "prompts", "measured", "positions", "runs", "seconds"]
    titles = {"loaded": "GiB, model loaded", "resident": "GiB, at most"}
    return growth.loc[growth["grows"] == "method", [*columns, *titles]].rename(columns=titles)
