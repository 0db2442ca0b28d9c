"""Sentences with a tag for each word: columns as in CoNLL, or texts with labelled spans."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import evaluation_targets
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.compression import format_of
from dlcli.datasets.tables.read_table import require_file
from dlcli.datasets.words.conll import Separator, TaggedRows, read_word_columns
from dlcli.datasets.words.schemes import (
    OUTSIDE,
    Converted,
    Scheme,
    scheme_of,
    scheme_of_part,
    split_tag,
    to_iob2,
)
from dlcli.datasets.words.sentences import Sentences
from dlcli.datasets.words.span_lines import JSON_LINES, read_span_lines
from dlcli.datasets.words.word_tags import Tags
from dlcli.errors import DataError
from dlcli.files.paths import typed
from dlcli.formatting import counted

# Marks of entities in a spelling that no scheme has.
_SPELT_MARK = re.compile(r"[BIESLU][_:./].+|[bieslu][-_:./].+")


def load(
    path: str,
    val_path: str | None = None,
    test_path: str | None = None,
    word: int = 0,
    tag: int = -1,
    separator: Separator = "auto",
    scheme: Literal["auto"] | Scheme = "auto",
    text: str = "text",
    spans: str = "spans",
    encoding: str = "utf-8",
) -> Data:
    """Load sentences whose words have tags, such as names of persons and places, or parts of speech.

    Args:
        path: a file of columns, one word a line with blank lines between sentences; or JSON lines of texts with spans.
        val_path: a file of the same kind whose sentences are the validation rows.
        test_path: a file of the same kind whose sentences are the final test rows.
        word: column of the words, counted from 0.
        tag: column of the tags; -1 is the last one.
        separator: what separates the columns: tab, blank (any white space), or auto.
        scheme: how tags mark entities: iob1, iob2, iobes, bilou, plain (no marks), or auto. All but plain become IOB2.
        text: key of the texts of JSON lines.
        spans: key of their spans.
        encoding: encoding of the files.

    Raises:
        DataError: a file is invalid; with the line.
    """
    files = [typed(file) for file in (path, val_path, test_path) if file is not None]
    parts = []
    for file in files:
        require_file(file)
        is_json = format_of(file) in JSON_LINES
        parts.append(
            read_span_lines(file, text, spans, encoding=encoding)
            if is_json
            else read_word_columns(file, word, tag, separator, encoding)
        )
    _check_marks(parts, files, scheme)
    whole = scheme_of([tags for part in parts for tags in part.tags])
    converted = [
        to_iob2(part.tags, scheme_of_part(part.tags, whole) if scheme == "auto" else scheme) for part in parts
    ]
    rows = [tags for own in converted for tags in own.rows]
    counts = Counter(tag for tags in rows for tag in tags)
    classes = sorted(counts, key=_order)
    if len(classes) < 2 and not evaluation_targets():
        raise DataError(f"all words have the tag {classes[0]}", str(files[0]), "Give at least two tags.")
    code = {name: number for number, name in enumerate(classes)}
    x = Sentences.of_spans(
        [text for part in parts for text in part.texts], [own for part in parts for own in part.spans]
    )
    ends = np.cumsum([len(part) for part in parts])
    own = [np.arange(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
    groups = _groups(parts)
    return Data(
        name=files[0].name.partition(".")[0],
        kind="words",
        x=x,
        y=Tags.of([[code[tag] for tag in tags] for tags in rows], x),
        classes=tuple(classes),
        source=str(files[0]),
        val_rows=own[1] if val_path is not None else None,
        test_rows=own[-1] if test_path is not None else None,
        groups=groups,
        note=_note(x, groups, classes, converted[0].scheme),
        notices=tuple(_notices(parts, files, converted)),
    )


def _check_marks(parts: list[TaggedRows], files: list[Path], scheme: str) -> None:
    """Raise a DataError if some tags have a mark such as B-, and others neither have one nor are O."""
    bare = [
        (row, word, tag)
        for row, tags in enumerate(tags for part in parts for tags in part.tags)
        for word, tag in enumerate(tags)
        if tag != OUTSIDE and split_tag(tag)[0] == OUTSIDE
    ]
    marked = any(split_tag(tag)[0] != OUTSIDE for part in parts for tags in part.tags for tag in tags)
    if not bare or scheme == "plain" or (scheme == "auto" and not marked):
        return
    row, word, tag = bare[0]
    others = "other tags have such a mark" if marked else f"dataset.scheme is {scheme}"
    raise DataError(
        f"the tag {tag} is not O, and has no mark such as B- or I-, but {others}",
        _place(parts, files, (row, word)),
        "Correct it; or, if the tags are to be taken as they are, set dataset.scheme=plain.",
    )


def _order(tag: str) -> tuple[bool, str, str]:
    """Return a sort key: O first, then by type, with the beginning of an entity before its other words."""
    prefix, kind = split_tag(tag)
    return tag != OUTSIDE, kind or tag, prefix


def _groups(parts: list[TaggedRows]) -> np.ndarray | None:
    """Return the document of each sentence; None for files without documents, or with one that holds all sentences.

    The sentences before the first document of a file are one, and so is a file that has none, if another one has.
    """
    if not any(group >= 0 for part in parts for group in part.groups):
        return None
    found, before = [], 0
    for part in parts:
        first = min(part.groups)
        found += [before + group - first for group in part.groups]
        before = found[-1] + 1
    return np.array(found, np.int64) if before > 1 else None


def _note(x: Sentences, groups: np.ndarray | None, classes: list[str], scheme: Scheme) -> str:
    kinds = {split_tag(tag)[1] for tag in classes} - {""}
    told = [counted(int(x.lengths.sum()), "word")]
    told += [counted(len(kinds), "type of entities", "types of entities")] if scheme != "plain" else []
    told += [counted(len(np.unique(groups)), "document")] if groups is not None else []
    return ", ".join(told)


def _notices(parts: list[TaggedRows], files: list[Path], converted: list[Converted]) -> list[Notice]:
    found = []
    if comments := sum(part.comments for part in parts):
        text = f"{counted(comments, 'line')} left out as comments"
        found.append(Notice("comments", comments, text, str(files[0]), warns=False))
    if unnumbered := sum(part.unnumbered for part in parts):
        text = f"{counted(unnumbered, 'line')} left out: contractions and empty nodes of CoNLL-U"
        found.append(Notice("unnumbered_lines", unnumbered, text, str(files[0]), warns=False))
    if converted[0].scheme == "plain":
        found += _spelt_marks({tag for own in converted for tags in own.rows for tag in tags} - {OUTSIDE})
    schemes: dict[str, str] = {}
    for file, own in zip(files, converted, strict=True):
        schemes.setdefault(own.scheme, file.name)
    if changed := sum(own.changed for own in converted if own.scheme != "iob2"):
        names = [f"{scheme.upper()}{f' ({name})' * (len(schemes) > 1)}" for scheme, name in schemes.items()]
        text = f"the tags are {' and '.join(names)}: {changed:,} were converted to IOB2"
        found.append(Notice("converted_tags", changed, text, "dataset.scheme", warns=False))
    if unopened := sum(own.unopened for own in converted):
        place = next(
            f"{file}:{part.line_of(*own.first_unopened)}"
            for file, part, own in zip(files, parts, converted, strict=True)
            if own.first_unopened is not None
        )
        text = (
            "1 entity does not begin with B-, and is read as if it did: "
            if unopened == 1
            else f"{unopened:,} entities do not begin with B-, and are read as if they did; the first is in "
        ) + place
        hint = "Correct them, or name the scheme of the tags: dataset.scheme=iob1, iob2, iobes or bilou."
        found.append(Notice("unopened_entities", unopened, text, "dataset.scheme", hint))
    if widened := sum(part.widened for part in parts):
        ends = (
            "1 span ends within a word, and was"
            if widened == 1
            else f"{widened:,} spans end within a word, and were"
        )
        text = f"{ends} extended to whole words"
        found.append(Notice("widened_spans", widened, text, "dataset.spans"))
    return found


def _spelt_marks(tags: set[str]) -> list[Notice]:
    """Return a warning if all tags look like marks in another spelling, such as B_PER or b-per."""
    odd = [tag for tag in sorted(tags) if _SPELT_MARK.fullmatch(tag)]
    if not odd or not all(tag in odd or tag == OUTSIDE.lower() for tag in tags):
        return []
    text = (
        f"the tags are taken as they are, each word by itself: {', '.join(odd[:2])} are no marks of entities"
    )
    hint = "If they begin and continue entities, spell them B-TYPE and I-TYPE, and O for other words."
    return [Notice("spelt_marks", len(odd), text, "dataset.scheme", hint)]


def _place(parts: list[TaggedRows], files: list[Path], found: tuple[int, int]) -> str:
    row, word = found
    for part, file in zip(parts, files, strict=True):
        if row < len(part):
            return f"{file}:{part.line_of(row, word)}"
        row -= len(part)
    return ""
