"""Decode files of plain text; errors name the line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dlcli.datasets.tables.lines import codec
from dlcli.errors import DataError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class PlainText:
    """The text of a file.

    Attributes:
        where: name of the file.
        text: its text, with line feeds as line ends.
        converted: number of lines that ended with a carriage return and a line feed.
    """

    where: str
    text: str
    converted: int = 0


def read_plain(content: bytes, where: str, encoding: str = "utf-8") -> PlainText:
    """Return the text of a file's bytes.

    Raises:
        DataError: the file is empty, binary, or not in the encoding.
    """
    if not content:
        raise DataError("is empty", where, "Give a file with text.")
    is_utf16 = content[:2] in _UTF16
    if not is_utf16 and (zero := content.find(b"\0")) >= 0 and not _is_wide(encoding):
        raise DataError(
            f"is a binary file: byte 0x00 at {zero:,}",
            _at(where, content, zero),
            "Give a file of plain text.",
        )
    try:
        text = content.decode(codec(encoding))
    except LookupError as error:
        raise DataError(
            f"there is no encoding {encoding}",
            "dataset.encoding",
            "Use an encoding such as utf-8 or latin-1.",
        ) from error
    except UnicodeError as error:
        raise not_decoded(content, error, where, encoding) from error
    converted = text.count("\r\n")
    text = text.replace("\r\n", "\n") if converted else text
    if not text.strip():
        raise DataError("has only whitespace", where, "Give a file with text.")
    return PlainText(where, text, converted)


def not_decoded(content: bytes, error: UnicodeError, where: str, encoding: str) -> DataError:
    """Return the error for the bytes of a file that are not in its encoding, with the first one and its line."""
    place = getattr(error, "start", 0)
    like = "dataset.encoding=utf-16" if content[:2] in _UTF16 else "such as dataset.encoding=latin-1"
    return DataError(
        f"is not {encoding}: byte 0x{content[place]:02x} at {place:,}",
        _at(where, content, place),
        f"Give the encoding of the file, {like}.",
    )


def with_last_end(text: str) -> str:
    """Return the text with an end of its last line."""
    return text if text.endswith("\n") else f"{text}\n"


def hash_of(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()


def _is_wide(encoding: str) -> bool:
    return encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))


def _at(where: str, content: bytes, place: int) -> str:
    line = content.count(b"\n", 0, place) + 1
    return f"{where}:{line}"
