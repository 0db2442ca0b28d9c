"""Read pairs of texts: a table, a folder of tables by part, or parallel files that are aligned by line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices
from dlcli.datasets.evaluation_only import evaluation_columns
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.tables.compression import opened
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.lines import text_lines
from dlcli.datasets.tables.read_table import is_table, read_raw, require_file
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.split_column import parts_of
from dlcli.errors import DataError, Problem
from dlcli.files.paths import is_folder

# Names of columns, in lower case.
_SOURCE, _TARGET = ("source", "src"), ("target", "tgt", "trg")

# Bytes that are not UTF-8, as surrogate escapes.
_INVALID = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, eq=False)
class PairFile:
    """The pairs of a file, or of two parallel files.

    Attributes:
        frame: table with the two columns only.
        names: names of the columns of sources and of targets.
        parts: train, val or test of each row `(N,)`; "" without parts.
        columns: how the columns are read.
        table: source of the rows of a table; None for parallel files.
        files: the parallel files.
        lines: for parallel files, line number of each row `(N,)`.
        warnings: doubts about how the table was read.
    """

    frame: pd.DataFrame
    names: tuple[str, str]
    parts: np.ndarray
    columns: Columns
    table: Source | None = None
    files: tuple[Path, ...] = ()
    lines: np.ndarray | None = None
    warnings: tuple[Problem, ...] = ()

    def place(self, row: int, column: str = "") -> str:
        """Return the place of a row, such as `train.tsv:12, column en` or `train.en:11`."""
        if self.table is not None:
            return self.table.place(row, column)
        assert self.lines is not None
        file = self.files[self.names.index(column)] if column in self.names else self.files[0]
        return f"{file}:{self.lines[row]}"

    def without(self, dropped: np.ndarray) -> PairFile:
        """Return the pairs without some rows, a mask `(N,)`."""
        if not dropped.any():
            return self
        kept = np.flatnonzero(~dropped)
        table = None if self.table is None else self.table.without(dropped)
        lines = None if self.lines is None else self.lines[kept]
        frame = self.frame.iloc[kept].reset_index(drop=True)
        return replace(self, frame=frame, parts=self.parts[kept], table=table, lines=lines)

    def of_part(self, part: str) -> PairFile:
        """Return the same pairs as rows of one part."""
        return replace(self, parts=np.full(len(self.frame), part, dtype="<U5"))


def read_pairs(
    place: Path, options: FormatOptions, source: str | None, target: str | None, split: str | None
) -> tuple[list[PairFile], list[Notice]]:
    """Return the pairs of a table or a folder, one `PairFile` per part, and notices of assumptions.

    Args:
        place: the table or folder.
        options: format of the files.
        source: column of the sources, or suffix of parallel files; None chooses it.
        target: the same for targets.
        split: column of parts of a table.

    Raises:
        DataError: a file is invalid or ambiguous.
    """
    known = evaluation_columns()
    if known is not None:  # the columns of the model
        roles = {column.role: column.name for column in known}
        source, target = roles["text"], roles["target"]
    if not is_folder(place):
        file, notices = _table(place, options, source, target, split)
        return [file], notices
    if split is not None:
        raise DataError("is for a table, but dataset.path is a folder", "dataset.split", "Leave it out.")
    return _folder(place, options, source, target)


def _table(
    file: Path, options: FormatOptions, source: str | None, target: str | None, split: str | None
) -> tuple[PairFile, list[Notice]]:
    raw = read_raw(file, options, [name for name in (source, target, split) if name])
    given = {"dataset.source": source, "dataset.target": target, "dataset.split": split}
    raw.origin.require_all({key: [name] for key, name in given.items() if name is not None})
    names, notices = _sides(raw.names, source, target, split, file)
    columns = Columns(
        (
            Column(names[0], "text", missing=(), role="text"),
            Column(names[1], "text", missing=(), role="target"),
            *([Column(split, "categorical", role="split")] if split else []),
        )
    )
    rows = raw.read(columns)
    frame = rows.frame[list(names)].fillna("").astype(object)
    words = parts_of(rows, split).words
    parts = np.full(len(frame), "", dtype="<U5")
    if words is not None:
        if np.issubdtype(words.dtype, np.integer):
            raise DataError("has fold numbers", f"{file}, column {split}", "Write train, val and test.")
        parts = words.astype("<U5")
    return PairFile(frame, names, parts, columns, rows, warnings=raw.warnings), notices


def _sides(
    names: Sequence[str], source: str | None, target: str | None, split: str | None, file: Path
) -> tuple[tuple[str, str], list[Notice]]:
    """Return the columns of sources and of targets, and a notice if they were chosen by their order."""
    if source is not None and source == target:
        raise DataError(f"is {source} as well", "dataset.target", "Name two different columns.")
    free = [name for name in names if name not in (source, target, split)]
    by_name = {
        side: next((name for name in free if name.casefold() in words), None)
        for side, words in (("source", _SOURCE), ("target", _TARGET))
    }
    found = [source or by_name["source"], target or by_name["target"]]
    rest = [name for name in free if name not in found]
    if (missing := found.count(None)) == 0:
        return (str(found[0]), str(found[1])), []
    if len(rest) != missing:
        key = "dataset.source" if found[0] is None else "dataset.target"
        few = f"{file.name} has {len(names)} columns ({', '.join(names)}): a source and a target are required"
        several = f"{file.name} has several columns that may contain the {key.rpartition('.')[2]}s"
        raise DataError(several if len(rest) > missing else few, key, choices(rest) if rest else "")
    remaining = iter(rest)
    sides = [name or next(remaining) for name in found]
    text = f"{sides[0]} is read as the source and {sides[1]} as the target"
    other = f"{pasted('dataset.source', sides[1])} {pasted('dataset.target', sides[0])}"
    hint = f"The other way round: {other}"
    return (sides[0], sides[1]), [Notice("assumed_columns", missing, text, str(file), hint, warns=False)]


def _part(stem: str) -> str:
    """Return the part that the name of a file denotes, such as test for `test_2016_flickr`; "" for none or several."""
    found = {part_of(word) for word in re.split(r"[\W_]+", stem)} | {part_of(stem)}
    found.discard(None)
    return str(found.pop()) if len(found) == 1 else ""


def _folder(
    place: Path, options: FormatOptions, source: str | None, target: str | None
) -> tuple[list[PairFile], list[Notice]]:
    entries = sorted(file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
    endings = [file.suffix.removeprefix(".") for file in entries]
    if source in endings and target in endings:
        return _parallel_folder(place, entries, options, str(source), str(target))
    tables = [file for file in entries if is_table(file) and file.suffix]
    by_part = _by_part(place, tables, "table")
    found, notices = [], []
    for part, (file,) in by_part.items():
        pairs, more = _table(file, options, source, target, None)
        source, target = pairs.names  # the columns of the first table are used for all
        found.append(pairs.of_part(part))
        notices += more
    left = len(entries) - len(found)
    if left:
        others = [file.name for file in entries if (file,) not in by_part.values()]
        notices.append(
            Notice("other_files", left, f"other files left out: {', '.join(others[:5])}", str(place))
        )
    return found, notices


def _by_part(place: Path, files: Sequence[Path], noun: str) -> dict[str, tuple[Path, ...]]:
    """Return part to files, the training part first; a single file has no part."""
    by_part: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_part[_part(file.name.partition(".")[0])].append(file)
    alone = by_part.pop("", [])
    if not by_part and len(alone) == 1:
        return {"": (alone[0],)}
    for part, several in by_part.items():
        if len(several) > 1:
            names = " and ".join(file.name for file in several)
            raise DataError(
                f"{names} are both files of the part {part}",
                str(place),
                "Keep one of them in the folder, and evaluate the trained model on the other one.",
            )
    if "train" not in by_part and evaluation_columns() is None:
        raise DataError(
            f"contains no {noun} of training pairs",
            str(place),
            "Name the files by their parts, such as train.tsv, val.tsv and test.tsv, or give one file. "
            "Parallel files, such as train.de and train.en: dataset.source and dataset.target are their endings.",
        )
    return {part: tuple(by_part[part]) for part in ("train", "val", "test") if part in by_part}


def _parallel_folder(
    place: Path, entries: Sequence[Path], options: FormatOptions, source: str, target: str
) -> tuple[list[PairFile], list[Notice]]:
    sides = {ending: [f for f in entries if f.suffix == f".{ending}"] for ending in (source, target)}
    stems = {ending: {file.stem for file in files} for ending, files in sides.items()}
    for ending, other in ((source, target), (target, source)):
        if alone := sorted(stems[ending] - stems[other]):
            raise DataError(
                f"has no counterpart {alone[0]}.{other}", str(place / f"{alone[0]}.{ending}"), "Add it."
            )
    columns = Columns(
        (
            Column(source, "text", missing=(), role="text"),
            Column(target, "text", missing=(), role="target"),
        )
    )
    found = []
    for part, (file,) in _by_part(place, sides[source], "file").items():
        partner = file.with_suffix(f".{target}")
        texts = [_lines(side, options.encoding) for side in (file, partner)]
        if len(texts[0]) != len(texts[1]):
            few = (file, partner)[int(len(texts[1]) < len(texts[0]))]
            more = partner if few is file else file
            line = min(map(len, texts)) + 1
            raise DataError(
                f"has {max(map(len, texts)):,} lines, but {few.name} has {min(map(len, texts)):,}",
                f"{more}:{line}",
                "Each line must correspond to the line with the same number.",
            )
        frame = pd.DataFrame({source: texts[0], target: texts[1]}, dtype=object)
        lines = np.arange(1, len(frame) + 1)
        parts = np.full(len(frame), part, dtype="<U5")
        found.append(PairFile(frame, (source, target), parts, columns, None, (file, partner), lines))
    return found, []


def _lines(file: Path, encoding: str) -> list[str]:
    """Return the lines of a file; raise a DataError that names a line that is not UTF-8."""
    require_file(file)
    found = []
    with opened(file) as stream:
        for number, line in enumerate(text_lines(stream, file, encoding, newline="\n"), start=1):
            text = line.rstrip("\r\n")
            if not text.isascii() and (wrong := _INVALID.search(text)):
                raise DataError(
                    f"is not UTF-8: byte 0x{ord(wrong[0]) - 0xDC00:02x}",
                    f"{file}:{number}",
                    "Give the encoding of the file, such as dataset.encoding=latin-1.",
                )
            found.append(text)
    return found
