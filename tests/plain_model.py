"""Ablation without TransformerLens: a plain Hugging Face model, and a pre-hook on its output projections.

The input of block l's output projection (``c_proj``, ``dense`` or ``o_proj``) is what heads are: columns
h d_head to (h + 1) d_head are head h's attention-weighted values.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class PlainModel:
    """Heads of a model of one of the swept families, replaced.

    folded: whether a head is what varies with the input, so that zeroing it leaves its constant part,
    ``b_V,h + beta_ln1 W_V,h``.
    """

    def __init__(self, model: Any, folded: bool) -> None:
        self.model, config = model.eval(), model.config
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        if config.model_type == "gpt2":
            blocks = model.transformer.h
            self.projections = [block.attn.c_proj for block in blocks]
        elif config.model_type == "gpt_neox":
            blocks = model.gpt_neox.layers
            self.projections = [block.attention.dense for block in blocks]
        else:
            blocks = model.model.layers
            self.projections = [block.self_attn.o_proj for block in blocks]
        self.constants = [self._constant(block, config) if folded else torch.zeros(()) for block in blocks]

    def _constant(self, block: Any, config: Any) -> Tensor:
        if config.model_type == "gpt2":
            weight, bias = block.attn.c_attn.weight, block.attn.c_attn.bias
            width = config.n_embd
            return (bias[2 * width :] + block.ln_1.bias @ weight[:, 2 * width :]).detach()
        if config.model_type == "gpt_neox":
            joint = block.attention.query_key_value
            weight = joint.weight.unflatten(0, (self.heads, 3, -1))[:, 2]
            bias = joint.bias.unflatten(0, (self.heads, 3, -1))[:, 2]
            return (bias + weight @ block.input_layernorm.bias).flatten().detach()
        bias = block.self_attn.v_proj.bias
        if bias is None:
            return torch.zeros(())
        shared = bias.detach().unflatten(0, (config.num_key_value_heads, -1))
        return shared.repeat_interleave(self.heads // config.num_key_value_heads, 0).flatten()

    @torch.no_grad()
    def inputs(self, tokens: Tensor) -> list[Tensor]:
        """Of every output projection, ``[batch, pos, heads d_head]``."""
        kept: list[Tensor] = []
        handles = [
            projection.register_forward_pre_hook(lambda module, args: kept.append(args[0]))
            for projection in self.projections
        ]
        self.model(tokens)
        for handle in handles:
            handle.remove()
        return kept

    @torch.no_grad()
    def logits(self, tokens: Tensor, head: int | None, instead: list[Tensor]) -> Tensor:
        """With one head's columns taken from ``instead``, per layer ``[(batch, pos,) heads d_head]``."""
        if head is None:
            return self.model(tokens).logits
        layer, h = divmod(head, self.heads)

        def replace(module: Any, args: Any) -> tuple[Tensor]:
            z = args[0].clone()
            columns = slice(h * z.shape[-1] // self.heads, (h + 1) * z.shape[-1] // self.heads)
            z[..., columns] = instead[layer].expand_as(z)[..., columns]
            return (z,)

        handle = self.projections[layer].register_forward_pre_hook(replace)
        logits = self.model(tokens).logits
        handle.remove()
        return logits

    def instead(self, kind: str, other: Tensor) -> list[Tensor]:
        """What takes heads' places: ``other`` is the reference batch or the counterfactual prompts."""
        if kind == "zero":
            width = self.inputs(other[:1, :1])[0].shape[-1]
            return [constant.expand(width) for constant in self.constants]
        values = self.inputs(other)
        return values if kind == "resample" else [z.mean((0, 1)) for z in values]

    def scores(self, tokens: Tensor, answers: Tensor, instead: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The logit difference of two answers and the mean next-token loss, each clean and without every head,
        ``[batch, 1 + heads]``."""
        differences, losses = [], []
        for head in (None, *range(self.layers * self.heads)):
            logits = self.logits(tokens, head, instead)
            right, wrong = logits[:, -1].gather(1, answers).unbind(1)
            differences.append(right - wrong)
            loss = F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
            losses.append(loss.mean(1))
        return torch.stack(differences, 1), torch.stack(losses, 1)
