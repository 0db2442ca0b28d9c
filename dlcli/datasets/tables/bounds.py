"""`Bounded`: a stream of text that neither a line without an end nor a packed file without bounds can fill memory with.

A few megabytes of gzip can hold a line of a gigabyte. What reads lines would collect all of it before it could say
that this is no table.
"""

from __future__ import annotations

import io
from typing import IO, Any

from dlcli.errors import DataError
from dlcli.formatting import amount

# Bytes of a line. A row of a million columns has less; so has a book in a cell.
LONGEST_LINE = 64 << 20

_BLOCK = 1 << 20


class Bounded(io.RawIOBase):
    """The bytes of `stream`, as long as no line has more than `LONGEST_LINE` and all have no more than `most`.

    Reading raises DataError where that is so. Closing it closes the stream.
    """

    def __init__(self, stream: IO[bytes], name: str, most: int | None = None) -> None:
        self._stream = stream
        # Of a pipe: what is there, rather than as much as is asked for.
        self._read1 = getattr(stream, "read1", stream.read)
        self._name = name
        self._most = most
        self._read = 0
        self._line = 0  # bytes behind the last end of a line

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; none at the end."""
        some = self._read1(len(buffer))
        buffer[: len(some)] = some
        end = max(some.rfind(b"\n"), some.rfind(b"\r"))
        self._line = len(some) - end - 1 if end >= 0 else self._line + len(some)
        self._read += len(some)
        if self._line > LONGEST_LINE:
            raise DataError(
                f"has a line of more than {amount(LONGEST_LINE)}: it is no table of text",
                self._name,
                "Rows end with a line break. Look at the file's beginning, and how it was written.",
            )
        if self._most is not None and self._read > self._most:
            raise DataError(
                f"holds more than {amount(self._most)} of text, which is all the memory that is free",
                self._name,
                "Take fewer rows, or a machine with more memory. Numbers take less as .parquet.",
            )
        return len(some)

    def close(self) -> None:
        """Close what it reads from."""
        if not self.closed:
            try:
                self._stream.close()
            finally:
                super().close()


def bounded(stream: IO[bytes], name: str, most: int | None = None) -> io.BufferedReader:
    """The stream within bounds, buffered; `most` bytes of it, where all of it is read into memory."""
    return io.BufferedReader(Bounded(stream, name, most), _BLOCK)


def free_memory() -> int:
    """Bytes that a table may take."""
    import psutil

    return int(psutil.virtual_memory().available)
