"""What a prompt begins with: the BOS token, another one, or nothing. It is part of a subject, since it decides
much of what a model does: heads rest on the first token, and a model pretrained without BOS has none of its own.
"""

import copy

from circuitlib.subjects.types import Tokenizer

DEFAULT, NO_TOKEN = "default", "none"
"""In place of a token's name: the tokenizer's own BOS, and no token at all."""

_MARK = "prompts_begin_with_nothing"


def beginning_with(tokenizer: Tokenizer, bos: str) -> Tokenizer:
    """A tokenizer whose prompts begin with ``bos``, a token's name or ``none``; itself for ``default``.

    Raises ``ValueError`` when there is no such token.
    """
    if bos == DEFAULT:
        return tokenizer
    if bos != NO_TOKEN and bos not in tokenizer.get_vocab():
        raise ValueError(f"bos must be a token of the vocabulary, {DEFAULT!r} or {NO_TOKEN!r}, not {bos!r}")
    changed = copy.deepcopy(tokenizer)
    changed.bos_token = None if bos == NO_TOKEN else bos
    setattr(changed, _MARK, bos == NO_TOKEN)
    return changed


def beginning(tokenizer: Tokenizer) -> list[int]:
    """The token ids that every prompt begins with: BOS, or nothing where that was chosen.

    A tokenizer without BOS (Qwen2's) has EOS in its place once TransformerLens has loaded the model, as its own
    prompts do. Raises ``ValueError`` for one that has not been through that.
    """
    if getattr(tokenizer, _MARK, False):
        return []
    if tokenizer.bos_token_id is None:
        raise ValueError(
            "the tokenizer has no BOS token, which every prompt starts with; take a subject's tokenizer, "
            "or set tokenizer.bos_token = tokenizer.eos_token as TransformerLens does"
        )
    return [int(tokenizer.bos_token_id)]
