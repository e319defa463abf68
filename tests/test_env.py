"""The environment is the paper's, by Gymnasium's rules, alone and in step."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from drawing import examples
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from circuitlib.ablation.build import Recipe, build_table
from circuitlib.ablation.hooks import hooked_control, hooked_task
from circuitlib.ablation.tables import DamageTable
from circuitlib.search.env import HeadAblationEnv, HeadAblationVectorEnv, budget_for
from circuitlib.search.episodes import Episode, TableEpisodes, signal_of
from circuitlib.search.live import LiveEpisodes
from circuitlib.search.meter import Meter
from circuitlib.search.policy import PolicySearcher
from circuitlib.search.trials import PricedTables
from circuitlib.subjects.load import Subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import control_spans


class Drawn:
    """Rewards from the episode's generator, and a signal that may name no task."""

    def __init__(self, heads: int, signal: np.ndarray) -> None:
        self.heads, self.signal = heads, signal
        self.tasks = tuple(f"task {i}" for i in range(len(signal)))

    def draw(self, rng: np.random.Generator) -> Episode:
        return Episode(self.signal, rng.normal(size=self.heads).astype(np.float32), "task 0")


def test_gymnasium_checker_has_nothing_to_say(source: TableEpisodes) -> None:
    env = gym.wrappers.TimeLimit(HeadAblationEnv(source, budget=5), 100).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_an_episode_by_hand(source: TableEpisodes) -> None:
    env = HeadAblationEnv(source, budget=4)
    observation, info = env.reset(seed=3)
    rewards = source.draw(gym.utils.seeding.np_random(3)[0]).rewards
    assert observation.shape == (2 + 2 * 12,)
    assert observation[:2].sum() == 1
    assert not observation[2:].any()
    assert info["action_mask"].all()
    observation, reward, ended, truncated, info = env.step(7)
    assert reward == pytest.approx(rewards[7])
    assert observation[2 + 7] == 1
    assert observation[2 + 12 + 7] == pytest.approx(rewards[7] / 5)
    assert info["action_mask"].sum() == 11
    assert not info["action_mask"][7]
    after, reward, ended, truncated, _ = env.step(7)
    assert reward == -1
    assert (after == observation).all()
    env.step(1)
    _, _, ended, truncated, _ = env.step(2)
    assert ended
    assert not truncated


def test_a_blind_episode_pays_the_same_and_shows_no_reward(source: TableEpisodes) -> None:
    envs = [HeadAblationEnv(source, 3, blind=blind) for blind in (False, True)]
    for env in envs:
        env.reset(seed=1)
    for head in (7, 1, 7):
        (seen, *paid, _), (hidden, *same, _) = (env.step(head) for env in envs)
        assert paid == same
        assert (hidden[:-12] == seen[:-12]).all()
        assert (hidden[-12:] == 0).all()
    assert seen[-12:].any()


@examples(30, 60)
@given(data=st.data())
def test_vector_single_and_searcher_play_the_same_episodes(data: st.DataObject) -> None:
    """Any integer action, valid or not: the vector environment and single ones do the same. Where no head is picked twice,
    which masks forbid, the policy's searcher sees the same too, and its meter charges a head per pick."""
    heads, envs, seed = (data.draw(st.integers(*r)) for r in ((2, 9), (1, 4), (0, 2**31 - 10)))
    budget = data.draw(st.integers(1, heads))
    signal = signal_of(("task 0", "task 1"), data.draw(st.sampled_from(["none", "task 1"])))
    source = Drawn(heads, signal)
    vector = HeadAblationVectorEnv(source, envs, budget)
    singles = [HeadAblationEnv(source, budget) for _ in range(envs)]
    observations, info = vector.reset(seed=seed)
    for i, env in enumerate(singles):
        observation, alone = env.reset(seed=seed + i)
        assert (observation == observations[i]).all()
        assert (alone["action_mask"] == info["action_mask"][i]).all()
    everything = np.tile(np.arange(heads), (envs, 1))
    rewards, picked, seen = vector.measure(everything), [], [observations]
    for _ in range(budget + 2):
        actions = data.draw(st.lists(st.integers(-2, heads + 1), min_size=envs, max_size=envs))
        if not all(0 <= action < heads for action in actions):
            with pytest.raises(InvalidAction, match=f"0 to {heads - 1}"):
                vector.step(np.array(actions))
            for env, action in zip(singles, actions, strict=True):
                if not 0 <= action < heads:
                    with pytest.raises(InvalidAction, match=f"0 to {heads - 1}"):
                        env.step(action)
            with pytest.raises(InvalidAction, match=f"0 to {heads - 1}"):
                vector.measure(np.array(actions)[:, None])
            actions = [action % heads for action in actions]
        measured = vector.measure(np.array(actions)[:, None])[:, 0]
        picked.append(actions)
        observations, paid, ended, truncated, info = vector.step(np.array(actions))
        assert not truncated.any()
        for i, env in enumerate(singles):
            fresh = env.action_masks()[actions[i]]
            observation, reward, over, _, alone = env.step(actions[i])
            assert reward == paid[i] == (measured[i] if fresh else -1)
            assert over == ended[i] == (len(picked) % budget == 0)
            if over:
                assert (info["final_obs"][i] == observation).all()
                with pytest.raises(ResetNeeded):
                    env.step(actions[i])
                observation, alone = env.reset()
            assert (observation == observations[i]).all()
            assert (alone["action_mask"] == info["action_mask"][i]).all()
        seen.append(info.get("final_obs", observations))
    first = np.array(picked[:budget]).T
    if any(len(set(row)) < budget for row in first.tolist()):
        return

    class Script(torch.nn.Module):
        """Wants the heads that were picked above, and checks what it is shown."""

        picks = 0

        def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert (observation.numpy() == seen[self.picks]).all()
            keys = torch.zeros(envs, heads)
            keys[torch.arange(envs), torch.from_numpy(first[:, self.picks])] = 1.0
            self.picks += 1
            return keys, keys[:, 0]

    meter, script = Meter(torch.from_numpy(rewards)[:, None]), Script()
    PolicySearcher(script, signal, greedy=True).search(meter, budget, torch.Generator())
    assert script.picks == budget
    assert (meter.price == budget).all()
    assert (meter.log.head.numpy() == first).all()


@pytest.mark.parametrize(
    "actions", [[0.0, 1.0], [0], [0, 1, 2], [[0, 1]], 1, [True, False], [2**70, 0], [None, 1], "ab"]
)
def test_what_is_not_a_head_per_episode_is_refused(source: TableEpisodes, actions: object) -> None:
    vector = HeadAblationVectorEnv(source, 2)
    before, _ = vector.reset(seed=0)
    with pytest.raises(InvalidAction, match="each of 2 episodes needs a head, integers from 0 to 11"):
        vector.step(actions)
    assert (vector.step(np.array([3, 4]))[0][:, :2] == before[:, :2]).all()
    env = HeadAblationEnv(source)
    env.reset(seed=0)
    for action in (1.0, np.array([1]), [1], None, True, -1, 12):
        with pytest.raises(InvalidAction, match="each of 1 episodes needs a head, integers from 0 to 11"):
            env.step(action)


@pytest.mark.parametrize(
    "heads", [[[0.0], [1.0]], [[0]], [0, 1], [[0], [1, 2]], [[[0]], [[1]]], [[True], [False]], None, "ab"]
)
def test_what_is_not_heads_of_every_episode_is_not_measured(source: TableEpisodes, heads: Any) -> None:
    vector = HeadAblationVectorEnv(source, 2)
    vector.reset(seed=0)
    with pytest.raises(InvalidAction, match="each of 2 episodes needs a row of heads, integers from 0 to 11"):
        vector.measure(heads)
    assert vector.measure(np.array([[3, 4], [4, 3]])).shape == (2, 2)
    assert vector.measure(np.zeros((2, 0), dtype=int)).shape == (2, 0)


def test_before_a_reset_and_after_the_end_nothing_is_played_or_measured(source: TableEpisodes) -> None:
    for env in (HeadAblationEnv(source, 1), HeadAblationVectorEnv(source, 1, 1, autoreset=False)):
        calls: list[Callable[[], object]] = [
            partial(env.step, 0 if isinstance(env, HeadAblationEnv) else np.array([0]))
        ]
        if isinstance(env, HeadAblationVectorEnv):
            calls.append(partial(env.measure, np.array([[0]])))
        for ended in (False, True):
            for call in calls:
                with pytest.raises(ResetNeeded, match="call reset"):
                    call()
            if not ended:
                env.reset(seed=0)
                for call in reversed(calls):
                    call()


def test_the_budget_follows_the_heads(source: TableEpisodes, make_table: Callable[..., DamageTable]) -> None:
    assert [budget_for(heads) for heads in (12, 48, 50, 144)] == [12, 48, 50, 50]
    assert HeadAblationEnv(source).budget == 12
    large = TableEpisodes([make_table("ioi", heads=60)], make_table("control", heads=60))
    assert HeadAblationEnv(large).budget == HeadAblationVectorEnv(large, 2).budget == 50


def test_a_signal_names_a_task_or_none() -> None:
    assert signal_of(("a", "b"), "b").tolist() == [0, 1]
    assert signal_of(("a", "b")).tolist() == [0, 0]
    with pytest.raises(ValueError, match="not 'c'"):
        signal_of(("a", "b"), "c")


def test_state_restores_exactly(source: TableEpisodes) -> None:
    one, two = (HeadAblationVectorEnv(source, 2, budget=3), HeadAblationVectorEnv(source, 2, budget=3))
    one.reset(seed=0)
    one.step(np.array([1, 2]))
    two.restore(one.state())
    for actions in ([3, 4], [5, 6], [7, 8], [9, 0]):
        results = [env.step(np.array(actions)) for env in (one, two)]
        assert (results[0][0] == results[1][0]).all()
        assert (results[0][1] == results[1][1]).all()


def test_a_state_of_other_environments_changes_nothing(
    source: TableEpisodes, make_table: Callable[..., DamageTable]
) -> None:
    """Nor one of which a single row would fill them all."""
    env = HeadAblationVectorEnv(source, 2, budget=3)
    env.reset(seed=0)
    before = env.state()
    fewer = TableEpisodes([make_table("ioi", heads=5)], make_table("control", heads=5))
    states = [HeadAblationVectorEnv(source, count, 3).state() for count in (1, 3)]
    states += [HeadAblationVectorEnv(fewer, 2, 3).state(), before | {"tasks": ["ioi"]}, before | {"left": 4}]
    states += [before | {name: before[name][:1]} for name in ("rewards", "observation", "best")]
    for state in states:
        with pytest.raises(ValueError, match="of other environments"):
            env.restore(state)
        assert all(np.array_equal(value, before[name]) for name, value in env.state().items())


def test_bad_sizes_are_refused(source: TableEpisodes, make_table: Callable[..., DamageTable]) -> None:
    for budget in (0, 13):
        with pytest.raises(ValueError, match="budget must be between 1 and 12"):
            HeadAblationEnv(source, budget)
    with pytest.raises(ValueError, match="num_envs"):
        HeadAblationVectorEnv(source, 0, budget=2)
    for seeds in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="there must be 2 seeds, one per environment"):
            HeadAblationVectorEnv(source, 2, budget=2).reset(seed=seeds)
    with pytest.raises(ValueError, match="a table of one task at least"):
        TableEpisodes([], make_table("control"))
    with pytest.raises(ValueError, match="has 8 rows; an episode takes 32"):
        TableEpisodes([make_table("ioi", prompts=8)], make_table("control"))
    with pytest.raises(ValueError, match="differ in their number of heads"):
        TableEpisodes([make_table("ioi", heads=5)], make_table("control"))
    with pytest.raises(ValueError, match="a task has one table, and these are of ioi, ioi"):
        TableEpisodes([make_table("ioi"), make_table("ioi")], make_table("control"))


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("subject", {"name": "another", "convention": "folded"}),
        ("subject", {"name": "one", "convention": "raw"}),
        ("ablation", "mean"),
        ("part", "evaluation"),
        ("through", "everything"),
    ],
)
def test_tables_of_different_things_are_not_mixed(
    make_table: Callable[..., DamageTable], what: str, other: Any
) -> None:
    origin = {"subject": {"name": "one", "convention": "folded"}, "ablation": "zero", "part": "train"}
    tables = [replace(table := make_table(name), provenance=table.provenance | origin) for name in ("ioi", "control")]
    TableEpisodes(tables[:1], tables[1])
    for i in range(2):
        mixed = list(tables)
        mixed[i] = replace(tables[i], provenance=tables[i].provenance | {what: other})
        with pytest.raises(ValueError, match=f"^{what} of the ioi table is .*, and of the control table "):
            TableEpisodes(mixed[:1], mixed[1])
        with pytest.raises(ValueError, match=f"^{what} of the ioi table is .*, and of the control table "):
            PricedTables(mixed[0], mixed[1])
    estimates = [replace(table, provenance=table.provenance | {"through": "residual"}) for table in tables]
    PricedTables(tables[0], tables[1], {"gradient": (3, estimates[0], estimates[1])})
    for i in range(2):
        mixed = list(estimates)
        mixed[i] = replace(estimates[i], provenance=estimates[i].provenance | {what: other})
        with pytest.raises(
            ValueError,
            match=f"^{what} of the (ioi|control) table is .*, and of the (control table|estimates 'gradient') ",
        ):
            PricedTables(tables[0], tables[1], {"gradient": (3, mixed[0], mixed[1])})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["damage", "clean"])
def test_a_table_with_a_value_that_is_not_finite_is_named(
    make_table: Callable[..., DamageTable], what: str, value: float
) -> None:
    for i, name in enumerate(("ioi", "control")):
        tables = [make_table("ioi"), make_table("control")]
        getattr(tables[i], what).view(-1)[7] = value
        with pytest.raises(ValueError, match=f"the {name} table has values that are not finite"):
            TableEpisodes(tables[:1], tables[1])
        with pytest.raises(ValueError, match=f"the {name} table has values that are not finite"):
            PricedTables(tables[0], tables[1])
        with pytest.raises(ValueError, match=f"the {name} table has values that are not finite"):
            PricedTables(make_table("ioi"), make_table("control"), {"gradient": (3, tables[0], tables[1])})


def test_an_episode_is_a_mean_of_rows(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi", prompts=32), make_table("control", prompts=32)
    episode = TableEpisodes([task], control, penalty=0.5).draw(np.random.default_rng(0))
    expected = task.damage.mean(0) - 0.5 * control.damage.mean(0)
    assert np.allclose(episode.rewards, expected.numpy(), atol=1e-6)
    assert (episode.task, episode.signal.tolist()) == ("ioi", [1.0])
    many, again = make_table("pronoun"), np.random.default_rng(7)
    episode = TableEpisodes([many], control).draw(np.random.default_rng(7))
    prompts, spans = (table.damage[again.choice(len(table), 32, replace=False)] for table in (many, control))
    assert np.allclose(episode.rewards, (prompts - spans).mean(0), atol=1e-6)


def test_live_rewards_equal_table_and_hooks(odd: Subject, tmp_path: Path) -> None:
    subject = odd
    tables = [build_table(subject, Recipe(task, 32, "train"), tmp_path) for task in (TASKS["ioi"], None)]
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 32, seed=1)
    spans = control_spans(subject.tokenizer, 32, 1, "train")
    live = LiveEpisodes(subject, [TASKS["ioi"]])
    rewards = live.rewards_of(TASKS["ioi"], prompts, spans)
    table = TableEpisodes(tables[:1], tables[1]).draw(np.random.default_rng(0)).rewards
    assert np.allclose(rewards, table, atol=1e-4)
    sets = [[], [4], [11]]
    task = np.concatenate([hooked_task(subject, g, TASKS["ioi"].metric, sets).numpy() for g in prompts]).mean(0)
    general = hooked_control(subject, spans, sets).numpy().mean(0)
    expected = (task[0] - task[1:]) - (general[1:] - general[0])
    assert np.allclose(rewards[[4, 11]], expected, atol=1e-4)


def test_live_episodes_of_nothing_are_refused(odd: Subject) -> None:
    task = TASKS["ioi"]
    for penalty in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="penalty must be finite"):
            LiveEpisodes(odd, [task], penalty=penalty)
    with pytest.raises(ValueError, match="batch must be at least 1, not 0"):
        LiveEpisodes(odd, [task], batch=0)
    with pytest.raises(ValueError, match="at least one: none"):
        LiveEpisodes(odd, [])
    with pytest.raises(ValueError, match="must be different, and at least one: ioi, ioi"):
        LiveEpisodes(odd, [task, task])


def test_live_environment_draws_fresh_prompts(odd: Subject) -> None:
    live = LiveEpisodes(odd, [TASKS["ioi"], TASKS["agreement"]], batch=2, text="docstrings")
    env = HeadAblationEnv(live, budget=2)
    env.reset(seed=0)
    first = env.step(3)[1]
    env.reset(seed=0)
    assert env.step(3)[1] == first
    env.reset()
    assert env.step(3)[1] != first


def test_maskable_ppo_trains_unchanged(source: TableEpisodes) -> None:
    from sb3_contrib import MaskablePPO

    env = HeadAblationEnv(source, budget=6)
    model = MaskablePPO("MlpPolicy", env, n_steps=100, batch_size=50, n_epochs=1, seed=0)
    model.learn(500)
    assert model.num_timesteps == 500
    observation, info = env.reset(seed=1)
    tried = []
    for _ in range(6):
        action, _ = model.predict(observation, action_masks=info["action_mask"])
        tried.append(int(action))
        observation, _, _, _, info = env.step(int(action))
    assert len(set(tried)) == 6
