"""The environment given anything: what the paper's rules say, or an error that a docstring names; never another one."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.error import InvalidAction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlib import HeadAblationEnv, HeadAblationVectorEnv
from circuitlib.ablation.tables import DamageTable
from circuitlib.search.episodes import TableEpisodes

SOME = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-2, 20), max_size=3),
)


def _result(call: Callable[[], Any]) -> Any:
    """What a call returns, or the words of its error; an error that no docstring names is raised."""
    try:
        return call()
    except (TypeError, ValueError, InvalidAction) as error:
        return str(error)


@settings(SOME, max_examples=300)
@given(
    num_envs=st.one_of(st.integers(1, 3), ANYTHING),
    budget=st.one_of(st.none(), st.integers(1, 12), ANYTHING),
    seed=ANYTHING,
)
def test_any_sizes_and_seeds(source: TableEpisodes, num_envs: Any, budget: Any, seed: Any) -> None:
    if isinstance(num_envs, int) and num_envs > 99:
        return  # an environment for each of so many is a matter of memory
    env = _result(lambda: HeadAblationVectorEnv(source, num_envs, budget))
    if isinstance(env, str):
        return
    assert 1 <= env.budget <= 12
    first, again = (_result(lambda: env.reset(seed=seed)) for _ in range(2))
    if not isinstance(first, str):
        assert first[0].shape == (num_envs, 26)
        assert seed is None or (first[0] == again[0]).all()


@settings(SOME, max_examples=300)
@given(actions=st.lists(st.one_of(st.lists(st.integers(0, 11), min_size=2, max_size=2), ANYTHING), max_size=4))
def test_any_actions(source: TableEpisodes, actions: list[Any]) -> None:
    env = HeadAblationVectorEnv(source, 2, budget=12)
    observation, _ = env.reset(seed=0)
    for action in actions:
        stepped = _result(partial(env.step, action))
        if isinstance(stepped, str):
            assert (env.state()["observation"] == observation).all(), "nothing has changed"
        else:
            observation = stepped[0]
            assert np.isfinite(stepped[1]).all()


@settings(SOME, max_examples=300)
@given(data=st.data())
def test_any_state(source: TableEpisodes, data: st.DataObject) -> None:
    """One of other sizes, or with a part that is missing or replaced, changes nothing."""
    env, other = HeadAblationVectorEnv(source, 2, budget=5), HeadAblationVectorEnv(source, data.draw(st.integers(1, 3)))
    env.reset(seed=0)
    other.reset(seed=1)
    before, state = env.state(), other.state()
    name = data.draw(st.sampled_from(["none", *state]))
    if name in ("rewards", "observation", "best"):
        state[name] = data.draw(st.sampled_from([state[name][:1], state[name][..., :1], state[name].T]))
    elif name == "left":
        state[name] = data.draw(st.integers(-3, 99))
    elif name != "none":
        state.pop(name)
    kept = deepcopy(state)
    if isinstance(_result(lambda: env.restore(state)), str):
        after = env.state()
        assert all(
            np.array_equal(after[key], before[key]) for key in ("rewards", "observation", "best", "tasks", "left")
        )
    else:
        assert env.state()["left"] == kept["left"] <= 5
        env.step(np.zeros(2, dtype=int)) if kept["left"] else None


@settings(SOME, max_examples=200)
@given(data=st.data())
def test_any_tables(make_table: Callable[..., DamageTable], data: st.DataObject) -> None:
    """Finite ones of one subject, part and ablation are episodes; the rest is refused by name."""
    origin = {"subject": {"name": "a"}, "part": "train", "ablation": "zero"}
    tables = [
        replace(make_table(name, prompts=32, heads=3), provenance={"task": name} | origin)
        for name in ("ioi", "control")
    ]
    which, what = (
        data.draw(st.integers(0, 1)),
        data.draw(st.sampled_from(["nothing", *origin, "task", "damage", "clean", "penalty"])),
    )
    value: Any = data.draw(st.floats(width=32))
    if what in tables[which].provenance:
        given = {"subject": {"name": "b"}, "part": "evaluation", "ablation": "mean", "task": ["control", "ioi"][which]}
        tables[which] = replace(tables[which], provenance=tables[which].provenance | {what: given[what]})
    elif what in ("damage", "clean"):
        changed = getattr(tables[which], what).clone()
        changed.view(-1)[0] = value
        tables[which] = replace(tables[which], **{what: changed})
    made = _result(lambda: TableEpisodes(tables[:1], tables[1], value if what == "penalty" else 1.0))
    if isinstance(made, str):
        assert (
            what in made
            or (what in ("damage", "clean") and "not finite" in made)
            or (what == "task" and "should" in made)
        )
    else:
        assert what in ("nothing", "damage", "clean", "penalty")
        assert np.isfinite(made.draw(np.random.default_rng(0)).rewards).all() or abs(value) > 1e30


@pytest.mark.parametrize("source", [None, 3, "ioi", []])
def test_what_draws_no_episodes_is_no_source(source: Any) -> None:
    with pytest.raises(TypeError, match=r"must draw episodes|parameter 'source'"):
        HeadAblationEnv(source)
