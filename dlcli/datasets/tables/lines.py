"""Reading text files by line, in any encoding."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

from dlcli.errors import DataError, first_line


def is_utf8(encoding: str) -> bool:
    """Return whether the name of an encoding denotes UTF-8."""
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def is_like_ascii(encoding: str) -> bool:
    """Return whether ASCII characters are single bytes in an encoding, as they are in most."""
    signs = '"\t\r\n,;|'
    try:
        return signs.encode(encoding) == signs.encode("ascii")
    except (LookupError, UnicodeError):
        return False


def codec(encoding: str) -> str:
    """Return the codec of an encoding; for UTF-8, the one that skips a byte order mark."""
    return "utf-8-sig" if is_utf8(encoding) else encoding


def text_lines(stream: IO[bytes], file: object, encoding: str, newline: str = "") -> Iterator[str]:
    """Yield the lines of a file with their ends \\n, \\r\\n and \\r, or only `newline`, and close it.

    Bytes that are not UTF-8 are returned as surrogates, so that the caller can report their place.

    Raises:
        DataError: the file is not in this encoding, or the encoding does not exist.
    """
    errors = "surrogateescape" if is_utf8(encoding) else "strict"
    try:
        with io.TextIOWrapper(stream, codec(encoding), errors, newline) as text:
            yield from text
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"cannot be read as {encoding}: {first_line(error)}",
            str(file),
            "Set dataset.encoding to the encoding of the file.",
        ) from error
