"""Read questions from a table with the columns question, context, answer and start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcli.datasets.questions.answers import Span
from dlcli.datasets.questions.squad_json import ReadQuestions, check_answer, is_squad, read_squad
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.read_table import read_raw, require_file, table_format
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError


@dataclass(frozen=True)
class QuestionColumns:
    """The columns of a table of questions.

    Attributes:
        question: column of the questions.
        context: column of their contexts.
        answer: column of the answers; empty cells are unanswerable questions.
        start: column with the position of the answer's first character in the context, from 0; None finds answers by
            their text.
        group: column whose equal values form a group; None without groups.
    """

    question: str = "question"
    context: str = "context"
    answer: str = "answer"
    start: str | None = "start"
    group: str | None = None

    def keys(self, *, with_answers: bool) -> dict[str, Sequence[str]]:
        """Return setting to required columns of a table."""
        found: dict[str, Sequence[str]] = {
            "dataset.question": [self.question],
            "dataset.context": [self.context],
        }
        if with_answers:
            found["dataset.answer"] = [self.answer]
            found |= {} if self.start is None else {"dataset.start": [self.start]}
        return found | ({} if self.group is None else {"dataset.group": [self.group]})


def read_questions(
    file: Path, columns: QuestionColumns, options: FormatOptions, *, with_answers: bool = True
) -> ReadQuestions:
    """Return the questions of a file: SQuAD's JSON, or a table of any format.

    Args:
        file: the file.
        columns: the columns of a table.
        options: how a table is read.
        with_answers: whether each question must have an answer; otherwise answers are not read.

    Raises:
        DataError: the file is invalid; the message names line and column, or the path in the JSON.
    """
    require_file(file)
    if table_format(file) == "json lines" and is_squad(file):
        return read_squad(file, options.encoding, with_answers=with_answers)
    raw = read_raw(file, options)
    needed = columns.keys(with_answers=with_answers)
    raw.origin.require_all(needed)
    names = {name for several in needed.values() for name in several}
    source = raw.read(Columns(tuple(Column(name, "text", missing=()) for name in raw.names if name in names)))
    return questions_of(source, columns, with_answers=with_answers)


def questions_of(source: Source, columns: QuestionColumns, *, with_answers: bool = True) -> ReadQuestions:
    """Return the questions of a table with cells of text.

    Raises:
        DataError: a question or context is empty, or an answer is not in its context; the message names line and
            column.
    """
    frame = source.frame
    found = ReadQuestions()
    for row, (question, context) in enumerate(
        zip(_cells(source, columns.question), _cells(source, columns.context), strict=True)
    ):
        for text, name in ((question, columns.question), (context, columns.context)):
            if not text.strip():
                raise DataError(
                    "the cell is empty", source.place(row, name), "Fill it in, or leave the row out."
                )
        found.questions.append(question)
        found.contexts.append(context)
        found.ids.append(str(row))
    found.groups = _cells(source, columns.group) if columns.group is not None else [""] * len(frame)
    if not with_answers:
        found.spans = [None] * len(frame)
        return found
    answers = _cells(source, columns.answer)
    starts = _cells(source, columns.start) if columns.start is not None else [""] * len(frame)
    for row, (answer, start, context) in enumerate(zip(answers, starts, found.contexts, strict=True)):
        own = _span(source, row, (answer, start, context), columns)
        found.spans.append([] if own is None else [own])
        found.unanswerable += own is None
    return found


def _cells(source: Source, name: str) -> list[str]:
    return ["" if cell is None or cell != cell else str(cell) for cell in source.frame[name]]


def _span(source: Source, row: int, cells: tuple[str, str, str], columns: QuestionColumns) -> Span | None:
    """Return the span of the answer in a row, or None if the question is unanswerable."""
    answer, start, context = cells
    at = source.place(row, columns.answer)
    if not answer.strip():
        if start.strip() and not start.strip().startswith("-"):
            raise DataError("the answer is empty, but has a start", at, "Fill it in, or empty both cells.")
        return None
    if columns.start is None:
        times = context.count(answer)
        if times != 1:
            raise DataError(
                f"the answer occurs {times} times in its context",
                at,
                "Give the position of its first character in a column: dataset.start=COLUMN."
                if times
                else "Copy it verbatim from the context.",
            )
        return context.index(answer), context.index(answer) + len(answer)
    place = source.place(row, columns.start)
    try:
        number = float(start)
        first = int(number)
        if first != number:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{start!r} is not an integer",
            place,
            "Give the position of the answer's first character, counted from 0; or set dataset.start=null to "
            "find answers by their text.",
        ) from error
    return check_answer(answer, first, context, place)
