"""JSON lines: an object a line, whose keys are the columns."""

from __future__ import annotations

import json as plain_json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json

from dlcli.datasets.tables.arrow_types import is_odd, to_frame
from dlcli.datasets.tables.bounds import free_memory
from dlcli.datasets.tables.compression import Excerpt, at_line, opened
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError, first_line

_HINT = "It has one object a line, and no list around them."

# Levels of lists and objects in each other. Arrow overflows its stack where there are many, and ends the process.
_DEEPEST = 50


def read_json_lines(file: Path | Excerpt) -> Source:
    """Read the table; columns that hold lists or objects are not in its frame.

    Raises:
        DataError: a line is no object, or a column holds values of several kinds, with the line.
    """
    lines = _objects(file)
    name, before = (file.file, file.before) if isinstance(file, Excerpt) else (file, 0)
    if not any(lines):
        raise DataError("is empty", str(file), "Give one row at least.")
    # A row has to fit into one of the blocks that Arrow reads.
    block = json.ReadOptions(block_size=max(1 << 20, 1 + max(map(len, lines))))
    try:
        table = json.read_json(pa.BufferReader(b"".join(lines)), read_options=block)
    except pa.ArrowException as error:
        _refuse_kinds(file, lines)
        raise DataError(f"is no JSON lines file: {first_line(error)}", str(file), _HINT) from error
    odd = {field.name: str(field.type) for field in table.schema if is_odd(field)}
    return Source(to_frame(table.drop_columns(list(odd)), name), name, first=1 + before, odd=odd)


def _objects(file: Path | Excerpt) -> list[bytes]:
    """The lines, each of which is one object or blank.

    Arrow does not look: of `null` it makes a row, where it does not crash, and of two objects on a line two.

    Raises:
        DataError: a line is anything else.
    """
    lines = []
    with opened(file, most=free_memory()) as stream:
        for number, line in enumerate(stream, start=1):
            if line.isspace():
                line = b""
            else:
                read_object(line, at_line(file, number))
            lines.append(line if line.endswith(b"\n") or not line else line + b"\n")
    return lines


def read_object(line: bytes, where: str) -> dict[str, Any]:
    """The object on a line of JSON lines.

    Raises:
        DataError: it is none.
    """
    try:
        row = plain_json.loads(line)
    except ValueError as error:
        raise DataError(f"is no JSON: {first_line(error)}", where, _HINT) from error
    except RecursionError as error:
        raise _too_deep(where) from error
    if not isinstance(row, dict):
        raise DataError(f"is {_kind(row)}, and no object", where, _HINT)
    if line.count(b"[") + line.count(b"{") > _DEEPEST and _depth(row) > _DEEPEST:
        raise _too_deep(where)
    return row


def _too_deep(where: str) -> DataError:
    return DataError(
        f"holds more than {_DEEPEST} lists and objects in each other",
        where,
        "Write what is to be learnt from as a value of its own: a number, a boolean or text.",
    )


def _depth(value: Any) -> int:
    """How many lists and objects stand in each other."""
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _refuse_kinds(file: Path | Excerpt, lines: list[bytes]) -> None:
    """Name the first line that is wrong, which Arrow, reading in blocks, cannot."""
    kinds: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        for name, value in (plain_json.loads(line) if line else {}).items():
            if value is not None and kinds.setdefault(name, _kind(value)) != _kind(value):
                raise DataError(
                    f"is {_kind(value)}, and what stands before it in this column is {kinds[name]}",
                    f"{at_line(file, number)}, column {name}",
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
