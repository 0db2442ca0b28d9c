"""`Watched`: a stream that sees, while it is read, whether it is UTF-8, and whether there are empty lines."""

from __future__ import annotations

import codecs
import io
from typing import IO

import numpy as np

# Bytes that are searched at a time.
_PIECE = 1 << 16

_LF, _CR, _NUL = b"\n\r\0"


class Watched(io.RawIOBase):
    """Reads a stream, and sees whether it has empty lines before others, in UTF-16 too.

    Args:
        stream: the stream.
        utf8: whether reading anything that is not UTF-8 raises UnicodeDecodeError; Arrow would return it as bytes.

    Attributes:
        has_gaps: whether there may be empty lines in what has been read; those at the end do not count.
    """

    def __init__(self, stream: IO[bytes], *, utf8: bool) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")() if utf8 else None
        self._is_whole = True
        self._ends = b""  # line ends that the next block may follow
        self.has_gaps = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the stream."""
        block = self._stream.read(size)
        # Decoding takes longer than seeing that all bytes are ASCII; a character may begin in the block before.
        if self._decoder is not None and not (block.isascii() and self._is_whole):
            self._decoder.decode(block, final=not block)
            self._is_whole = not self._decoder.getstate()[0]
        if not self.has_gaps:
            self._look(block)
        return block

    def _look(self, block: bytes) -> None:
        whole = self._ends + block if self._ends else block
        content = whole.rstrip(b"\n\r\0")
        self._ends = whole[len(content) :]
        if content:
            self.has_gaps = _has_gap(content)
        elif len(self._ends) > len(block) + 8:  # a file of line ends only
            self._ends = self._ends[-8:]


def _has_gap(content: bytes) -> bool:
    """Return whether a line end follows another one; numpy is faster than a search for each of both."""
    # In small pieces that overlap by a line end of UTF-16, because large temporary arrays take longer than the search.
    return any(_has_gap_in(content[first : first + _PIECE + 4]) for first in range(0, len(content), _PIECE))


def _has_gap_in(content: bytes) -> bool:
    data = np.frombuffer(content, np.uint8)
    if (
        _CR not in content and _NUL not in content
    ):  # two masks take a third of the time of the places of line ends
        is_end = data == _LF
        return bool((is_end[1:] & is_end[:-1]).any())
    ends = np.flatnonzero(data[:-1] == _LF)
    if _CR in content:
        ends_of_old = np.flatnonzero(data[:-1] == _CR)
        if (data[ends_of_old + 1] == _CR).any():
            return True
    after = data[ends + 1]
    if ((after == _LF) | (after == _CR)).any():
        return True
    wide = ends[after == _NUL]
    second = data[np.minimum(wide + 2, len(data) - 1)]
    return bool(((second == _LF) | (second == _CR)).any())
