"""JSON lines: an object a line, whose keys are the columns."""

from __future__ import annotations

import json as plain_json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json

from dlcli.datasets.tables.packed import Excerpt, at_line, opened
from dlcli.datasets.tables.plain import is_odd, to_frame
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError, first_line

_HINT = "It has one object a line, and no list around them."


def read_json_lines(file: Path | Excerpt) -> Source:
    """Read the table; columns that hold lists or objects are not in its frame.

    Raises:
        DataError: a line is no object, or a column holds values of several kinds, with the line.
    """
    try:
        with opened(file) as stream:
            table = json.read_json(stream)
    except pa.ArrowInvalid as error:
        _refuse_line(file)
        raise DataError(f"is no JSON lines file: {first_line(error)}", str(file), _HINT) from error
    odd = {field.name: str(field.type) for field in table.schema if is_odd(field)}
    name, before = (file.file, file.before) if isinstance(file, Excerpt) else (file, 0)
    return Source(to_frame(table.drop_columns(list(odd)), name), name, first=1 + before, odd=odd)


def _refuse_line(file: Path | Excerpt) -> None:
    """Name the first line that is wrong, which Arrow, reading in blocks, cannot."""
    kinds: dict[str, str] = {}
    with opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            where = at_line(file, number)
            try:
                row = plain_json.loads(line)
            except ValueError as error:
                raise DataError(f"is no JSON: {first_line(error)}", where, _HINT) from error
            if not isinstance(row, dict):
                raise DataError(f"is {_kind(row)}, and no object", where, _HINT)
            for name, value in row.items():
                if value is not None and kinds.setdefault(name, _kind(value)) != _kind(value):
                    raise DataError(
                        f"is {_kind(value)}, and what stands before it in this column is {kinds[name]}",
                        f"{where}, column {name}",
                        'Write all values of a column in the same way: 1, or "1".',
                    )


def _kind(value: Any) -> str:
    """What JSON calls a value."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "null"
