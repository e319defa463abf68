"""The tables of speed say what the recorded ones do, read in another way."""

from typing import Any

import pandas as pd
import pytest
import torch

from circuitlib.companion import speed_tables as tables
from circuitlib.companion.speed import Shape, hooks_cost, recorded, recorded_machines, sweep_cost

SMALL = Shape(2, 3, 3, 4, 12, 48, False, False, 100)


@pytest.mark.parametrize("gpu", [False, True])
def test_sweeps(gpu: bool) -> None:
    measured = recorded("sweeps", gpu)
    table: Any = tables.sweeps_table(measured)
    assert len(table) == len(measured)
    assert {*table.index} == {*measured["method"]}
    for shown, row in zip(table.to_dict("records"), measured.to_dict("records"), strict=True):
        for name in ("processor", "subject", "workload", "positions", "speedup"):
            assert shown[name] == row[name] or row[name] != row[name]
        assert float(shown["seconds per prompt"]) == pytest.approx(row["seconds"] / row["prompts"], abs=5e-5)
        assert shown["share of matmul rate"] in (f"{100 * row['share']:.0f}%", "nan%")
        assert [shown["error"], shown["from float64"]] == [f"{row[name]:.0e}" for name in ("error", "exact_error")]


def test_costs() -> None:
    task, control = tables.costs_table({"small": SMALL}, positions=9).to_dict("records")
    assert (task["sizes"], task["9 positions of"], control["9 positions of"]) == ("small", "task", "control")
    hooks, sweep = hooks_cost(SMALL, 1, 9), sweep_cost(SMALL, 1, 9, 2, True)
    loss = sweep_cost(SMALL, 1, 8, 8 * 101, False)
    for shown, swept in ((task, sweep), (control, loss)):
        assert shown["GFLOP, hooks"] == pytest.approx(hooks.flops / 1e9)
        assert shown["GFLOP, sweep"] == pytest.approx(swept.flops / 1e9)
        assert shown["ratio"] == pytest.approx(hooks.flops / swept.flops)
        # Two blocks of three heads: seven passes of two blocks; the clean pass and what comes after each head.
        assert [shown[name] for name in ("blocks, hooks", "MLPs, sweep", "attentions, sweep")] == [14, 11, 5]


def test_an_order_is_kept_or_not() -> None:
    exact = torch.arange(30.0)
    near = tables.order_table("ioi", exact, exact + 0.1 * torch.sin(exact)).to_dict("records")
    assert near == [{"task": "ioi"} | dict.fromkeys([*near[0]][1:], True)]
    swapped = exact.clone()
    swapped[[28, 29]] = exact[[29, 28]]
    assert [*tables.order_table("ioi", exact, swapped).iloc[0]] == ["ioi", True, False, True]
    assert [*tables.order_table("ioi", exact, exact.flip(0)).iloc[0]] == ["ioi", False, False, False]


@pytest.mark.parametrize("heads", [12, 144])
def test_bounds(heads: int) -> None:
    policies = recorded("policies")
    table = tables.bounds_table(policies, heads)
    (share,) = [name for name in table if str(name).startswith("% that ten times MaskablePPO")]
    for shown in table.to_dict("records"):
        ways = policies[policies["processor"] == shown["processor"]]
        rate = recorded_machines("policies")[shown["processor"]]["float32 matrix products, GFLOP/s"]
        bound = 1000 * rate / shown["million operations per step"]
        assert shown["steps per second, at most"] == f"{bound:,.0f}"
        reached = {row["method"]: row["steps"] * row["seeds"] / row["seconds"] for row in ways.to_dict("records")}
        assert shown["% reached"] == pytest.approx(100 * max(reached.values()) / bound)
        assert shown[share] == pytest.approx(1000 * reached["MaskablePPO"] / bound)
    assert table["million operations per step"].nunique() == 1


def test_memory() -> None:
    growth = recorded("growth")
    table = tables.memory_table(growth)
    wanted = [row for row in growth.to_dict("records") if row["grows"] == "method"]
    assert len(table) == len(wanted) > 2
    for shown, row in zip(table.to_dict("records"), wanted, strict=True):
        assert [shown["GiB, model loaded"], shown["GiB, at most"]] == [row["loaded"], row["resident"]]
        assert all(shown[name] == row[name] for name in ("processor", "method", "prompts", "measured", "seconds"))


def test_policies_are_beside_the_first_way_of_their_processor() -> None:
    """The recorded ones, and others beside them, of a processor twice as fast at everything but the first way."""
    here = recorded("policies")
    there = here.assign(processor="another", seconds=here["seconds"] / 2, rate=here["rate"] * 2)
    there.loc[0, ["seconds", "rate"]] = here.loc[0, ["seconds", "rate"]]
    table = tables.policies_table(pd.concat([here, there], ignore_index=True))
    rows = [*here.to_dict("records"), *there.to_dict("records")]
    assert len(table) == len(rows)
    for shown, row in zip(table.to_dict("records"), rows, strict=True):
        first = next(one for one in rows if one["processor"] == row["processor"])
        assert first["method"] == "MaskablePPO"
        assert shown == {
            **{name: row[name] for name in ("processor", "method", "seeds", "seconds", "induction", "ioi")},
            "steps per second": f"{row['rate']:,.0f}",
            "times, by seconds": pytest.approx(first["seconds"] * row["seeds"] / row["seconds"] / first["seeds"]),
            "times, by steps": pytest.approx(row["rate"] / first["rate"]),
            "GiB, at most": row["resident"],
        }
