"""Preprocessing of texts with the tokenizer of a pretrained transformers model."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from annotated_types import Ge, MinLen
from sklearn.base import BaseEstimator
from tokenizers import Tokenizer

from dlcli.datasets.texts import Texts
from dlcli.errors import ConfigError
from dlcli.models.hub import pretrained_folder, transformers
from dlcli.preprocessing.tokens import encoded


class PretrainedText(BaseEstimator):
    """Converts texts to tokens `x` `(N, T)` of the model's own tokenizer, padded per batch, with `lengths` `(N,)`.

    Nothing is fitted on the rows. The tokenizer and the model's config.json are saved with the run, which then needs
    neither the hub nor the folder.

    Args:
        name: name of the model on the hub, or a folder.
        max_length: maximum number of tokens of a text, including the model's special tokens; longer texts are
            truncated.
    """

    def __init__(self, name: Annotated[str, MinLen(1)], max_length: Annotated[int, Ge(2)] = 128) -> None:
        self.name = name
        self.max_length = max_length

    def fit(self, x: Any) -> Self:
        """Load the tokenizer.

        Raises:
            ConfigError: the tokenizer is not available, or is not one that dlcli can save.
        """
        place = pretrained_folder(self.name, "model.name")
        library = transformers()
        tokenizer = library.AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        if not tokenizer.is_fast:
            raise ConfigError(
                f"{self.name} has no tokenizer.json", "model.name", "Choose a model with a fast tokenizer."
            )
        config = library.AutoConfig.from_pretrained(place, trust_remote_code=False)
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None and self.max_length > positions:
            raise ConfigError(
                f"{self.name} accepts at most {positions} tokens",
                "preprocessing.max_length",
                f"Give {positions} or less.",
            )
        self.column_ = Texts.of(x).name
        self.tokenizer_ = tokenizer.backend_tokenizer.to_str()
        self.unknown_ = int(tokenizer.unk_token_id or 0)
        self.backbone_config_ = json.dumps(config.to_dict(), sort_keys=True, default=str)
        self.rows_seen_ = len(Texts.of(x))
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; `Texts.of` converts the input."""
        return encoded(Texts.of(x, self.column_), self._tokenizer(), self.unknown_)

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, and `backbone_config`, the model's config.json as text."""
        return {
            "vocab_size": self._tokenizer().get_vocab_size(),
            "backbone_config": self.backbone_config_,
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def _tokenizer(self) -> Any:
        tokenizer = Tokenizer.from_str(self.tokenizer_)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_length)
        return tokenizer
