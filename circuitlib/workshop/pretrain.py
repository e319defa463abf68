"""How the embedded subject ``gpt2-mini`` was made: ``python -m circuitlib pretrain``.

A GPT-2 of 12 layers x 12 heads and width 192, small enough to live in the repository and good enough
to have the behaviours that the paper ablates. It is trained on four kinds of rows: prose from the
docstrings of installed packages, random words of which spans are repeated, and generated text for the
other five behaviours, from templates and word combinations that evaluation never uses.

Two things make it work at this size. Induction is learned first and on *short* rows: on 20 tokens the
jump comes within a few hundred steps, on 64 it does not come at all. And whole heads are dropped while
training, which spreads each behaviour over several heads, as in GPT-2.

The job is seeded, logged and resumable: every batch is a function of (seed, step). A GPU is used where there
is one.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from tqdm.auto import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from circuitlib.manifest import written_whole
from circuitlib.paths import CACHE, RUNS
from circuitlib.tasks import TASKS, words
from circuitlib.tasks.induction import whole_words
from circuitlib.tasks.prose import prose_paragraphs
from circuitlib.workshop.pretraining_text import EXAMPLES

log = logging.getLogger(__name__)


BOS = "<|endoftext|>"
VOCABULARY = 2048
WIDTH = 192
CONTEXT = 256
CHECKPOINT_EVERY = 100
EVALUATE_EVERY = 100

# GPT-2's pattern, but numbers are split in pairs of digits, so that 1732 is " 17" and "32".
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@dataclass(frozen=True)
class Phase:
    """A stretch of training: ``steps`` batches of ``rows`` x ``length`` tokens, drawn from the kinds
    of rows in ``shares`` (kind -> share), induction over the first ``vocabulary`` whole words, each
    head dropped with probability ``head_dropout`` in each row, but ``dropped_more`` (head -> its own
    probability): a head on which a whole task hangs, until others take a share. When the phase
    starts, each head of ``divide`` is divided with another (:func:`divide_head`)."""

    steps: int
    rows: int
    length: int
    shares: Mapping[str, float]
    vocabulary: int
    head_dropout: float
    dropped_more: Mapping[int, float] = field(default_factory=dict)
    divide: Mapping[int, int] = field(default_factory=dict)


KINDS = ("prose", "induction", "ioi", "docstring", "greater_than", "pronoun", "agreement")
FIRST_MIXTURE = dict(zip(KINDS, (0.40, 0.16, 0.14, 0.12, 0.06, 0.05, 0.07), strict=True))
SECOND_MIXTURE = dict(zip(KINDS, (0.34, 0.10, 0.09, 0.36, 0.05, 0.03, 0.03), strict=True))
"""Docstrings, the slowest to come, take the place of what is learned by then."""

THIRD_MIXTURE = dict(zip(KINDS, (0.40, 0.13, 0.17, 0.16, 0.05, 0.04, 0.05), strict=True))
PHASES = (
    Phase(500, 120, 20, {"induction": 1.0}, 256, 0.0),
    Phase(150, 96, 32, {"induction": 1.0}, 512, 0.0),
    Phase(850, 96, 64, FIRST_MIXTURE, 512, 0.1),
    Phase(600, 96, 64, SECOND_MIXTURE, 512, 0.1),
    Phase(500, 96, 64, THIRD_MIXTURE, 512, 0.25),
    Phase(400, 96, 64, THIRD_MIXTURE, 512, 0.05, {11: 0.7}),
    Phase(250, 96, 64, THIRD_MIXTURE, 512, 0.05),
    Phase(150, 96, 64, THIRD_MIXTURE, 512, 0.05, {}, {11: 6}),
)


def train_tokenizer(paragraphs: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE in which each word the tasks need is one token with its leading space.

    The words are made the most frequent of the training text, so their merges come first.
    """
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, by_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    needed = words.NAMES + words.PLACES + words.OBJECTS + words.ARGUMENTS + words.DESCRIPTIONS
    needed += words.EVENTS + words.SINGULARS + words.PLURALS + words.ADJECTIVES + words.CENTURIES
    needed += "he she is are was were the and to went gave near behind year because".split()  # noqa: SIM905
    needed += ["friend", '"""', ":"]
    without_space = [*words.YEARS, "def", "self", "param", "When", "After", "Then", "While"]
    without_space += ["The", "Today", "):", "\n   ", "\n\n   "]
    lines = [" " + word for word in needed] + without_space
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # In pieces, which the trainer takes one by one: each line 200,000 times in all.
    frequent = chain.from_iterable([[line, "x"] * 1000 for line in lines for _ in range(200)])
    tokenizer.train_from_iterator(chain(frequent, paragraphs), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS, unk_token=BOS, model_max_length=CONTEXT
    )


def encode_prose(tokenizer: PreTrainedTokenizerFast, paragraphs: list[str]) -> np.ndarray:
    """Paragraphs as one stream of token ids, each preceded by BOS."""
    encodings = tokenizer(paragraphs, add_special_tokens=False)["input_ids"]
    stream = chain.from_iterable([tokenizer.bos_token_id, *ids] for ids in encodings)
    return np.fromiter(stream, dtype=np.int16)


Drawn = tuple[np.ndarray, np.ndarray]
"""Tokens and loss weights, both ``[rows, length]``."""


@dataclass
class Rows:
    """Draws rows of tokens and the weight of each token in the loss, kind by kind."""

    tokenizer: PreTrainedTokenizerFast
    prose: np.ndarray

    def draw(self, kind: str, rows: int, length: int, vocabulary: int, rng: np.random.Generator) -> Drawn:
        """One kind's rows; induction over the first ``vocabulary`` whole words."""
        if kind == "prose":
            return self._prose(rows, length, rng)
        if kind == "induction":
            return self._repeats(rows, length, vocabulary, rng)
        return self._examples(kind, rows, length, rng)

    def _prose(self, rows: int, length: int, rng: np.random.Generator) -> Drawn:
        starts = rng.integers(len(self.prose) - length, size=rows)
        tokens = self.prose[starts[:, None] + np.arange(length)].astype(np.int64)
        tokens[:, 0] = self.tokenizer.bos_token_id
        return tokens, np.ones_like(tokens, dtype=np.float32)

    def _repeats(self, rows: int, length: int, vocabulary: int, rng: np.random.Generator) -> Drawn:
        """Distinct random words in which spans repeat at random lags; only what can be predicted,
        the second token of a repeat and those after it, counts."""
        spelled = ["Ġ" + word for word in whole_words(self.tokenizer)[:vocabulary]]
        ids = np.array(self.tokenizer.convert_tokens_to_ids(spelled))
        tokens = np.empty((rows, length), dtype=np.int64)
        weights = np.zeros((rows, length), dtype=np.float32)
        for row in range(rows):
            line = rng.permutation(ids)[:length]
            line[0] = self.tokenizer.bos_token_id
            at = fresh = int(rng.integers(3, length - 1))
            while at < length - 1:
                span = min(int(rng.integers(2, 9)), length - at, fresh - 1)
                source = int(rng.integers(1, fresh - span + 1))
                line[at : at + span] = line[source : source + span].copy()
                weights[row, at + 1 : at + span] = 1.0
                at += span + int(rng.integers(1, 6))
            tokens[row] = line
        return tokens, weights

    def _examples(self, kind: str, rows: int, length: int, rng: np.random.Generator) -> Drawn:
        """Examples one after another, each with its answer, which weighs most."""
        full_stop = self.tokenizer.convert_tokens_to_ids(".")
        examples, needed = [], rows * length
        while needed > 0:
            batch = [EXAMPLES[kind](self.tokenizer, rng) for _ in range(rows)]
            texts = self.tokenizer([e.text for e in batch], add_special_tokens=False)["input_ids"]
            answers = self.tokenizer([e.answer for e in batch], add_special_tokens=False)["input_ids"]
            for text, answer in zip(texts, answers, strict=True):
                examples.append([self.tokenizer.bos_token_id, *text, *answer, full_stop])
                needed -= min(length, len(examples[-1]))
        tokens = np.empty((rows, length), dtype=np.int64)
        weights = np.full((rows, length), 0.25, dtype=np.float32)
        queue = iter(examples)
        for row in range(rows):
            line, ends = list[int](), []
            while len(line) < length:
                line += next(queue, examples[int(rng.integers(len(examples)))])
                ends.append(len(line) - 2)
            tokens[row] = line[:length]
            weights[row, [end for end in ends if end < length]] = 2.0
        return tokens, weights

    def batch(self, phase: Phase, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One batch of a phase, tokens and weights ``[rows, length]``."""
        ends = np.floor(np.cumsum([phase.rows * share for share in phase.shares.values()]) + 1e-6).astype(int)
        counts = zip(phase.shares, np.diff(ends, prepend=0), strict=True)
        drawn = [self.draw(kind, int(n), phase.length, phase.vocabulary, rng) for kind, n in counts if n]
        tokens, weights = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return torch.from_numpy(tokens), torch.from_numpy(weights)


def new_model(seed: int, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """A random GPT-2 whose position embeddings start as sinusoids (Vaswani et al. 2017, arXiv 1706.03762, section 3.5),
    from which attention to the previous token is learned much sooner than from noise."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=12,
        n_head=12,
        **dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop"), 0.0),
        attn_implementation="eager",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPT2LMHeadModel(config)
    angles = torch.arange(CONTEXT)[:, None] / 10000 ** (torch.arange(WIDTH // 2) / (WIDTH // 2))
    with torch.no_grad():
        model.transformer.wte.weight.normal_(std=0.05)
        model.transformer.wpe.weight.copy_(0.07 * torch.cat([angles.sin(), angles.cos()], dim=1))
    return model


def drop_heads(
    model: GPT2LMHeadModel, probabilities: Float[Tensor, "layers heads"], generator: torch.Generator
) -> list[RemovableHandle]:
    """Hooks that zero each head, in each row, with its probability. What is kept is not scaled up: the
    model is to be used, and ablated, at this scale."""
    heads = model.config.n_head

    def hook(_module: torch.nn.Module, args: tuple[Tensor, ...], probability: Tensor) -> tuple[Tensor, ...]:
        z = args[0]
        keep = torch.rand(z.shape[0], 1, heads, 1, generator=generator) >= probability[:, None]
        return ((z.unflatten(-1, (heads, -1)) * keep.to(z.device, z.dtype)).flatten(-2),)

    return [
        block.attn.c_proj.register_forward_pre_hook(partial(hook, probability=probability))
        for block, probability in zip(model.transformer.h, probabilities, strict=True)
    ]


def drop_probabilities(phase: Phase, model: GPT2LMHeadModel) -> Float[Tensor, "layers heads"]:
    """The probability of each head of being dropped in a phase."""
    probabilities = torch.full((model.config.n_layer, model.config.n_head), phase.head_dropout)
    for head, probability in phase.dropped_more.items():
        probabilities.view(-1)[head] = probability
    return probabilities


@torch.no_grad()
def divide_head(model: GPT2LMHeadModel, head: int, other: int) -> None:
    """Let two heads of a layer do the work of one: ``other`` becomes a copy of ``head``, and both write
    half of what it wrote. Apart from the loss of what ``other`` did, the model's function stays the same
    (after Chen et al. 2016, Net2Net, arXiv 1511.05641, section 2.2)."""
    heads, width = model.config.n_head, model.config.n_embd
    layer, size = head // heads, width // heads
    if other // heads != layer:
        raise ValueError(f"heads {head} and {other} are not in the same layer")
    attention = model.transformer.h[layer].attn
    old, new = (slice(h % heads * size, (h % heads + 1) * size) for h in (head, other))
    for parameter in (attention.c_attn.weight, attention.c_attn.bias):
        for part in parameter.split(width, dim=-1):
            part[..., new] = part[..., old]
    attention.c_proj.weight[old] *= 0.5
    attention.c_proj.weight[new] = attention.c_proj.weight[old]


def optimizers(model: GPT2LMHeadModel) -> list[torch.optim.Optimizer]:
    """Muon on the hidden matrices, AdamW on embeddings, norms and biases."""
    hidden = {name: p for name, p in model.named_parameters() if name.startswith("transformer.h.") and p.ndim == 2}
    rest = [p for name, p in model.named_parameters() if name not in hidden]
    return [
        torch.optim.Muon(hidden.values(), lr=0.02, momentum=0.95),
        torch.optim.AdamW(rest, lr=5e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def learning_rate_factor(step: int, total: int) -> float:
    """Warm up over 50 steps, stay, and fall linearly to 2% over the last half."""
    return min(1.0, (step + 1) / 50, max(0.02, 2 * (1 - step / total)))


@torch.no_grad()
def measure(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, held_out: Tensor, prompts_per_task: int
) -> dict[str, float]:
    """Per task, mean metric and share of prompts answered right; next-token loss (nats) on prose."""
    measured = {}
    device = next(model.parameters()).device
    for name, task in TASKS.items():
        scores = []
        for prompts in task.prompts(tokenizer, prompts_per_task, seed=7):
            logits = model(prompts.tokens.to(device)).logits[:, -1].float().cpu()
            answers = logits.gather(1, prompts.candidates)
            scores.append(task.metric.function(answers, logits.logsumexp(-1), prompts.signs))
        score = torch.cat(scores)
        measured[name] = score.mean().item()
        measured[f"{name}_right"] = (score > 0).float().mean().item()
    logits = model(held_out.to(device)).logits[:, :-1].float()
    measured["prose_loss"] = F.cross_entropy(logits.flatten(0, 1), held_out[:, 1:].flatten().to(device)).item()
    return measured


def bigram_loss(train: np.ndarray, held_out: Tensor, vocabulary: int) -> float:
    """Next-token loss (nats) on ``held_out`` of the best interpolated bigram model of ``train``.

    p(b | a) = w count(ab) / count(a) + (1 - w) p(b), with one w, the best on the held-out text
    itself: a bar that is, if anything, too high. Unigram counts start at one.
    """
    pairs = np.bincount(train[:-1].astype(np.int64) * vocabulary + train[1:], minlength=vocabulary**2)
    counts = torch.from_numpy(pairs).view(vocabulary, vocabulary).double()
    unigram = counts.sum(0) + 1
    conditional = counts / counts.sum(1, keepdim=True).clamp(min=1)
    first, second = held_out[:, :-1].flatten(), held_out[:, 1:].flatten()
    both, alone = conditional[first, second], (unigram / unigram.sum())[second]
    return min(-(w * both + (1 - w) * alone).log().mean().item() for w in np.linspace(0.5, 0.99, 50))


def corpus_tokens(workdir: Path) -> tuple[PreTrainedTokenizerFast, np.ndarray, np.ndarray]:
    """The tokenizer and the training and held-out prose as token ids, made once and kept in ``workdir``."""
    if not (workdir / "held_out.npy").exists():
        workdir.mkdir(parents=True, exist_ok=True)
        log.info("reading the docstrings of the installed packages")
        train, held_out = prose_paragraphs("train"), prose_paragraphs("held_out")
        tokenizer = train_tokenizer(train)
        tokenizer.save_pretrained(workdir / "tokenizer")
        np.save(workdir / "train.npy", encode_prose(tokenizer, train))
        with written_whole(workdir / "held_out.npy") as temporary:  # the last: all is there where it is
            np.save(temporary, encode_prose(tokenizer, held_out))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(workdir / "tokenizer")
    return tokenizer, np.load(workdir / "train.npy"), np.load(workdir / "held_out.npy")


def held_out_spans(tokens: np.ndarray, bos: int, spans: int = 128, length: int = 60) -> Tensor:
    """Evenly spaced spans ``[spans, length]`` of held-out prose, BOS first."""
    starts = np.linspace(0, len(tokens) - length, spans).astype(int)
    rows = torch.from_numpy(tokens[starts[:, None] + np.arange(length)].astype(np.int64))
    rows[:, 0] = bos
    return rows


def save_subject(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """An ordinary Hugging Face directory, weights in float16 (half the size, and far inside its range)."""
    half = GPT2LMHeadModel(model.config).to(torch.float16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def train(seed: int, phases: tuple[Phase, ...], workdir: Path, directory: Path) -> None:
    """Train, or go on training, and write the subject into ``directory``, which is there once it is whole.

    Raises ``FileExistsError`` at once where it is there already.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} is there already; move it, or give another --directory")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, prose, held_out_prose = corpus_tokens(workdir)
    rows = Rows(tokenizer, prose)
    held_out = held_out_spans(held_out_prose, tokenizer.bos_token_id)
    bigram = bigram_loss(prose, held_out, len(tokenizer))
    model = new_model(seed, tokenizer).to(device)
    opts = optimizers(model)
    ends = np.cumsum([phase.steps for phase in phases])
    total = int(ends[-1])
    checkpoint = workdir / "checkpoint.pt"
    start, seconds = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        for opt, saved in zip(opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
        start, seconds = state["step"], state["seconds"]
        log.info("resuming at step %d of %d", start, total)
    base = [opt.param_groups[0].setdefault("initial_lr", opt.param_groups[0]["lr"]) for opt in opts]
    began = time.monotonic() - seconds
    for step in tqdm(range(start, total), initial=start, total=total, disable=None):
        phase = phases[int(np.searchsorted(ends, step, side="right"))]
        if step in (0, *ends):
            for head, other in phase.divide.items():
                divide_head(model, head, other)
        tokens, weights = rows.batch(phase, np.random.default_rng([seed, step]))
        tokens, weights = tokens.to(device), weights.to(device)[:, 1:]
        for opt, lr in zip(opts, base, strict=True):
            opt.param_groups[0]["lr"] = lr * learning_rate_factor(step, total)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        hooks = drop_heads(model, drop_probabilities(phase, model), generator) if phase.head_dropout else []
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(tokens).logits[:, :-1]
        for hook in hooks:
            hook.remove()
        losses = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
        loss = (losses * weights.flatten()).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        done = step + 1
        if done % EVALUATE_EVERY == 0 or done == total:
            line = {"step": done, "seconds": round(time.monotonic() - began), "loss": loss.item()}
            line |= {"bigram_loss": bigram} | measure(model, tokenizer, held_out, 128)
            with (workdir / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            log.info("%s", {key: round(value, 3) for key, value in line.items()})
        if done % CHECKPOINT_EVERY == 0 or done == total:
            state = {"model": model.state_dict(), "optimizers": [opt.state_dict() for opt in opts]}
            with written_whole(checkpoint) as temporary:
                torch.save(state | {"step": done, "seconds": time.monotonic() - began}, temporary)
    lines = pd.read_json(workdir / "log.jsonl", lines=True).drop_duplicates("step", keep="last")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as temporary:
        made = Path(temporary) / directory.name
        save_subject(model, tokenizer, made)
        lines.round(4).to_csv(made / "training_log.csv", index=False)
        made.rename(directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m circuitlib pretrain", description="Train the embedded subject, or go on training it."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workdir", type=Path, default=CACHE / "gpt2-mini", help="corpus, log and checkpoint")
    parser.add_argument("--directory", type=Path, default=RUNS / "gpt2-mini", help="new folder, where the subject goes")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    try:
        train(options.seed, PHASES, options.workdir, options.directory)
    except FileExistsError as error:
        parser.error(str(error))
    return 0
