"""Encoding of categorical columns: one-hot, ordinal, or as codes for embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from annotated_types import Ge, Lt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from dlcli.datasets.tables.typed_frames import MISSING

MissingName = Literal["own", "most_frequent", "constant"]
Encoding = Literal["one_hot", "ordinal", "embedding"]
Rare = Annotated[float, Ge(0), Lt(1)]


class Coded(NamedTuple):
    """A column of categories.

    Attributes:
        codes: index of each row's name in `names`, `(N,)`.
        names: the distinct names.
    """

    codes: np.ndarray
    names: np.ndarray


class Categories(TransformerMixin, BaseEstimator):
    """Encoding of K columns of categories as numbers.

    A column is given by codes `(N,)` and distinct names, because a table has far more rows than names.

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

    def fit(self, x: Sequence[Coded], y: object = None) -> Self:
        """Determine the categories of each column."""
        self.fills_ = [self._fill(column) for column in x]
        # The numbers of rows are needed only for shares.
        named = self._filled(
            np.stack([column.names[column.codes] for column in x], axis=1) if self.rare else _names_of(x)
        )
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
        ).fit(named)
        return self

    def transform(self, x: Sequence[Coded]) -> np.ndarray:
        """Return 0 and 1 `(N, sum of categories)` or ordinals `(N, K)` as float32, or codes `(N, K)` as int64."""
        of_names = self.encoder_.transform(self._filled(_names_of(x)))
        if self.encoding != "one_hot":
            kind = np.int64 if self.encoding == "embedding" else np.float32
            of_names = (of_names + 1).astype(kind)
        widths = [size - 1 for size in self.cardinalities] if self.encoding == "one_hot" else [1] * len(x)
        encoded = np.empty((len(x[0].codes), of_names.shape[1]), dtype=of_names.dtype)
        for column, end, width in zip(x, np.cumsum(widths), widths, strict=True):
            np.take(of_names[:, end - width : end], column.codes, axis=0, out=encoded[:, end - width : end])
        return encoded

    def _fill(self, column: Coded) -> str:
        """Return the replacement of missing names in a column."""
        if self.missing != "most_frequent":
            return MISSING if self.missing == "own" else self.value
        rows = np.bincount(column.codes, minlength=len(column.names))
        found = {str(name): count for name, count in zip(column.names, rows, strict=True) if name != MISSING}
        return min(found, key=lambda name: (-found[name], name), default=MISSING)

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


def _names_of(x: Sequence[Coded]) -> np.ndarray:
    """Return the distinct names of all columns `(most of a column, K)`; shorter columns repeat their first name."""
    most = max(len(column.names) for column in x)
    return np.stack(
        [
            np.concatenate([column.names, np.repeat(column.names[:1], most - len(column.names))])
            for column in x
        ],
        axis=1,
    )
