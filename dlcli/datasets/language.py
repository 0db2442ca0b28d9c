"""Plain text for language models: a file or a folder of files, read as blocks or lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from dlcli.config.pasted import pasted
from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import evaluation_targets
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import list_files
from dlcli.datasets.folders.named_parts import parts_of_files
from dlcli.datasets.notices import Notice
from dlcli.datasets.passages import LINE_FEED, MaskedPassages, Passages, stream_of
from dlcli.datasets.plain_text import PlainText, hash_of, read_plain, with_last_end
from dlcli.datasets.tables.compression import opened
from dlcli.datasets.tables.read_table import require_file
from dlcli.errors import DataError
from dlcli.files.paths import is_folder, typed
from dlcli.formatting import counted

# Suffixes of the files that are read from a folder.
_SUFFIXES = (".txt", ".md")

# How text is divided into rows.
Cut = Literal["blocks", "lines"]

# Length of the name of a group, the first characters of its line.
_NAMED = 40


def load(
    path: str,
    rows: Cut = "blocks",
    block: Annotated[int, Ge(2)] = 64,
    by_file: bool = False,
    parts: Literal["auto", False] = False,
    encoding: str = "utf-8",
    masked: float | None = None,
) -> Data:
    """Load text for a language model.

    Args:
        path: a text file, or a folder (or a .tar or .zip) of .txt and .md files, read in the order of their names.
        rows: `blocks` divides each file into blocks; the parts of a split are consecutive. `lines` makes each line a
            separate text; equal lines form a group.
        block: characters per block; a longer line continues in further rows.
        by_file: whether whole files are assigned to the parts of a split.
        parts: auto: files or folders that are named train, val or test are these parts; false: all files are one text.
        encoding: encoding of the files.
        masked: share of the tokens that are masked and predicted; None predicts each next token.

    Raises:
        DataError: a file is empty, binary or in another encoding, only some files are named like parts, or there is
            too little text.
    """
    place = typed(path)
    found = read_passages(place, rows, block, encoding)
    x, files = found.rows, found.files
    if masked is not None:
        x = MaskedPassages(x.codes, x.starts, x.ends, x.are_documents)
    total = int(x.characters.sum())
    if rows == "blocks" and total < 3 * block and not evaluation_targets():
        raise DataError(
            f"has {counted(total, 'character')}, fewer than three blocks of {block:,}",
            str(place),
            "Use more text, or smaller blocks, such as dataset.block=16.",
        )
    # An evaluation uses all rows of its files.
    named = [] if parts is False or evaluation_targets() else parts_of_files(found.names, str(place))
    own = np.array(named or [""] * len(files))[found.file_of_rows()]
    if named and by_file:
        raise DataError(
            "the files are named like the parts of a split, which dataset.by_file would draw",
            str(place),
            "Remove dataset.by_file, or set dataset.parts=false.",
        )
    groups: np.ndarray | None = None
    notices = list(found.notices)
    if by_file:
        if len(files) < 2 and not evaluation_targets():
            hint = "Name a folder of files, or remove dataset.by_file."
            raise DataError("is a single file, which cannot be split by file", str(place), hint)
        groups = np.array([file.where for file in files])[found.file_of_rows()]
    elif rows == "lines":
        groups = found.equal_lines()
        notices += _lines_in_several_parts(groups, own, str(place))
    return Data(
        name=place.name.partition(".")[0],
        kind="tokens",
        x=x,
        y=x,
        source=str(place),
        val_rows=np.flatnonzero(own == "val") if "val" in named else None,
        test_rows=np.flatnonzero(own == "test") if "test" in named else None,
        groups=groups,
        times=np.arange(len(x)) if groups is None else None,
        order="position",
        note=_note(x, files, groups, block, by_file, named),
        notices=tuple(notices),
    )


@dataclass(frozen=True, eq=False)
class ReadPassages:
    """The rows of one or several files.

    Attributes:
        rows: the rows.
        files: the texts of the files.
        names: their paths in the folder; a single file has none.
        begins: position of the first character of each file.
        lines: first position of each line, and the position after its last character, without the line end, `(2, L)`;
            empty for blocks.
        notices: counts of what was left out or converted.
    """

    rows: Passages
    files: Sequence[PlainText]
    names: Sequence[str]
    begins: np.ndarray
    lines: np.ndarray
    notices: tuple[Notice, ...]

    def file_of_rows(self) -> np.ndarray:
        """Return the file number of each row, `(N,)`."""
        return np.searchsorted(self.begins, self.rows.starts, side="right") - 1

    def line_numbers(self) -> np.ndarray:
        """Return the line number (from 1) at which each row begins in its file, `(N,)`."""
        ends = np.flatnonzero(self.rows.codes == LINE_FEED)
        of_file = self.begins[self.file_of_rows()]
        before = (np.searchsorted(ends, position) for position in (self.rows.starts, of_file))
        return np.subtract(*before) + 1

    def equal_lines(self) -> np.ndarray:
        """Return a name of the line of each row, `(N,)`: its first characters, with a digest if it is longer."""
        starts, stops = self.lines
        names = [
            text if len(text) <= _NAMED else f"{text[:_NAMED]}... ({hash_of(text)})"
            for text in Passages(self.rows.codes, starts, stops).texts()
        ]
        return np.array(names)[np.searchsorted(starts, self.rows.starts, side="right") - 1]


def read_passages(
    place: Path, rows: Cut, block: int, encoding: str = "utf-8", content: bytes | None = None
) -> ReadPassages:
    """Read the rows of a file, a folder or an archive, or of the `content` of a file in memory.

    Raises:
        DataError: a file is empty, binary or in another encoding.
    """
    if content is None:
        files, names, notices = _files(place, encoding)
    else:
        files, names, notices = [read_plain(content, str(place), encoding)], [], []
    if converted := sum(file.converted for file in files):
        text = f"{counted(converted, 'line')} with CR LF at the end, read as LF"
        notices = [*notices, Notice("converted_line_ends", converted, text, str(place), warns=False)]
    # The last line may lack its end.
    codes, begins = stream_of([with_last_end(file.text) if rows == "lines" else file.text for file in files])
    ends = np.append(begins[1:] - 1, len(codes))
    lines = np.empty((2, 0), np.int64)
    if rows == "lines":
        starts, stops, more = _lines(codes, begins, ends, block)
        notices, lines = [*notices, *more], np.stack([starts, stops - 1])
    else:
        starts, stops = begins, ends
    first, last = _pieces(starts, stops, block)
    return ReadPassages(
        Passages(codes, first, last, rows == "lines"), files, names, begins, lines, tuple(notices)
    )


def _files(place: Path, encoding: str) -> tuple[list[PlainText], list[str], list[Notice]]:
    """Return the texts of a file, or of all files of a folder or an archive with their paths in it, and notices of what
    was left out."""
    if is_folder(place) or is_archive(place):
        entries, notices = list_files(place, _SUFFIXES, "texts (.txt, .md)")
        texts = [read_plain(entry.read(), entry.where, encoding) for entry in entries]
        return texts, [entry.name for entry in entries], notices
    require_file(place)
    with opened(place) as stream:
        return [read_plain(stream.read(), str(place), encoding)], [], []


def _lines_in_several_parts(lines: np.ndarray, parts: np.ndarray, where: str) -> list[Notice]:
    """Return a warning if lines of the training file are in the validation or test file, too."""
    both = int(np.isin(lines[np.isin(parts, ("val", "test"))], lines[parts == "train"]).sum())
    if not both:
        return []
    text = f"{counted(both, 'validation or test line')} also in the training files"
    hint = "dataset.parts=false splits all lines anew, with equal ones in one part."
    return [Notice("shared_lines", both, text, where, hint)]


def _lines(
    codes: np.ndarray, begins: np.ndarray, ends: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, list[Notice]]:
    """Return the first and last positions of the non-empty lines, with their ends, and notices."""
    stops = np.flatnonzero(codes == LINE_FEED) + 1
    stops = stops[~np.isin(stops, begins)]  # a stop at the start of a document ends no line
    starts = np.sort(np.concatenate([begins, stops[~np.isin(stops, ends)]]))
    filled = stops - starts > 1
    starts, stops = starts[filled], stops[filled]
    notices = []
    if empty := int((~filled).sum()):
        notices.append(Notice("empty_lines", empty, f"{counted(empty, 'empty line')} left out", warns=False))
    lengths = stops - starts
    if long := int((lengths > block).sum()):
        text = (
            f"{long:,} of {counted(len(starts), 'line')} are longer than {block:,} characters (with the line "
            "end) and continue in further rows"
        )
        hint = f"Read whole lines: {pasted('dataset.block', int(lengths.max()))}"
        notices.append(Notice("continued_lines", long, text, "dataset.block", hint, warns=False))
    return starts, stops, notices


def _pieces(starts: np.ndarray, stops: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last positions of consecutive pieces of at most `block` characters."""
    number = -(-(stops - starts) // block)
    first = np.repeat(number.cumsum() - number, number)
    begins = np.repeat(starts, number) + block * (np.arange(len(first)) - first)
    return begins, np.minimum(begins + block, np.repeat(stops, number))


def _note(
    x: Passages,
    files: Sequence[PlainText],
    groups: np.ndarray | None,
    block: int,
    by_file: bool,
    parts: Sequence[str],
) -> str:
    """Return the note on how text is divided into rows and how rows are split."""
    total = f"{int(x.characters.sum()):,} characters" + (
        f" in {len(files):,} files" if len(files) > 1 else ""
    )
    if by_file:
        return f"{total}, split by file"
    if parts:
        names = [part for part in ("train", "val", "test") if part in parts]
        unit = "lines" if groups is not None else f"blocks of {block:,}"
        return f"{total} in {unit}, in the parts {', '.join(names)} by the names of the files"
    if groups is not None:
        return f"{total}; equal lines are kept together: {len(np.unique(groups)):,} different lines"
    return f"{total} in blocks of {block:,}, split by position: the parts are consecutive"
