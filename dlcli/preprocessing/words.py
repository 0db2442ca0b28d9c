"""Preprocessing of sentences: indices of words in a vocabulary fitted on the training rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Ge
from sklearn.base import BaseEstimator

from dlcli.datasets.notices import Notice
from dlcli.datasets.words.sentences import Sentences
from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.tokens import told_of_new

PADDING, UNKNOWN = "<pad>", "<unk>"
_DIGIT = re.compile(r"\d")


class WordCodes(BaseEstimator):
    """Conversion of sentences to indices of words `x` `(N, T)`, padded per batch, with `lengths` `(N,)`.

    Index 0 is padding, and index 1 replaces words unseen in training.

    Args:
        vocab_size: maximum number of words; the most frequent ones are kept.
        min_frequency: minimum number of occurrences of a word in the training rows. Rarer ones are unknown words, from
            which the embedding of unknown words is learned.
        lowercase: convert words to lower case.
        digits: replace each digit by 0, since most numbers occur only once.
    """

    accepts: ClassVar = frozenset({"words"})
    only_told: ClassVar = frozenset({"rows_seen_", "measured_"})
    measured_: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        vocab_size: Annotated[int, Ge(3)] = 50_000,
        min_frequency: Annotated[int, Ge(1)] = 2,
        lowercase: bool = False,
        digits: bool = True,
    ) -> None:
        self.vocab_size = vocab_size
        self.min_frequency = min_frequency
        self.lowercase = lowercase
        self.digits = digits

    def fit(self, x: Any) -> Self:
        """Build the vocabulary from the training rows."""
        rows = Sentences.of(x)
        counts = Counter(self._form(word) for words in rows.words() for word in words)
        kept = [(-number, word) for word, number in counts.items() if number >= self.min_frequency]
        self.words_ = [word for _, word in sorted(kept)[: self.vocab_size - 2]]
        self.rows_seen_ = len(rows)
        self.measured_ = self.transform_and_count(rows)[1]
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x`, a `Ragged` of word numbers, and `lengths` `(N,)`; `Sentences.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of unknown words."""
        rows = Sentences.of(x)
        numbers = {word: number for number, word in enumerate(self.words_, start=2)}
        # A row without words has one unknown word without a tag.
        parts = [[numbers.get(self._form(word), 1) for word in words] or [1] for words in rows.words()]
        lengths = torch.tensor([len(part) for part in parts], dtype=torch.int64)
        values = np.concatenate([np.array(part, np.int64) for part in parts] or [np.empty(0, np.int64)])
        fields = {"x": Ragged(torch.from_numpy(values), lengths), "lengths": lengths}
        return fields, {
            "texts": len(rows),
            "tokens": int(rows.lengths.sum()),
            "unknown_tokens": int((values == 1).sum()) - int((rows.lengths == 0).sum()),
        }

    def notices(self) -> list[Notice]:
        """Return notices of the size of the vocabulary and of unknown training words."""
        if not self.measured_:
            return []
        unknown, total = self.measured_["unknown_tokens"], self.measured_["tokens"]
        text = f"{len(self.words_):,} words are known, {unknown / max(1, total):.1%} of all words are not"
        return [Notice("unknown_words", unknown, text, "preprocessing.min_frequency", warns=False)]

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notice of many unknown words in new rows."""
        return told_of_new(counts, self.measured_, None)

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, the number of words, including padding and the unknown word."""
        return {"vocab_size": len(self.words_) + 2}

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def vocabulary(self) -> list[str]:
        """Return the words in order of their indices."""
        return [PADDING, UNKNOWN, *self.words_]

    def _form(self, word: str) -> str:
        word = word.lower() if self.lowercase else word
        return _DIGIT.sub("0", word) if self.digits else word
