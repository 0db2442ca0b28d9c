"""Preprocessing of text for language models: tokenization with a vocabulary fitted on the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from annotated_types import Ge
from sklearn.base import BaseEstimator

from dlcli.datasets.notices import Notice
from dlcli.datasets.passages import LINE_FEED, Passages, code_points, text_of
from dlcli.preprocessing.subwords import SMALLEST, Subwords
from dlcli.preprocessing.token_windows import TokenRuns, TokenWindows

# Token of characters that do not occur in the training rows, and its replacement in decoded text.
UNKNOWN, _SHOWN = 0, "\ufffd"

# Padding of targets after the end of a row.
NO_TARGET = -1

# Prefix of the keys of counts of single unseen characters.
_OF = "character "

# Maximum number of unseen characters that a notice shows.
_NAMED = 5


class Language(BaseEstimator):
    """Conversion of rows of `Passages` to inputs `x` `(N, T)` and targets `next_tokens` `(N, T)`, the token after each.

    The first input of a row is the preceding character, so that each character of a row is a target. `characters`
    `(N,)` is the number of characters of each row. Targets after the end of a row are -1.

    Consecutive training rows of a text form a stream, in which the windows of an epoch begin at random positions; a
    window ends before rows of another part. Rows that are separate texts are read from their beginning.

    Args:
        tokens: `characters`, where characters that do not occur in the training rows become one unknown token, or
            `bpe`: byte-level byte-pair encoding, which has no unknown tokens.
        vocab_size: maximum number of tokens of byte-pair encoding.
    """

    accepts: ClassVar = frozenset({"tokens"})

    # A vocabulary of characters; empty for subwords.
    codes_: np.ndarray
    # The encoding of subwords as JSON; empty for characters.
    subwords_: str
    # Number of tokens of the longest training row.
    context_: int
    # Whether rows are separate texts.
    are_documents_: bool

    def __init__(
        self,
        tokens: Literal["characters", "bpe"] = "characters",
        vocab_size: Annotated[int, Ge(SMALLEST)] = 1024,
    ) -> None:
        self.tokens = tokens
        self.vocab_size = vocab_size

    def fit(self, x: Any) -> Self:
        """Fit the vocabulary on the training rows."""
        rows = Passages.of(x)
        self.are_documents_ = rows.are_documents
        self.rows_seen_ = len(rows)
        self.codes_, self.subwords_ = np.empty(0, np.int64), ""
        if self.tokens == "bpe":
            self.subwords_ = Subwords.fit(_texts_of_runs(rows), self.vocab_size).json()
        else:
            # Include the line feed that precedes a text; all other characters occur in the training rows.
            self.codes_ = np.union1d(rows.flat(), [LINE_FEED]).astype(np.int64)
        self.context_ = int(self._encoded(rows)[1].max(initial=1))
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return the fields of rows of `Passages`, or of texts."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of characters and of unknown ones, some of them
        by character."""
        rows = Passages.of(x, are_documents=self.are_documents_)
        empty = 0 if isinstance(x, Passages) else int((rows.characters <= self.are_documents_).sum())
        tokens, counts = self._encoded(rows)
        firsts = self._first(rows.before())
        begins = counts.cumsum() - counts
        windows = TokenWindows(
            # The token before each row is encoded separately, so that it does not depend on the tokenization of the
            # previous row.
            torch.from_numpy(np.insert(tokens, begins, firsts).astype(np.int32)),
            torch.from_numpy(begins + np.arange(len(rows))),
            torch.from_numpy(counts),
            None if rows.are_documents else _runs(rows, tokens, counts, firsts),
            int(counts.max(initial=1)),
        )
        following = windows.shifted(1, NO_TARGET)
        fields: dict[str, Any] = {
            "x": windows,
            "next_tokens": following,
            "characters": following.characters(self._sizes()),
        }
        if rows.are_documents and len(set(counts.tolist())) > 1:
            fields["lengths"] = torch.from_numpy(counts)
        return fields, self._unseen(rows) | ({"empty_rows": empty} if empty else {})

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notice on characters that do not occur in the training rows."""
        unseen, total = counts.get("unseen_characters", 0), counts.get("characters", 0)
        notices = []
        if empty := counts.get("empty_rows", 0):
            rows = "1 row is empty or missing" if empty == 1 else f"{empty:,} rows are empty or missing"
            have = "has" if empty == 1 else "have"
            what = "the end of a line alone" if self.are_documents_ else "no loss"
            notices.append(Notice("empty_rows", empty, f"{rows}, and {have} {what}"))
        if not unseen:
            return notices
        named = [key.removeprefix(_OF) for key in counts if key.startswith(_OF)]
        shown = ", ".join(map(repr, sorted(named)[:_NAMED])) + (", ..." if len(named) > _NAMED else "")
        text = f"{unseen:,} of {total:,} characters do not occur in the training rows ({shown}) and are read as unknown"
        hint = "preprocessing.tokens=bpe has no unknown tokens."
        return [*notices, Notice("unseen_characters", unseen, text, "preprocessing.tokens", hint)]

    def facts(self) -> dict[str, Any]:
        """Return the number of tokens, and the length of the longest training row in tokens."""
        return {"vocab_size": self.size, "context": self.context_}

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self._subwords()) if self.subwords_ else len(self.codes_) + 1

    def vocabulary(self) -> list[str]:
        """Return the tokens in order of their indices."""
        if self.subwords_:
            return self._subwords().vocabulary()
        return ["<unk>", *text_of(self.codes_)]

    def encode(self, text: str) -> np.ndarray:
        """Return the tokens of a text, int64 `(L,)`."""
        if self.subwords_:
            return self._subwords().encode([text])[0]
        return self._tokens_of(code_points(text))

    def unknown_in(self, text: str) -> list[str]:
        """Return the different characters of a text that do not occur in the training rows, in order."""
        if self.subwords_:
            return []
        return [one for one in dict.fromkeys(text) if self.encode(one)[0] == UNKNOWN]

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """Return the text of tokens; unknown tokens become U+FFFD."""
        if self.subwords_:
            return self._subwords().decode([tokens])[0]
        known = np.concatenate([code_points(_SHOWN).astype(np.int64), self.codes_])
        return text_of(known[np.asarray(tokens, np.int64)])

    def never(self) -> list[int]:
        """Return the tokens that represent no text and are never generated."""
        return self._subwords().special() if self.subwords_ else [UNKNOWN]

    def _encoded(self, rows: Passages) -> tuple[np.ndarray, np.ndarray]:
        """Return the concatenated tokens of all rows, and the number of tokens of each row `(N,)`."""
        if not self.subwords_:
            return self._tokens_of(rows.flat()), rows.characters.astype(np.int64)
        found = self._subwords().encode(rows.texts())
        counts = np.array([len(row) for row in found], np.int64)
        return np.concatenate(found) if found else np.empty(0, np.int64), counts

    def _first(self, codes: np.ndarray) -> np.ndarray:
        """Return the token of the character preceding each row."""
        if not self.subwords_:
            return self._tokens_of(codes)
        known = {int(code): self._subwords().encode([text_of([code])])[0][-1] for code in np.unique(codes)}
        return np.array([known[code] for code in codes.tolist()], np.int64)

    def _tokens_of(self, codes: np.ndarray) -> np.ndarray:
        """Return the tokens of code points: 1 for the first one of the vocabulary, 0 for unknown ones."""
        found = np.searchsorted(self.codes_, codes).astype(np.int64)
        known = self.codes_[np.minimum(found, len(self.codes_) - 1)] == codes
        return np.where(known, found + 1, UNKNOWN)

    def _unseen(self, rows: Passages) -> dict[str, int]:
        codes = rows.flat()
        counts = {"characters": len(codes), "unseen_characters": 0}
        if self.subwords_:
            return counts
        unseen = codes[self._tokens_of(codes) == UNKNOWN]
        counts["unseen_characters"] = len(unseen)
        some, numbers = np.unique(unseen, return_counts=True)
        return counts | {
            f"{_OF}{text_of([code])}": int(number) for code, number in zip(some, numbers, strict=True)
        }

    def _sizes(self) -> torch.Tensor | None:
        """Return the number of characters of each token `(V,)`; None if each has one."""
        return torch.from_numpy(self._subwords().characters()) if self.subwords_ else None

    def _subwords(self) -> Subwords:
        return _subwords_of(self.subwords_)


@lru_cache(maxsize=2)
def _subwords_of(document: str) -> Subwords:
    """Return the encoding of a document; the last ones are cached, because creating one is slow."""
    return Subwords(document)


def _runs(rows: Passages, tokens: np.ndarray, counts: np.ndarray, firsts: np.ndarray) -> TokenRuns:
    """Return the stream in which the rows of a run are consecutive, with one token before each run."""
    runs, begins = rows.runs(), counts.cumsum() - counts
    first = np.flatnonzero(np.diff(runs, prepend=-1))
    stream = np.insert(tokens, begins[first], firsts[first]).astype(np.int32)
    starts = begins + runs
    ends = starts[first] + (np.add.reduceat(counts, first) if len(first) else counts)
    return TokenRuns(*map(torch.from_numpy, (stream, starts, starts[first][runs], ends[runs])))


def _texts_of_runs(rows: Passages) -> list[str]:
    """Return the texts of rows, joined within each run."""
    runs = rows.runs()
    first = np.flatnonzero(np.diff(runs, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    return list(Passages(rows.codes, rows.starts[first], rows.ends[last]).texts())
