"""Backup: do later heads write more of the answer once an earlier one is gone? Wang et al. 2022 (arXiv 2211.00593, section 3.4) and Rushing
and Nanda 2024 (arXiv 2402.15390) look at the *direct* effect, of which nothing is lost or made up for on the way."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from circuitlib.ablation.attribution import Attribution
from circuitlib.ablation.hooks import Hook, hook_z, hooked_at_once, hooked_scores, run
from circuitlib.subjects.load import Subject
from circuitlib.tasks import Prompts, Task

LAST_SCALE = "ln_final.hook_scale"

Row = tuple[str, int, float, float, float, float, float, int, float]


def measure_backup(subject: Subject, heads: Mapping[Task, Sequence[int]], count: int, seed: int) -> pd.DataFrame:
    """Each of each task's ``heads`` knocked out (zeros), on ``count`` prompts drawn with ``seed``.

    A direct effect is the slope of the score along what a head writes, through the residual stream alone
    (:class:`circuitlib.ablation.attribution.Attribution`), with the last norm's scale held at that of the intact model, so that nothing is
    counted that only the scale makes up for.

    Columns: task, head; direct (its direct effect) and damage (what is lost without it); later: how much more the heads of later layers write
    together, once it is gone, with its 95% interval over prompts, by Student's t (low, high); most, the later head that gains most on
    average, and gain; -1 and 0 where there is no later layer. In the task's unit."""

    def rows() -> Iterator[Row]:
        for task, these in heads.items():
            damages = hooked_scores(subject, task, count, seed, [(head,) for head in these]).damage.mean(0).tolist()
            groups = [
                some for group in task.prompts(subject.tokenizer, count, seed) for some in _pieces(subject, group)
            ]
            scales = [_last_scale(subject, group) for group in groups]
            usual = _direct(subject, task, groups, scales, None)
            for head, damage in zip(these, damages, strict=True):
                first = (head // subject.heads_per_layer + 1) * subject.heads_per_layer
                change = (_direct(subject, task, groups, scales, head) - usual)[:, first:]
                later, gains = change.sum(1), change.mean(0)
                most, gain = (first + int(gains.argmax()), float(gains.max())) if len(gains) else (-1, 0.0)
                direct, more = usual[:, head].mean().item(), later.mean().item()
                reach = stdtrit(len(later) - 1, 0.975) * float(later.std() / len(later) ** 0.5)
                yield task.name, head, direct, damage, more, more - reach, more + reach, most, gain

    columns = ["task", "head", "direct", "damage", "later", "low", "high", "most", "gain"]
    return pd.DataFrame(rows(), columns=columns)


def _pieces(subject: Subject, group: Prompts) -> list[Prompts]:
    """So many prompts as are in one pass."""
    return [group[rows] for rows in torch.arange(len(group)).split(hooked_at_once(subject))]


def _last_scale(subject: Subject, group: Prompts) -> Tensor:
    """What the last norm of the intact model divides by."""
    kept: list[Tensor] = []
    run(subject.bridge, group.tokens, [(LAST_SCALE, lambda scale, hook: kept.append(scale.clone()))])
    return kept[0]


def _direct(
    subject: Subject, task: Task, groups: Sequence[Prompts], scales: Sequence[Tensor], knocked: int | None
) -> Float[Tensor, "prompts heads"]:
    """Every head's direct effect on prompts, a pass for each group, without one of them."""
    attribution, found = Attribution(subject, through="residual"), []
    for group, scale in zip(groups, scales, strict=True):
        hooks: list[Hook] = [(LAST_SCALE, partial(_held, value=scale))]
        if knocked is not None:
            layer, column = divmod(knocked, subject.heads_per_layer)
            hooks.append((hook_z(layer), partial(_zeroed, column=column)))
        with subject.bridge.hooks(fwd_hooks=hooks), warnings.catch_warnings():
            # Without TransformerLens' word that a norm with a held scale is rounded otherwise.
            warnings.filterwarnings("ignore", "A forward hook edited hook_scale", UserWarning)
            found.append(attribution.task(group, task.metric).damage)
    return torch.cat(found).double()


def _held(scale: Tensor, hook: Any, value: Tensor) -> Tensor:
    return value.clone()  # a tensor made in inference mode cannot be kept for a backward pass


def _zeroed(z: Tensor, hook: Any, column: int) -> Tensor:
    z = z.clone()
    z[..., column, :] = 0.0
    return z
