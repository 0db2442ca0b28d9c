"""Warnings about words that look like dates, durations or numbers in an unrecognized format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.pasted import pasted, pasted_for_column
from dlcli.datasets.reading.cells import spread
from dlcli.datasets.reading.date_formats import DateFormat
from dlcli.datasets.reading.number_formats import is_number_like
from dlcli.errors import Problem

# Minimum share and number of distinct words that look alike; fewer may be categories.
_MOSTLY, _SOME = 0.9, 10

# Maximum number of different numbers that may be versions.
_VERSIONS = 50

# Digits that may be dates, and their pattern.
_DAY, _MONTH_NUMBER = "(?:0[1-9]|[12]\\d|3[01])", "(?:0[1-9]|1[0-2])"
_DIGITS_OF_DATES = {
    rf"^{_DAY}{_MONTH_NUMBER}(?:19|20)\d\d$": "%d%m%Y",
    rf"^{_MONTH_NUMBER}{_DAY}(?:19|20)\d\d$": "%m%d%Y",
    rf"^{_DAY}{_MONTH_NUMBER}\d\d$": "%d%m%y",
    rf"^{_MONTH_NUMBER}{_DAY}\d\d$": "%m%d%y",
}

_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DATE = (
    r"(?:^|[^\d.])(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.] ?\d{1,2}[-/.] ?\d{4}|\d{1,2}/\d{1,2}/\d\d)"
    r"(?:[^\d.]|$)"
    r"|^\d{4}\x{5e74}\d{1,2}\x{6708}|^\d{4}\x{b144} ?\d{1,2}\x{c6d4}"
)
_MONTH_AND_YEAR = rf"(?i)^(?:{_MONTH})[a-z]*[-' ]\d\d$"
_DAY_OF_YEAR = r"^(?:19|20)\d\d-[0-3]\d\d$"
_OTHER_DIGITS = r"^[-+]?[\p{Nd}.,\x{66b}\x{66c}]*[^\x00-\x7f][\p{Nd}.,\x{66b}\x{66c}]*$"
_QUARTER = (
    r"^(?:[1-4][qQ][-/ ']?\d\d|[qQ][1-4][-/ ']?\d\d|\d\d[-/ ']?[qQ][1-4]|[TtKk][1-4][-/ ']?(?:\d\d)?\d\d)$"
    r"|^(?i:[1-4]\. ?(?:quartal|kvartal|kwarta\x{142}|trimestre)[-/ ]\d{4})$"
)
_WEEK = (
    r"(?i)^(?:kw|cw|wk|week|woche|semaine|semana|uge|vecka) ?\d\d?[-/ .,]{1,2}(?:\d\d)?\d\d$"
    r"|^\d{4}[-/ .]{0,2}(?:kw|cw|wk|week|woche) ?\d\d?$"
)
_WITHOUT_YEAR = rf"(?i)^[0-3]?\d\. ?[01]?\d\.$|^[0-3]?\d\.? ?(?:{_MONTH})[a-z]*$"
_NAMED_ZONE = r"\d:\d\d(?:\.\d+)?(?:[+-]\d\d:?\d\d)? ?(?:[A-Z]{3,5}|\[?[A-Z][A-Za-z]+/[A-Za-z_]+\]?)$"
_DURATION = (
    r"^\d+:\d\d(?::\d\d(?:\.\d+)?)?$|^-?P(?:\d+[YMWD])*(?:T(?:\d+(?:\.\d+)?[HMS])+)?$"
    r"|^-?\d+ days?,? \+?\d+:\d\d:\d\d|^(?i:\d+ ?(?:d|h|hrs?|m|min|s|sec) ?){2,}$"
)
_FRACTION = r"^(?:\d+ )?\d+/\d+$"
_NUMBER = (
    r"^(?:[<>=~\x{2248}\x{2264}\x{2265}']{1,2} ?)[-+]?\d[\d.,]*$|^[-+]?\d[\d.,]*[kKMB]$|^0[xX][0-9a-fA-F]+$"
    r"|^[-+]?(?:\d+\.?\d*|\.\d+)[dD][-+]?\d{1,3}$|^\d{1,3}(?:_\d{3})+$|^=\"[\d.,]+\"$|^[-+]?\d+[.,]\d+ ?[^\d\s.,]{1,6}$"
    r"|^\d+' ?\d+(?:\"|'')?$|^[-+]?\d+\x{b0} ?\d+"
)


class _Kind(NamedTuple):
    """Words that look like something else.

    Attributes:
        expression: what most of them match.
        text: what they look like, after an example of them.
        hint: what to do about them, where `{format}` and `{types}` stand for settings of the column.
        pattern: pattern of dates in the setting; None derives it from the words.
    """

    expression: str
    text: str
    hint: str
    pattern: str | None = None


_DATES = "look like dates", "Set their format, such as {format}."
_KINDS = (
    _Kind(
        _NAMED_ZONE,
        "look like times with the name of a zone",
        "Write zones as +01:00; leave them out if all times have the same one.",
    ),
    _Kind(_DATE, *_DATES),
    _Kind(_MONTH_AND_YEAR, *_DATES, pattern="%b-%y"),
    _Kind(_WEEK, "may be weeks", "If they are dates, write them as 2024-W05."),
    _Kind(_WITHOUT_YEAR, "may be days without a year", "If they are dates, write them with one: 2024-01-31."),
    _Kind(
        _FRACTION,
        "may be fractions, or days without a year",
        "Write them as decimal numbers, or as dates such as 2024-01-31.",
    ),
    _Kind(_QUARTER, "may be quarters", "If they are dates, write years with four digits, such as 2024Q1."),
    _Kind(_DAY_OF_YEAR, "may be a year and the number of a day", "If they are dates: {format}.", "%Y-%j"),
    _Kind(_OTHER_DIGITS, "are numbers in digits other than 0 to 9", "Write them in the digits 0 to 9."),
    _Kind(_DURATION, "look like durations", "Write them as numbers, such as seconds."),
    _Kind(
        _NUMBER,
        "look like numbers",
        "Write them as plain numbers; a unit must follow all of them. If they are categories: {types}.",
    ),
)


def lookalikes(distinct: pa.Array, name: str) -> Iterator[Problem]:
    """Yield a warning if most words of a column look like dates, durations or numbers."""
    few = spread(distinct)
    if len(few) < _SOME:
        return
    where = f"column {name}"
    are_numbers = _share(is_number_like(few)) == 1
    if are_numbers and len(shown := ways(few)) > 1:
        yield Problem(
            f"numbers are written in several formats, such as {' and '.join(map(repr, shown))}, and are read as words",
            where,
            "Write all in one format.",
        )
        return
    likely = (kind for kind in _KINDS if _matches(few, kind.expression))
    if (kind := next(likely, _KINDS[-1] if are_numbers else None)) is not None:
        hint = kind.hint.replace("{types}", pasted("dataset.types", {name: "categorical"}))
        if "{format}" in hint:
            pattern = kind.pattern or _pattern(few)
            hint = hint.replace("{format}", pasted_for_column("dataset.date_format", name, pattern))
        yield Problem(f"{str(few[0])!r} and values like it {kind.text}, but are read as words", where, hint)


def ways(numbers: pa.Array) -> list[str]:
    """Return an example of each of the first two formats of numbers, such as 0.5 and 1.5 kg."""
    shapes = pc.replace_substring_regex(numbers, r"[-+(]?[\d.,]+\)?", "1")
    return [str(numbers[pc.index(shapes, shape).as_py()]) for shape in pc.unique(shapes)[:2]]


def _pattern(dates: pa.Array) -> str:
    """Return a strptime pattern derived from the first date if it matches most dates, else an example of a pattern."""
    example = str(dates[0]).replace("%", "%%")
    timed = re.sub(
        r"\d{1,2}:\d\d(:\d\d)?", lambda found: "%H:%M:%S" if found[1] else "%H:%M", example, count=1
    )
    for signs in ("Ymd", "Ydm", "dmY", "mdY", "dmy"):
        digits = [r"\d{4}" if sign == "Y" else r"\d{1,2}" for sign in signs]
        expression = r"(?<!\d)" + r"([^\d:]+)".join(digits) + r"(?!\d)"
        pattern = re.sub(expression, "%{}\\1%{}\\2%{}".format(*signs), timed, count=1)
        if pattern != timed and _share(DateFormat((pattern,)).parse(dates).is_valid()) >= _MOSTLY:
            return pattern
    return "%d.%m.%Y %H:%M"


def undated(distinct: pa.Array, name: str) -> Iterator[Problem]:
    """Yield a warning if words are digits such as 31012024, which are no numbers since some begin with a zero."""
    if len(distinct) < _SOME:
        return
    for expression, pattern in _DIGITS_OF_DATES.items():
        if _all(distinct, expression):
            setting = pasted_for_column("dataset.date_format", name, pattern)
            yield Problem(
                f"{distinct[0]} and values like it may be dates, but are read as words",
                f"column {name}",
                f"If they are dates: {setting}.",
            )
            return


def codes_as_numbers(strings: pa.ChunkedArray, name: str) -> Iterator[Problem]:
    """Yield a warning if numbers may be codes: all are integers with an exponent, such as 12E5, or some of a few are
    written in two ways, such as 1.1 and 1.10."""
    few = pc.unique(spread(strings))
    if len(few) <= _VERSIONS and len(distinct := pc.drop_null(pc.unique(strings))) <= _VERSIONS:
        same: dict[float, list[str]] = {}
        # Arrow reads numbers that Python does not, such as nan(1).
        for word, value in zip(
            distinct.to_pylist(), pc.cast(distinct, pa.float64()).to_pylist(), strict=True
        ):
            same.setdefault(value, []).append(word)
        pairs = [words for words in same.values() if len({len(word) for word in words}) > 1]
        if pairs and any("." in word.rstrip("0").rstrip(".") for word in pairs[0]):
            yield Problem(
                f"{' and '.join(pairs[0][:2])} are read as the same number",
                f"column {name}",
                f"If they are versions or codes: {pasted('dataset.types', {name: 'categorical'})}.",
            )
    codes = r"^\d+[eE]\d+$"
    if _all(strings, codes):
        first = pc.first(pc.drop_null(strings)).as_py()
        yield Problem(
            f"{first} is read as the number {float(first):g}",
            f"column {name}",
            f"If it is a code: {pasted('dataset.types', {name: 'categorical'})}.",
        )


def _all(words: pa.Array | pa.ChunkedArray, expression: str) -> bool:
    return all(pc.all(pc.match_substring_regex(some, expression)).as_py() for some in (spread(words), words))


def _matches(words: pa.Array, expression: str) -> bool:
    return _share(pc.match_substring_regex(words, expression)) >= _MOSTLY


def _share(mask: pa.Array) -> float:
    return float(pc.mean(pc.cast(mask, pa.int8())).as_py() or 0.0)
