"""Maximum number of tokens of a pretrained text model, given by its positions."""

from __future__ import annotations

from typing import Any

# Types of models with positions that start after the index of the padding token, as in RoBERTa:
# `create_position_ids_from_input_ids` in transformers.
_AFTER_PADDING = frozenset(
    {
        "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet",
        "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip


def most_tokens(config: Any) -> int | None:
    """Return the maximum number of tokens of a text, from a transformers configuration; None for no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return None
    unused = (getattr(config, "pad_token_id", None) or 0) + 1 if config.model_type in _AFTER_PADDING else 0
    return int(positions) - unused
