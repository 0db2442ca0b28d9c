"""Text files by their lines, in whatever encoding."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO

from dlcli.errors import DataError, first_line


def is_utf8(encoding: str) -> bool:
    """Whether a name of an encoding is one of UTF-8's."""
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def codec(encoding: str) -> str:
    """What decodes it: the mark that some programs write in front of UTF-8 is no part of the text."""
    return "utf-8-sig" if is_utf8(encoding) else encoding


def text_lines(stream: IO[bytes], file: object, encoding: str, newline: str = "") -> Iterator[str]:
    """The lines of a file, which is closed after them, with their ends: \\n, \\r\\n and \\r, or `newline` alone.

    Bytes that are no UTF-8 come as surrogates, so that whoever knows more can say where they are.

    Raises:
        DataError: it is not in this encoding, or there is none of the name.
    """
    errors = "surrogateescape" if is_utf8(encoding) else "strict"
    try:
        with io.TextIOWrapper(stream, codec(encoding), errors, newline) as text:
            yield from text
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"cannot be read as {encoding}: {first_line(error)}",
            str(file),
            "dataset.encoding names how it was written.",
        ) from error
