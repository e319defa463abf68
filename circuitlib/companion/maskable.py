"""The reference that our PPO is measured against: sb3-contrib's ``MaskablePPO``, same network and settings."""

import numpy as np
import torch
import torch.nn as nn
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

from circuitlib.search.env import HeadAblationEnv
from circuitlib.search.episodes import EpisodeSource
from circuitlib.search.network import ActorCritic
from circuitlib.search.ppo import PPOConfig


class SharedTanh(BaseFeaturesExtractor):
    """Two tanh layers shared by actor and critic; initialised orthogonally by stable-baselines3."""

    def __init__(self, observation_space: spaces.Box, hidden: int) -> None:
        super().__init__(observation_space, hidden)
        size = observation_space.shape[0]
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Features ``[n, hidden]`` of observations ``[n, o]``."""
        return self.layers(observations)


class BestRewards(BaseCallback):
    """The largest reward of each episode and its task's index; a row of all environments per episode."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.one_hot = tasks
        self.best: list[np.ndarray] = []
        self.tasks: list[np.ndarray] = []
        self._running: np.ndarray | None = None

    def _on_step(self) -> bool:
        rewards = self.locals["rewards"]
        self._running = rewards if self._running is None else np.maximum(self._running, rewards)
        if self.locals["dones"].all():
            finals = np.stack([info["terminal_observation"] for info in self.locals["infos"]])
            self.best.append(self._running)
            self.tasks.append(finals[:, : self.one_hot].argmax(1))
            self._running = None
        return True


class InParts(MaskablePPO):
    """Its ``learn`` may be called for a part at a time: schedules run over ``steps`` in all."""

    steps: int

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        super()._update_current_progress_remaining(num_timesteps, self.steps)


class Maskable:
    """``MaskablePPO`` on one seed and so many of torch's threads, with the settings of ``config``, part by part
    (a :class:`circuitlib.workshop.benchmark.policies.Training`); its environments are stepped in this process, which is
    stable-baselines3's fastest way for steps this cheap."""

    seeds = 1

    def __init__(self, source: EpisodeSource, config: PPOConfig, threads: int, seed: int = 0) -> None:
        env = DummyVecEnv([lambda: HeadAblationEnv(source, config.budget)] * config.num_envs)
        first, last = config.learning_rate, config.learning_rate * config.lr_min_frac
        self.tasks, self.threads, self.bests = source.tasks, threads, BestRewards(len(source.tasks))
        self.steps_of_update = config.num_envs * config.num_steps
        self.model = InParts(
            "MlpPolicy",
            env,
            learning_rate=lambda remaining: last + (first - last) * remaining,
            n_steps=config.num_steps,
            batch_size=self.steps_of_update // config.num_minibatches,
            n_epochs=config.update_epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_coef,
            ent_coef=config.ent_coef,
            vf_coef=config.vf_coef / 2,  # stable-baselines3's squared error has no factor of a half
            max_grad_norm=config.max_grad_norm,
            policy_kwargs={
                "features_extractor_class": SharedTanh,
                "features_extractor_kwargs": {"hidden": config.hidden},
                "net_arch": [],
                "optimizer_kwargs": {"eps": config.adam_eps},
            },
            seed=seed,
            device="cpu",
        )
        self.model.steps = config.total_timesteps

    def advance(self, updates: int) -> None:
        steps = updates * self.steps_of_update - self.model.num_timesteps
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            self.model.learn(steps, callback=self.bests, reset_num_timesteps=False)
        finally:
            torch.set_num_threads(before)

    def network(self) -> ActorCritic:
        """What it has learned, as the network that our searchers play with: a copy."""
        policy, (observation,) = self.model.policy, self.model.observation_space.shape
        hidden_1, _, hidden_2, _ = policy.features_extractor.layers
        copy = ActorCritic(len(self.tasks), policy.action_net.out_features, hidden_1.out_features, 0)
        assert observation == copy.hidden_1.in_features
        layers = {"hidden_1": hidden_1, "hidden_2": hidden_2, "actor": policy.action_net, "critic": policy.value_net}
        for name, layer in layers.items():
            getattr(copy, name).load_state_dict(layer.state_dict())
        return copy

    def found(self) -> dict[str, float]:
        last = -(-len(self.bests.best) // 10)
        best, tasks = (np.stack(x[-last:]) for x in (self.bests.best, self.bests.tasks))
        return {task: float(best[tasks == i].mean()) for i, task in enumerate(self.tasks)}


def reference_policy(source: EpisodeSource, config: PPOConfig, seed: int) -> ActorCritic:
    """The policy that ``MaskablePPO`` learns, on one core."""
    reference = Maskable(source, config, 1, seed)
    reference.advance(config.updates)
    return reference.network()
