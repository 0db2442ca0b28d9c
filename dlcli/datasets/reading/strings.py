"""Predicates on the strings of a whole column, with fast paths for common columns."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.cells import spread
from dlcli.datasets.reading.column import EXACT
from dlcli.datasets.reading.number_formats import PLAIN, FoundFormats

# Number of values that are examined first, to skip the search for numbers and dates in columns of texts.
_SAMPLE = 1000

# Mean length from which strings are considered texts.
_LONG = 60


def plain_numbers(strings: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return plain numbers as int64 or float64; None if some strings are not plain numbers."""
    few = spread(strings)
    for kind in (pa.int64(), pa.float64()):
        with contextlib.suppress(pa.ArrowInvalid):
            pc.cast(few, kind)  # Arrow takes long to find that all values fail
            return pc.cast(strings, kind)
        if kind == pa.int64() and pc.any(pc.starts_with(strings, "+")).as_py():
            with contextlib.suppress(pa.ArrowInvalid):  # Arrow's integers have no plus sign
                return pc.cast(pc.replace_substring_regex(strings, r"^\+(\d)", r"\1"), kind)
    return None


def may_be_more(strings: pa.ChunkedArray) -> bool:
    """Return whether some of the first values look like numbers, dates or booleans rather than words."""
    first = pc.drop_null(strings.slice(0, _SAMPLE))
    if not len(first):
        return True
    if pc.mean(pc.binary_length(first)).as_py() > _LONG:
        return False
    digits = pc.match_substring_regex(first, r"\p{Nd}")  # the digits of all scripts
    others = pc.unique(pc.utf8_lower(first.filter(pc.invert(digits))))
    # Few distinct words may be booleans, or denote missing values.
    return pc.sum(digits).as_py() >= len(first) / 10 or len(others) <= 6


def beginning_with_zero(strings: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the strings that begin with a zero, or with a sign and a zero."""
    plain, minus, plus = (pc.starts_with(strings, begin) for begin in ("0", "-0", "+0"))
    return strings.filter(pc.or_(plain, pc.or_(minus, plus)))


def distinct_strings(strings: pa.ChunkedArray) -> pa.Array:
    """Return the distinct strings."""
    return pc.drop_null(pc.unique(strings))


def all_match(strings: pa.ChunkedArray, expression: str) -> bool:
    """Return whether all strings match an expression; a sample is tested first."""
    return all(
        pc.all(pc.match_substring_regex(some, expression)).as_py() for some in (spread(strings), strings)
    )


def are_phones(strings: pa.ChunkedArray) -> bool:
    """Return whether all strings are as long as telephone numbers and begin with +, such as +4930123456."""
    begins = str(pc.first(strings))[:1]  # spares the other columns of numbers the expression
    return begins == "+" and pc.all(pc.match_substring_regex(strings, r"^\+\d{8,}$")).as_py()


def total_length(strings: pa.ChunkedArray) -> int:
    """Return the number of bytes of all strings."""
    return pc.sum(pc.binary_length(strings)).as_py() or 0


def is_large(numbers: pa.ChunkedArray) -> bool:
    """Return whether some integers are too large to be exact as floats."""
    low, high = (bound.as_py() for bound in pc.min_max(numbers).values())
    return low is not None and max(-low, high) > EXACT


def is_code(distinct: pa.Array, found: FoundFormats) -> bool:
    """Return whether some of the values, unsigned integers, begin with a zero, such as 01."""
    plain = all(format == PLAIN for format in found.formats)
    return plain and bool(pc.any(pc.match_substring_regex(distinct, r"^0\d+$")).as_py())
