"""`Bounded`: a stream that limits the length of lines and the total size, to protect memory.

A few megabytes of gzip can contain a line of a gigabyte, and a reader of lines would collect all of it before it could
reject the file.
"""

from __future__ import annotations

import io
from typing import IO, Any

from dlcli.errors import DataError
from dlcli.formatting import amount

# Maximum number of bytes of a line; a row of a million columns is shorter, and so is a book in a cell.
LONGEST_LINE = 64 << 20

_BLOCK = 1 << 20

# Bytes at the end of a block in which the last line end is searched first.
_TAIL = 1 << 14


class Bounded(io.RawIOBase):
    """Reads a stream up to `most` bytes with lines of up to `LONGEST_LINE` bytes.

    Reading beyond these limits raises DataError. Closing it closes the stream.
    """

    def __init__(self, stream: IO[bytes], name: str, most: int | None = None) -> None:
        self._stream = stream
        # These return the available bytes of a pipe instead of waiting for the requested number.
        self._readinto1 = getattr(stream, "readinto1", None)
        self._read1 = getattr(stream, "read1", stream.read)
        self._name = name
        self._most = most
        self._read = 0
        self._line = 0  # bytes since the last line break

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into the buffer; 0 at the end."""
        if self._readinto1 is not None:
            count = self._readinto1(buffer)
        else:
            some = self._read1(len(buffer))
            count = len(some)
            buffer[:count] = some
        after = _after_last_end(bytes(buffer[max(0, count - _TAIL) : count]))
        if after is None and count > _TAIL:
            after = _after_last_end(bytes(buffer[:count]))
        self._line = after if after is not None else self._line + count
        self._read += count
        if self._line > LONGEST_LINE:
            raise DataError(
                f"has a line of more than {amount(LONGEST_LINE)}, so it is not a table of text",
                self._name,
                "Check the file: each row must end with a line break.",
            )
        if self._most is not None and self._read > self._most:
            raise DataError(
                f"contains more than {amount(self._most)} of text, the size of the free memory",
                self._name,
                "Use fewer rows, a machine with more memory, or .parquet, which needs less for numbers.",
            )
        return count

    def close(self) -> None:
        """Close the stream."""
        if not self.closed:
            try:
                self._stream.close()
            finally:
                super().close()


def _after_last_end(some: bytes) -> int | None:
    """Return the number of bytes after the last line end; None if there is none."""
    end = max(some.rfind(b"\n"), some.rfind(b"\r"))
    return len(some) - end - 1 if end >= 0 else None


def bounded(stream: IO[bytes], name: str, most: int | None = None) -> io.BufferedReader:
    """Return a buffered stream with limits; `most` is the maximum size of a stream that is read into memory at once."""
    return io.BufferedReader(Bounded(stream, name, most), _BLOCK)
