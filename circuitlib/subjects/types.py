"""The model libraries' types, for annotations alone: TransformerLens and transformers take seconds to import, and
reading results needs neither."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge as Bridge
    from transformers import PretrainedConfig as Config
    from transformers import PreTrainedTokenizerBase as Tokenizer
else:
    Bridge = Config = Tokenizer = Any
