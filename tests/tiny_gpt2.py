"""A tiny GPT-2 with random weights and a tokenizer of bytes, saved in the format of transformers."""

from __future__ import annotations

from pathlib import Path

import torch

from dlcli.preprocessing.subwords import Subwords


def save_tiny_gpt2(folder: Path, texts: list[str], kind: str = "GPT2LMHeadModel") -> Path:
    """Save a model of a class of transformers with random weights, whose tokenizer is fitted on texts."""
    import transformers
    from tokenizers import Tokenizer

    subwords = Subwords.fit(texts, 300)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(subwords.json()))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = transformers.GPT2Config(
        vocab_size=len(subwords) + 4,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=24,
        bos_token_id=1,
        eos_token_id=2,
    )
    getattr(transformers, kind)(shape).save_pretrained(folder)
    return folder
