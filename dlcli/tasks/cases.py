"""Errors of rows, or of parts of rows such as the boxes of an image, where a row has no single predicted value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dlcli.statistics.edit_distance import edit_distances


@dataclass(frozen=True, eq=False)
class Cases:
    """Errors of M cases: rows, or parts of rows.

    Attributes:
        error: name of the error, such as `1 - IoU`; the larger, the worse.
        are: name of the cases in the plural, such as `boxes`.
        rows: position of the row of each case, `(M,)`.
        errors: error of each case, `(M,)`; NaN where it is undefined.
        columns: by which cases are grouped: name to values `(M,)`.
        note: what the errors do not tell.
    """

    error: str
    are: str
    rows: np.ndarray
    errors: np.ndarray
    columns: Mapping[str, pd.Series]
    note: str = ""


def cases_of_classes(
    error: str, are: str, scores: np.ndarray, classes: Sequence[str], columns: Mapping[str, np.ndarray]
) -> Cases:
    """Return a case for each class of each row where its score is defined.

    Args:
        error: name of the error.
        are: name of the cases.
        scores: score of each class from 0 to 1 `(N, C)`; NaN where it is undefined.
        classes: their names.
        columns: further columns, with values `(N, C)`.
    """
    rows, codes = np.nonzero(~np.isnan(scores))
    names = np.asarray(classes, dtype=object)[codes]
    return Cases(
        error,
        are,
        rows,
        1 - scores[rows, codes],
        {
            "class": pd.Series(names, dtype=object),
            **{name: pd.Series(values[rows, codes]) for name, values in columns.items()},
        },
    )


def cases_of_texts(
    error: str, are: str, errors: np.ndarray, columns: Mapping[str, Sequence[object]]
) -> Cases:
    """Return a case for each row, with its error `(N,)`."""
    return Cases(
        error,
        are,
        np.arange(len(errors)),
        errors,
        {name: pd.Series(list(own)) for name, own in columns.items()},
    )


def cases_of_transcripts(predicted: Sequence[str], true: Sequence[str], of: str = "transcript") -> Cases:
    """Return the character error rate of each text, grouped by the length of the true one."""
    lengths = np.array([len(text) for text in true], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.where(lengths > 0, edit_distances(predicted, true) / lengths, np.nan)
    columns = {f"characters of the {of}": lengths.tolist(), f"words of the {of}": word_numbers(true)}
    return cases_of_texts("character error rate", f"{of}s", errors, columns)


def word_numbers(texts: Sequence[str]) -> list[int]:
    """Return the number of words of each text, which are separated by blanks."""
    return [len(text.split()) for text in texts]
