"""Direct effects after a knock-out: by hand, from what the heads of an edited model write."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import t
from torch import Tensor

from circuitlib.ablation.hooks import Hooks, hook_z, hooks_of_users, run
from circuitlib.studies import backup
from circuitlib.studies.backup import LAST_SCALE, measure_backup
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS

COUNT, SEED = 6, 3
IOI = TASKS["ioi"]


def _written(subject: Subject, tokens: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """What each head adds to the residual stream at the last position, over the last norm's scale, and that scale. LayerNorm takes off
    a mean, RMSNorm does not."""
    kept: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: object, name: str) -> None:
        kept[name] = value[:, -1].clone()

    names = [*(hook_z(layer) for layer in range(subject.layers)), LAST_SCALE]
    run(subject.bridge, tokens, [(name, partial(keep, name=name)) for name in names])
    z = torch.stack([kept[name] for name in names[:-1]], 1)
    out = torch.einsum("nlhd,lhdm->nlhm", z, subject.bridge.W_O).flatten(1, 2)
    scale = kept[LAST_SCALE] if scale is None else scale
    mean = out.mean(-1, keepdim=True) if subject.bridge.cfg.normalization_type.startswith("LN") else 0.0
    return (out - mean) / scale[:, None], scale


@pytest.mark.parametrize(("made", "head"), [("checkpoint", 1), ("checkpoint", 7), ("llama_checkpoint", 3)])
def test_direct_effects_are_what_is_written_over_the_intact_scale(
    request: pytest.FixtureRequest, made: str, head: int
) -> None:
    """The knocked-out head has no output weights in a second, edited model."""
    checkpoint: Path = request.getfixturevalue(made)
    subject, edited = load_subject(str(checkpoint)), load_subject(str(checkpoint))
    layer, column = divmod(head, subject.heads_per_layer)
    with torch.no_grad():
        weights = edited.bridge.blocks[layer].attn.o.weight
        wide = edited.bridge.W_O[layer, column].shape[0]
        before = edited.bridge.W_O.clone()
        rows = slice(column * wide, (column + 1) * wide)
        # A Conv1D of GPT-2's has its inputs first, a Linear last.
        (weights[rows] if made == "checkpoint" else weights[:, rows]).zero_()
        assert edited.bridge.W_O[layer, column].abs().max() == 0
        assert (before != edited.bridge.W_O).any(-1).any(-1).sum() == 1
    later, direct = [], []
    for group in IOI.prompts(subject.tokenizer, COUNT, SEED):
        right, wrong = group.candidates.T
        assert (group.signs == torch.tensor([1.0, -1.0])).all()
        answer = subject.bridge.W_U[:, right] - subject.bridge.W_U[:, wrong]
        intact, scale = _written(subject, group.tokens, None)
        lost, _ = _written(edited, group.tokens, scale)
        usual, after = (torch.einsum("nhm,mn->nh", out, answer) for out in (intact, lost))
        direct.append(usual[:, head])
        later.append((after - usual)[:, (layer + 1) * subject.heads_per_layer :])
    change, own = torch.cat(later).detach().numpy(), torch.cat(direct).mean().item()
    (row,) = measure_backup(subject, {IOI: [head]}, COUNT, SEED).to_dict("records")
    assert row["direct"] == pytest.approx(own, abs=1e-4)
    total = change.sum(1)
    assert row["later"] == pytest.approx(total.mean(), abs=1e-4)
    ends = t.interval(0.95, COUNT - 1, total.mean(), total.std(ddof=1) / np.sqrt(COUNT))
    assert (row["low"], row["high"]) == pytest.approx(ends, abs=1e-3)
    assert row["most"] == (layer + 1) * subject.heads_per_layer + change.mean(0).argmax()
    assert row["gain"] == pytest.approx(change.mean(0).max(), abs=1e-4)
    damage = torch.cat(
        [Hooks(subject).task(group, IOI.metric, [head]).damage for group in IOI.prompts(subject.tokenizer, COUNT, SEED)]
    )
    assert row["damage"] == pytest.approx(damage.mean().item(), abs=1e-4)
    assert not hooks_of_users(subject.bridge)


def test_nothing_comes_after_the_last_layer(odd: Subject) -> None:
    (row,) = measure_backup(odd, {IOI: [odd.heads - 1]}, COUNT, SEED).to_dict("records")
    assert (row["later"], row["low"], row["high"], row["most"], row["gain"]) == (0.0, 0.0, 0.0, -1, 0.0)


def test_pieces_change_nothing(odd: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure_backup(odd, {IOI: [2, 8]}, COUNT, SEED)
    monkeypatch.setattr(backup, "hooked_at_once", lambda subject: 2)
    in_pieces = measure_backup(odd, {IOI: [2, 8]}, COUNT, SEED)
    assert in_pieces["most"].equals(whole["most"])
    assert np.allclose(in_pieces.drop(columns="task"), whole.drop(columns="task"), atol=1e-4)
