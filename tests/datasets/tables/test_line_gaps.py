"""Empty lines and bytes that are not UTF-8 are seen while a stream is read, wherever its blocks end."""

from __future__ import annotations

import io
import random
import re

import pytest

from dlcli.datasets.tables import bounds, line_gaps
from dlcli.datasets.tables.bounds import bounded
from dlcli.datasets.tables.line_gaps import Watched

GAP = re.compile(rb"\n\n|\n\r|\r\r|\n\0\n|\n\0\r")


@pytest.mark.parametrize("seed", range(8))
def test_gaps_are_seen_wherever_blocks_end(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_gaps, "_PIECE", 5)
    monkeypatch.setattr(bounds, "_TAIL", 3)
    draw = random.Random(seed)
    for _ in range(200):
        content = bytes(draw.choices(b"ab\n\r\0", weights=[6, 6, 2, 1, 1], k=draw.randrange(40)))
        stream = Watched(bounded(io.BytesIO(content), "t.csv"), utf8=True)
        read = b""
        while block := stream.read(draw.randrange(1, 7)):
            read += block
        assert read == content
        assert stream.has_gaps == bool(GAP.search(content.rstrip(b"\n\r\0"))), content


def test_characters_may_be_divided_between_blocks() -> None:
    content = "aé\n\u20ac,x\n".encode()
    stream = Watched(io.BytesIO(content), utf8=True)
    assert b"".join(iter(lambda: stream.read(1), b"")) == content
    for wrong in (content + b"\xe2\x82", content[:2] + b"b\n", b"\xff\n"):
        stream = Watched(io.BytesIO(wrong), utf8=True)
        with pytest.raises(UnicodeDecodeError):
            b"".join(iter(lambda: stream.read(2), b"")) + stream.read(2)  # noqa: B023
