"""`Answers`: answers of questions as spans of their contexts, the targets of `Data`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.target_rows import RaggedTargets
from dlcli.formatting import counted

# An answer: positions of its first character in the context, and after its last character.
Span = tuple[int, int]


class Answers(RaggedTargets):
    """Answers of each question, as spans of its context; a question without answers is unanswerable.

    `values` are the first character of each answer and the one after its last `(A, 2)`; different annotators may have
    given equal ones. `rows` are the questions, whose contexts contain the answers.
    """

    target_kind: ClassVar[TargetKind] = "answer_span"
    rows: Questions

    @classmethod
    def of(cls, spans: Sequence[Sequence[Span]], rows: Questions) -> Self:
        """Return answers, given the spans of each question."""
        return cls.concatenated(spans, (2,), rows)

    def facts(self, train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
        """Return whether there are training questions without an answer."""
        return {"unanswerable": bool((self.lengths[train] == 0).any())}

    def described(self, names: Sequence[str]) -> str:
        """Return such as `1,200 answers`."""
        return counted(int(self.lengths.sum()), "answer")

    def spans(self) -> Iterator[list[Span]]:
        """Yield the spans of each question."""
        for values in self.of_each():
            yield [(int(first), int(end)) for first, end in values]

    def texts(self) -> list[list[str]]:
        """Return the distinct answers of each question as texts, in order."""
        return [
            list(dict.fromkeys(context[first:end] for first, end in spans))
            for (_, context), spans in zip(self.rows, self.spans(), strict=True)
        ]

    def records(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each question `[A, first, end, ..., context]`, concatenated as int32, and the lengths `(N,)`.

        The context's characters are their code points, so that predicted answers can be compared with those given.
        """
        parts = []
        for (_, context), spans in zip(self.rows, self.spans(), strict=True):
            letters = np.frombuffer(context.encode("utf-32-le", "surrogatepass"), "<i4")
            head = np.array([len(spans), *(edge for span in spans for edge in span)], "<i4")
            parts.append(np.concatenate([head, letters]))
        values = np.concatenate(parts) if parts else np.empty(0, "<i4")
        return torch.from_numpy(values.astype(np.int32)), torch.tensor([len(part) for part in parts])

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the values that the fingerprint is computed from."""
        yield self.values
        yield self.starts
        yield self.lengths
