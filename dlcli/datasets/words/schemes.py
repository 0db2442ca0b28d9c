"""Schemes in which tags mark where entities begin and end, and their conversion to IOB2.

IOB1 (Ramshaw and Marcus, 1995) marks the beginning of an entity with B- only where it follows another one of its type;
IOB2 (Tjong Kim Sang and Veenstra, 1999) marks each beginning. IOBES adds E- for the last word and S- for the only one;
BILOU calls these L- and U-.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Scheme = Literal["iob1", "iob2", "iobes", "bilou", "plain"]

OUTSIDE = "O"
_TAG = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
_LAST, _SINGLE = ("E", "L"), ("S", "U")


@dataclass(frozen=True)
class Converted:
    """Tags in IOB2, and what the conversion changed.

    Attributes:
        rows: the tags of each row.
        scheme: the scheme that they had.
        changed: number of tags that were changed.
        unopened: number of entities that began without the tag that begins one, such as I- after O.
        first_unopened: row and word of the first of them.
    """

    rows: list[list[str]]
    scheme: Scheme
    changed: int = 0
    unopened: int = 0
    first_unopened: tuple[int, int] | None = None


def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and type of a tag; `O` has the prefix O and no type."""
    match = _TAG.fullmatch(tag)
    return (match[1], match[2]) if match else (OUTSIDE, "")


def scheme_of(rows: Sequence[Sequence[str]]) -> Scheme:
    """Return the scheme of tags: `plain` if they have no prefixes, such as parts of speech."""
    tags = {tag for row in rows for tag in row}
    if not tags - {OUTSIDE} or not all(tag == OUTSIDE or _TAG.fullmatch(tag) for tag in tags):
        return "plain"
    prefixes = {split_tag(tag)[0] for tag in tags}
    if prefixes & {"L", "U"}:
        return "bilou"
    if prefixes & {"E", "S"}:
        return "iobes"
    return "iob1" if _is_iob1(rows) else "iob2"


def _is_iob1(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether each B- follows an entity of its type, and some entity begins with I-."""
    begins_inside = False
    for row in rows:
        before = (OUTSIDE, "")
        for tag in row:
            prefix, kind = split_tag(tag)
            continues = before[0] != OUTSIDE and before[1] == kind
            if prefix == "B" and not continues:
                return False
            begins_inside |= prefix == "I" and not continues
            before = (prefix, kind)
    return begins_inside


def scheme_of_part(rows: Sequence[Sequence[str]], whole: Scheme) -> Scheme:
    """Return the scheme of one file's tags; `whole`, that of all files, where it has no entities or no marks."""
    found = scheme_of(rows)
    return whole if "plain" in (found, whole) else found


def to_iob2(rows: Sequence[Sequence[str]], scheme: Scheme) -> Converted:
    """Return the tags in IOB2; an entity that begins without its tag begins where its first word is.

    Plain tags stay as they are.
    """
    if scheme == "plain":
        return Converted([list(row) for row in rows], scheme)
    found: list[list[str]] = []
    changed = unopened = 0
    first = None
    for number, row in enumerate(rows):
        own: list[str] = []
        before = (OUTSIDE, "")
        for place, tag in enumerate(row):
            prefix, kind = split_tag(tag)
            if prefix == OUTSIDE:
                own.append(OUTSIDE)
            else:
                open_ = before[0] not in (OUTSIDE, *_LAST, *_SINGLE) and before[1] == kind
                begins = prefix in ("B", *_SINGLE) or not open_
                if begins and prefix not in ("B", *_SINGLE) and scheme != "iob1":
                    unopened += 1
                    first = first or (number, place)
                own.append(f"{'B' if begins else 'I'}-{kind}")
            changed += own[-1] != tag
            before = (prefix, kind)
        found.append(own)
    return Converted(found, scheme, changed, unopened, first)


def entities_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the entities of tags in IOB2: first word, the one after the last, and type; plain tags mark each word.

    I- without the entity before it begins one, as in seqeval and the evaluation of CoNLL-2000.
    """
    found: list[tuple[int, int, str]] = []
    open_: tuple[int, str] | None = None
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = split_tag(tag)
        if prefix == OUTSIDE and tag != OUTSIDE:  # a plain tag
            prefix, kind = "B", tag
        if open_ is not None and (prefix != "I" or kind != open_[1]):
            found.append((open_[0], place, open_[1]))
            open_ = None
        if prefix != OUTSIDE and open_ is None:
            open_ = (place, kind)
    return found
