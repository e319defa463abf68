"""What an engine is asked and what it answers: what takes a head's place, and the scores without each head.

Ablating head (l, h) replaces its ``hook_z``, the attention-weighted values before the output projection, at
every position. There are two engines, one plain (:class:`circuitlib.ablation.hooks.Hooks`) and one fast
(:class:`circuitlib.ablation.sweep.Sweep`), which a test proves equal. Both run the subject's bridge as it is, so
the convention (:data:`circuitlib.subjects.card.Convention`) is the subject's. It matters for zero only: a mean or
a resampled value has the head's constant part, so that replacing a head by it is the same under both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.subjects.load import Subject
from circuitlib.tasks.base import Metric, Prompts

AblationKind = Literal["zero", "mean", "resample"]

Tokens = Int[Tensor, "batch pos"]
"""Token ids of sequences of one length, BOS first."""

Heads = Sequence[int] | None
"""Heads, numbered as actions are, in ascending order; all where it is None."""


@dataclass(frozen=True)
class Ablation:
    """What takes a head's place.

    kind: ``zero``, the paper's; ``mean``, the head's mean over all positions of a reference batch; ``resample``,
    the head's value at the same position of a counterfactual prompt, a prompt like it in which the answer is
    another one (causal scrubbing's and activation patching's choice).
    reference: token ids ``[n, pos]``, one tensor per length: the batch of a ``mean``, and of nothing else.

    Raises ``ValueError`` for another kind, a mean without reference, or a reference without mean.
    """

    kind: AblationKind = "zero"
    reference: Sequence[Int[Tensor, "_n _pos"]] = ()

    def __post_init__(self) -> None:
        if isinstance(self.reference, Tensor):
            raise TypeError("reference must be a list of tensors, one a length; put this one in a list")
        if self.kind not in get_args(AblationKind):
            raise ValueError(f"ablation must be one of {get_args(AblationKind)}, not {self.kind!r}")
        if (self.kind == "mean") != bool(self.reference):
            raise ValueError(
                f"ablation {self.kind!r} with {len(self.reference)} reference batches: the mean needs a "
                "reference batch, and nothing else does"
            )

    def other(self, tokens: Tokens, counterfactual: Tokens | None) -> Tokens | None:
        """The prompts that values are taken from, beside these: for a ``resample``, and None for the others.

        Raises ``ValueError`` when there are none, or they are not of the same shape.
        """
        if self.kind != "resample":
            return None
        if counterfactual is None:
            raise ValueError(
                "a resample ablation takes heads' values from counterfactual prompts, and these have none; "
                "take a task that writes them, or another ablation"
            )
        if counterfactual.shape != tokens.shape:
            raise ValueError(
                f"counterfactual prompts must be of the shape of the prompts, {tuple(tokens.shape)}, not "
                f"{tuple(counterfactual.shape)}"
            )
        return counterfactual


ZERO = Ablation()


def refuse_ids(subject: Subject, ids: Tensor) -> None:
    """Raise ``ValueError`` for what is no table of token ids that the model has."""
    vocabulary = len(subject.bridge.W_E)
    if ids.dim() != 2 or ids.is_floating_point():
        raise ValueError(f"token ids must be whole numbers [prompts, positions], not {ids.dtype} {list(ids.shape)}")
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        raise ValueError(
            f"token ids must be between 0 and {vocabulary - 1}, {subject.name}'s vocabulary, not {int(ids.min())} to "
            f"{int(ids.max())}"
        )


def refuse_tokens(subject: Subject, tokens: Tokens, least: int = 1) -> None:
    """Raise ``ValueError`` as :func:`refuse_ids` does, for no sequences, and for those shorter than ``least`` or longer than the context."""
    refuse_ids(subject, tokens)
    (count, length), context = tokens.shape, int(subject.bridge.cfg.n_ctx)
    if not count or not least <= length <= context:
        raise ValueError(
            f"{subject.name} takes sequences, one at least, of {least} to {context} tokens with BOS, not {count} of {length}"
        )


def refuse_prompts(subject: Subject, prompts: Prompts) -> None:
    """Raise ``ValueError`` as :func:`refuse_tokens` does, and for prompts that begin with BOS twice, as no task's do. (A control span may: where
    a paragraph begins, which is after BOS, a span may begin as well.)"""
    bos = subject.tokenizer.bos_token_id
    for tokens in (prompts.tokens, prompts.counterfactual):
        if tokens is not None:
            refuse_tokens(subject, tokens)
            if bos is not None and tokens.shape[1] > 1 and (tokens[:, :2] == bos).all(1).any():
                raise ValueError(
                    f"{prompts.task} prompts begin with the BOS token {subject.tokenizer.bos_token!r} twice, which no prompt that a "
                    "model has seen does; leave one out"
                )
    refuse_ids(subject, prompts.candidates)


@dataclass(frozen=True)
class Scores:
    """The score of each prompt, clean and with each head ablated.

    loss: whether the score is a loss, of which more is worse (the control text), or a metric (a task).
    """

    clean: Float[Tensor, " batch"]
    ablated: Float[Tensor, "batch heads"]
    loss: bool

    @property
    def damage(self) -> Float[Tensor, "batch heads"]:
        """What losing each head costs, positive where it does harm, in the score's unit: the one place that decides
        the sign."""
        lost = self.clean[:, None] - self.ablated
        return -lost if self.loss else lost

    @staticmethod
    def of_all(parts: Sequence["Scores"]) -> "Scores":
        """Those of several batches as one."""
        clean, ablated = zip(*((part.clean, part.ablated) for part in parts), strict=True)
        return Scores(torch.cat(clean), torch.cat(ablated), parts[0].loss)


@runtime_checkable
class Engine(Protocol):
    """Ablates every head of a subject, or some ``heads``, one at a time.

    Raises ``ValueError`` for heads that there are not, or are not in order, and as :func:`refuse_prompts` and :func:`refuse_tokens` do."""

    def task(self, prompts: Prompts, metric: Metric, heads: Heads = None) -> Scores:
        """The task metric of each prompt."""

    def control(self, spans: Tokens, counterfactual: Tokens | None = None, heads: Heads = None) -> Scores:
        """The mean next-token loss (nats) of each span; ``counterfactual`` spans for a resample ablation."""


def score_type(dtype: torch.dtype) -> torch.dtype:
    """Of the scores of a model of some type: single precision at least, since the steps of half a precision are as large as many damages."""
    return torch.promote_types(dtype, torch.float32)


def some_heads(heads: Heads, count: int) -> list[int]:
    """The heads that an engine is asked for; by default all ``count``. Raises ``ValueError`` as an engine does."""
    chosen = list(range(count) if heads is None else heads)
    if not chosen or chosen != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= count:
        raise ValueError(f"heads must be different numbers from 0 to {count - 1}, one at least, in order, not {chosen}")
    return chosen
