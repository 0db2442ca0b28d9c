"""A tiny BERT with random weights and a tokenizer of whole words, saved in the format of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def save_tiny_bert(
    folder: Path, words: Sequence[str], kind: str = "BertModel", positions: int = 64, **config: Any
) -> Path:
    """Save a model of a class of transformers with random weights, whose tokens are these words.

    One of them may be `[MASK]`, the mask token.
    """
    import transformers

    vocabulary = {word: code for code, word in enumerate([*SPECIAL, *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    saved = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        mask_token="[MASK]" if "[MASK]" in words else None,
    )
    saved.save_pretrained(folder)
    torch.manual_seed(0)
    shape = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=positions, **config,
    )  # fmt: skip
    getattr(transformers, kind)(shape).save_pretrained(folder)
    return folder
