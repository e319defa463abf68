"""A decoder's forward pass in pieces, so that it can start in the middle.

The weights are those of a ``TransformerBridge``, in whatever state it is (compatibility mode or not), so that what is
computed here is what its hooks would see. One description serves four families:

========  =========  ==================  ==========  =============
family    norm       positions           MLP         heads and MLP
========  =========  ==================  ==========  =============
GPT-2     LayerNorm  learned             plain       in turn
GPT-NeoX  LayerNorm  rotary, in part     plain       in parallel
Llama     RMSNorm    rotary              gated       in turn
Qwen2     RMSNorm    rotary              gated       in turn
========  =========  ==================  ==========  =============

Keys and values may be shared by groups of heads (grouped-query attention). A variant that this description does
not cover is refused, not mistaken: by what its configuration says (:mod:`circuitlib.ablation.variants`), and by
comparing log-probabilities with the bridge's, once when the decoder is made and once for each call of a sweep.

Shapes: n sequences, pos positions, query either pos or 1 (only the last position).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuitlib.ablation.edits import EDITED, Weights
from circuitlib.ablation.hooks import HookedBridge, hooks_of_users, run
from circuitlib.ablation.onednn import ACTIVATIONS, Linear
from circuitlib.ablation.variants import not_done
from circuitlib.subjects.types import Bridge

FAMILIES = ("GPT2LMHeadModel", "GPTNeoXForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM")

PROBE = 64
"""Length of the random sequence on which a new decoder is compared with its bridge."""

PROBE_UNITS = 128
"""Largest difference of their log-probabilities that goes without a second look, as a share of the largest in units of rounding:
1.5e-5 in float32."""

VOCABULARY = {"cpu": 1024, "cuda": 1 << 15}
"""Tokens whose logits are held at once where only the sum of their exponentials is wanted: on a processor, so few that
they stay in its cache."""

AMPLIFIED = 64
"""How many times as far the two may be apart by rounding as the bridge is from itself in double precision. Products that add in
another order are up to twelve times as far (SmolLM2 and sharp attention, random tokens, a processor with AVX-512); a unit of
TF32 is 8192 of float32's, and one of bfloat16 65536."""

BOUNDED = 1e-2
"""Largest difference that rounding is believed to explain, as a share of the largest log-probability, however much a model amplifies it."""

Norm = tuple[Tensor, Tensor | None]
"""A norm's gain and bias, ``[d_model]``."""


class UnknownArchitecture(ValueError):
    """The sweep does not know this architecture, or this variant of it; the message says which."""


@dataclass(frozen=True)
class Block:
    """One block's norms and products. ``by_head`` is the output projection, head by head."""

    norm_heads: Norm
    query: Linear
    key_value: Linear
    output: Linear
    by_head: Float[Tensor, "head d_head d_model"]
    norm_mlp: Norm
    gate: Linear | None
    mlp_in: Linear
    mlp_out: Linear


class Decoder:
    """A forward pass that can start after any block's heads.

    matmul: the type in which weights are kept and matrices multiplied; the residual stream, norms and
    attention stay in the bridge's. Anything narrower than the bridge's is inexact. probe: whether to compare it with its
    bridge at once.

    Raises :class:`UnknownArchitecture` when the bridge is not of a family above, is configured to do something
    that the decoder does not, or does not compute the same, and :class:`HookedBridge` when it has hooks.
    """

    def __init__(self, bridge: Bridge, matmul: torch.dtype | None = None, probe: bool = True) -> None:
        cfg = bridge.cfg
        # A GPT-2 of TransformerLens' own configuration says so in one field, a Hugging Face one in the other.
        family = {cfg.architecture, cfg.original_architecture}.intersection(FAMILIES)
        if not family or cfg.act_fn not in ACTIVATIONS:
            raise UnknownArchitecture(
                f"the sweep runs {', '.join(FAMILIES)}, and this is {cfg.architecture} with {cfg.act_fn}"
            )
        if settings := not_done(bridge.original_model.config):
            raise UnknownArchitecture(f"this {cfg.architecture} has {', '.join(settings)}, which the sweep does not do")
        self.heads, self.d_head, self.eps = int(cfg.n_heads), int(cfg.d_head), float(cfg.eps)
        self.key_heads = int(cfg.n_key_value_heads or cfg.n_heads)
        self.parallel, self.gated = bool(cfg.parallel_attn_mlp), bool(cfg.gated_mlp)
        self.rms = cfg.normalization_type.startswith("RMS")
        self.activation = str(cfg.act_fn)
        self.embedding: Float[Tensor, "vocab d_model"] = bridge.W_E
        self.learned_positions: Tensor | None = bridge.W_pos if cfg.positional_embedding_type == "standard" else None
        self.bridge = bridge
        self.matmul = matmul or self.embedding.dtype
        self.norm_final = _norm(bridge.ln_final)
        bias = bridge.b_U if bridge.b_U is not None and bridge.b_U.any() else None
        self.unembedding = (bridge.W_U.T.to(self.matmul), None if bias is None else bias.to(self.matmul))
        parts = [() if x is None else x.split(VOCABULARY[self.device.type]) for x in self.unembedding]
        self._unembed = [Linear(weight, bias, self.matmul) for weight, bias in zip_longest(*parts)]
        self.blocks = [self._block(block) for block in bridge.blocks]
        self._rotations: dict[int, tuple[Tensor, Tensor]] = {}
        self._weights = Weights(bridge)
        self._compared = 0
        if probe:
            shape, generator = (1, min(PROBE, int(cfg.n_ctx))), torch.Generator().manual_seed(0)
            self.compare(torch.randint(len(self.embedding), shape, generator=generator))

    def _block(self, block: Any) -> Block:
        attn, mlp = block.attn, block.mlp

        def linear(weights: Sequence[Tensor], biases: Sequence[Tensor | None], activation: str | None = None) -> Linear:
            kept = [bias.flatten() for bias in biases if bias is not None]
            return Linear(torch.cat(list(weights)), torch.cat(kept) if kept else None, self.matmul, activation)

        q, k, v = (w.transpose(1, 2).flatten(0, 1) for w in (attn.W_Q, attn.W_K, attn.W_V))
        return Block(
            norm_heads=_norm(block.ln1),
            query=linear([q], [attn.b_Q]),
            key_value=linear([k, v], [attn.b_K, attn.b_V]),
            output=linear([attn.W_O.flatten(0, 1).T], [attn.b_O]),
            by_head=attn.W_O.to(self.matmul).to(attn.W_O.dtype),
            norm_mlp=_norm(block.ln2),
            gate=linear([mlp.W_gate.T], [mlp.b_gate], self.activation) if self.gated else None,
            mlp_in=linear([mlp.W_in.T], [mlp.b_in], None if self.gated else self.activation),
            mlp_out=linear([mlp.W_out.T], [mlp.b_out]),
        )

    @torch.inference_mode()
    def compare(self, tokens: Int[Tensor, "n pos"]) -> None:
        """Compare the log-probabilities of these tokens with the bridge's.

        In a type narrower than float32 rounding would hide what is wrong, so copies in float32 are compared
        then; as they are large, only with tokens that are longer than any before. Some models amplify rounding on some
        prompts (SmolLM2 on one of twenty): there the two may differ by ``AMPLIFIED`` times as much as the bridge changes in double
        precision, if in double precision they differ by less than either of them changes; by no more than ``BOUNDED``, and only of a
        bridge that says the same again.

        Raises :class:`HookedBridge` when the bridge has hooks, and :class:`UnknownArchitecture` when the two differ
        by more than rounding explains, also because the bridge's weights are others than when the decoder was made.
        """
        if names := hooks_of_users(self.bridge):
            raise HookedBridge(
                f"the bridge has hooks ({', '.join(names)}), which the sweep does not run; remove them, or measure "
                "with them by circuitlib.ablation.hooks.Hooks"
            )
        if self._weights.edited():
            raise UnknownArchitecture(
                f"the weights of this {self.bridge.cfg.architecture} {EDITED} the sweep was made: make a new one"
            )
        narrow = _rounding(self.embedding.dtype) > _rounding(torch.float32)
        if narrow or _rounding(self.matmul) > _rounding(torch.float32):
            if tokens.shape[1] > self._compared:
                Decoder(in_type(self.bridge, torch.float32) if narrow else self.bridge).compare(tokens)
                self._compared = tokens.shape[1]
            return
        ours, theirs = self._log_probabilities(tokens)
        largest = theirs.abs().max()
        difference = (ours - theirs).abs().max() / largest
        if difference <= PROBE_UNITS * self._unit:
            return
        if not (self.matmul == torch.float32 and self._is_rounding(tokens, ours, theirs)):
            raise UnknownArchitecture(
                f"this {self.bridge.cfg.architecture} is a variant that the sweep does not know, or its weights {EDITED} the sweep was made: "
                f"on {tokens.shape[1]} tokens its log-probabilities differ by "
                f"{difference:.1e} of the largest"
            )

    @property
    def _unit(self) -> float:
        """A unit of rounding, relative. Transformers computes an RMSNorm in float32, whatever the model's type."""
        return _rounding(torch.float32 if self.rms else self.embedding.dtype)

    def _is_rounding(self, tokens: Int[Tensor, "n pos"], ours: Tensor, theirs: Tensor) -> bool:
        """Whether their difference vanishes, or nearly, in double precision, and is not more than rounding does to the bridge."""

        def apart(a: Tensor, b: Tensor) -> Tensor:
            return (a - b).abs().max()

        if apart(ours, theirs) > BOUNDED * theirs.abs().max():
            return False
        again = run(self.bridge, tokens.to(self.device)).log_softmax(-1)
        if apart(theirs, again) > PROBE_UNITS * self._unit * theirs.abs().max():
            return False  # it draws random numbers
        in_double = Decoder(in_type(self.bridge, torch.float64), probe=False)._log_probabilities(tokens)
        changed = apart(theirs, in_double[1])
        # Ours is not the measure of it: a copy of weights that have since been edited is further from the double than any rounding.
        as_far_as_rounding = apart(ours, theirs) <= AMPLIFIED * changed
        # Not to nothing: in double precision, too, transformers computes some of a Llama in float32, which is amplified as well.
        return bool(as_far_as_rounding and apart(*in_double) <= max(changed, apart(ours, in_double[0])))

    def _log_probabilities(self, tokens: Int[Tensor, "n pos"]) -> tuple[Tensor, Tensor]:
        """The decoder's and the bridge's, ``[n, pos, vocab]``."""
        tokens = tokens.to(self.device)
        ours = self.logits(self.through(0, self.embed(tokens), last_only=False))
        return ours.log_softmax(-1), run(self.bridge, tokens).log_softmax(-1)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    @cached_property
    def _rotary(self) -> torch.nn.Module:
        modules = self.bridge.original_model.modules()
        return next(module for module in modules if "inv_freq" in dict(module.named_buffers(recurse=False)))

    def _rotation(self, length: int) -> tuple[Tensor, Tensor]:
        if length not in self._rotations:
            positions = torch.arange(length, device=self.device)[None]
            cos, sin = self._rotary(self.embedding[:1, None], positions)
            self._rotations[length] = cos[:, None], sin[:, None]
        return self._rotations[length]

    def norm(self, x: Tensor, weights: Norm) -> Tensor:
        """LayerNorm or RMSNorm over the last dimension."""
        gain, bias = weights
        if self.rms:
            return F.rms_norm(x, gain.shape, gain, self.eps)
        return F.layer_norm(x, gain.shape, gain, bias, self.eps)

    def embed(self, tokens: Int[Tensor, "n pos"]) -> Float[Tensor, "n pos d_model"]:
        """The residual stream before the first block."""
        x = self.embedding[tokens]
        return x if self.learned_positions is None else x + self.learned_positions[: tokens.shape[1]]

    def attend(
        self, i: int, x: Float[Tensor, "n pos d_model"], last_only: bool
    ) -> Float[Tensor, "n query head d_head"]:
        """``hook_z`` of block i, at every position or only at the last."""
        block = self.blocks[i]
        normed = self.norm(x, block.norm_heads)
        q = block.query(normed[:, -1:] if last_only else normed)
        k, v = block.key_value(normed).chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (-1, self.d_head)).transpose(1, 2) for part in (q, k, v))
        if self.learned_positions is None:
            cos, sin = self._rotation(x.shape[1])
            q, k = (rotated(q, cos[:, :, -q.shape[2] :], sin[:, :, -q.shape[2] :]), rotated(k, cos, sin))
        if self.key_heads != self.heads:
            k, v = (part.repeat_interleave(self.heads // self.key_heads, 1) for part in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=not last_only).transpose(1, 2)

    def mlp(self, i: int, x: Tensor) -> Tensor:
        """What block i's MLP adds to the residual stream that it reads."""
        block = self.blocks[i]
        normed = self.norm(x, block.norm_mlp)
        hidden = block.mlp_in(normed)
        if block.gate is not None:
            hidden = block.gate(normed).mul_(hidden)
        return block.mlp_out(hidden)

    def after_heads(self, i: int, x: Tensor, z: Tensor) -> Tensor:
        """The residual stream once block i's heads have been added; in a parallel block, its MLP too."""
        x = x[:, -z.shape[1] :]
        mixed = x + self.blocks[i].output(z.flatten(-2))
        return mixed + self.mlp(i, x) if self.parallel else mixed

    def head_outputs(
        self, i: int, z: Float[Tensor, "n query head d_head"], heads: Sequence[int]
    ) -> Float[Tensor, "n some query d_model"]:
        """What some heads of block i add to the residual stream: ``z_h W_O,h``."""
        by_head = self.blocks[i].by_head
        if len(heads) < self.heads:
            z, by_head = z[:, :, heads], by_head[heads]
        return torch.einsum("nqhd,hdm->nhqm", z, by_head)

    def after_block(self, i: int, mixed: Tensor) -> Tensor:
        """The residual stream after block i, from that of :meth:`after_heads`."""
        return mixed if self.parallel else mixed + self.mlp(i, mixed)

    def logits(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n vocab"]:
        """All logits, after the final norm."""
        return torch.cat([part(x) for part in self._unembed], dim=-1)

    def log_sum_exp(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n"]:
        """The log of the summed exponentials of all logits, without ever holding them all."""
        wide = torch.promote_types(x.dtype, torch.float32)
        return torch.stack([part(x).to(wide).logsumexp(-1) for part in self._unembed], dim=-1).logsumexp(-1)

    def logits_of(self, x: Float[Tensor, "*#n d_model"], tokens: Int[Tensor, "*#n k"]) -> Float[Tensor, "*#n k"]:
        """The logits of some tokens, other ones each time. In float64: it costs next to nothing, and large logits
        round less."""
        weight, bias = self.unembedding
        logits = torch.einsum("...m,...km->...k", x.double(), weight[tokens].double())
        return logits if bias is None else logits + bias[tokens]

    def finish(self, i: int, mixed: Tensor, last_only: bool) -> Tensor:
        """From the residual stream after block i's heads to the final norm, ``[n, pos or 1, d_model]``."""
        return self.through(i + 1, self.after_block(i, mixed), last_only)

    def through(self, first: int, x: Tensor, last_only: bool) -> Tensor:
        """From the residual stream before a block to the final norm, ``[n, pos or 1, d_model]``."""
        for i in range(first, len(self.blocks)):
            z = self.attend(i, x, last_only and i == len(self.blocks) - 1)
            x = self.after_block(i, self.after_heads(i, x, z))
        return self.norm(x[:, -1:] if last_only else x, self.norm_final)


def rotated(x: Float[Tensor, "n head pos d_head"], cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864) on the first ``cos.shape[-1]`` dimensions, their two halves
    paired."""
    turned, kept = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], dim=-1)
    first, second = turned.chunk(2, dim=-1)
    return torch.cat([turned * cos + torch.cat([-second, first], -1) * sin, kept], dim=-1)


def in_type(bridge: Bridge, dtype: torch.dtype) -> Bridge:
    """A copy of a bridge with its weights in another type. The bridge is not changed, and must be kept as long as its copy is: hooks that
    TransformerLens copies refer to it."""
    wide: dict[int, Any] = {id(b): b.to(dtype) for b in bridge.buffers() if b.is_floating_point()}
    for weight in bridge.parameters():
        wide[id(weight)] = torch.nn.Parameter(weight.detach().to(dtype), requires_grad=False)
    # What is in the memo counts as copied already, so there is never a narrow copy beside the wide one.
    return copy.deepcopy(bridge, wide).to(dtype, print_details=False)


def _rounding(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def _norm(module: Any) -> Norm:
    return module.weight, getattr(module, "bias", None)
