"""The bodies of requests: JSON, CSV, texts and images, as rows to read."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from dlcli.datasets.folders.stored import MemoryEntry
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, first_line
from dlcli.prediction.reading import Given

# The name of the rows in messages.
NAME = Path("request")

JSON, JSON_LINES, CSV, TEXT = "application/json", "application/x-ndjson", "text/csv", "text/plain"
FORM = "multipart/form-data"

_SAME = {"application/jsonl": JSON_LINES, "application/x-jsonlines": JSON_LINES, "application/csv": CSV}
# What curl says of `--data` unless it is told otherwise.
_ANYTHING = ("", "application/x-www-form-urlencoded", "application/octet-stream")

_HINT = 'Send a list of objects, such as [{"column": 1.5}], or one object.'
_PARTS = 1000  # of a form


class UnsupportedType(DataError):
    """The body of a request is of a type that the model does not read."""


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
        alike: what requests have in common that can be read together: the keys, and which of them hold strings.
    """

    lines: bytes = b""
    rows: int = 0
    alike: frozenset[tuple[str, bool]] = frozenset()


def accepted(kind: str) -> tuple[str, ...]:
    """Return the types of bodies that are read for a kind of data, the usual one first."""
    if kind == "image":
        return (FORM, "image/*")
    return (JSON, CSV, JSON_LINES, *([TEXT] if kind == "tokens" else []))


def read_body(body: Body, kind: str, column: str = "") -> tuple[Given, list[Notice]]:
    """Return the rows of a body, and what is noticed about them.

    Args:
        body: the body.
        kind: the kind of the model's data.
        column: for texts, the name of their column.

    Raises:
        UnsupportedType: The body is of a type that is not read for this kind.
        DataError: The body is damaged.
    """
    message = Message()
    message["Content-Type"] = body.type or "application/octet-stream"
    sent = message.get_content_type()
    if sent == FORM:
        return _form(body, message, kind, column)
    if kind == "image":
        if sent.startswith("image/"):
            return Given([NAME], images=[MemoryEntry(f"image.{sent.partition('/')[2]}", body.content)]), []
        raise _unsupported(sent, kind)
    sent = _SAME.get(sent, sent)
    begin = body.content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if sent == JSON or (sent in _ANYTHING and begin in (b"[", b"{")):
        return _json_rows(body.content, column)
    if sent not in accepted(kind):
        raise _unsupported(body.type, kind)
    if not body.content.strip():
        raise DataError("is empty", str(NAME), "Send at least one row.")
    if (begin in (b"[", b"{")) != (sent == JSON_LINES) and sent != TEXT:
        raise DataError(f"is not {sent}", str(NAME), "Set the header Content-Type to the type of the body.")
    return Given([NAME], in_memory(body.content)), []


def in_memory(content: bytes) -> io.BufferedReader:
    """Return a stream of some bytes."""
    return io.BufferedReader(io.BytesIO(content))


def _unsupported(sent: str, kind: str) -> UnsupportedType:
    what = f"{sent} is not read" if sent else "the type of the body is not given"
    return UnsupportedType(what, "Content-Type", f"Send one of {', '.join(accepted(kind))}.")


def _json_rows(content: bytes, column: str) -> tuple[JsonRows, list[Notice]]:
    """Return the rows of a JSON document; a text alone is a row of `column`."""
    try:
        rows = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {first_line(error)}", str(NAME), _HINT) from error
    if isinstance(rows, dict | str):
        rows = [rows]
    if not isinstance(rows, list):
        raise DataError("is not a list of rows", str(NAME), _HINT)
    if not rows:
        raise DataError("is empty", str(NAME), "Send at least one row.")
    if column:
        rows = [{column: row} if isinstance(row, str) else row for row in rows]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError("is not an object", f"{NAME}:{number}", _HINT)
    try:
        lines = "\n".join(json.dumps(row, allow_nan=False) for row in rows)
    except ValueError as error:  # a number beyond the largest one
        raise DataError(f"holds a number that is not finite: {first_line(error)}", str(NAME)) from error
    content = lines.encode()
    alike = frozenset((name, isinstance(value, str)) for name, value in rows[0].items())
    return JsonRows([NAME], in_memory(content), (), content, len(rows), alike), _incomplete(rows)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number; write null for a missing value")


def _incomplete(rows: Sequence[Mapping[str, Any]]) -> list[Notice]:
    """Return a notice if some rows lack keys that others have: they are read as missing values."""
    known = {name for row in rows for name in row}
    if all(len(row) == len(known) for row in rows):
        return []
    lacking = {name: sum(name not in row for row in rows) for name in sorted(known)}
    some = {name: count for name, count in lacking.items() if count}
    text = "; ".join(f"{count:,} of {len(rows):,} rows lack {name}" for name, count in list(some.items())[:3])
    more = "" if len(some) <= 3 else f"; so do others {first_names(list(some)[3:])}"
    return [Notice("absent_values", sum(some.values()), f"{text}{more}: read as missing", str(NAME))]


def _form(body: Body, message: Message, kind: str, column: str) -> tuple[Given, list[Notice]]:
    """Return the rows of the files of a form: images, or one table."""
    files = [part for part in _parts(body.content, message.get_param("boundary")) if part.name]
    if not files:
        raise DataError("the form has no file", str(NAME), "Send one, such as with curl -F file=@NAME.")
    if kind == "image":
        return Given([NAME], images=[MemoryEntry(part.name, part.content) for part in files]), []
    if len(files) > 1:
        raise DataError("the form has several files", str(NAME), "Send one table at a time.")
    return read_body(Body(files[0].content, files[0].type), kind, column)


@dataclass(frozen=True)
class _Part:
    name: str  # of the file; empty for another field of the form
    type: str
    content: bytes


def _parts(content: bytes, boundary: Any) -> list[_Part]:
    """Return the parts of a form (RFC 7578): the boundary does not occur within them."""
    if not isinstance(boundary, str) or not re.fullmatch(r"[\x21-\x7e ]{1,70}", boundary):
        raise DataError("the form has no boundary", "Content-Type", "Send it as curl -F does.")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    _, *parts = (b"\r\n" + content).split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise DataError("the form is cut off", str(NAME), "Send it again.")
    if len(parts) > _PARTS:
        raise DataError(f"the form has more than {_PARTS:,} parts", str(NAME), "Send several requests.")
    found = []
    for part in parts[:-1]:
        head, _, value = part.lstrip(b" \t").partition(b"\r\n\r\n")
        header = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        name = header.get_filename() or ""
        found.append(_Part(re.split(r"[\\/]", str(name))[-1][:200], header.get("Content-Type", ""), value))
    return found
