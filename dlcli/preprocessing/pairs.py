"""Preprocessing of pairs of texts: byte-pair encoding of sources and targets, fitted on the training rows."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Ge
from sklearn.base import BaseEstimator
from torch import Tensor

from dlcli.datasets.notices import Notice
from dlcli.datasets.pair_texts import other_side
from dlcli.datasets.text_rows import Texts
from dlcli.errors import DataError
from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.subwords import END, SMALLEST, Subwords

if TYPE_CHECKING:
    from dlcli.preprocessing.model_tokens import ModelTokens

# Share of cut texts above which a warning is issued for new rows.
_MUCH = 0.05


class PairSubwords(BaseEstimator):
    """Conversion of sources to subwords `x` `(N, S)` with an end token, and `lengths` `(N,)`.

    The encodings of sources and targets are fitted together here, and the task encodes the targets with `targets`.

    Args:
        vocab_size: maximum number of tokens of an encoding, at least 259: all bytes are tokens.
        shared: whether sources and targets share the encoding, which suits languages with common words and names.
        min_frequency: minimum number of occurrences of two tokens that are merged.
        max_length: maximum number of tokens of a text; longer sources, training targets and predictions are truncated.
    """

    accepts: ClassVar = frozenset({"tokens"})

    # Fitted attributes for reports only; the fields do not depend on them.
    only_told: ClassVar = frozenset({"rows_seen_", "cut_", "longest_"})

    def __init__(
        self,
        vocab_size: Annotated[int, Ge(SMALLEST)] = 8000,
        shared: bool = True,
        min_frequency: Annotated[int, Ge(1)] = 2,
        max_length: Annotated[int, Ge(2)] = 128,
    ) -> None:
        self.vocab_size = vocab_size
        self.shared = shared
        self.min_frequency = min_frequency
        self.max_length = max_length

    def fit(self, x: Any) -> Self:
        """Fit the encodings on sources and targets of the training rows.

        Raises:
            DataError: the rows are not pairs of texts.
        """
        sources, targets = Texts.of(x), other_side(x)
        if targets is None:
            raise DataError(
                "requires pairs of texts, but the targets of the rows are not texts",
                "preprocessing",
                "Use dataset=pairs, or the dataset's default preprocessing.",
            )
        self.column_ = sources.name
        self.rows_seen_ = len(sources)
        self.fit_encodings(sources, targets)
        rows = self.target_subwords.encode(targets)
        tokens = np.concatenate([*rows, np.empty(0, np.int64)])
        self.counts_ = np.bincount(tokens, minlength=len(self.target_subwords))
        self.counts_[END] = len(rows)
        lengths = [
            np.array([len(row) + 1 for row in side]) for side in (self.source_subwords.encode(sources), rows)
        ]
        counted = Counter(targets)
        self.usual_ = max(counted, key=lambda text: (counted[text], text))
        self.longest_ = [int(side.max(initial=1)) for side in lengths]
        self.cut_ = [int((side > self.max_length).sum()) for side in lengths]
        return self

    def fit_encodings(self, sources: Texts, targets: Texts) -> None:
        """Fit the encodings of training sources and targets."""
        if self.shared:
            both = Subwords.fit((*sources, *targets), self.vocab_size, self.min_frequency)
            self.source_ = self.target_ = both.json()
        else:
            fitted = (
                Subwords.fit(texts, self.vocab_size, self.min_frequency) for texts in (sources, targets)
            )
            self.source_, self.target_ = (one.json() for one in fitted)

    @property
    def source_subwords(self) -> Subwords | ModelTokens:
        """The encoding of sources."""
        return _subwords(self.source_)

    @property
    def target_subwords(self) -> Subwords | ModelTokens:
        """The encoding of targets."""
        return _subwords(self.target_)

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`; `Texts.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of cut and empty sources."""
        # A text of only blanks is empty.
        rows = self.source_subwords.encode(text if text.strip() else "" for text in Texts.of(x, self.column_))
        cut = sum(len(row) >= self.max_length for row in rows)
        field = ended(rows, self.max_length)
        counts = {"texts": len(rows), "cut_texts": cut, "empty_texts": sum(not len(row) for row in rows)}
        return {"x": field, "lengths": field.lengths}, counts

    def targets(self, texts: Any) -> Ragged:
        """Return the tokens of complete targets, each with its end token."""
        return ended(self.target_subwords.encode(Texts.of(texts)))

    def changed(self, texts: Any, tokens: Ragged) -> dict[bytes, str]:
        """Return the texts that differ from their decoded tokens, by the tokens: none, all texts are represented."""
        return {}

    @property
    def most_steps(self) -> int:
        """Maximum number of tokens of a prediction: slightly more than those of the longest training target."""
        return min(self.max_length, self.longest_[1] + 10)

    def numbering(self) -> dict[str, Any]:
        """Return the number of each token in the tokenizers, None if they are the same, and the text before sources."""
        return {"numbers": None, "prefix": ""}

    def facts(self) -> dict[str, Any]:
        """Return the numbers of tokens, and whether the vocabulary is shared."""
        return {
            "vocab_size": len(self.source_subwords),
            "num_outputs": len(self.target_subwords),
            "shares_vocabulary": self.shared,
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def vocabulary(self) -> list[str]:
        """Return the tokens of targets in order of their indices."""
        return self.target_subwords.vocabulary()

    def notices(self) -> list[Notice]:
        """Return notices of the length of training texts and of truncation."""
        cut, where = sum(self.cut_), "preprocessing.max_length"
        if not cut:
            text = "texts are read whole, the longest source of {:,} and target of {:,} tokens"
            return [
                Notice("longest_text", max(self.longest_), text.format(*self.longest_), where, warns=False)
            ]
        text = (
            f"{self.cut_[0]:,} training sources and {self.cut_[1]:,} training targets are cut at {self.max_length:,} "
            f"tokens, the longest have {self.longest_[0]:,} and {self.longest_[1]:,}"
        )
        warns = cut > _MUCH * 2 * self.rows_seen_
        return [Notice("cut_texts", cut, text, where, "Use a larger number.", warns=warns)]

    def notices_of_new(self, counts: Any) -> list[Notice]:
        """Return notices of truncated and empty new sources."""
        notices, texts = [], counts.get("texts", 0)
        if cut := counts.get("cut_texts", 0):
            text = f"{cut:,} of {texts:,} texts are cut at {self.max_length:,} tokens"
            notices.append(
                Notice("cut_texts", cut, text, "preprocessing.max_length", warns=cut > _MUCH * texts)
            )
        if empty := counts.get("empty_texts", 0):
            text = f"{empty:,} of {texts:,} texts are empty and have no prediction"
            notices.append(Notice("empty_texts", empty, text))
        return notices


def ended(rows: list[np.ndarray], most: int | None = None) -> Ragged:
    """Return rows of tokens with an end token, truncated to `most` tokens including it."""
    whole = [np.append(row if most is None else row[: most - 1], END) for row in rows]
    lengths = torch.tensor([len(row) for row in whole], dtype=torch.int64)
    values: Tensor = torch.from_numpy(np.concatenate([*whole, np.empty(0, np.int64)]))
    return Ragged(values, lengths)


@lru_cache(maxsize=4)
def _subwords(document: str) -> Subwords:
    return Subwords(document)
