"""Many seeds side by side learn what each learns alone; training stops and goes on; policies are kept in files."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from circuitlib.ablation.tables import DamageTable
from circuitlib.manifest import StaleResult, manifest_path
from circuitlib.search.episodes import TableEpisodes
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import load_policy, rounded, save_policy
from circuitlib.search.ppo import PPOConfig, loss, train
from circuitlib.search.ppo_seeds import ActorCritics, Trainer, clip_gradients

SHORT = PPOConfig(
    total_timesteps=240, num_envs=4, num_steps=12, num_minibatches=4, update_epochs=2, hidden=16, budget=6
)


def same(left: dict[int, ActorCritic], right: dict[int, ActorCritic]) -> bool:
    """Whether all weights are, bit by bit."""
    return left.keys() == right.keys() and all(
        torch.equal(a, b)
        for seed in left
        for a, b in zip(left[seed].parameters(), right[seed].parameters(), strict=True)
    )


@pytest.mark.parametrize(("candidates", "budget"), [(1, 6), (3, 6), (5, 12)])
def test_the_fast_twin_learns_what_the_plain_one_learns(source: TableEpisodes, candidates: int, budget: int) -> None:
    """Weights, what is found, and diagnostics; the last case runs out of untried heads."""
    config = replace(SHORT, candidates=candidates, budget=budget)
    trainer = Trainer(source, config, [0, 7, 3])
    fast = trainer.train()
    for seed, network in fast.items():
        plain, history = train(source, config, seed)
        assert isinstance(plain, ActorCritic)
        for a, b in zip(network.parameters(), plain.parameters(), strict=True):
            assert_close(a, b, atol=1e-5, rtol=0)
        mine = [row for row in trainer.history if row["seed"] == seed]
        assert len(mine) == len(history) > 0
        for row, other in zip(mine, history, strict=True):
            assert row.pop("task") == other.pop("task")
            assert row == pytest.approx(other, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("setting", [field.name for field in fields(PPOConfig) if isinstance(field.default, float)])
def test_every_setting_may_be_as_small_as_is_accepted(source: TableEpisodes, setting: str) -> None:
    """Both twins learn the same from it, and weights stay numbers."""
    config = replace(SHORT, **{setting: 1e-12 if setting == "adam_eps" else 0.0})  # type: ignore[arg-type]
    trainer = Trainer(source, config, [0])
    fast, (plain, history) = trainer.train()[0], train(source, config, 0)
    for a, b in zip(fast.parameters(), plain.parameters(), strict=True):
        assert a.isfinite().all()
        assert_close(a, b, atol=1e-2 if setting == "adam_eps" else 1e-5, rtol=0)
    for row, other in zip(trainer.history, history, strict=True):
        assert row["value_loss"] == pytest.approx(other["value_loss"], rel=1e-2 if setting == "adam_eps" else 1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_gradients_by_hand_are_autograds(scale: float) -> None:
    """On batches where ratios are within and beyond the clipping range, and heads are masked."""
    g = torch.Generator().manual_seed(0)
    config = replace(SHORT, ent_coef=0.3, clip_coef=0.1)
    networks = [ActorCritic(2, 12, 16, seed) for seed in (0, 1)]
    for parameter in (p for network in networks for p in network.parameters()):
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=g)
    tried = torch.rand(2, 9, 12, generator=g) < 0.4
    tried[..., 0] = False
    x = torch.cat([torch.ones(2, 9, 2), tried.float(), torch.randn(2, 9, 12, generator=g)], -1)
    head = (torch.rand(2, 9, 12, generator=g) - tried.float()).argmax(-1)
    answers = [network(some) for network, some in zip(networks, x, strict=True)]
    log_probs, values = (torch.stack(some).detach() for some in zip(*answers, strict=True))
    noise, gain, error = torch.randn(3, 2, 9, generator=g)
    batch = {
        "observation": x,
        "head": head,
        "log_prob": log_probs.gather(-1, head[..., None])[..., 0] + scale * noise,
        "gain": gain,
        "return": values + error,
    }
    assert (scale * noise > np.log(1.1)).any() == (scale == 1.0)
    together = ActorCritics(networks)
    with torch.no_grad():
        together.parameters.grad = together.parameters.grad.fill_(torch.nan)  # type: ignore[union-attr]
        together.backward(batch, config)
        # Its gradients, read as if they were the weights, in the layout of the plain networks.
        together.parameters.data.copy_(together.parameters.grad)
    for i, (network, gradients) in enumerate(zip(networks, together.networks(), strict=True)):
        objective, _ = loss(network, {name: x[i] for name, x in batch.items()}, config)
        objective.backward()
        for parameter, gradient in zip(network.parameters(), gradients.parameters(), strict=True):
            assert parameter.grad is not None
            assert_close(gradient.data, parameter.grad, rtol=1e-4, atol=1e-6)


def test_networks_side_by_side_are_the_networks() -> None:
    networks = [ActorCritic(2, 12, 16, seed) for seed in (0, 1)]
    together = ActorCritics(networks)
    x = torch.rand(2, 5, 26).round()
    _, _, logits, values = together.activations(x.clone())
    for i, (network, copy) in enumerate(zip(networks, together.networks(), strict=True)):
        assert same({0: network}, {0: copy})
        log_probs, value = network(x[i])
        assert_close(logits[i].log_softmax(-1), log_probs.detach())
        assert_close(values[i], value.detach())


def test_gradients_are_clipped_seed_by_seed() -> None:
    gradients = torch.cat([torch.full((2, 12), 1.0), torch.full((2, 4), 2.0)], 1)
    gradients[1] *= 0.01
    clip_gradients(gradients, 0.5)
    assert gradients[0].norm().item() == pytest.approx(0.5, rel=1e-4)
    assert gradients[1].norm().item() == pytest.approx(0.01 * (12 + 16) ** 0.5, rel=1e-4)


def test_threads_do_not_change_what_is_learned(source: TableEpisodes) -> None:
    cores = torch.get_num_threads()
    learned = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            trainer = Trainer(source, SHORT, range(6))
            assert [learner.seeds for learner in trainer.learners] == [[0, 1, 2], [3, 4, 5]]
            learned.append(trainer.train())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(cores)
    assert same(*learned)


def test_same_seed_same_weights(source: TableEpisodes) -> None:
    first, again = (Trainer(source, SHORT, [3]).train() for _ in range(2))
    assert same(first, again)


@pytest.mark.parametrize("candidates", [1, 3])
def test_resumed_training_is_uninterrupted_training(source: TableEpisodes, tmp_path: Path, candidates: int) -> None:
    config = replace(SHORT, candidates=candidates, num_steps=8)
    whole = Trainer(source, config, range(6))
    whole.train()
    checkpoint = tmp_path / "ppo.safetensors"
    stopped = Trainer(source, config, range(6))
    stopped.train(checkpoint, every=1, stop=lambda: stopped.done == 3)
    resumed = Trainer(source, config, range(6))
    networks = resumed.train(checkpoint)
    assert resumed.done == config.updates == 7
    assert same(networks, whole.networks())
    assert resumed.history == whole.history
    with pytest.raises(ValueError, match="another configuration"):
        Trainer(source, config, [5]).restore(checkpoint)
    with pytest.raises(ValueError, match="another configuration"):
        Trainer(source, replace(config, gamma=0.9), range(6)).restore(checkpoint)


@pytest.mark.parametrize("which", ["tensors", "manifest"])
def test_a_corrupt_checkpoint_is_refused(source: TableEpisodes, tmp_path: Path, which: str) -> None:
    checkpoint = tmp_path / "ppo.safetensors"
    trainer = Trainer(source, SHORT, [0])
    trainer.train(checkpoint)
    path = checkpoint if which == "tensors" else manifest_path(checkpoint)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StaleResult, match="corrupt"):
        Trainer(source, SHORT, [0]).train(checkpoint)


def test_repeated_seeds_are_refused(source: TableEpisodes) -> None:
    for seeds in ([1, 1], []):
        with pytest.raises(ValueError, match="seeds must be different"):
            Trainer(source, SHORT, seeds)


def test_policies_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    networks = {seed: ActorCritic(2, 12, 16, seed) for seed in (11, 4)}
    before = networks[4].actor.weight.clone()
    save_policy(networks, path, {"made": "here"})
    again, provenance = load_policy(path, {"made": "here"})
    assert provenance == {"made": "here"}
    assert list(again) == [4, 11]
    assert same({seed: again[seed] for seed in networks}, rounded(networks))
    assert torch.equal(networks[4].actor.weight, before)
    x = torch.rand(3, 26).round()
    assert_close(again[11](x)[0], networks[11](x)[0], atol=1e-3, rtol=0)
    content = path.read_bytes()
    save_policy(networks, path, {"made": "here"})
    assert path.read_bytes() == content
    with pytest.raises(StaleResult, match="made is 'here', wanted 'there'"):
        load_policy(path, {"made": "there"})


def test_a_subject_of_48_heads(make_table: Callable[..., DamageTable]) -> None:
    small = TableEpisodes([make_table("ioi", heads=48)], make_table("control", heads=48))
    config = PPOConfig(total_timesteps=400, budget=48, candidates=5, hidden=16)
    trainer = Trainer(small, config, [0])
    trainer.train()
    assert [row["update"] for row in trainer.history] == [1]


def test_a_checkpoint_of_other_rewards_is_refused(make_table: Callable[..., DamageTable], tmp_path: Path) -> None:
    """Of the same tasks and heads: one damage is another one, or lambda is."""
    config = PPOConfig(total_timesteps=400, budget=5)
    tables = [make_table("ioi"), make_table("control")]
    Trainer(TableEpisodes(tables[:1], tables[1]), config, [0]).save(tmp_path / "c.safetensors")
    Trainer(TableEpisodes(tables[:1], tables[1]), config, [0]).restore(tmp_path / "c.safetensors")
    for source in (TableEpisodes([make_table("ioi", seed=1)], tables[1]), TableEpisodes(tables[:1], tables[1], 0.5)):
        with pytest.raises(ValueError, match="or of other rewards"):
            Trainer(source, config, [0]).restore(tmp_path / "c.safetensors")


def test_a_seed_does_not_depend_on_how_many_are_beside_it(make_table: Callable[..., DamageTable]) -> None:
    """To the last bit, whatever its place: four of twenty trained anew can be compared with the twenty."""
    source = TableEpisodes([make_table("ioi")], make_table("control"))
    beside = {n: Trainer(source, SHORT, range(n)).train() for n in (1, 3, 4, 7)}
    for networks in beside.values():
        assert same(networks, {seed: beside[7][seed] for seed in networks})


class Blindfold(torch.nn.Module):
    """A policy's network behind zeros in place of rewards."""

    def __init__(self, network: ActorCritic) -> None:
        super().__init__()
        self.network = network

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = observations.clone()
        hidden[:, -self.network.heads :] = 0
        return self.network(hidden)


def test_a_policy_trained_blind_learns_what_one_behind_a_blindfold_does(source: TableEpisodes) -> None:
    """Not what one that sees learns; and a checkpoint knows which it is."""
    blind = Trainer(source, SHORT, [0], blind=True).train()[0]
    plain = ActorCritic(len(source.tasks), source.heads, SHORT.hidden, 0)
    train(source, SHORT, 0, Blindfold(plain))
    for a, b in zip(blind.parameters(), plain.parameters(), strict=True):
        assert_close(a, b, atol=1e-5, rtol=0)
    assert not same({0: blind}, Trainer(source, SHORT, [0]).train())
