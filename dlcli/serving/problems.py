"""Errors as answers: their status, and each problem with its row and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dlcli.errors import DlcliError, InputError, Problem
from dlcli.serving.bodies import TooMuch, UnsupportedType

SCHEMA_VERSION = 1

# Places such as `request:2, column size` (the second line), `request, row 1, column size` and `step 3, column load`.
_LINE, _ROW = re.compile(r"^[^:,]*:(\d+)"), re.compile(r"(?:^|[ ,:])row (\d+)")
_COLUMN = re.compile(r"(?:^|[ ,:])column (.*)$", re.DOTALL)


def failure(status: int, *problems: Problem, is_json: bool = True) -> tuple[int, dict[str, Any]]:
    """Return the answer to a request that failed.

    Args:
        status: of HTTP.
        problems: what is wrong.
        is_json: whether lines are rows, counted from 1, rather than lines of a file with a header.
    """
    errors = [{**problem.to_json(), **_place(problem.where, is_json)} for problem in problems]
    return status, {"schema_version": SCHEMA_VERSION, "status": "ERROR", "errors": errors}


def refusal_of(error: BaseException, *, is_json: bool) -> tuple[int, dict[str, Any]] | None:
    """Return the answer to a request with a mistake in it; None for an error that is not the request's fault."""
    if not isinstance(error, InputError):
        return None
    status = 413 if isinstance(error, TooMuch) else 415 if isinstance(error, UnsupportedType) else 422
    return failure(status, *_few(error), is_json=is_json)


def _few(error: DlcliError, most: int = 20) -> Sequence[Problem]:
    return error.problems[:most]


def _place(where: str, is_json: bool) -> dict[str, Any]:
    """Return row (from 0, as the answers count) or line (from 1), and the column."""
    found: dict[str, Any] = {}
    if line := _LINE.match(where):
        found |= {"row": int(line[1]) - 1} if is_json else {"line": int(line[1])}
    elif row := _ROW.search(where):
        found["row"] = int(row[1]) - 1
    if column := _COLUMN.search(where):
        found["column"] = column[1]
    return found
