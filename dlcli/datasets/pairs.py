"""Pairs of texts, such as sentences and their translations, from tables or parallel files."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice
from dlcli.datasets.pair_texts import PairTexts
from dlcli.datasets.parallel_texts import PairFile, read_pairs
from dlcli.datasets.tables.format_options import AutoOrBool, FormatOptions, Separator
from dlcli.datasets.text_rows import Texts
from dlcli.errors import DataError
from dlcli.files.paths import typed
from dlcli.formatting import counted

OnBad = Literal["error", "skip"]


def load(
    path: str,
    source: str | None = None,
    target: str | None = None,
    test_path: str | None = None,
    split: str | None = None,
    on_bad: OnBad = "error",
    separator: Separator = "auto",
    header: AutoOrBool = "auto",
    quotes: AutoOrBool = "auto",
    encoding: str = "utf-8",
) -> Data:
    """Load pairs of a source and a target text.

    Args:
        path: a table (.tsv, .csv, .jsonl, .parquet); a folder with a table for each part of the split, such as
            train.tsv, val.tsv and test_2016.tsv; or a folder with parallel files, such as train.de and train.en.
        source: the table's column of sources, or the suffix of parallel files; None takes a column named source or src,
            or else the first of two columns.
        target: the column or suffix of targets; None takes a column named target, tgt or trg, or else the second of
            two.
        test_path: a table with the same columns whose pairs are the final test rows.
        split: a column with train, val and test.
        on_bad: `error` raises an error for a pair with an empty source or target; `skip` leaves it out.
        separator: column separator of a table; auto detects it, as for `header` and `quotes`.
        header: whether the first line contains the column names.
        quotes: whether cells may be enclosed in quotes, which are then not part of the text.
        encoding: encoding of the files.

    Raises:
        DataError: a file is invalid; the message names file and line.
    """
    place = typed(path)
    options = FormatOptions(separator, header, quotes, encoding)
    files, notices = read_pairs(place, options, source, target, split)
    if test_path is not None:
        if any(part == "test" for file in files for part in file.parts):
            raise DataError(
                "the test is defined twice: by the dataset's own parts and by dataset.test_path",
                "dataset.test_path",
                "Leave one of them out.",
            )
        test, more = read_pairs(typed(test_path), options, *files[0].names, None)
        files += [file.of_part("test") for file in test]
        notices += more
    files, dropped = _without_empty(files, on_bad)
    frame = pd.concat([file.frame for file in files], ignore_index=True)
    parts = np.concatenate([file.parts for file in files])
    name, other = files[0].names
    x, y = PairTexts.both(
        Texts.of(frame, name),
        Texts.of(frame, other),
    )
    sources, targets = (pd.factorize(frame[side])[0] for side in (name, other))
    has_parts = bool((parts != "").any())
    val, test_rows = np.flatnonzero(parts == "val"), np.flatnonzero(parts == "test")
    trained = ~np.isin(parts, ["val", "test"])
    return Data(
        name=place.name.partition(".")[0],
        kind="tokens",
        x=x,
        y=y,
        source=str(place),
        test_rows=test_rows if len(test_rows) else None,
        val_rows=val if len(val) else None,
        groups=_groups(sources, trained) if _repetitions(sources[trained]) else None,
        parts=parts if has_parts and not (parts == "").any() else None,
        warnings=tuple(warning for file in files for warning in file.warnings),
        notices=(*notices, *dropped, *_repeated(sources, targets, parts, str(place))),
        columns=files[0].columns,
    )


def _without_empty(files: list[PairFile], on_bad: OnBad) -> tuple[list[PairFile], list[Notice]]:
    """Return the files without the pairs that have an empty text, or raise an error with the first such pair."""
    kept, places = [], []
    for file in files:
        empty = np.stack([file.frame[name].str.strip().eq("").to_numpy() for name in file.names])
        either: np.ndarray = empty[0] | empty[1]
        rows = np.flatnonzero(either)
        places += [(file, int(row), file.names[int(empty[:, row].argmax())]) for row in rows]
        kept.append(file.without(either))
    if not places:
        return kept, []
    file, row, column = places[0]
    if on_bad == "error":
        more = f" (and {len(places) - 1:,} more)" if len(places) > 1 else ""
        raise DataError(
            f"the {'source' if column == file.names[0] else 'target'} is empty{more}",
            file.place(row, column),
            "Fill it in, or leave such pairs out: dataset.on_bad=skip.",
        )
    if not any(len(file.frame) for file in kept):
        raise DataError("no pair without an empty text is left", file.place(row, column))
    text = f"{counted(len(places), 'pair')} with an empty text left out, the first in {file.place(row)}"
    return kept, [Notice("empty_pairs", len(places), text)]


def _repetitions(codes: np.ndarray) -> int:
    return len(codes) - len(np.unique(codes))


def _groups(sources: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Return the groups that splits keep together: pairs with the same source, among the rows without a predefined
    part.

    Pairs with a predefined part stay in it, so each of them is a group by itself.
    """
    own = int(sources.max()) + 1 + np.arange(len(sources))
    return np.where(trained, sources, own)


def _repeated(sources: np.ndarray, targets: np.ndarray, parts: np.ndarray, where: str) -> list[Notice]:
    """Return notices of texts that occur more than once, in several parts or within the training rows."""
    notices = []
    trained = ~np.isin(parts, ["val", "test"])
    for part in ("val", "test"):
        rows = parts == part
        if again := int(np.isin(sources[rows], sources[trained]).sum()):
            text = f"{again:,} of {int(rows.sum()):,} {part} sources are also among the training sources"
            notices.append(Notice(f"repeated_{part}_sources", again, text, where, warns=False))
    if (repeated := _repetitions(sources[trained])) and not (parts == "val").any():
        text = f"{counted(repeated, 'pair')} with the source of another one, kept together in splits"
        notices.append(Notice("repeated_sources", repeated, text, where, warns=False))
    pairs = np.unique(np.stack([sources[trained], targets[trained]]), axis=1)
    if shared := _repetitions(pairs[1]):
        text = f"{counted(shared, 'target')} repeated with another source, which may be in another part"
        notices.append(Notice("repeated_targets", shared, text, where, warns=False))
    return notices
