"""Encoding of columns of short texts as numbers by latent semantic analysis."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from annotated_types import Ge
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

Directions = Annotated[int, Ge(1)]

# Maximum number of terms, of which the most frequent are kept, and of texts that are fitted.
_TERMS, _TEXTS = 5000, 50_000

# Number of rows transformed at a time.
_ROWS = 1 << 14


class TextDirections(BaseEstimator):
    """Latent semantic analysis of the texts of one column (Deerwester et al., 1990).

    Terms are words and pairs of words that occur in several of the fitted texts. Their TF-IDF weights are projected
    onto the leading singular vectors of the weights of the fitted texts (truncated singular value decomposition).
    Unknown terms are ignored.

    Args:
        directions: number of singular vectors, and of resulting columns.
    """

    def __init__(self, directions: Directions = 32) -> None:
        self.directions = directions

    def fit(self, texts: pd.Series) -> Self:
        """Determine terms and directions; a large number of texts is subsampled at even spacing."""
        words = texts.dropna().astype(str)
        words = words.iloc[:: -(-len(words) // _TEXTS)] if len(words) else words
        weights, vectorizer = _fitted(words)
        # A single string: in an array of strings each would take the space of the longest.
        self.terms_ = "\n".join(vectorizer.get_feature_names_out()) if weights is not None else ""
        self.idf_ = vectorizer.idf_ if weights is not None else np.zeros(0)
        if weights is None:
            self.vectors_ = np.zeros((0, 0))
            return self
        most = min(self.directions, *weights.shape)
        _, _, vectors = randomized_svd(weights, most, n_iter=5, random_state=0)
        self.vectors_ = vectors
        return self

    def transform(self, texts: pd.Series) -> list[np.ndarray]:
        """Return a column `(N,)` per direction, with NaN for missing texts."""
        if not self.terms_:
            return []
        vectorizer = _of_terms(self.terms_, self.idf_.tobytes())
        found = np.empty((len(self.vectors_), len(texts)))
        for first in range(
            0, len(texts), _ROWS
        ):  # in parts: the words of all rows would take more memory than the texts
            some = texts.iloc[first : first + _ROWS]
            words = some.astype(object).where(some.notna(), "").astype(str)
            found[:, first : first + _ROWS] = (vectorizer.transform(words) @ self.vectors_.T).T
            found[:, first : first + _ROWS][:, some.isna().to_numpy()] = np.nan
        return list(found)


def has_texts(values: pd.Series) -> bool:
    """Return whether most values consist of several words, such as sentences, names and addresses, but not codes."""
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return False
    known = values.dropna().astype(str).str.strip()
    return len(known) > 0 and bool(known.str.contains(r"\s").mean() > 0.5)


def _fitted(words: pd.Series) -> tuple[Any, Any]:
    """Return the weights of the terms `(N, V)` and the fitted vectorizer; None for texts without any word."""
    for fewest in (2, 1):  # minimum number of rows with a term
        vectorizer = _vectorizer(max_features=_TERMS, min_df=fewest)
        try:
            return vectorizer.fit_transform(words), vectorizer
        except ValueError:  # no terms are left
            continue
    return None, None


@lru_cache(maxsize=8)  # columns, since a served row takes less time than it
def _of_terms(terms: str, idf: bytes) -> TfidfVectorizer:
    """Return the fitted vectorizer of terms, one per line, and of their weights in double precision."""
    vectorizer = _vectorizer(vocabulary=terms.split("\n"))
    vectorizer.idf_ = np.frombuffer(idf)
    return vectorizer


def _vectorizer(**settings: Any) -> TfidfVectorizer:
    # Logarithmic counts, so that a repeated word does not outweigh all others.
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **settings)
