"""Exact match and F1 of answers, as in SQuAD's own evaluation (Rajpurkar et al., 2016, `evaluate-v1.1.py`)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=1 << 14)
def normalized_answer(text: str) -> str:
    """Return a text in lower case, without punctuation and English articles, with single blanks between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(predicted: str, answers: Sequence[str]) -> float:
    """Return 1 if the prediction is one of the answers after normalization, else 0.

    An unanswerable question has no answers; the correct prediction is an empty text (SQuAD 2.0).
    """
    found = normalized_answer(predicted)
    return float(found in _normalized(answers))


def answer_f1(predicted: str, answers: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of the words, the highest over the answers.

    If prediction or answer has no words after normalization, it is 1 if neither has any, else 0 (SQuAD 2.0).
    """
    return max(_f1(normalized_answer(predicted), answer) for answer in _normalized(answers))


def _normalized(answers: Sequence[str]) -> list[str]:
    """Return the normalized answers; empty ones are used only if all are empty, as in the script of SQuAD 2.0."""
    return [found for answer in answers if (found := normalized_answer(answer))] or [""]


def _f1(predicted: str, answer: str) -> float:
    found, true = predicted.split(), answer.split()
    if not found or not true:
        return float(found == true)
    same = sum((Counter(found) & Counter(true)).values())
    if not same:
        return 0.0
    precision, recall = same / len(found), same / len(true)
    return 2 * precision * recall / (precision + recall)
