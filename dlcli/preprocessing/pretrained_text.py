"""Texts as a pretrained model of transformers' is used to them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from annotated_types import Ge, MinLen
from sklearn.base import BaseEstimator

from dlcli.datasets.texts import Texts
from dlcli.errors import ConfigError
from dlcli.models.hub import pretrained_folder, transformers
from dlcli.preprocessing.tokens import encoded


class PretrainedText(BaseEstimator):
    """Texts to tokens `x` `(N, T)` of the model's own tokenizer, padded batch by batch, and their `lengths` `(N,)`.

    Nothing is learnt from the rows. The tokenizer and the description of the model are kept, so that neither hub nor
    folder is needed once a run is saved.

    Args:
        name: the model's name on the hub, or a folder.
        max_length: tokens of a text, the model's own signs included; what comes behind is cut off.
    """

    def __init__(self, name: Annotated[str, MinLen(1)], max_length: Annotated[int, Ge(2)] = 128) -> None:
        self.name = name
        self.max_length = max_length

    def fit(self, x: Any) -> Self:
        """Fetch the tokenizer.

        Raises:
            ConfigError: it cannot be had, or is none that dlcli can save.
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
                f"{self.name} reads {positions} tokens at most",
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
        """`x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; of texts in any form that `Texts.of` takes."""
        return encoded(Texts.of(x, self.column_), self._tokenizer(), self.unknown_)

    def facts(self) -> dict[str, Any]:
        """`vocab_size`, and `backbone_config`: the model's description, as JSON."""
        return {
            "vocab_size": self._tokenizer().get_vocab_size(),
            "backbone_config": self.backbone_config_,
        }

    def on_device(self) -> None:
        """Nothing remains to be done."""

    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer_)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_length)
        return tokenizer
