"""Warnings about columns of words: few values that are not numbers, and words that differ only in case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.pasted import pasted
from dlcli.datasets.reading.cells import spread
from dlcli.datasets.reading.column import Place
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.date_formats import DateFormat
from dlcli.datasets.reading.lookalikes import lookalikes, ways
from dlcli.datasets.reading.number_formats import is_number_like
from dlcli.errors import DataError, Problem

# In the sample of values, a share below this one is significantly less than half: 6 standard deviations from 0.5.
_ENOUGH, _FAR = 400, 0.35

# Share of numbers or dates in a column from which its other values are reported.
_MOSTLY = 0.5


def odd_values(
    strings: pa.ChunkedArray, name: str, place: Place, likely_dates: Callable[[pa.Array], DateFormat | None]
) -> Iterator[Problem]:
    """Yield a warning if most values are numbers or dates, but others prevent the column from being read as such.

    Warn also of values that look like numbers, dates or durations in an unknown format.
    """
    if _far_from_mostly(spread(strings), likely_dates):
        yield from lookalikes(spread(pc.drop_null(pc.unique(strings))), name)
        return
    encoded = strings.combine_chunks().dictionary_encode()
    number = is_number_like(encoded.dictionary)
    what, kind = "numbers", "number"
    share = _share(number, encoded)
    if share < _MOSTLY and (likely := likely_dates(encoded.dictionary)) is not None:
        number, what, kind = likely.parse(encoded.dictionary).is_valid(), "dates", "date"
        share = _share(number, encoded)
        if likely.has_no_day and (durations := list(lookalikes(encoded.dictionary, name))):
            yield from durations
            return
    if not _MOSTLY <= share < 1:
        yield from lookalikes(encoded.dictionary, name)
        return
    odd = pc.fill_null(pc.invert(number).take(encoded.indices), False)
    row, count = pc.index(odd, True).as_py(), pc.sum(odd).as_py()
    names = encoded.dictionary.filter(pc.invert(number)).to_pylist()[:3]
    more = f", and {count - 1:,} more like it" if count > 1 else ""
    yield Problem(
        f"{strings[row].as_py()!r} is not a {kind}{more}: "
        f"the column is not read as {what}, although {'all other' if share >= 0.9 else 'most'} values are {what}",
        place(row, name),
        f"Correct it; if it denotes a missing value: {pasted('dataset.missing_values', names)}; "
        f"if the column is categorical: {pasted('dataset.types', {name: 'categorical'})}.",
    )


def _far_from_mostly(
    few: pa.ChunkedArray | pa.Array, likely_dates: Callable[[pa.Array], DateFormat | None]
) -> bool:
    """Return whether the share of numbers or dates in a sample is so low that most values are neither."""
    known = pc.drop_null(few)
    if len(known) < _ENOUGH:
        return False
    encoded = known.combine_chunks().dictionary_encode()
    likely = likely_dates(encoded.dictionary)
    masks = [is_number_like(encoded.dictionary)]
    masks += [likely.parse(encoded.dictionary).is_valid()] if likely is not None else []
    return max(_share(mask, encoded) for mask in masks) < _FAR


# Traces in words of an earlier mistake, what they are, and what to do.
_DAMAGES = (
    (
        "[\u0080-\u009f]",
        "control characters: the encoding may be that of Windows",
        "Set dataset.encoding=cp1252.",
    ),
    (
        "\u00c3[\u00a0-\u00bf\u0192\u201a-\u203a\u20ac\u2122\u0152\u0153\u0160\u0161\u0178\u017d\u017e]|\u00e2\u20ac.|\u00c2\u00a0",
        "UTF-8 that was read in another encoding",
        "Export the file again.",
    ),
    ("\ufffd", "a character that was lost when the file was written", "Export the file again."),
    (r"\\\"\"?$|\\\".*\"", "quotes after a backslash", "Write a quote within a cell as two quotes."),
)


def damaged(distinct: pa.Array, name: str) -> Iterator[Problem]:
    """Yield a warning if words contain traces of a wrong encoding, or quotes that are marked by backslashes."""
    for expression, what, hint in _DAMAGES:
        found = distinct.filter(pc.match_substring_regex(distinct, expression))
        if len(found):
            more = f", and {len(found) - 1:,} more like it" if len(found) > 1 else ""
            yield Problem(
                f"{_shown(found[0].as_py())}{more} contain{'s' * (not more)} {what}", f"column {name}", hint
            )


def differing_in_case(words: pa.ChunkedArray, name: str) -> Iterator[Problem]:
    """Yield a warning if words differ only in case, blanks, similar-looking characters or a final full stop."""
    distinct = pc.drop_null(pc.unique(words))
    folded = pc.utf8_lower(distinct)
    if len(pc.unique(folded)) == len(pc.unique(_looks(folded))):
        what = "in case"
    else:
        folded = _looks(folded)
        what = "in case, blanks, invisible characters or punctuation"
    spelt: dict[str, list[str]] = {}
    for word, same in zip(distinct.to_pylist(), folded.to_pylist(), strict=True):
        spelt.setdefault(same, []).append(word)
    pairs = [" and ".join(map(_shown, some)) for some in spelt.values() if len(some) > 1]
    if pairs:
        more = f", and {len(pairs) - 1:,} more like them" if len(pairs) > 1 else ""
        yield Problem(
            f"{pairs[0]} differ only {what}{more}",
            f"column {name}",
            "They are different categories or classes: write them in one way if they mean the same.",
        )


# Zero-width characters, blanks, similar-looking characters, letters with two spellings, and a final full stop.
_SAME_LOOKS = (
    ("[\u200b-\u200d\ufeff\u00ad]", ""),
    (r"[\s\x{a0}]+", " "),
    (r"[\p{Pd}\x{2212}]", "-"),
    ("[\u2018-\u201b\u2032\u00b4`]", "'"),
    ("[\u201c-\u201f\u2033\u00ab\u00bb]", '"'),
    ("\u00df", "ss"),
    (r"([^\s.]) ?\.$", r"\1"),
)


# Cyrillic and Greek letters that look like Latin ones, in lower case.
_LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u043a\u043c\u0442\u0432\u043d\u03bf\u03b1",
    "aeopcyxijkmtbhoa",
)


def _shown(word: str) -> str:
    """Return the word in quotes, with the codes of characters that look like others."""
    return repr(word) if all(sign.isascii() or sign.isalnum() for sign in word) else ascii(word)


def _looks(words: pa.Array) -> pa.Array:
    """Return the words with similar-looking characters replaced by a common one."""
    if not pc.all(pc.string_is_ascii(words)).as_py():
        words = pa.array([word.translate(_LATIN) for word in words.to_pylist()], pa.string())
    words = pc.utf8_normalize(words, "NFKC")
    for expression, sign in _SAME_LOOKS:
        words = pc.replace_substring_regex(words, expression, sign)
    return words


def _share(mask: pa.Array, encoded: Any) -> float:
    known = encoded.indices.drop_null()
    return float(pc.mean(pc.cast(mask, pa.int8()).take(known)).as_py() or 0.0) if len(known) else 0.0


def two_ways(distinct: pa.Array, *, units: bool = False) -> list[str]:
    """Return an example of each of two incompatible formats: 1.5 and 1,5, or 12 % and 0.12.

    With `units`, numbers with and without a unit such as kg are also incompatible.
    """
    for expressions in ((r"\.\d{1,2}$|\.\d{4}", r",\d{1,2}$|,\d{4}"), ("%$", r"\d$")):
        both = [_first(distinct, expression) for expression in expressions]
        found = [value for value in both if value is not None]
        if len(found) == 2:
            return found
    shown = ways(spread(distinct)) if units else []
    return shown if len(shown) > 1 else []


def _first(values: pa.Array, expression: str) -> str | None:
    found = values.filter(pc.match_substring_regex(values, expression))
    return found[0].as_py() if len(found) else None


def in_two_formats(name: str, shown: list[str], where: str) -> DataError:
    """Return the error for a column of numbers in two formats, with an example of each."""
    return DataError(
        f"numbers of this column are written in two formats: {' and '.join(map(repr, shown))}",
        where,
        f"Write all in one format; or leave the column out: {pasted('dataset.drop', [name])}, or read it as words: "
        f"{pasted('dataset.types', {name: 'categorical'})}.",
    )


def unused_format(columns: Columns, given: Any) -> tuple[Problem, ...]:
    """Return a warning if no column has dates in the format that is given for all columns."""
    if not isinstance(given, str) or any(c.kind == "date" and given in c.date.patterns for c in columns):
        return ()
    return (
        Problem(
            f"no column has dates in the format {given}",
            "dataset.date_format",
            "Correct it, or leave it out.",
        ),
    )
