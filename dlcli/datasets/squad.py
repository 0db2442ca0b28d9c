"""Questions on contexts with their answers, in SQuAD's JSON or a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice
from dlcli.datasets.questions.answers import Answers
from dlcli.datasets.questions.question_tables import QuestionColumns, read_questions
from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.questions.squad_json import ReadQuestions
from dlcli.datasets.tables.format_options import AutoOrBool, CellOptions, Separator
from dlcli.errors import DataError
from dlcli.files.paths import typed
from dlcli.formatting import counted


def load(
    path: str,
    val_path: str | None = None,
    test_path: str | None = None,
    question: str = "question",
    context: str = "context",
    answer: str = "answer",
    start: str | None = "start",
    group: str | None = None,
    separator: Separator = "auto",
    header: AutoOrBool = "auto",
    quotes: AutoOrBool = "auto",
    encoding: str = "utf-8",
) -> Data:
    """Load questions whose answers are spans of a context.

    The articles of SQuAD's JSON are groups, so that `cv=group_kfold` keeps the questions of an article together.

    Args:
        path: SQuAD's JSON (versions 1.1 and 2.0), or a table with a question, its context and its answer in each row.
        val_path: a file of the same kind whose questions are the validation rows.
        test_path: a file of the same kind whose questions are the final test rows.
        question: the table's column of questions.
        context: the table's column of contexts.
        answer: the table's column of answers; an empty cell is an unanswerable question.
        start: the table's column of the position of the answer's first character in the context, counted from 0; None
            finds answers by their text, which must occur once.
        group: the table's column whose equal values form a group.
        separator: column separator of a table; auto detects it, as for `header` and `quotes`.
        header: whether the first line contains the column names.
        quotes: whether cells may be enclosed in quotes.
        encoding: encoding of the file.

    Raises:
        DataError: a file is invalid, or an answer is not where it is said to be; with the place.
    """
    columns = QuestionColumns(question, context, answer, start, group)
    options = CellOptions(separator, header, quotes, encoding)
    files = [typed(file) for file in (path, val_path, test_path) if file is not None]
    parts = [read_questions(file, columns, options) for file in files]
    x = Questions.of_pairs(
        [text for part in parts for text in part.questions],
        [text for part in parts for text in part.contexts],
    )
    y = Answers.of([spans or [] for part in parts for spans in part.spans], x)
    if not y.lengths.any():
        raise DataError(
            "no question has an answer", str(files[0]), "Give answers for at least some questions."
        )
    own = _rows(parts, val_path is not None, test_path is not None)
    groups = [name for part in parts for name in part.groups]
    return Data(
        name=files[0].name.partition(".")[0],
        kind="questions",
        x=x,
        y=y,
        source=str(files[0]),
        val_rows=own["val"],
        test_rows=own["test"],
        groups=np.unique(groups, return_inverse=True)[1] if any(groups) else None,
        note=_note(parts, x),
        notices=tuple(_notices(parts, files)),
    )


def _rows(parts: list[ReadQuestions], has_val: bool, has_test: bool) -> dict[str, np.ndarray | None]:
    """Return the rows of the validation and test files."""
    ends = np.cumsum([len(part) for part in parts])
    spans = [np.arange(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
    return {"val": spans[1] if has_val else None, "test": spans[-1] if has_test else None}


def _note(parts: list[ReadQuestions], x: Questions) -> str:
    articles = len({name for part in parts for name in part.groups if name})
    told = counted(len(x.contexts), "context")
    return f"{told} of {counted(articles, 'article')}" if articles else told


def _notices(parts: list[ReadQuestions], files: list[Path]) -> list[Notice]:
    again = [
        Notice(
            "repeated_ids",
            repeated,
            f"{repeated:,} of {len(part):,} questions have an id that another question has",
            str(file),
            "If the file contains questions twice, remove them.",
        )
        for part, file in zip(parts, files, strict=True)
        if (repeated := len(part) - len(set(part.ids)))
    ]
    return again + [
        Notice(
            "unanswerable_questions",
            part.unanswerable,
            f"{part.unanswerable:,} of {len(part):,} questions are unanswerable",
            str(file),
            warns=False,
        )
        for part, file in zip(parts, files, strict=True)
        if part.unanswerable
    ]
