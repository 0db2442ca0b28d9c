"""`Answers`: the answers of questions, spans of their contexts, as the targets of `Data`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.questions.questions import Questions

# One answer: its first character in the context, and the one after its last.
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of each question, as spans of its context; a question without any is unanswerable.

    Attributes:
        spans: first character of each answer and the one after its last `(A, 2)`, int64.
        starts: first answer of each question `(N,)`.
        counts: number of answers of each question `(N,)`; different annotators may have given equal ones.
        rows: the questions, in which answers are looked up.
    """

    target_kind: ClassVar[TargetKind] = "answer_span"
    ndim: ClassVar[int] = 1

    spans: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    rows: Questions

    @classmethod
    def of(cls, spans: Sequence[Sequence[Span]], rows: Questions) -> Self:
        """Return the answers of questions, given the spans of each."""
        counts = np.array([len(own) for own in spans], np.int64)
        flat = np.array([span for own in spans for span in own], np.int64).reshape(-1, 2)
        return cls(flat, counts.cumsum() - counts, counts, rows)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the positions."""
        return np.dtype(np.int64)

    @property
    def shape(self) -> tuple[int]:
        """`(N,)`."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Self:
        return replace(self, starts=self.starts[rows], counts=self.counts[rows], rows=self.rows[rows])

    def of_each(self) -> Iterator[list[Span]]:
        """Yield the spans of each question."""
        for start, count in zip(self.starts, self.counts, strict=True):
            yield [(int(first), int(end)) for first, end in self.spans[start : start + count]]

    def texts(self) -> list[list[str]]:
        """Return the different answers of each question as texts, in their order."""
        return [
            list(dict.fromkeys(context[first:end] for first, end in spans))
            for (_, context), spans in zip(self.rows, self.of_each(), strict=True)
        ]

    def records(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each question `[A, first, end, ..., context]`, concatenated as int32, and the lengths `(N,)`.

        The context's characters are their code points, so that predicted answers can be compared with those given.
        """
        parts = []
        for (_, context), spans in zip(self.rows, self.of_each(), strict=True):
            letters = np.frombuffer(context.encode("utf-32-le", "surrogatepass"), "<i4")
            head = np.array([len(spans), *(edge for span in spans for edge in span)], "<i4")
            parts.append(np.concatenate([head, letters]))
        values = np.concatenate(parts) if parts else np.empty(0, "<i4")
        return torch.from_numpy(values.astype(np.int32)), torch.tensor([len(part) for part in parts])

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the values that the fingerprint is computed from."""
        yield self.spans
        yield self.starts
        yield self.counts
