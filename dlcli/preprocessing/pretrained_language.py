"""Preprocessing of text for a pretrained language model, with the model's own tokenizer."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

import numpy as np
from annotated_types import MinLen

from dlcli.datasets.passages import Passages
from dlcli.errors import ConfigError
from dlcli.preprocessing.language import Language
from dlcli.preprocessing.pretrained_tokenizer import pretrained_files


class PretrainedLanguage(Language):
    """Conversion of rows of `Passages` as by `Language`, to tokens of the tokenizer of a pretrained model.

    Nothing is fitted on the rows. Tokenizer and config.json are saved with the run, which then needs neither the hub
    nor the folder.

    Args:
        name: name of the model on the hub, or a folder.
    """

    def __init__(self, name: Annotated[str, MinLen(1)]) -> None:
        self.name = name

    def fit(self, x: Any) -> Self:
        """Load the tokenizer.

        Raises:
            ConfigError: the tokenizer is not available or not byte-level byte-pair encoding, or a row has more tokens
                than the model has positions.
        """
        files = pretrained_files(self.name, None)
        rows = Passages.of(x)
        self.are_documents_ = rows.are_documents
        self.rows_seen_ = len(rows)
        self.codes_ = np.empty(0, np.int64)
        self.subwords_ = _plain(files.tokenizer, self.name)
        self.backbone_config_ = files.config
        self.context_ = int(self._encoded(rows)[1].max(initial=1))
        if files.positions is not None and self.context_ > files.positions:
            raise ConfigError(
                f"a row has {self.context_:,} tokens, but {self.name} accepts at most {files.positions:,}",
                "dataset.block",
                "Use smaller blocks.",
            )
        return self

    def facts(self) -> dict[str, Any]:
        """Return the facts of `Language`, and `backbone_config`, the model's config.json as text."""
        return {**super().facts(), "backbone_config": self.backbone_config_}


def _plain(tokenizer: str, name: str) -> str:
    """Return a tokenizer that adds no special tokens, and neither truncates nor pads.

    Raises:
        ConfigError: it may change texts or lack characters.
    """
    document = json.loads(tokenizer)
    pieces = json.dumps(document.get("pre_tokenizer"))
    if document["model"].get("type") != "BPE" or "ByteLevel" not in pieces or document.get("normalizer"):
        raise ConfigError(
            f"the tokenizer of {name} is not byte-level byte-pair encoding, which represents every text exactly",
            "model.name",
            "Choose a model such as GPT-2; one such as BERT predicts masked tokens: task=masked_language_model.",
        )
    return json.dumps({**document, "post_processor": None, "truncation": None, "padding": None})
