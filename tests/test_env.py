"""The environment is the paper's, by Gymnasium's rules, alone and in step."""

import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from circuitlib.ablation.build import build_table
from circuitlib.ablation.hooks import hooked_control, hooked_task
from circuitlib.ablation.tables import DamageTable
from circuitlib.search.env import HeadAblationEnv, HeadAblationVectorEnv
from circuitlib.search.episodes import TableRewards
from circuitlib.search.live import LiveRewards
from circuitlib.subjects.load import load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import control_spans


def test_gymnasium_checker_has_nothing_to_say(source: TableRewards) -> None:
    env = gym.wrappers.TimeLimit(HeadAblationEnv(source, budget=5), 100).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_an_episode_by_hand(source: TableRewards) -> None:
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


def test_vector_agrees_with_single_environments(source: TableRewards) -> None:
    rng = np.random.default_rng(0)
    vector = HeadAblationVectorEnv(source, 3, budget=6)
    singles = [HeadAblationEnv(source, budget=6) for _ in range(3)]
    observations, _ = vector.reset(seed=11)
    assert (
        observations == np.stack([env.reset(seed=11 + i)[0] for i, env in enumerate(singles)])
    ).all()
    for _ in range(20):
        actions = rng.integers(12, size=3)
        measured = vector.measure(actions[:, None])[:, 0]
        observations, rewards, terminated, truncated, info = vector.step(actions)
        for i, env in enumerate(singles):
            fresh = env.action_masks()[actions[i]]
            observation, reward, ended, _, _ = env.step(int(actions[i]))
            if fresh:
                assert measured[i] == pytest.approx(reward)
            if ended:
                assert (info["final_obs"][i] == observation).all()
                observation, _ = env.reset()
            assert reward == pytest.approx(rewards[i])
            assert ended == terminated[i]
            assert (observation == observations[i]).all()
        assert not truncated.any()


def test_state_restores_exactly(source: TableRewards) -> None:
    one, two = (
        HeadAblationVectorEnv(source, 2, budget=3),
        HeadAblationVectorEnv(source, 2, budget=3),
    )
    one.reset(seed=0)
    one.step(np.array([1, 2]))
    two.restore(one.state())
    for actions in ([3, 4], [5, 6], [7, 8], [9, 0]):
        results = [env.step(np.array(actions)) for env in (one, two)]
        assert (results[0][0] == results[1][0]).all()
        assert (results[0][1] == results[1][1]).all()


def test_bad_sizes_are_refused(
    source: TableRewards, make_table: Callable[..., DamageTable]
) -> None:
    with pytest.raises(ValueError, match="budget must be between 1 and 12"):
        HeadAblationEnv(source, budget=13)
    with pytest.raises(ValueError, match="num_envs"):
        HeadAblationVectorEnv(source, 0, budget=2)
    with pytest.raises(ValueError, match="has 8 rows; an episode takes 32"):
        TableRewards([make_table("ioi", prompts=8)], make_table("control"))
    with pytest.raises(ValueError, match="differ in their number of heads"):
        TableRewards([make_table("ioi", heads=5)], make_table("control"))


def test_an_episode_is_a_mean_of_rows(make_table: Callable[..., DamageTable]) -> None:
    task, control = make_table("ioi", prompts=32), make_table("control", prompts=32)
    episode = TableRewards([task], control, penalty=0.5).draw(np.random.default_rng(0))
    expected = task.damage.mean(0) - 0.5 * control.damage.mean(0)
    assert np.allclose(episode.rewards, expected.numpy(), atol=1e-6)


def test_live_rewards_equal_table_and_hooks(checkpoint: Path, tmp_path: Path) -> None:
    subject = load_subject(str(checkpoint))
    tables = [build_table(subject, task, 32, "train", tmp_path) for task in ("ioi", "control")]
    prompts = TASKS["ioi"].prompts(subject.tokenizer, 32, seed=1)
    spans = control_spans(subject.tokenizer, 32, 1, "train")
    live = LiveRewards(subject, ["ioi"])
    rewards = live.rewards_of("ioi", prompts, spans)
    table = TableRewards(tables[:1], tables[1]).draw(np.random.default_rng(0)).rewards
    assert np.allclose(rewards, table, atol=1e-4)
    sets = [[], [4], [30]]
    task = np.concatenate(
        [hooked_task(subject, g, TASKS["ioi"].metric, sets).numpy() for g in prompts]
    ).mean(0)
    general = hooked_control(subject, spans, sets).numpy().mean(0)
    expected = (task[0] - task[1:]) - (general[1:] - general[0])
    assert np.allclose(rewards[[4, 30]], expected, atol=1e-4)


def test_live_environment_draws_fresh_prompts(checkpoint: Path) -> None:
    live = LiveRewards(
        load_subject(str(checkpoint)), ["ioi", "agreement"], batch=2, text="docstrings"
    )
    env = HeadAblationEnv(live, budget=2)
    env.reset(seed=0)
    first = env.step(3)[1]
    env.reset(seed=0)
    assert env.step(3)[1] == first
    env.reset()
    assert env.step(3)[1] != first


def test_maskable_ppo_trains_unchanged(source: TableRewards) -> None:
    from sb3_contrib import MaskablePPO

    env = HeadAblationEnv(source, budget=6)
    model = MaskablePPO("MlpPolicy", env, n_steps=250, batch_size=50, n_epochs=1, seed=0)
    model.learn(2000)
    assert model.num_timesteps == 2000
    observation, info = env.reset(seed=1)
    tried = []
    for _ in range(6):
        action, _ = model.predict(observation, action_masks=info["action_mask"])
        tried.append(int(action))
        observation, _, _, _, info = env.step(int(action))
    assert len(set(tried)) == 6
