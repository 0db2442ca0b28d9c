"""Encoding of categorical columns: one-hot, ordinal, or as codes for embeddings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from annotated_types import Ge, Lt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from dlcli.datasets.tables.columns import MISSING

MissingName = Literal["own", "most_frequent", "constant"]
Encoding = Literal["one_hot", "ordinal", "embedding"]
Rare = Annotated[float, Ge(0), Lt(1)]


class Categories(TransformerMixin, BaseEstimator):
    """Encodes category names `(N, K)` as numbers.

    Args:
        encoding: `one_hot`: a column of 0 and 1 per category, all 0 for an unseen category; `ordinal`: the position in
            the sorted names, from 1, and 0 for an unseen category; `embedding`: the same as integers.
        rare: categories with a smaller share of the rows are merged into one.
        missing: replacement of a missing name: a separate category, the column's most frequent one, or `value`.
        value: the replacement for `constant`, which may be a new category.
    """

    def __init__(
        self,
        encoding: Encoding = "one_hot",
        rare: Rare = 0.0,
        missing: MissingName = "own",
        value: str = "missing",
    ) -> None:
        self.encoding = encoding
        self.rare = rare
        self.missing = missing
        self.value = value

    def fit(self, x: np.ndarray, y: object = None) -> Self:
        """Determine the categories of each column."""
        self.fills_ = [self._fill(column) for column in x.T]
        x = self._filled(x)
        self.encoder_ = (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=self.rare or None,
                sparse_output=False,
                dtype=np.float32,
            )
            if self.encoding == "one_hot"
            else OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=self.rare or None
            )
        ).fit(x)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return 0 and 1 `(N, sum of categories)` or ordinals `(N, K)` as float32, or codes `(N, K)` as int64."""
        encoded = self.encoder_.transform(self._filled(x))
        if self.encoding == "one_hot":
            return encoded
        return (encoded + 1).astype(np.int64 if self.encoding == "embedding" else np.float32)

    def _fill(self, column: np.ndarray) -> str:
        """Return the replacement of missing names in a column `(N,)`."""
        if self.missing != "most_frequent":
            return MISSING if self.missing == "own" else self.value
        names, rows = np.unique(column[column != MISSING].astype(str), return_counts=True)
        return str(names[rows.argmax()]) if len(names) else MISSING

    def _filled(self, x: np.ndarray) -> np.ndarray:
        if self.missing == "own":
            return x
        return np.where(x == MISSING, np.array(self.fills_, dtype=object), x)

    @property
    def cardinalities(self) -> list[int]:
        """Number of codes of each column, including 0."""
        return [
            len(names) - (0 if rare is None else len(rare) - 1) + 1
            for names, rare in zip(self.encoder_.categories_, self._rare(), strict=True)
        ]

    def _rare(self) -> list[np.ndarray | None]:
        if not self.rare:
            return [None] * len(self.encoder_.categories_)
        return list(self.encoder_.infrequent_categories_)
