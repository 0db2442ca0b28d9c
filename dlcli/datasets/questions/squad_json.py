"""Read questions from SQuAD's JSON (Rajpurkar et al., 2016; with unanswerable questions, 2018)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcli.datasets.plain_text import not_decoded
from dlcli.datasets.questions.answers import Span
from dlcli.datasets.tables.compression import opened
from dlcli.errors import DataError
from dlcli.process.memory import free_memory

_HINT = 'A SQuAD file is {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [...]}]}]}.'
# Maximum number of characters of a text that a message shows.
_SHOWN = 60


@dataclass
class ReadQuestions:
    """Questions as they were read, one entry per question in each list.

    Attributes:
        questions: the questions.
        contexts: their contexts.
        spans: their answers; None for questions without information on answers, such as new ones.
        groups: title of the article; empty if it has none.
        ids: IDs of the questions in the file, or else their place in the file.
        unanswerable: number of questions that are marked as unanswerable.
    """

    questions: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    spans: list[list[Span] | None] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    unanswerable: int = 0

    def __len__(self) -> int:
        return len(self.questions)


def read_squad(file: Path, encoding: str = "utf-8", *, with_answers: bool = True) -> ReadQuestions:
    """Return the questions of a file.

    Args:
        file: the file, which may be compressed.
        encoding: its encoding.
        with_answers: whether each question must have answers or be marked as unanswerable; otherwise answers are not
            read.

    Raises:
        DataError: it is not JSON or lacks a key, or an answer is not at its position; the message names the place in
            the file.
    """
    document = _document(file, encoding)
    found = ReadQuestions()
    for number, article in enumerate(_list(document, "data", str(file))):
        where = f"{file}: data[{number}]"
        title = article.get("title") if isinstance(article, dict) else None
        for place, paragraph in enumerate(_list(article, "paragraphs", where)):
            inside = f"{where}.paragraphs[{place}]"
            context = _text(paragraph, "context", inside)
            for position, question in enumerate(_list(paragraph, "qas", inside)):
                own = f"{inside}.qas[{position}]"
                found.questions.append(_text(question, "question", own))
                found.contexts.append(context)
                found.spans.append(_spans(question, context, own, with_answers))
                found.groups.append(str(title) if title is not None else "")
                found.ids.append(str(question.get("id", own.partition(": ")[2])))
                found.unanswerable += found.spans[-1] == []
    if not found.questions:
        raise DataError("holds no question", str(file), _HINT)
    return found


def is_squad(file: Path) -> bool:
    """Return whether a file is one JSON object with a list `data`, rather than a table of JSON lines."""
    with opened(file, most=free_memory()) as stream:
        first = ""
        while not first and (line := stream.readline()):
            first = line.decode("utf-8-sig", "replace").strip()
    if not first.startswith("{"):
        return False
    try:
        found = json.loads(first)
    except ValueError:
        return True  # an object of several lines, or invalid JSON
    except RecursionError:
        return True  # reading it reports the error
    return isinstance(found.get("data"), list) or set(found) <= {"data", "version"}


def check_answer(text: str, start: int, context: str, where: str, hint: str = "") -> Span:
    """Return the span of an answer.

    Raises:
        DataError: it is empty, or not at the stated position.
    """
    if not text.strip():
        raise DataError("the answer is empty", where, hint or "Leave the answer out, or give its text.")
    if context[start : start + len(text)] == text and start >= 0:
        return start, start + len(text)
    there = context[max(0, start) : max(0, start) + len(text)]
    place = context.find(text)
    near = f" It first occurs at {place}." if place >= 0 else " It does not occur in the context."
    raise DataError(
        f"the answer {_shown(text)} is not at {start}, where the context has {_shown(there)}",
        where,
        f"Positions count characters from 0.{near}",
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _spans(question: dict[str, Any], context: str, where: str, with_answers: bool) -> list[Span] | None:
    if not with_answers:
        return None
    impossible = question.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise DataError("is_impossible is neither true nor false", where, "Write it without quotes.")
    if impossible and question.get("answers"):
        raise DataError(
            "is marked as unanswerable but has answers", where, "Remove its answers, or is_impossible."
        )
    if "answers" not in question and not impossible:
        raise DataError(
            "has no answers", where, 'Add "answers", or mark the question: "is_impossible": true.'
        )
    answers = [] if impossible else _list(question, "answers", where)
    if not answers and not impossible:
        raise DataError(
            "has an empty list of answers", where, 'If there is no answer: "is_impossible": true.'
        )
    spans = []
    for number, answer in enumerate(answers):
        place = f"{where}.answers[{number}]"
        start = answer.get("answer_start") if isinstance(answer, dict) else None
        if isinstance(start, bool) or not isinstance(start, int):
            raise DataError(
                "has no integer answer_start",
                place,
                "Give the position of the answer's first character.",
            )
        spans.append(check_answer(_text(answer, "text", place, empty=True), start, context, place))
    return spans


def _document(file: Path, encoding: str) -> Any:
    with opened(file, most=free_memory()) as stream:
        content = stream.read()
    try:
        return json.loads(content.decode("utf-8-sig" if encoding == "utf-8" else encoding))
    except LookupError as error:
        raise DataError(f"there is no encoding {encoding}", "dataset.encoding") from error
    except UnicodeDecodeError as error:
        raise not_decoded(content, error, str(file), encoding) from error
    except json.JSONDecodeError as error:
        where = f"{file}:{error.lineno}, column {error.colno}"
        raise DataError(f"is not JSON: {error.msg}", where, _HINT) from error
    except RecursionError as error:
        raise DataError("is nested too deeply", str(file), _HINT) from error


def _list(node: Any, key: str, where: str) -> list[Any]:
    found = node.get(key) if isinstance(node, dict) else None
    if not isinstance(found, list):
        what = f"has no list {key}" if isinstance(node, dict) else f"is {_kind(node)}, not an object"
        raise DataError(what, where, _HINT)
    return found


def _text(node: Any, key: str, where: str, *, empty: bool = False) -> str:
    found = node.get(key) if isinstance(node, dict) else None
    if not isinstance(found, str):
        what = f"has no text {key}" if isinstance(node, dict) else f"is {_kind(node)}, not an object"
        raise DataError(what, where, _HINT)
    if not empty and not found.strip():
        raise DataError(f"the {key} is empty", where, "Fill it in, or leave the entry out.")
    return found


def _kind(node: Any) -> str:
    kinds: dict[type, str] = {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(node), "a number")
