"""Reading JSON lines: one object per line, whose keys are the columns."""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json

from dlcli.datasets.reading.column import EXACT
from dlcli.datasets.tables.arrow_types import is_unsupported
from dlcli.datasets.tables.compression import Excerpt, at_line, opened
from dlcli.datasets.tables.source import RawTable
from dlcli.errors import DataError, first_line
from dlcli.process.memory import free_memory

_HINT = "Write one object per line, or one list of objects, as pandas does with to_json(orient='records')."

# Maximum nesting depth, because Arrow overflows its stack and ends the process for deeply nested values.
_MAX_DEPTH = 50


# A whole number in JSON that may be too large for Arrow.
_LARGE = re.compile(rb"\d{16,}")


def read_json_lines(file: Path | Excerpt, known: Collection[str] = ()) -> RawTable:
    """Read the cells of the table; columns of lists or objects are not included. One list of objects is read too.

    Args:
        file: the file.
        known: columns of other rows, which are added without values if these rows lack them.

    Raises:
        DataError: a line is not an object, or a column has values of several types; with the line.
    """
    lines, counted = _objects(file)
    name, before = (file.file, file.before) if isinstance(file, Excerpt) else (file, 0)
    if not any(lines):
        raise DataError("is empty", str(file), "Give at least one row.")
    # Arrow needs blocks that are larger than the longest row.
    block = json.ReadOptions(block_size=max(1 << 20, 1 + max(map(len, lines))))
    try:
        table = json.read_json(pa.BufferReader(b"".join(lines)), read_options=block)
    except pa.ArrowException as error:
        _check_types(file, lines, counted=counted)
        raise DataError(f"is not a JSON lines file: {first_line(error)}", str(file), _HINT) from error
    unsupported = {field.name: str(field.type) for field in table.schema if is_unsupported(field)}
    lists = {field.name: table.column(field.name) for field in table.schema if pa.types.is_list(field.type)}
    rows = len(table)
    if unsupported and not known and len(unsupported) == table.num_columns:
        raise DataError("contains lists or objects instead of rows", str(file), _HINT)
    table = _with_all_digits(table.drop_columns(list(unsupported)), lines)
    absent = {
        name: pa.nulls(rows) for name in known if name not in table.column_names and name not in unsupported
    }
    if absent:
        table = pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **absent})
    return RawTable.of(table, name, 1 + before if counted else None, unsupported=unsupported, lists=lists)


def is_list(file: Path) -> bool:
    """Return whether a file of JSON holds one list."""
    with opened(file) as stream:
        return stream.read(1 << 10).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["


def _with_all_digits(table: pa.Table, lines: Sequence[bytes]) -> pa.Table:
    """Return the table with columns of whole numbers that are too large to be exact as strings."""
    if not any(_LARGE.search(line) for line in lines):
        return table
    rows = [plain_json.loads(line) for line in lines if line]
    for number, name in enumerate(table.column_names):
        values = [row.get(name) for row in rows]
        if any(type(value) is int and abs(value) > EXACT for value in values):
            strings = [None if value is None else str(value) for value in values]
            table = table.set_column(number, name, pa.array(strings, pa.string()))
    return table


def _objects(file: Path | Excerpt) -> tuple[list[bytes], bool]:
    """Return the lines after checking that each is one object or blank, and whether they are those of the file.

    Arrow does not check this: it reads `null` as a row or crashes, and reads two objects on a line as two rows.

    Raises:
        DataError: a line is something else.
    """
    lines: list[bytes] = []
    begins = not isinstance(file, Excerpt) or not file.before
    with opened(file, most=free_memory()) as stream:
        for number, line in enumerate(stream, start=1):
            if line.isspace():
                line = b""
            elif begins and not any(lines) and line.lstrip(b"\xef\xbb\xbf \t")[:1] == b"[":
                return _items(file, line + stream.read()), False
            else:
                line = _without_nan(line, read_object(line, at_line(file, number)))
            lines.append(line if line.endswith(b"\n") or not line else line + b"\n")
    return lines, True


def _items(file: Path | Excerpt, content: bytes) -> list[bytes]:
    """Return the items of one list of objects as lines."""
    try:
        items = plain_json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {first_line(error)}", str(file), _HINT) from error
    return [_item(item, f"{file}, item {number}") for number, item in enumerate(items)]


def _item(item: Any, where: str) -> bytes:
    line = plain_json.dumps(item, ensure_ascii=True).encode()
    return _without_nan(line, read_object(line, where)) + b"\n"


def _without_nan(line: bytes, row: Mapping[str, Any]) -> bytes:
    """Return the line of a row with null for NaN, which Python writes for a missing word as well."""
    if b"NaN" not in line or all(value == value for value in row.values()):
        return line
    known = {name: value if value == value else None for name, value in row.items()}
    return plain_json.dumps(known).encode()


def read_object(line: bytes, where: str) -> dict[str, Any]:
    """Parse the object on a line.

    Raises:
        DataError: the line is not an object.
    """
    try:
        row = plain_json.loads(line)
    except ValueError as error:
        raise DataError(f"is not JSON: {first_line(error)}", where, _HINT) from error
    except RecursionError as error:
        raise _too_deep(where) from error
    if not isinstance(row, dict):
        raise DataError(f"is {_kind(row)}, not an object", where, _HINT)
    try:
        plain_json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        hint = "Remove the character, or write it as UTF-8."
        raise DataError("contains half of a surrogate pair, which is not a character", where, hint) from error
    except RecursionError as error:
        raise _too_deep(where) from error
    if line.count(b"[") + line.count(b"{") > _MAX_DEPTH and _depth(row) > _MAX_DEPTH:
        raise _too_deep(where)
    return row


def check_rows(file: Path) -> None:
    """Check the rows of a JSON file of any layout: `null` as a row makes Arrow crash.

    Raises:
        DataError: a line, or an item of the file's list, is not an object.
    """
    with opened(file, most=free_memory()) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                row = None if line.isspace() else plain_json.loads(line)
            except (
                ValueError,
                RecursionError,
            ):  # one document of several lines, or a mistake that the reader reports
                break
            if isinstance(row, list):
                break
            if not line.isspace():
                read_object(line, at_line(file, number))
        else:
            return
    with opened(file, most=free_memory()) as stream:
        try:
            document = plain_json.loads(stream.read())
        except (ValueError, RecursionError):
            return
    for number, item in enumerate(document if isinstance(document, list) else []):
        if not isinstance(item, dict):
            raise DataError(f"is {_kind(item)}, not an object", f"{file}, item {number}", _HINT)


def _too_deep(where: str) -> DataError:
    return DataError(
        f"has more than {_MAX_DEPTH} levels of nested lists and objects",
        where,
        "Write features as top-level values: numbers, booleans or texts.",
    )


def _depth(value: Any) -> int:
    """Return the nesting depth of lists and objects."""
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _check_types(file: Path | Excerpt, lines: list[bytes], *, counted: bool) -> None:
    """Raise an error with the first line or item whose type differs; Arrow cannot name it, as it reads in blocks."""
    kinds: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        for name, value in (plain_json.loads(line) if line else {}).items():
            if value is not None and kinds.setdefault(name, _kind(value)) != _kind(value):
                raise DataError(
                    f"is {_kind(value)}, but previous values of the column are {kinds[name]}",
                    f"{at_line(file, number) if counted else f'{file}, item {number - 1}'}, column {name}",
                    'Write all values of a column with the same type, such as 1 or "1".',
                )


def _kind(value: Any) -> str:
    """Return the JSON type of a value, with its article."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "null"
