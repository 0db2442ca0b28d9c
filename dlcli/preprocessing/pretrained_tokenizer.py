"""Tokenizer and config.json of a pretrained transformers model, which preprocessing saves with a run."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dlcli.errors import ConfigError
from dlcli.models.hub import pretrained_folder, transformers
from dlcli.models.positions import most_tokens


@dataclass(frozen=True)
class PretrainedFiles:
    """Files of a pretrained model that preprocessing needs.

    Attributes:
        tokenizer: the content of tokenizer.json.
        unknown: number of the unknown token.
        config: the content of config.json.
        positions: maximum number of tokens of the model; None without a limit.
        mask: number of the mask token; None without one.
        marks_language: whether the tokenizer adds a token for the language of a text.
    """

    tokenizer: str
    unknown: int
    config: str
    positions: int | None
    mask: int | None = None
    marks_language: bool = False


def pretrained_files(name: str, max_length: int | None) -> PretrainedFiles:
    """Return the tokenizer and the configuration of a model on the hub or in a folder.

    Raises:
        ConfigError: they are not available, the tokenizer is not one that dlcli can save, or `max_length` exceeds the
            limit of the model.
    """
    place = pretrained_folder(name, "model.name")
    library = transformers()
    tokenizer = library.AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ConfigError(
            f"{name} has no tokenizer.json", "model.name", "Choose a model with a fast tokenizer."
        )
    config = library.AutoConfig.from_pretrained(place, trust_remote_code=False)
    positions = most_tokens(config)
    if positions is not None and (max_length or 0) > positions:
        raise ConfigError(
            f"{name} accepts at most {positions} tokens",
            "preprocessing.max_length",
            f"Use {positions} or less.",
        )
    return PretrainedFiles(
        tokenizer.backend_tokenizer.to_str(),
        int(tokenizer.unk_token_id or 0),
        json.dumps(config.to_dict(), sort_keys=True, default=str),
        positions,
        tokenizer.mask_token_id,
        hasattr(tokenizer, "set_tgt_lang_special_tokens"),
    )
