"""The first lines of a text file, by which its form is detected, and other formats that are recognized."""

from __future__ import annotations

import codecs
import itertools
import json
from pathlib import Path

from dlcli.config.pasted import pasted
from dlcli.datasets.tables.compression import Excerpt, opened
from dlcli.datasets.tables.lines import codec
from dlcli.errors import DataError

# Number of lines used to detect the dialect; fewer, but at least two, if they exceed this number of bytes.
_LINES, _LENGTH = 50, 1 << 22

# Codecs of host names, which are not encodings of text.
_OF_NAMES = ("idna", "punycode")

# First bytes of formats that are no text.
_OTHERS = {
    b"\x1f\x8b": "compressed with gzip", b"PK\x03\x04": "a zip archive or an Excel file", b"PAR1": "a Parquet file",
    b"\xfd7zX": "compressed with xz", b"\x28\xb5\x2f\xfd": "compressed with zstd", b"BZh": "compressed with bz2",
    b"%PDF": "a PDF document", b"\xd0\xcf\x11\xe0": "an Excel file of an earlier version (.xls)",
    b"<htm": "a page of HTML", b"<!DO": "a page of HTML", b"<tab": "a page of HTML",
}  # fmt: skip


def beginning_of(file: Path | Excerpt, encoding: str) -> list[str]:
    """Return the first lines of a file.

    Raises:
        DataError: the file has another format or encoding.
    """
    with opened(file) as stream:
        start = stream.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") and not encoding.lower().startswith("utf-16"):
        raise DataError("is written in UTF-16", str(file), "Give dataset.encoding=utf-16.")
    for begins, what in _OTHERS.items():
        if start.startswith(begins):
            raise DataError(
                f"is {what}, not a table of text",
                str(file),
                "Give the file its usual suffix, such as .csv.gz.",
            )
    if b"\x00" in start and "16" not in encoding and "32" not in encoding:
        wide = {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(
            (not any(start[::2]), not any(start[1::2]))
        )
        raise DataError(
            "is written in UTF-16" if wide else "is not text",
            str(file),
            f"Give {pasted('dataset.encoding', wide)}."
            if wide
            else "If the table has another format, use its suffix (.parquet, .xlsx).",
        )
    with opened(file) as stream:
        raw: list[bytes] = []
        for line in itertools.islice(stream, _LINES):
            raw.append(line)
            if len(raw) > 1 and sum(map(len, raw)) > _LENGTH:
                break
    if raw and raw[0].startswith((b'{"', b'[{"')) and _is_json(raw[0]):
        raise DataError("is JSON, not a table of text", str(file), "Give the file the suffix .jsonl.")
    try:
        if codecs.lookup(codec(encoding)).name in _OF_NAMES:
            raise LookupError
        text = b"".join(raw).decode(codec(encoding), errors="replace")
    except LookupError as error:
        raise DataError(
            f"there is no encoding {encoding}", "dataset.encoding", "Give one such as utf-8 or latin-1."
        ) from error
    return text.splitlines()


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False
