"""Reading texts with labelled spans, one JSON object a line."""

from __future__ import annotations

import json
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from dlcli.datasets.tables.compression import opened
from dlcli.datasets.words.conll import TaggedRows
from dlcli.datasets.words.schemes import OUTSIDE
from dlcli.datasets.words.sentences import word_spans
from dlcli.errors import DataError

# Endings of files of labelled spans.
JSON_LINES = (".jsonl", ".ndjson", ".json")

_FORM = '{"text": "Ada lives in Rome", "spans": [{"start": 13, "end": 17, "label": "LOC"}]}'

LabelledSpan = tuple[int, int, str]


def read_span_lines(
    file: Path,
    text: str = "text",
    spans: str | None = "spans",
    stream: IO[bytes] | None = None,
    encoding: str = "utf-8",
) -> TaggedRows:
    """Return the texts of a file, divided into words, with tags in IOB2 for the words of each span.

    Args:
        file: the file, which may be compressed.
        text: key of the texts.
        spans: key of the spans, objects with start, end and label or lists of these three; None reads none.
        stream: the content of the file, if it is in memory or piped in.
        encoding: the file's encoding.

    Raises:
        DataError: a line is not such an object, or a span is empty, outside the text, or overlaps another one.
    """
    found = TaggedRows()
    with opened(file) if stream is None else nullcontext(stream) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{file}:{number}"
            row = _object(line, where, encoding)
            content = row.get(text)
            if not isinstance(content, str) or not content.strip():
                given = "is missing" if content is None else f"{json.dumps(content)[:40]} is no text"
                what = "is empty" if isinstance(content, str) else given
                form = f'{{{json.dumps(text)}: "Ada lives in Rome"}}' if spans is None else _FORM
                raise DataError(what, f"{where}, column {text}", f"Write a line such as {form}")
            words = word_spans(content)
            found.texts.append(content)
            found.spans.append(words)
            found.groups.append(-1)
            found.lines.append(number)
            if spans is None:
                found.tags.append([])
                continue
            labelled = sorted(_span(one, content, f"{where}, {spans}") for one in _list(row, spans, where))
            found.tags.append(_tags(words, labelled, content, where, found))
    if not found.texts:
        raise DataError("holds no text", str(file), f"Write lines such as {_FORM}")
    return found


def _object(line: bytes, where: str, encoding: str) -> dict[str, Any]:
    try:
        found = json.loads(line.decode("utf-8-sig" if encoding == "utf-8" else encoding))
    except LookupError as error:
        raise DataError(f"there is no encoding {encoding}", "dataset.encoding") from error
    except UnicodeDecodeError as error:
        hint = "Set the encoding of the file, such as dataset.encoding=latin-1."
        byte = f"byte 0x{line[error.start]:02x} at {error.start:,} of the line"
        raise DataError(f"is not {encoding}: {byte}", where, hint) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}", where, f"Write a line such as {_FORM}") from error
    if not isinstance(found, dict):
        raise DataError("is not an object", where, f"Write a line such as {_FORM}")
    return found


def _list(row: dict[str, Any], key: str, where: str) -> list[Any]:
    found = row.get(key)
    if not isinstance(found, list):
        names = ", ".join(row)
        raise DataError(
            f"has no list {key}, but {names}",
            where,
            f"Set dataset.spans=KEY, or write a line such as {_FORM}",
        )
    return found


def _span(one: Any, text: str, where: str) -> LabelledSpan:
    values: Any = [one.get(key) for key in ("start", "end", "label")] if isinstance(one, dict) else one
    whole = isinstance(values, list | tuple) and len(values) == 3
    if not whole or not all(type(edge) is int for edge in values[:2]) or not isinstance(values[2], str):
        raise DataError(
            f"{json.dumps(one, ensure_ascii=False)} is no span", where, f"Write spans as in {_FORM}"
        )
    start, end, label = values
    shown = f"the span from {start} to {end} ({label})"
    if not label.strip():
        raise DataError(f"{shown} has an empty label", where, "Give each span a label.")
    if not 0 <= start <= end <= len(text):
        raise DataError(
            f"{shown} is not within the text of {len(text)} characters", where, "Count characters from 0."
        )
    if not text[start:end].strip():
        raise DataError(f"{shown} holds no character", where, "`end` is the character after the last one.")
    return start, end, label


def _tags(
    words: list[tuple[int, int]], spans: list[LabelledSpan], text: str, where: str, found: TaggedRows
) -> list[str]:
    tags = [OUTSIDE] * len(words)
    for before, after in pairwise(spans):
        if after[0] < before[1]:
            raise DataError(
                f"the spans from {before[0]} to {before[1]} ({before[2]}) and from {after[0]} to {after[1]} "
                f"({after[2]}) overlap",
                where,
                "A word has one tag: keep one of them.",
            )
    for start, end, label in spans:
        own = [place for place, (first, last) in enumerate(words) if first < end and last > start]
        # Blanks at the edges of a span are no part of a word.
        begin = start + len(text[start:end]) - len(text[start:end].lstrip())
        stop = end - (len(text[start:end]) - len(text[start:end].rstrip()))
        taken = [place for place in own if tags[place] != OUTSIDE]
        if taken:
            word = text[slice(*words[taken[0]])]
            raise DataError(
                f"two spans lie within the word {word!r}", where, "A word has one tag: keep one of the spans."
            )
        found.widened += words[own[0]][0] != begin or words[own[-1]][1] != stop
        for number, place in enumerate(own):
            tags[place] = f"{'I' if number else 'B'}-{label}"
    return tags
