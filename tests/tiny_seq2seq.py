"""Tiny encoder-decoder models with random weights and a tokenizer, saved in the format of transformers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

# Class of transformers to its configuration, sizes, and the numbers of padding, end and start.
KINDS: dict[str, tuple[str, dict[str, int], dict[str, int | None]]] = {
    "T5ForConditionalGeneration": (
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 4},
        {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0},
    ),
    "BartForConditionalGeneration": (
        "BartConfig",
        {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64},
        {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 1,
         "forced_eos_token_id": None},
    ),
    "MarianMTModel": (
        "MarianConfig",
        {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64},
        {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 2, "forced_eos_token_id": None},
    ),
}  # fmt: skip


def save_tiny_seq2seq(folder: Path, texts: Iterable[str], kind: str = "T5ForConditionalGeneration") -> Path:
    """Save a model of a class of `KINDS` and a tokenizer of subwords that normalizes blanks and lacks some letters."""
    import transformers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=80, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin = "<s> " if kind.startswith("Bart") else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{begin}$A </s>", None, [("</s>", 1), ("<s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config, sizes, tokens = KINDS[kind]
    # More rows than the tokenizer has tokens, as in T5.
    shape = getattr(transformers, config)(
        vocab_size=tokenizer.get_vocab_size() + 3, dropout_rate=0.1, **sizes, **tokens
    )
    model = getattr(transformers, kind)(shape)
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_()
    model.save_pretrained(folder)
    return folder
