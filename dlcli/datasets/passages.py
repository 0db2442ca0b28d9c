"""`Passages`: rows of language models, pieces of documents stored as one stream of characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.plain_text import with_last_end
from dlcli.datasets.target_rows import TargetRows
from dlcli.datasets.text_rows import Texts

# A line feed precedes each document in the stream, so that its first character is predicted as the start of a line.
LINE_FEED = 10

# More different pairs than these, of texts such as Chinese ones, would make the model's description large.
_MOST_PAIRS = 50_000


# Characters between words.
_SPACES = [ord(one) for one in " \t\n\r\u00a0\u2028\u2029\u3000"]

# Characters by which the end of a row moves at most, to the end of a word.
_LONGEST_WORD = 32


@dataclass(frozen=True, eq=False)
class Passages(TargetRows):
    """N passages; row i consists of the characters `codes[starts[i]:ends[i]]`.

    All characters of a row are targets. The input for the first one is the preceding character, `codes[starts[i] - 1]`,
    which belongs to the previous row or is the line feed before the document.

    Attributes:
        codes: Unicode code points of all documents, each preceded by a line feed.
        starts: first character of each row `(N,)`.
        ends: position after the last character of each row `(N,)`.
        are_documents: whether each row is a separate text, such as a line, rather than a piece of a longer text.
    """

    codes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    are_documents: bool = False

    target_kind: ClassVar[TargetKind] = "language_model"
    dtype: ClassVar = np.dtype(np.int64)

    @classmethod
    def of(cls, texts: Any, *, are_documents: bool = False) -> Passages:
        """Return a row for each text of a list, an array or a Series; a line feed is appended to a document
        that lacks one."""
        if isinstance(texts, Passages):
            return texts
        found = list(Texts.of(texts))
        if are_documents:
            found = [with_last_end(text) for text in found]
        codes, starts = stream_of(found)
        return cls(codes, starts, starts + np.array([len(text) for text in found], np.int64), are_documents)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def characters(self) -> np.ndarray:
        """Number of characters of each row `(N,)`."""
        return self.ends - self.starts

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Self:
        """Return some of the rows in this order."""
        return replace(self, starts=self.starts[rows], ends=self.ends[rows])

    def flat(self) -> np.ndarray:
        """Return the characters of all rows, concatenated."""
        return self.codes[places(self.starts, self.characters)]

    def before(self) -> np.ndarray:
        """Return the character before each row `(N,)`."""
        return self.codes[self.starts - 1]

    def before_each(self) -> np.ndarray:
        """Return the character before each of `flat`."""
        lengths = self.characters
        before = np.roll(self.flat(), 1)
        before[(lengths.cumsum() - lengths)[lengths > 0]] = self.before()[lengths > 0]
        return before

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return the characters of the training rows, the number of each, and the numbers of pairs."""
        mine = self[train]
        alphabet, counts = np.unique(mine.flat(), return_counts=True)
        return {
            "characters": text_of(alphabet),
            "character_counts": counts.tolist(),
            "pair_counts": mine.pair_counts(alphabet),
        }

    def pair_counts(self, alphabet: np.ndarray) -> list[list[int]] | None:
        """Return places of the two characters of each pair in the alphabet, and their number; None if too many differ.

        The first character may precede the row.
        """
        keys = places_in(self.before_each(), alphabet) * (len(alphabet) + 1) + places_in(
            self.flat(), alphabet
        )
        pairs, counts = np.unique(keys, return_counts=True)
        if len(pairs) > _MOST_PAIRS:
            return None
        first, second = np.divmod(pairs, len(alphabet) + 1)
        return np.stack([first, second, counts], axis=1).tolist()

    def described(self, names: Sequence[str]) -> str:
        """Return what is predicted."""
        return "the next token is predicted"

    def whole_words(self) -> Self:
        """Return the rows with all words that begin in them, and no part of one that begins in the previous row.

        A word, or a text without spaces, of more than 32 characters is divided where it was.
        """
        spaces = np.append(np.isin(self.codes, _SPACES), True)
        ends = np.flatnonzero(spaces)

        def moved(places: np.ndarray) -> np.ndarray:
            after = ends[np.searchsorted(ends, places)]
            within = ~spaces[places - 1] & (after - places <= _LONGEST_WORD)
            return np.where(within, after, places)

        return replace(self, starts=moved(self.starts), ends=moved(self.ends))

    def runs(self) -> np.ndarray:
        """Return the run number of each row `(N,)`; rows that are consecutive in the stream form a run."""
        follows = self.starts[1:] == self.ends[:-1]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(~follows)])[: len(self)]

    def texts(self) -> Iterator[str]:
        """Yield the text of each row."""
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield text_of(self.codes[start:end])

    def pieces(self) -> Iterator[Any]:
        """Yield the values that the fingerprint is computed from."""
        yield self.codes
        yield self.starts
        yield self.ends


class MaskedPassages(Passages):
    """Passages of which masked tokens are predicted."""

    target_kind: ClassVar[TargetKind] = "masked_language_model"

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return no facts: the preprocessing counts the tokens."""
        return {}

    def described(self, names: Sequence[str]) -> str:
        """Return what is predicted."""
        return "masked tokens are predicted"


def stream_of(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the code points of texts, each preceded by a line feed, and the position of the first character of each.

    The type is the smallest one that holds all code points.
    """
    parts = [part for text in texts for part in (np.array([LINE_FEED], np.uint32), code_points(text))]
    codes = np.concatenate(parts) if parts else np.empty(0, np.uint32)
    most = int(codes.max(initial=0))
    kind = next(kind for kind in (np.uint8, np.uint16, np.uint32) if most <= np.iinfo(kind).max)
    lengths = np.array([len(text) + 1 for text in texts], np.int64)
    return codes.astype(kind), np.cumsum(lengths) - lengths + 1


def code_points(text: str) -> np.ndarray:
    """Return the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def text_of(codes: np.ndarray | Iterable[int]) -> str:
    """Return the text with these code points."""
    return np.asarray(codes, "<u4").tobytes().decode("utf-32-le", "surrogatepass")


def places(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the positions of all steps of rows, given their `starts` and `lengths` `(N,)`, concatenated."""
    ends = lengths.cumsum()
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return np.repeat(starts, lengths) + within


def places_in(codes: np.ndarray, alphabet: np.ndarray) -> np.ndarray:
    """Return the places of characters in a sorted alphabet; its size for one that it lacks."""
    found = np.searchsorted(alphabet, codes)
    known = alphabet[np.minimum(found, len(alphabet) - 1)] == codes
    return np.where(known, found, len(alphabet))
