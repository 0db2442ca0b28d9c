"""Read new questions: SQuAD's JSON, or a table with a question and its context in each row."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dlcli.datasets.notices import Notice
from dlcli.datasets.questions.question_tables import QuestionColumns, questions_of
from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.questions.squad_json import is_squad, read_squad
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.tables.column_selection import PIECE, ColumnSelection
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.pieces import STDIN
from dlcli.datasets.tables.read_table import is_table, require_file, table_format
from dlcli.errors import InputError
from dlcli.prediction.new_rows import NewRows, labels_of, pieces_of
from dlcli.prediction.new_tables import labels_of_piece

# Number of questions of SQuAD's JSON predicted at a time.
_QUESTIONS = min(PIECE, 1024)


@dataclass(frozen=True)
class QuestionSettings(FormatOptions):
    """Settings for reading questions.

    Attributes:
        question: Column of the questions.
        context: Column of their contexts.
    """

    question: str = "question"
    context: str = "context"


def read_new_questions(
    files: Sequence[Path],
    keep: Sequence[str] | None,
    settings: QuestionSettings,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None = None,
) -> Iterator[NewRows]:
    """Yield questions with their numbers, counted from 0 in each file; those of SQuAD's JSON also with their ids.

    Answers, if there are any, are not read. `stream` is the content of a single table in memory.

    Raises:
        DataError: The file is invalid, or a column is missing.
        InputError: Columns are to be kept of SQuAD's JSON.
    """
    for file in files:
        given = stream is not None or file == STDIN
        if not given:
            require_file(file)
        if not given and is_table(file) and table_format(file) == "json lines" and is_squad(file):
            if keep:
                raise InputError("SQuAD's JSON has no columns to keep", "--keep", "Remove the option.")
            yield from _of_json(files, file, settings.encoding)
        else:
            yield from _of_table(files, file, keep, settings, report, stream)


def _of_json(files: Sequence[Path], file: Path, encoding: str) -> Iterator[NewRows]:
    found = read_squad(file, encoding, with_answers=False)
    for first in range(0, len(found), _QUESTIONS):
        some = slice(first, first + _QUESTIONS)
        rows = Questions.of_pairs(found.questions[some], found.contexts[some])
        labels = labels_of(
            files,
            file,
            row=np.arange(first, first + len(rows)),
            id=pa.array(found.ids[some], pa.string()),
            question=pa.array(found.questions[some], pa.string()),
        )
        yield NewRows(file, rows, labels)


def _of_table(
    files: Sequence[Path],
    file: Path,
    keep: Sequence[str] | None,
    settings: QuestionSettings,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None,
) -> Iterator[NewRows]:
    columns = QuestionColumns(settings.question, settings.context)
    names = [settings.question, settings.context]
    as_texts = Columns(tuple(Column(name, "text", missing=()) for name in names))
    for piece in pieces_of(file, ColumnSelection(names, False, keep), settings, report, stream=stream):
        labels = labels_of_piece(files, file, piece)
        found = questions_of(piece.raw.read(as_texts), columns, with_answers=False)
        yield NewRows(file, Questions.of_pairs(found.questions, found.contexts), labels)
