"""Baselines of question answering: a sentence of the context, chosen without a model."""

from __future__ import annotations

import re
from collections.abc import Callable

from dlcli.datasets.questions.answers import Span
from dlcli.tasks.squad_score import normalized_answer

# The end of a sentence: punctuation, optionally with closing quotes or brackets, before a blank.
_END = re.compile(r"[.!?][\"')\]]*\s+|\n+")

SentenceChoice = Callable[[str, str], Span]


def sentence_spans(context: str) -> list[Span]:
    """Return the spans of the sentences of a text."""
    found, first = [], 0
    for end in [*(match.end() for match in _END.finditer(context)), len(context)]:
        text = context[first:end]
        if text.strip():
            begin = first + len(text) - len(text.lstrip())
            found.append((begin, begin + len(text.strip())))
        first = end
    return found


def first_sentence(question: str, context: str) -> Span:
    """Return the span of the first sentence."""
    return next(iter(sentence_spans(context)), (0, len(context)))


def most_shared_words(question: str, context: str) -> Span:
    """Return the span of the first sentence that shares the most distinct words with the question."""
    asked = set(normalized_answer(question).split())
    spans = sentence_spans(context) or [(0, len(context))]
    return max(spans, key=lambda span: len(asked & set(normalized_answer(context[slice(*span)]).split())))
