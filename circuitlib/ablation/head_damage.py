"""The damage of every attention head in one call, for readers who want the ablation and nothing else.

>>> from circuitlib import head_damage, plot_head_damage
>>> frame = head_damage("gpt2-mini", [("The cat sat on the", " mat", " dog")])  # doctest: +SKIP
>>> plot_head_damage(frame)  # doctest: +SKIP

What is heavy (torch, TransformerLens, matplotlib) is imported when a function is called.
"""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor
    from transformers import PreTrainedModel

    from circuitlib.ablation.engine import Ablation, AblationKind, Engine
    from circuitlib.subjects.load import Subject
    from circuitlib.subjects.types import Bridge, Tokenizer
    from circuitlib.tasks import Prompts

NO_PROMPTS = "there are no prompts; give at least one"

Triple = tuple[str, str, str]
"""A prompt's text, the right answer and the wrong one."""

AT_ONCE = 64
"""Prompts that are measured between two reports of progress."""

UNITS = {"damage": "logits", "general": "nats", "reward": "logits - nats"}
"""Of the columns that can be plotted. A reward takes nats from logits one for one, as MechRL does."""


def head_damage(
    model: Bridge | Subject | str | Path | tuple[PreTrainedModel, Tokenizer],
    prompts: Sequence[Triple] | Prompts | Sequence[Prompts],
    control: Sequence[str] | None = None,
    ablation: AblationKind | Ablation = "zero",
    bos: str = "default",
    top: int | None = None,
    confidence: float = 0.99,
    verify: int | None = None,
    progress: Callable[[int], object] = lambda texts: None,
) -> pd.DataFrame:
    """Ablate every attention head, one at a time, and say what each loss does to the prompts.

    model: a ``TransformerBridge`` in hand, in compatibility mode or not and on any device (it is not changed; see
    :func:`circuitlib.subjects.load.subject_of`), a :class:`circuitlib.subjects.load.Subject`, a name or a folder for
    :func:`circuitlib.subjects.load.load_subject`, or a Hugging Face model with its tokenizer, a pair, which is loaded from a copy on
    disk as a folder is. Architectures that the exact sweep does not know and bridges with
    hooks of your own run one hooked forward pass per head, after a warning (:func:`circuitlib.ablation.sweep.engine`).

    prompts: triples (text, right answer, wrong answer), the text without a BOS token, which is put first. Each answer
    must be one token, which for most tokenizers means a word *with* its leading space, and the text then ends without
    one (a text that ends in a space is measured as it is, after a warning). Or prompts that are tokenised already, two answers each.

    control: texts on which losing a head should do little, such as any prose; one passage per string.

    ablation: what takes a head's place, a kind or a :class:`circuitlib.ablation.engine.Ablation`. ``mean`` is the
    head's mean over the prompts themselves; ``resample`` needs a task's prompts, which have counterfactuals, and goes
    without ``control``, whose texts have none.

    Returns one row per head, in order (with ``top``, by damage): ``subject``, ``layer``, ``head``, ``name``
    (``L9.H6``), ``damage`` (mean over prompts of the clean logit difference, right minus wrong, less the ablated one;
    logits), ``standard_error`` (of that mean; missing for a single prompt); with ``control`` also ``general`` (rise of the mean next-token loss over all
    tokens of the texts, nats) and ``reward`` = damage - general (MechRL, arXiv:2605.26343v1, with its penalty of 1).

    bos: what prompts and texts begin with, a token or ``none``; by default the tokenizer's own BOS or, of a tokenizer
    that has none (Qwen2), the one that TransformerLens gives it when it loads the model: EOS. Any other special token
    that is spelled out in a text is that token.

    top: only so many heads, those of the largest damage, that first; for less work where there are many prompts,
    because a head is dropped as soon as it is clear that it is none of them (:mod:`circuitlib.ablation.top`). Their
    damages are those of all prompts, exactly; that they are the top has this ``confidence``, unless a head matters
    on very few prompts only.

    verify: attribution, then verify: one gradient estimates what every head does (:mod:`circuitlib.ablation.attribution`), and only so many are ablated, those of the largest
    estimate (of the reward, with ``control``); for the price of three heads and these, with ``resample`` of one more. ``estimate`` is then a column, the estimated damage; rows are by reward or,
    without ``control``, by damage. A head that the gradient ranks low is missed, however much it does: ``top`` misses none.

    progress: told of prompts and control texts that are done, some at a time; with ``top`` of all prompts at once.

    Raises ``TypeError`` and ``ValueError``, before anything is measured: for no prompts or no texts, an answer of
    several tokens, two answers that are one, a prompt or text longer than the context, one without a token or with a
    BOS of its own, token ids that the model does not have, an ablation that lacks what it needs, a ``top`` or a ``verify`` that is not between 1 and
    the number of heads, or both, a confidence that is not between 0 and 1, or a model of another kind. ``ValueError`` afterwards for scores that
    are not finite, and for such estimates; with ``verify`` also :class:`circuitlib.ablation.hooks.HookedBridge`, a ``ValueError``, for a bridge with hooks on its backward pass.
    """
    import pandas as pd
    import torch

    from circuitlib.ablation.engine import refuse_prompts, refuse_tokens
    from circuitlib.ablation.sweep import engine
    from circuitlib.ablation.tables import reward
    from circuitlib.ablation.top import refuse_top, top_heads
    from circuitlib.tasks.base import LOGIT_DIFFERENCE, Prompts

    prompts = [prompts] if isinstance(prompts, Prompts) else prompts
    _refuse_wrong_types(prompts, control)
    if {type(top), type(verify)} - {int, type(None)} or not isinstance(confidence, (int, float)):
        raise TypeError(
            f"top and verify must be whole numbers or None and confidence a number, not {top!r}, {verify!r} and {confidence!r}"
        )
    if top is not None and verify is not None:
        raise ValueError("top finds the heads that do most, and verify measures those of an estimate; leave one out")
    if bos != "default" and any(isinstance(some, Prompts) for some in prompts):
        raise ValueError("prompts that are tokenised already begin as they do; leave bos out")
    subject = _as_subject(model).with_bos(bos)
    if top is not None:
        refuse_top(top, subject.heads, confidence)
    if verify is not None and not 1 <= verify <= subject.heads:
        raise ValueError(f"verify must be between 1 and {subject.heads}, the heads of {subject.name}, not {verify}")
    groups = _as_prompts(subject.tokenizer, prompts)
    texts = [] if control is None else _as_tokens(subject.tokenizer, control)
    ablation = _as_ablation(ablation, groups, control)
    for group in groups:
        refuse_prompts(subject, group)
    for tokens in (*texts, *ablation.reference):
        refuse_tokens(subject, tokens)

    ablate, estimates = engine(subject, ablation), None
    if top is None:
        heads, parts = list(range(subject.heads)), []
        if verify is not None:
            estimates, order = _estimated(subject, ablation, groups, texts)
            heads = sorted(order[:verify])
        for some in (group[rows] for group in groups for rows in torch.arange(len(group)).split(AT_ONCE)):
            parts.append(ablate.task(some, LOGIT_DIFFERENCE, heads).damage)
            progress(len(some))
        damage = torch.cat(parts).double()
    else:
        found = top_heads(ablate, groups, LOGIT_DIFFERENCE, subject.heads, top, confidence)
        heads, damage = found.heads, found.damage
        progress(len(damage))
    if not damage.isfinite().all():
        raise ValueError(f"{subject.name} gives these prompts scores that are not finite, so no damage can be told")
    error = damage.std(0) / len(damage) ** 0.5 if len(damage) > 1 else damage[0] * torch.nan
    frame = pd.DataFrame(
        {
            "subject": subject.name,
            "layer": [head // subject.heads_per_layer for head in heads],
            "head": [head % subject.heads_per_layer for head in heads],
            "name": [subject.head_name(head) for head in heads],
            "damage": damage.mean(0).numpy(),
            "standard_error": error.numpy(),
        }
    )
    if estimates is not None:
        frame["estimate"] = estimates[heads].numpy()
    if control is not None:
        in_order = sorted(heads)
        frame["general"] = _general(ablate, texts, in_order, progress)[[in_order.index(head) for head in heads]].numpy()
        frame["reward"] = reward(frame["damage"].to_numpy(), frame["general"].to_numpy())
    by = "damage" if control is None else "reward"
    return frame if verify is None else frame.sort_values(by, ascending=False, ignore_index=True)


def _general(
    engine: Engine, texts: Sequence[Tensor], heads: Sequence[int], progress: Callable[[int], object]
) -> Tensor:
    """The rise of the mean next-token loss over all tokens of the texts, of some heads in their order, in nats."""
    import torch

    risen, predicted = torch.zeros(len(heads), dtype=torch.float64), 0
    for tokens in texts:
        each = tokens.shape[1] - 1
        risen += each * engine.control(tokens, heads=heads).damage.double().sum(0)
        predicted += each * len(tokens)
        progress(len(tokens))
    return risen / predicted


def _estimated(
    subject: Subject, ablation: Ablation, groups: Sequence[Prompts], texts: Sequence[Tensor]
) -> tuple[Tensor, list[int]]:
    """What the gradient says of every head's damage, and the heads in the order of what it says of their reward, or, without texts, of their damage."""
    import torch

    from circuitlib.ablation.attribution import Attribution
    from circuitlib.ablation.tables import reward
    from circuitlib.tasks.base import LOGIT_DIFFERENCE

    estimate, every = Attribution(subject, ablation), list(range(subject.heads))
    damage = torch.cat([estimate.task(group, LOGIT_DIFFERENCE).damage for group in groups]).double().mean(0)
    paid = reward(damage, _general(estimate, texts, every, lambda done: None)) if texts else damage
    if not paid.isfinite().all():
        raise ValueError(
            f"the gradient of {subject.name} on these prompts is not finite, so it tells no head to verify"
        )
    return damage, paid.argsort(descending=True, stable=True).tolist()


def plot_head_damage(frame: pd.DataFrame, column: str = "damage") -> Figure:
    """A heat map of :func:`head_damage`'s table, layers down and heads across, red where losing the head does harm.

    column: ``damage``, ``general`` or ``reward``. Raises ``TypeError`` for anything but a table, and ``ValueError`` when the table has
    no such column, lacks others, has a head twice or lacks one (as with ``top``), numbers that are not finite, or several subjects.
    """
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    import seaborn as sns

    if not isinstance(frame, pd.DataFrame) or not isinstance(column, str):
        raise TypeError(
            f"there must be head_damage's table and a column's name, not {type(frame).__name__} and {column!r}"
        )
    if column not in UNITS or column not in frame:
        there = ", ".join(name for name in UNITS if name in frame)
        raise ValueError(f"there is no {column!r} to plot; this table has {there or 'none of them'}")
    if missing := [name for name in ("subject", "layer", "head") if name not in frame]:
        raise ValueError(f"the table has no column {', '.join(missing)}; head_damage's has")
    names = frame["subject"].unique()
    if len(names) != 1:
        raise ValueError(f"one subject to a map, not {len(names)}: {', '.join(names)}")
    if frame.duplicated(["layer", "head"]).any() or not np.isfinite(frame[column].to_numpy(dtype=float)).all():
        raise ValueError(f"the table must have each head once, with a {column} that is finite")
    grid = frame.pivot(index="layer", columns="head", values=column)
    rows, columns = grid.shape
    if [*grid.index] != [*range(rows)] or [*grid.columns] != [*range(columns)] or grid.isna().any(axis=None):
        raise ValueError(
            "a map is of all heads, from L0.H0 on, and the table lacks some; take head_damage's table without top or verify"
        )
    limit = float(np.abs(grid.to_numpy()).max()) or 1.0
    figure, axis = plt.subplots(figsize=(2.2 + 0.3 * columns, 1.2 + 0.3 * rows), layout="constrained")
    bar = {"label": f"{column} ({UNITS[column]})"}
    sns.heatmap(grid, ax=axis, cmap="RdBu_r", vmin=-limit, vmax=limit, square=True, cbar_kws=bar)
    dash_below_zero(axis, grid.to_numpy() / limit, 0.5)
    axis.set(title=names[0], xlabel="head", ylabel="layer")
    axis.tick_params(axis="y", rotation=0)
    most = frame.nlargest(1, column).iloc[0]
    figure.set_label(
        f"The {column} of every head, layers down and heads across, red where losing the head does harm, dashed where its colour is visibly below zero. "
        f"Most: L{most['layer']}.H{most['head']}, {most[column]:.2f}."
    )
    return figure


def dash_below_zero(axis: Axes, shares: np.ndarray, middle: float = 0.0) -> None:
    """A dash in every cell of a map, ``[rows, columns]`` in shares of what its colours reach, that is visibly below zero: in grey its colour is that of one
    above. ``middle``: where the middle of the first cell is."""
    for colour, chosen in (("black", (shares < -0.15) & (shares >= -0.6)), ("white", shares < -0.6)):
        rows, columns = chosen.nonzero()
        axis.plot(columns + middle, rows + middle, ls="", marker="_", ms=3.5, mew=0.9, color=colour)


def _refuse_wrong_types(prompts: object, control: object) -> None:
    """What can be refused before a model is loaded."""
    from circuitlib.tasks.base import Prompts

    def is_list(value: object) -> TypeGuard[Sequence[object]]:
        return isinstance(value, Sequence) and not isinstance(value, str)

    if not is_list(prompts):
        raise TypeError(f"prompts must be a list of (text, right answer, wrong answer), not {type(prompts).__name__}")
    if not prompts:
        raise ValueError(NO_PROMPTS)
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, Prompts):
            if not (is_list(prompt) and len(prompt) == 3 and all(isinstance(part, str) for part in prompt)):
                raise TypeError(f"prompt {i} must be (text, right answer, wrong answer), three strings, not {prompt!r}")
            refuse_no_unicode(f"prompt {i}", *prompt)
    if control is not None:
        if not is_list(control):
            raise TypeError(f"control must be a list of texts, not {type(control).__name__}")
        if not control:
            raise ValueError("control has no texts; give at least one, or None")
        for i, text in enumerate(control):
            if not isinstance(text, str):
                raise TypeError(f"control text {i} must be a string, not {type(text).__name__}")
            refuse_no_unicode(f"control text {i}", text)


def refuse_no_unicode(what: str, *texts: Any) -> None:
    """Half of a surrogate pair, say, which Python's strings can hold and no tokenizer takes."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{what}: {text!r} is no text: {error.reason} at character {error.start}") from None


def _as_subject(model: Any) -> Subject:
    """Whatever :func:`head_damage` takes for a model."""
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from circuitlib.ablation.hooks import refuse_hooked_model
    from circuitlib.subjects.load import Subject, load_subject, subject_of

    if isinstance(model, Subject):
        return model
    if isinstance(model, (str, Path)):
        return load_subject(str(model))
    if isinstance(model, tuple) and len(model) == 2:
        weights, tokenizer = model
        if isinstance(weights, PreTrainedModel) and isinstance(tokenizer, PreTrainedTokenizerBase):
            refuse_hooked_model(weights)
            with tempfile.TemporaryDirectory() as folder:
                name = Path(weights.config.name_or_path).name or str(weights.config.model_type)
                for part in model:
                    part.save_pretrained(Path(folder) / name)
                return load_subject(str(Path(folder) / name))
    if hasattr(model, "W_E") and hasattr(model, "original_model"):
        return subject_of(model)
    raise TypeError(
        "model must be a name or folder, a TransformerBridge, a Subject, or a Hugging Face model with its tokenizer, "
        f"(model, tokenizer), not {type(model).__name__}"
    )


def _as_prompts(tokenizer: Tokenizer, prompts: Sequence[Triple | Prompts]) -> list[Prompts]:
    """Prompts grouped by length, two different answers each."""
    from circuitlib.subjects.beginning import beginning
    from circuitlib.tasks.base import Example, Prompts, encode_texts, tokenise

    groups = [prompt for prompt in prompts if isinstance(prompt, Prompts) and len(prompt)]
    triples = [prompt for prompt in prompts if not isinstance(prompt, Prompts)]
    if spaced := [text for text, _, _ in triples if text.endswith(" ")]:
        warnings.warn(
            f"{len(spaced)} of {len(triples)} prompts end in a space, the first {spaced[0]!r}; most tokenizers put a space at "
            "the beginning of the answer, and after one of its own a model expects no word",
            stacklevel=3,
        )
    if triples:
        texts = [] if beginning(tokenizer) else [text for text, _, _ in triples]
        for text in texts:
            if not encode_texts(tokenizer, [text])[0]:
                raise ValueError(f"the prompt {text!r} has no token, and bos puts none first")
        examples = [Example(text, right, [right, wrong], [1.0, -1.0], {}) for text, right, wrong in triples]
        groups += tokenise("prompts", tokenizer, examples)
    if not groups:
        raise ValueError(NO_PROMPTS)
    for group in groups:
        if not group.tokens.shape[1]:
            raise ValueError(f"the {group.task} prompts have no tokens")
        if group.signs.shape[1] != 2 or (group.signs != group.signs.new_tensor([1, -1])).any():
            raise ValueError(
                f"the {group.task} prompts do not have one right and one wrong answer each; for another "
                "metric use circuitlib.ablation.sweep.engine(subject).task(prompts, metric)"
            )
        if same := (group.right == group.wrong).nonzero().flatten().tolist():
            raise ValueError(
                f"the right and the wrong answer of {group.text[same[0]]!r} are the same token, so their logits never differ"
            )
    return groups


def _as_ablation(ablation: AblationKind | Ablation, groups: Sequence[Prompts], control: object) -> Ablation:
    """Of a word, with the prompts as the reference of a mean; refused where values to put in are missing."""
    from circuitlib.ablation.engine import Ablation

    if not isinstance(ablation, Ablation):
        reference = [group.tokens for group in groups] if ablation == "mean" else []
        ablation = Ablation(ablation, reference)
    for group in groups:
        ablation.other(group.tokens, group.counterfactual)
    if ablation.kind == "resample" and control is not None:
        raise ValueError(
            "a resample ablation has no counterfactuals of the control texts; leave control out, or use "
            "circuitlib.ablation.sweep.engine(subject, ablation).control(spans, counterfactual)"
        )
    return ablation


def _as_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tensor]:
    """Token ids ``[texts, pos]``, BOS first, one tensor per length, shortest first."""
    import torch

    from circuitlib.tasks.base import encode_texts

    by_length: dict[int, list[list[int]]] = defaultdict(list)
    for i, ids in enumerate(encode_texts(tokenizer, texts)):
        if len(ids) < 2:
            raise ValueError(f"control text {i} is empty, so there is no token to predict")
        by_length[len(ids)].append(ids)
    return [torch.tensor(rows) for _, rows in sorted(by_length.items())]
