"""`Tags`: a tag for each word of sentences, as the targets of `Data`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.target_rows import RaggedTargets
from dlcli.datasets.words.sentences import Sentences
from dlcli.formatting import counted


class Tags(RaggedTargets):
    """The tags of the words of rows, as positions in the classes of `Data`.

    `values` are the tags of the words `(V,)`, and `rows` are the sentences.
    """

    target_kind: ClassVar[TargetKind] = "tag"
    rows: Sentences

    @classmethod
    def of(cls, codes: Sequence[Sequence[int]], rows: Sentences) -> Self:
        """Return the tags of sentences, given the codes of each."""
        return cls.concatenated(codes, (), rows)

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the tags, the training words of each `(C,)`, the longest row of all, and words of unusual tags."""
        mine = self[train]
        words, tags = usual_tags_of(mine.rows, mine, len(names))
        return {
            "classes": list(names),
            "class_counts": mine.counts(len(names)).tolist(),
            "longest": self.longest,
            "usual_words": words,
            "usual_tags": tags,
        }

    def described(self, names: Sequence[str]) -> str:
        """Return such as `9 tags`."""
        return counted(len(names), "tag")

    @property
    def longest(self) -> int:
        """Number of words of the longest row."""
        return int(self.lengths.max(initial=0))

    def flat(self) -> np.ndarray:
        """Return the codes of the rows in their order, concatenated."""
        within = np.arange(self.lengths.sum()) - np.repeat(self.lengths.cumsum() - self.lengths, self.lengths)
        return self.values[np.repeat(self.starts, self.lengths) + within]

    def counts(self, classes: int) -> np.ndarray:
        """Return the number of words with each tag `(C,)`."""
        return np.bincount(self.flat(), minlength=classes)

    def rows_with(self, classes: int) -> np.ndarray:
        """Return the number of rows with a word of each tag `(C,)`."""
        keys = np.unique(np.repeat(np.arange(len(self)), self.lengths) * classes + self.flat())
        return np.bincount(keys % classes, minlength=classes)

    def recoded(self, codes: np.ndarray, classes: int) -> Self:
        """Return the tags with other codes: `codes` `(C,)` map each old code to one of `classes` new ones."""
        return replace(self, values=codes[self.values])

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the values that the fingerprint is computed from."""
        yield self.flat()
        yield self.lengths


def usual_tags_of(rows: Sentences, y: Tags, classes: int) -> tuple[list[str], list[int]]:
    """Return the words whose most frequent tag is not the most frequent of all, and the codes of their tags.

    Of equally frequent tags, the first one counts.
    """
    words = np.array([word for words in rows.words() for word in words], dtype=object)
    codes = y.flat()
    names, numbers = np.unique(words.astype(str), return_inverse=True) if len(words) else (words, codes)
    counts = np.bincount(numbers * classes + codes, minlength=len(names) * classes).reshape(-1, classes)
    usual, most = counts.argmax(axis=1), int(counts.sum(axis=0).argmax())
    other = np.flatnonzero(usual != most)
    return [str(names[place]) for place in other], usual[other].tolist()
