"""Images in a column of Arrow, each to be read like a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.class_folders import Entry, Stored


@dataclass(frozen=True, eq=False)
class Cell:
    """The bytes of one cell, which lie in memory that is mapped from a file."""

    name: str
    column: pa.ChunkedArray
    row: int
    size: int

    @property
    def where(self) -> str:
        """The place of the row."""
        return self.name

    def read(self, most: int | None = None) -> bytes:
        """The bytes, or the first `most` of them."""
        content = self.column[self.row].as_buffer()
        if content is None:
            return b""
        return content.slice(0, self.size if most is None else min(most, self.size)).to_pybytes()


def stored_images(column: pa.ChunkedArray, place: str) -> list[Stored]:
    """The images of a column of structures (`bytes`, `path`), as the library has them: inside, or in files."""
    content = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks], pa.binary())
    paths = [path for chunk in column.chunks for path in chunk.field("path").to_pylist()]
    sizes = pc.binary_length(content).to_pylist()
    return [
        _entry(content, row, path, size, place)
        for row, (path, size) in enumerate(zip(paths, sizes, strict=True))
    ]


def _entry(content: pa.ChunkedArray, row: int, path: str | None, size: int | None, place: str) -> Stored:
    if size is None and path:
        file = Path(path)
        return Entry(path, path, 0, file.stat().st_size if file.is_file() else 0)
    return Cell(f"{place}, row {row + 1}", content, row, size or 0)
