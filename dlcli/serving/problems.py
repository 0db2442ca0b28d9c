"""Convert errors to answers with a status, and each problem with its row and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dlcli.errors import DlcliError, InputError, Problem
from dlcli.serving.bodies import TooMuch, UnsupportedType

SCHEMA_VERSION = 1

# Matches places such as `request:2, column size` (second line), `request, row 1, column size`, `step 3, column load`.
_LINE, _ROW = re.compile(r"^[^:,]*:(\d+)"), re.compile(r"(?:^|[ ,:])row (\d+)")
_COLUMN = re.compile(r"(?:^|[ ,:])column (.*)$", re.DOTALL)
_ABSENT = re.compile(r"^there is no column (.*?)(?: in request)?$", re.DOTALL)


def failure(status: int, *problems: Problem, lines: str = "") -> tuple[int, dict[str, Any]]:
    """Return the answer to a request that failed.

    Args:
        status: HTTP status.
        problems: the problems.
        lines: unit of the line numbers in places of problems: `rows` or `lines` of a file, from 1; empty if none.
    """
    errors = [{**problem.to_json(), **_place(problem.where, problem.message, lines)} for problem in problems]
    return status, {"schema_version": SCHEMA_VERSION, "status": "ERROR", "errors": errors}


def refusal_of(error: BaseException, lines: str) -> tuple[int, dict[str, Any]] | None:
    """Return the answer to an error that the request has caused; None for other errors."""
    if not isinstance(error, InputError):
        return None
    status = 413 if isinstance(error, TooMuch) else 415 if isinstance(error, UnsupportedType) else 422
    return failure(status, *_few(error), lines=lines)


def _few(error: DlcliError, most: int = 20) -> Sequence[Problem]:
    return error.problems[:most]


def _place(where: str, message: str, lines: str) -> dict[str, Any]:
    """Return the row (from 0, as in answers) or the line (from 1), and the column."""
    found: dict[str, Any] = {}
    if lines and (line := _LINE.match(where)):
        found |= {"row": int(line[1]) - 1} if lines == "rows" else {"line": int(line[1])}
    elif row := _ROW.search(where):
        found["row"] = int(row[1]) - 1
    if column := _COLUMN.search(where) or _ABSENT.match(message):
        found["column"] = column[1]
    return found
