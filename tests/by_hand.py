"""A transformer built by hand, whose induction circuit is known: a head that looks at the token before, and one that looks for it; and a
task of a user's own."""

from pathlib import Path

import torch
from numpy.random import Generator
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase

from circuitlib.tasks import Example, Task
from circuitlib.tasks.base import LOGIT_DIFFERENCE, fill, pick, single_token_words
from circuitlib.tasks.words import OBJECTS

TOKEN, PLACE, BEFORE, ANSWER, UNUSED = (slice(0, 64), slice(64, 128), slice(128, 192), slice(192, 256), slice(256, 320))
"""Parts of the residual stream: which token, where, which token before, which token next; and a part that nothing reads."""

WIDTH, HEADS, LAYERS, CONTEXT = 320, 5, 3, 96

PREVIOUS, INDUCTION = 1, 2 * HEADS - 2
"""The two heads of the circuit, numbered as actions are: in layer 0 and in layer 1."""


def induction_transformer(directory: Path, tokenizer: PreTrainedTokenizerBase, sharp: float) -> Path:
    """Save it: GPT-2's architecture with MLPs that do nothing, small random heads beside the two, and a third layer of them.

    sharp: the attention logit, about, of what the two heads look for.
    """
    generator = torch.Generator().manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.bos_token_id,
    )
    model = GPT2LMHeadModel(config)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for name in state:
        if ".ln_" in name and name.endswith("weight"):
            state[name] += 1
    words = torch.randn(len(tokenizer), 64, generator=generator)
    words = words / words.norm(dim=1, keepdim=True)
    # Places are angles at 32 speeds: turned by one step, a place is the place before.
    speeds = 2.5 ** -torch.arange(32).float().div(4)
    angles = torch.arange(CONTEXT)[:, None] * speeds
    places = torch.stack([angles.cos(), angles.sin()], 2).flatten(1) / 32**0.5
    turn = torch.block_diag(*(torch.tensor([[s.cos(), -s.sin()], [s.sin(), s.cos()]]) for s in speeds))
    state["transformer.wte.weight"][:, TOKEN] = words
    state["transformer.wpe.weight"][:, PLACE] = places
    state["lm_head.weight"][:, ANSWER] = words
    norm = WIDTH**0.5 / 2**0.5  # what layer norm makes of one part of two
    for layer in range(LAYERS):
        attention, output = (state[f"transformer.h.{layer}.attn.{name}.weight"] for name in ("c_attn", "c_proj"))
        attention += 0.02 * torch.randn(attention.shape, generator=generator)
        output += 0.002 * torch.randn(output.shape, generator=generator)
    for head, (queries, query), keys, writes in (
        (PREVIOUS, (PLACE, turn), PLACE, BEFORE),
        (INDUCTION, (TOKEN, torch.eye(64)), BEFORE, ANSWER),
    ):
        attention, output = (
            state[f"transformer.h.{head // HEADS}.attn.{name}.weight"] for name in ("c_attn", "c_proj")
        )
        columns = slice(64 * (head % HEADS), 64 * (head % HEADS) + 64)
        for part in range(3):
            attention[:, part * WIDTH :][:, columns] = 0
        attention[queries, :WIDTH][:, columns] = query * sharp * 8 / norm**2
        attention[keys, WIDTH : 2 * WIDTH][:, columns] = torch.eye(64)
        attention[TOKEN, 2 * WIDTH :][:, columns] = torch.eye(64) / norm
        output[columns] = 0
        output[columns, writes] = torch.eye(64)
    model.load_state_dict(state)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _example(tokenizer: PreTrainedTokenizerBase, rng: Generator) -> Example:
    things = single_token_words(tokenizer, OBJECTS)
    thing = pick(rng, things)
    other = pick(rng, [word for word in things if word != thing])
    text, roles = fill(pick(rng, ["Here is a{THING}, a", "Look at this{THING}, and this"]), {"THING": thing})
    return Example(text, " " + thing, [" " + thing, " " + other], [1.0, -1.0], roles)


OWN = Task("own", "Here is a ring, a -> ring", "this test", LOGIT_DIFFERENCE, _example)
"""No task of the library's; without counterfactuals."""
