"""`Questions`: rows of a question and the context that contains its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from dlcli.datasets.text_rows import Texts
from dlcli.errors import DataError

# Keys of a question in memory, as in SQuAD.
QUESTION, CONTEXT = "question", "context"


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions, each about one context. A context of several questions is stored once.

    Attributes:
        questions: the questions `(N,)`.
        contexts: distinct contexts `(C,)`, some of which may be unused.
        places: position of the context of each question `(N,)`, int64.
    """

    questions: Texts
    contexts: Texts
    places: np.ndarray

    @classmethod
    def of_pairs(cls, questions: Sequence[str], contexts: Sequence[str]) -> Self:
        """Return questions with a context for each; equal contexts are stored once."""
        known: dict[str, int] = {}
        places = [known.setdefault(context, len(known)) for context in contexts]
        return cls(Texts.of(list(questions)), Texts.of(list(known)), np.array(places, np.int64))

    @classmethod
    def of(cls, rows: Any) -> Questions:
        """Return the questions of a table with the columns question and context, or of dicts or pairs of both.

        Raises:
            DataError: the rows have another type.
        """
        if isinstance(rows, Questions):
            return rows
        if isinstance(rows, dict):
            rows = [rows]
        if isinstance(rows, pd.DataFrame):
            missing = [name for name in (QUESTION, CONTEXT) if name not in rows.columns]
            if missing:
                raise DataError(f"there is no column {missing[0]}", "new data", "Give question and context.")
            return cls.of_pairs(*([str(cell) for cell in rows[name]] for name in (QUESTION, CONTEXT)))
        found = list(rows)
        pairs: list[Any] = [
            (row.get(QUESTION), row.get(CONTEXT)) if isinstance(row, dict) else row for row in found
        ]
        if not all(
            isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
            for pair in pairs
        ):
            raise DataError(
                "is not a question with a context",
                "new data",
                "Pass a table with the columns question and context, or a list of {'question': ..., 'context': ...}.",
            )
        return cls.of_pairs([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    @property
    def shape(self) -> tuple[int]:
        """`(N,)`."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Self:
        """Return some of the rows in this order."""
        return replace(self, questions=self.questions[rows], places=self.places[rows])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Iterate over questions with their contexts."""
        used, inverse = np.unique(self.places, return_inverse=True)
        contexts = list(self.contexts[used])
        return iter([(q, contexts[place]) for q, place in zip(self.questions, inverse, strict=True)])

    def characters(self) -> np.ndarray:
        """Return the number of characters of each question's context `(N,)`."""
        return pc.fill_null(pc.utf8_length(self.contexts.values), 0).to_numpy()[self.places]

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the values that the fingerprint is computed from."""
        yield from self.questions.pieces()
        yield from self.contexts.pieces()
        yield self.places


def joined_questions(parts: Sequence[Questions]) -> Questions:
    """Return the rows of several parts in their order."""
    if len(parts) == 1:
        return parts[0]
    pairs = [pair for part in parts for pair in part]
    return Questions.of_pairs([question for question, _ in pairs], [context for _, context in pairs])
