"""The number of tokens that a pretrained text model has positions for."""

from __future__ import annotations

from typing import Any

# Types of models whose positions are counted from after the number of the padding token, as RoBERTa's are:
# `create_position_ids_from_input_ids` in transformers.
_AFTER_PADDING = frozenset(
    {
        "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet",
        "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip


def most_tokens(config: Any) -> int | None:
    """Return how many tokens a text may have, from the configuration of transformers; None for any number."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return None
    unused = (getattr(config, "pad_token_id", None) or 0) + 1 if config.model_type in _AFTER_PADDING else 0
    return int(positions) - unused
