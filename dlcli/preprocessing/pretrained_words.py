"""Preprocessing of sentences with the tokenizer of a pretrained model: tokens, and the first token of each word."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Ge, MinLen
from sklearn.base import BaseEstimator
from tokenizers import Tokenizer

from dlcli.datasets.notices import Notice
from dlcli.datasets.words.sentences import Sentences
from dlcli.preprocessing.pretrained_tokenizer import pretrained_files
from dlcli.preprocessing.ragged import Ragged

# Default length, limited by the model's positions.
_LONGEST = 512

# Index of the first token of words that are cut off.
UNREAD = -1

# Number of sentences tokenized at a time.
_AT_ONCE = 512


class PretrainedWords(BaseEstimator):
    """Conversion of sentences to tokens `x` `(N, T)`, with `lengths` `(N,)`, and the first token of each word `(N, V)`.

    The latter is the field `firsts`, -1 for words that are cut off and for padding.

    Args:
        name: name of the model on the hub, or a folder.
        max_length: maximum number of tokens of a sentence, including special tokens; longer ones are truncated. None:
            512, or the number of positions of the model if that is smaller.
    """

    accepts: ClassVar = frozenset({"words"})
    only_told: ClassVar = frozenset({"rows_seen_", "measured_"})
    measured_: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self, name: Annotated[str, MinLen(1)], max_length: Annotated[int, Ge(4)] | None = None
    ) -> None:
        self.name = name
        self.max_length = max_length

    def fit(self, x: Any) -> Self:
        """Load the tokenizer, and choose the length of sentences.

        Raises:
            ConfigError: the tokenizer is not available, or is not one that dlcli can save.
        """
        files = pretrained_files(self.name, self.max_length)
        self.tokenizer_ = files.tokenizer
        self.unknown_ = files.unknown
        self.backbone_config_ = files.config
        self.length_ = self.max_length or min(files.positions or _LONGEST, _LONGEST)
        rows = Sentences.of(x)
        self.rows_seen_ = len(rows)
        self.measured_ = self.transform_and_count(rows)[1]
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return the fields of sentences; `Sentences.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of words that are cut or have no token."""
        rows = Sentences.of(x)
        tokenizer = Tokenizer.from_str(self.tokenizer_)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.length_)
        words = [list(own) or [""] for own in rows.words()]
        tokens: list[list[int]] = []
        firsts: list[list[int]] = []
        cut = cut_rows = bare = 0
        for start in range(0, len(words), _AT_ONCE):
            some = words[start : start + _AT_ONCE]
            for own, found in zip(some, tokenizer.encode_batch(some, is_pretokenized=True), strict=True):
                places: dict[int, int] = {}
                for place, word in enumerate(found.word_ids):
                    if word is not None:
                        places.setdefault(word, place)
                last = len(own) if not found.overflowing else max(places, default=-1) + 1
                cut += len(own) - last
                cut_rows += last < len(own)
                bare += sum(word not in places for word in range(last))
                tokens.append(found.ids or [self.unknown_])
                # A word without tokens, such as a control character, is represented by the first token.
                firsts.append([places.get(word, 0) for word in range(last)] or [0])
        lengths = torch.tensor([len(row) for row in tokens], dtype=torch.int64)
        known = torch.tensor([len(row) for row in firsts], dtype=torch.int64)
        x_values, first_values = (
            torch.from_numpy(
                np.concatenate([np.array(row, np.int64) for row in several] or [np.empty(0, np.int64)])
            )
            for several in (tokens, firsts)
        )
        fields = {
            "x": Ragged(x_values, lengths),
            "lengths": lengths,
            "firsts": Ragged(first_values, known, padding=UNREAD),
        }
        return fields, {
            "texts": len(rows),
            "words": int(rows.lengths.sum()),
            "cut_texts": cut_rows,
            "cut_words": cut,
            "bare_words": bare,
        }

    def notices(self) -> list[Notice]:
        """Return notices of training words that are cut off or have no token."""
        return self._told(self.measured_, "training ") if self.measured_ else []

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return notices of new words that are cut off or have no token."""
        return self._told(counts, "")

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, and `backbone_config`, the model's config.json as text."""
        return {
            "vocab_size": Tokenizer.from_str(self.tokenizer_).get_vocab_size(),
            "backbone_config": self.backbone_config_,
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def _told(self, counts: Mapping[str, int], which: str) -> list[Notice]:
        found = []
        if cut := counts.get("cut_words", 0):
            text = (
                f"{counts['cut_texts']:,} {which}sentences are longer than {self.length_:,} tokens: {cut:,} of "
                f"{counts['words']:,} words are not read, and predicted as the usual tag"
            )
            hint = "Divide long texts into sentences, or use a larger number."
            found.append(Notice("cut_words", cut, text, "preprocessing.max_length", hint))
        if bare := counts.get("bare_words", 0):
            text = f"{bare:,} {which}words have no token, such as signs that the tokenizer removes"
            found.append(Notice("bare_words", bare, text, warns=False))
        return found
