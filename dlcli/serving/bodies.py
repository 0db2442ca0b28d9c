"""Parse the bodies of requests (JSON, CSV, texts, images) to rows."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from dlcli.datasets.folders.stored import MemoryEntry
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.reading.column import EXACT
from dlcli.errors import DataError, first_line
from dlcli.formatting import counted
from dlcli.prediction.row_reader import Given
from dlcli.serving.limits import ServeLimits

# Name of the rows in messages.
NAME = Path("request")

JSON, JSON_LINES, CSV, TEXT = "application/json", "application/x-ndjson", "text/csv", "text/plain"
FORM = "multipart/form-data"

# Kinds of data whose rows are files, with the content types of the files.
FILES = {"image": "image/*", "audio": "audio/*"}

_SAME = {"application/jsonl": JSON_LINES, "application/x-jsonlines": JSON_LINES, "application/csv": CSV}
# Content types that curl sends for `--data` by default.
_ANYTHING = ("", "application/x-www-form-urlencoded", "application/octet-stream")

_HINT = 'Send a list of objects, such as [{"column": 1.5}], or one object.'
_PARTS = 1000  # maximum number of parts of a form

# Maximum number of cells, including those of keys that a row lacks, and of different keys in a document. Each key is a
# column of all rows, so that a document of 100 kB could fill the memory.
_CELLS, _KEYS = 1 << 20, 1 << 16
_SEPARATORS = (b",", b";", b"\t", b"|", b" ")
_DEPTH = 64  # maximum nesting of lists and objects in a row


class UnsupportedType(DataError):
    """The content type of the request is not supported for the model."""


class TooMuch(DataError):
    """A request has more rows, or a larger image, than the server accepts."""


@dataclass(frozen=True)
class Body:
    """The body of a request.

    Attributes:
        content: its bytes.
        type: the header `Content-Type`.
    """

    content: bytes
    type: str = ""


@dataclass(frozen=True, eq=False)
class JsonRows(Given):
    """Rows of a JSON document.

    Attributes:
        lines: the rows as JSON lines.
        rows: number of rows.
        alike: the keys and the types of their values; requests with equal ones can be read together. None if some rows
            lack keys that others have, since those would become missing values of other requests.
    """

    lines: bytes = b""
    rows: int = 0
    alike: frozenset[tuple[str, str]] | None = None


def accepted(kind: str) -> tuple[str, ...]:
    """Return the content types that are supported for a kind of data, the usual one first."""
    if kind in FILES:
        return (FORM, FILES[kind])
    if kind == "words":
        return (JSON, JSON_LINES, TEXT)
    return (JSON, CSV, JSON_LINES, *([TEXT] if kind == "tokens" else []))


def _file_name(kind: str, sent: str) -> str:
    """Return a file name for a content type such as `audio/x-wav`."""
    return f"{kind}.{sent.partition('/')[2].removeprefix('x-')}"


def read_body(
    body: Body, kind: str, column: str = "", limits: ServeLimits | None = None
) -> tuple[Given, list[Notice]]:
    """Return the rows of a body, and notices about them.

    Args:
        body: the body.
        kind: the kind of the model's data.
        column: for texts, the name of their column.
        limits: limits on a request.

    Raises:
        UnsupportedType: The content type is not supported for this kind.
        TooMuch: The body has more rows or keys than the limits allow.
        DataError: The body is damaged.
    """
    message = Message()
    message["Content-Type"] = body.type or "application/octet-stream"
    sent = message.get_content_type()
    if sent == FORM:
        return _form(body, message, kind, column, limits)
    if kind in FILES:
        if sent.startswith(f"{kind}/"):
            return Given([NAME], stored=[MemoryEntry(_file_name(kind, sent), body.content)]), []
        raise _unsupported(sent, kind)
    sent = _SAME.get(sent, sent)
    begin = body.content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if sent == JSON or (sent in _ANYTHING and begin in (b"[", b"{")):
        return _json_rows(_document(body.content), len(body.content), column, limits or ServeLimits())
    if sent not in accepted(kind):
        raise _unsupported(body.type, kind)
    if not body.content.strip():
        raise DataError("is empty", str(NAME), "Send at least one row.")
    if (begin in (b"[", b"{")) != (sent == JSON_LINES) and sent != TEXT:
        raise DataError(f"is not {sent}", str(NAME), "Set the header Content-Type to the type of the body.")
    if sent == JSON_LINES:
        return _json_rows(_lines(body.content), len(body.content), column, limits or ServeLimits())
    if sent != TEXT and kind != "tokens":
        _refuse_columns(body.content)
    return Given([NAME], in_memory(body.content), layout="lines" if sent == TEXT else "table"), []


def _refuse_columns(content: bytes) -> None:
    """Raise TooMuch if a line has too many columns, with any separator."""
    if len(content) <= _KEYS:
        return
    columns = max(line.count(sign) for line in content.splitlines() for sign in _SEPARATORS)
    if columns > _KEYS:
        message = f"has {columns:,} columns"
        raise TooMuch(message, str(NAME), "Send the columns that GET /schema shows.")


def refuse_more_rows(rows: int, limits: ServeLimits) -> None:
    """Raise TooMuch if a request has more rows than the server accepts."""
    if rows > limits.rows:
        hint = f"Send {limits.rows:,} at a time, or use dlcli predict on a file."
        raise TooMuch(f"has more than {counted(limits.rows, 'row')}", str(NAME), hint)


def in_memory(content: bytes) -> io.BufferedReader:
    """Return a stream that reads the given bytes."""
    return io.BufferedReader(io.BytesIO(content))


def _unsupported(sent: str, kind: str) -> UnsupportedType:
    what = f"{sent} is not read" if sent else "the type of the body is not given"
    return UnsupportedType(what, "Content-Type", f"Send one of {', '.join(accepted(kind))}.")


def _document(content: bytes) -> Any:
    """Return the content of a JSON document."""
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {first_line(error)}", str(NAME), _HINT) from error


def _lines(content: bytes) -> list[Any]:
    """Return the content of JSON lines."""
    found = []
    try:
        text = content.decode("utf-8-sig")
    except ValueError as error:
        raise DataError(f"is not JSON: {first_line(error)}", str(NAME), "Send it as UTF-8.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append(json.loads(line, parse_constant=_constant))
            except (ValueError, RecursionError) as error:
                hint = "Send one object per line."
                raise DataError(f"is not JSON: {first_line(error)}", f"{NAME}:{number}", hint) from error
    return found


def _json_rows(rows: Any, size: int, column: str, limits: ServeLimits) -> tuple[JsonRows, list[Notice]]:
    """Return the rows of a JSON document of `size` bytes; a plain string is a row with the key `column`."""
    if isinstance(rows, dict | str):
        rows = [rows]
    if not isinstance(rows, list):
        raise DataError("is not a list of rows", str(NAME), _HINT)
    if not rows:
        raise DataError("is empty", str(NAME), "Send at least one row.")
    refuse_more_rows(len(rows), limits)
    if column:
        rows = [{column: row} if isinstance(row, str) else row for row in rows]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError("is not an object", f"{NAME}:{number}", _HINT)
    known = Counter(name for row in rows for name in row)
    try:
        keys = len(known) + len({path for row in rows for path in _nested(row)})
    except RecursionError as error:
        raise DataError("is nested too deeply", str(NAME), _HINT) from error
    if keys > _KEYS or keys * len(rows) > max(size, _CELLS):
        message = f"has {keys:,} different keys in {counted(len(rows), 'row')}"
        raise TooMuch(
            message, str(NAME), "Send the columns that GET /schema shows, with the same keys in all rows."
        )
    _refuse_infinite(rows)
    content = "\n".join(json.dumps(row) for row in rows).encode()
    lacking = {name: len(rows) - count for name, count in known.items() if count < len(rows)}
    alike = (
        None if lacking else frozenset((name, _sort(value)) for row in rows for name, value in row.items())
    )
    given = JsonRows([NAME], in_memory(content), layout="table", lines=content, rows=len(rows), alike=alike)
    return given, _incomplete(lacking, len(rows))


def _nested(row: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of keys in nested values, each of which becomes a column as well.

    Raises:
        RecursionError: Values are nested too deeply.
    """
    inner: list[tuple[tuple[str, ...], int, Any]]
    inner = [((name,), 1, value) for name, value in row.items() if isinstance(value, dict | list)]
    while inner:
        path, depth, value = inner.pop()
        if depth > _DEPTH:
            raise RecursionError
        items = value.items() if isinstance(value, dict) else (("", item) for item in value)
        for name, item in items:
            below = (*path, name) if isinstance(value, dict) else path
            if below is not path:
                yield below
            if isinstance(item, dict | list):
                inner.append((below, depth + 1, item))


def _sort(value: Any) -> str:
    if type(value) is int and abs(value) > EXACT:
        return "digits"
    return "number" if type(value) in (int, float) else type(value).__name__


def _constant(name: str) -> float | None:
    """Return a constant that is no JSON: Python writes a missing value as NaN, which `predict` reads as well."""
    return None if name == "NaN" else float(name)


def _refuse_infinite(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise an error if a number is infinite."""
    for number, row in enumerate(rows, start=1):
        for name, value in row.items():
            if isinstance(value, float) and math.isinf(value):
                where = f"{NAME}:{number}, column {name}"
                raise DataError(f"{value} is infinite", where, "Send null for a missing value.")


def _incomplete(lacking: Mapping[str, int], rows: int) -> list[Notice]:
    """Return a notice if some rows lack keys that others have, which are read as missing values."""
    if not lacking:
        return []
    names = sorted(lacking)
    text = "; ".join(f"{lacking[name]:,} of {rows:,} rows lack {name}" for name in names[:3])
    more = "" if len(names) <= 3 else f"; so do others {first_names(names[3:])}"
    return [Notice("absent_values", sum(lacking.values()), f"{text}{more}: read as missing", str(NAME))]


def _form(
    body: Body, message: Message, kind: str, column: str, limits: ServeLimits | None
) -> tuple[Given, list[Notice]]:
    """Return the rows of the files in a form: images, or one table."""
    files = [part for part in _parts(body.content, message.get_param("boundary")) if part.name]
    if not files:
        raise DataError("the form has no file", str(NAME), "Send one, such as with curl -F file=@NAME.")
    if kind in FILES:
        return Given([NAME], stored=[MemoryEntry(part.name, part.content) for part in files]), []
    if len(files) > 1:
        raise DataError("the form has several files", str(NAME), "Send one table at a time.")
    if files[0].type.lower().startswith("multipart/"):
        raise DataError("the form has a form in it", str(NAME), "Send the table itself.")
    return read_body(Body(files[0].content, files[0].type), kind, column, limits)


@dataclass(frozen=True)
class _Part:
    name: str  # file name; empty for other fields of the form
    type: str
    content: bytes


def _parts(content: bytes, boundary: Any) -> list[_Part]:
    """Split a form into its parts (RFC 7578) at the boundary, which does not occur within them."""
    if not isinstance(boundary, str) or not re.fullmatch(r"[\x21-\x7e ]{1,70}", boundary):
        raise DataError("the form has no boundary", "Content-Type", "Send it as curl -F does.")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    _, *parts = (b"\r\n" + content).split(delimiter, _PARTS + 1)
    if len(parts) > _PARTS:
        raise DataError(f"the form has more than {_PARTS:,} parts", str(NAME), "Send several requests.")
    if not parts or not parts[-1].startswith(b"--"):
        raise DataError("the form is cut off", str(NAME), "Send it again.")
    found = []
    for part in parts[:-1]:
        head, _, value = part.lstrip(b" \t").partition(b"\r\n\r\n")
        header = HeaderParser().parsestr(head.lstrip(b"\r\n").decode(errors="replace"))
        name = header.get_filename() or ""
        found.append(_Part(re.split(r"[\\/]", str(name))[-1][:200], header.get("Content-Type", ""), value))
    return found
