"""What a model's configuration asks for and the sweep's decoder does not do: read, not tried.

Comparing the two shows only what their tokens show, and a window of attention, say, shows on longer ones alone.
"""

import re
from typing import Any

from circuitlib.subjects.types import Config

FOLLOWED = {
    *("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function"),
    *("layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps", "hidden_size", "intermediate_size"),
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act"),
    *("max_position_embeddings", "use_parallel_residual", "attention_bias", "mlp_bias"),
    *("tie_word_embeddings", "rope_parameters", "layer_types"),
    *("use_sliding_window", "sliding_window", "max_window_layers"),  # which layer_types sums up
}
"""Fields that the decoder does as the model does, whatever their value, or that :func:`not_done` looks into."""

WITHOUT_EFFECT = r".*dropout|.*_(pdrop|token_id)|summary_.*|initializer_range|use_cache|is_decoder|pretraining_tp"
"""Fields that change nothing of what a model computes when it is not trained."""

SUSPECT = r".*(window|soft_?cap|scal(e|ing)|multiplier|sink|qk_?norm|q_norm|clip_qkv|alibi).*"
"""Fields that the model's class does not have, and that would matter if its code read them."""

FIXED_ROTATIONS = ("default", "linear", "llama3", "yarn")
"""Types of rotary positions that turn a position alike, however long the prompt is."""


def not_done(config: Config) -> list[str]:
    """The settings of a Hugging Face configuration that the decoder does not do, each with its value."""
    from transformers import PretrainedConfig

    fields: dict[str, Any] = config.to_dict()
    usual, of_any_model = type(config)().to_dict(), PretrainedConfig().to_dict()
    layers = fields.get("layer_types")
    found = ["layer_types"] if set(layers or ()) - {"full_attention"} else []
    if layers is None and fields.get("sliding_window"):
        found.append("sliding_window")
    rotation = fields.get("rope_parameters") or {}
    if rotation.get("rope_type", "default") not in FIXED_ROTATIONS:
        found.append("rope_parameters")
    for name, value in fields.items():
        if name in FOLLOWED or name in of_any_model or re.fullmatch(WITHOUT_EFFECT, name):
            continue
        if value != usual[name] if name in usual else value and re.fullmatch(SUSPECT, name):
            found.append(name)
    return [f"{name}={fields[name]!r}" for name in found]
