"""How large a subject is."""

import pandas as pd
import torch

from circuitlib.subjects.load import LOADING, Subject


def sizes_of(subject: Subject) -> pd.DataFrame:
    """Columns what and is: layers, heads, widths, vocabulary, context and parameters, each once."""
    from transformers import AutoModelForCausalLM

    config = subject.bridge.cfg
    with LOADING, torch.device("meta"):  # the bridge's own parameters hold some weights twice
        plain = AutoModelForCausalLM.from_config(subject.bridge.original_model.config)
    found = {
        "layers": subject.layers,
        "heads per layer": subject.heads_per_layer,
        "heads of keys and values": config.n_key_value_heads or config.n_heads,
        "width": config.d_model,
        "width of a head": config.d_head,
        "vocabulary": config.d_vocab,
        "context": config.n_ctx,
        "parameters": plain.num_parameters(),
    }
    return pd.DataFrame(found.items(), columns=["what", "is"])
