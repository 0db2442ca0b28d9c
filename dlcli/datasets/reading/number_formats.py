"""Number formats: decimal and thousands signs, currencies, per cent, units, brackets for negative numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.cells import spread

# Signs that group digits by thousands.
THOUSANDS = (",", ".", " ", "'")

# Words and signs of currencies before or after a number; some cells of a column may lack them.
_CURRENCIES = (
    "$", "\u20ac", "\u00a3", "\u00a5", "\u20b9", "\u20bd", "\u20a9", "US$",
    "USD", "EUR", "GBP", "JPY", "CHF", "CNY", "INR", "CAD", "AUD", "SEK", "NOK",
    "DKK", "PLN", "kr", "Fr.", "R$", "A$", "C$", "Rs", "Rs.", "\u20a8", "\u20ba", "\u20aa", "\u20b4", "\u20b1",
    "\u20ab", "\u0e3f", "z\u0142", "K\u010d", "Ft", "HK$", "S$", "NZ$", "CA$", "AU$", "MX$", "CZK", "HUF", "BRL",
    "ZAR", "MXN", "NZD", "HKD", "SGD", "KRW", "TRY", "RUB", "THB", "\u5143", "\u5186",
)  # fmt: skip

# Units that are recognized directly after a number; after a blank, any word is. 12A or 5B are codes rather than units.
_UNITS = (
    "%", "\u2030", "\u00b0", "\u00b0C", "\u00b0F", "kg", "mg", "lb", "lbs", "oz", "km", "cm", "mm", "ft", "ml", "min",
    "ms", "kW", "kWh", "Hz", "GB", "MB", "KB", "mph", "bpm",
)  # fmt: skip

# A number: sign, prefix, digits with signs between them, exponent, and suffix.
_NUMBER = (
    r"^(?P<sign>[-+]?) ?(?P<before>(?:[^\d\s.,+\-'()]+\.?)?) ?(?P<minus>[-+]?)"
    r"(?P<digits>\d[\d.,' ]*\d|\d[.,]?|[.,]\d+)(?P<power>[eE][-+]?\d+)?(?P<blank> ?)(?P<behind>[^\d\s.,+\-'()]*)$"
)

# A number followed by its minus sign, and too long to be a grade.
_MINUS_BEHIND = r"^([^-+]*(?:[.,]\d+|\d{3})) ?-$"

# A whole amount of money, such as 12.- in Switzerland.
_NO_CENTS = "^(.*\\d)[.,][-\u2013\u2014]$"

# A negative number in brackets.
_BRACKETS = r"^\((.*\d.*)\)$"

# Expressions and their replacements, applied in order: typographic minus, non-breaking blanks, and negative numbers of
# accounting: (123) and 123- are -123, but a grade such as 2- is not.
REWRITES = (
    ("\u2212", "-"), ("\u00a0", " "), ("\u202f", " "), ("\u2009", " "), ("\u2019", "'"),
    (_BRACKETS, r"-\1"), (_NO_CENTS, r"\1"), (_MINUS_BEHIND, r"-\1"),
)  # fmt: skip

# A number whose point is certainly a decimal sign: not followed by three digits, or preceded by a single zero.
_POINT = r"^[-+]?0*\.|\.\d{0,2}([eE].*)?$|\.\d{4}|[eE]"


@dataclass(frozen=True)
class NumberFormat:
    """Format of the numbers of a column.

    Attributes:
        decimal: the decimal sign.
        thousands: the sign between groups of three digits, or "".
        unit: prefix or suffix of the numbers, such as $, % or kg.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    def describe(self) -> str:
        """Return the format in words, such as `1.234,5 EUR`; empty for plain numbers."""
        if self == NumberFormat():
            return ""
        number = f"1{self.thousands}234{self.decimal}5"
        return f"{self.unit}{number}" if self.unit in _CURRENCIES[:7] else f"{number} {self.unit}".strip()

    def expression(self) -> str:
        """Return the expression of a number in this format, with the groups sign, minus, digits and power."""
        number = rf"(?P<minus>[-+]?)(?P<digits>{_digits(self.decimal, self.thousands)[1:-1]})(?P<power>[eE][-+]?\d+)?"
        unit = re.escape(self.unit)
        if not unit:
            return rf"(?P<sign>[-+]?) ? ?{number} ?"
        if not _may_be_missing(self.unit):
            return rf"(?P<sign>[-+]?) ? ?{number} ?{unit}"
        behind = "" if self.unit.endswith(".") else rf"(?:{unit})?"
        return rf"(?!.*{unit}.*{unit})(?P<sign>[-+]?) ?(?:{unit})? ?{number} ?{behind}"

    def parse(self, values: pa.Array) -> pa.Array:
        """Return strings as int64 if all are whole numbers, else as float64; null where a value is not a number."""
        if self == NumberFormat() and (plain := plain_numbers_of(values)) is not None:
            return plain
        parts = _parts(values)
        matches = pc.match_substring_regex(parts.digits, _digits(self.decimal, self.thousands))
        known = pa.array(["", self.unit])
        fits = pc.and_(matches, pc.and_(pc.is_in(parts.unit, known), pc.invert(parts.wrong_unit)))
        if self.unit and not _may_be_missing(self.unit):
            fits = pc.and_(fits, pc.not_equal(parts.unit, ""))
        digits = parts.digits
        if self.thousands:
            digits = pc.replace_substring(digits, self.thousands, "")
        if self.decimal != ".":
            digits = pc.replace_substring(digits, self.decimal, ".")
        plain = pc.binary_join_element_wise(parts.minus, digits, parts.power, "")
        found = plain_numbers_of(pc.if_else(fits, plain, pa.scalar(None, pa.string())))
        assert found is not None  # all remaining strings match the expression
        return found


PLAIN = NumberFormat()


class FoundFormats(NamedTuple):
    """The formats that match all values of a column.

    Attributes:
        formats: empty if values are not numbers or have different formats; two if the decimal sign is ambiguous.
        certain: whether the decimal sign is certain, so that it resolves other columns.
        bare: whether some numbers have no sign between their digits.
    """

    formats: Sequence[NumberFormat]
    certain: bool = False
    bare: bool = False


def is_plain_point(values: pa.ChunkedArray) -> bool:
    """Return whether points in plain numbers are certainly decimal points, as in 1.32 but not in 1.327."""
    return any(pc.any(pc.match_substring_regex(some, _POINT)).as_py() for some in (spread(values), values))


def is_number_like(values: pa.Array) -> pa.Array:
    """Return a mask of the strings that are numbers in any format."""
    parts = _parts(values)
    known = pc.is_in(parts.unit, pa.array(["", *_CURRENCIES, *_UNITS]))
    any_format = "|".join(
        _digits(decimal, thousands)
        for thousands in ("", *THOUSANDS)
        for decimal in ".,"
        if decimal != thousands
    )
    return pc.fill_null(pc.and_(known, pc.match_substring_regex(parts.digits, any_format)), False)


def may_be_marked(values: pa.Array) -> bool:
    """Return whether all values are like 123-, which may be codes: none is positive or has a decimal sign."""
    return bool(pc.all(pc.match_substring_regex(values, r"^\d+ ?-$")).as_py())


def rewritten_number(values: pa.Array) -> str:
    """Return how a number of accounting is read, such as `(123) as -123`; empty if no value is one."""
    found = values.filter(pc.match_substring_regex(values, f"{_BRACKETS}|{_MINUS_BEHIND}|{_NO_CENTS}"))[:1]
    return f"{found[0]} as {_rewritten(found)[0]}" if len(found) else ""


def find_formats(values: pa.Array, decimal: str | None = None, thousands: str | None = None) -> FoundFormats:
    """Return the formats that match all values.

    Args:
        values: distinct strings without white space around them.
        decimal: the decimal sign, if set by the user.
        thousands: the sign of thousands, if set by the user; "" for none.
    """
    parts = _parts(values)
    if parts.digits.null_count or pc.any(parts.wrong_unit).as_py():
        return FoundFormats(())
    units = set(pc.unique(parts.unit).to_pylist())
    unit = next(iter(sorted(units - {""})), "")
    if len(units - {""}) > 1 or ("" in units and unit and not _may_be_missing(unit)):
        return FoundFormats(())
    if unit and not _is_unit(unit, blank=bool(pc.all(parts.blank).as_py())):
        return FoundFormats(())
    present = [sign for sign in THOUSANDS if pc.any(pc.match_substring(parts.digits, sign)).as_py()]
    formats = [
        NumberFormat(point if point in present else decimal or point, group or thousands or "", unit)
        for point, group in _readings(present)
        if (decimal is None or (point == decimal if point in present else group != decimal))
        and (thousands is None or group == thousands or (not group and thousands not in present))
        and pc.all(pc.match_substring_regex(parts.digits, _digits(point, group))).as_py()
    ]
    if len(formats) > 1:  # 5,000e6 is not a usual format of 5000e6
        powers = parts.digits.filter(pc.not_equal(parts.power, ""))
        grouped = {sign for sign in present if pc.any(pc.match_substring(powers, sign)).as_py()}
        formats = [format for format in formats if format.thousands not in grouped] or formats
    bare = not pc.all(pc.match_substring_regex(parts.digits, r"[.,' ]")).as_py()
    certain = len(formats) == 1 and formats[0].decimal in present
    return FoundFormats(tuple(dict.fromkeys(formats)), certain, bare)


class _Parts(NamedTuple):
    """Arrays of the parts of numbers; null where a value does not look like one."""

    minus: pa.Array
    digits: pa.Array
    power: pa.Array
    unit: pa.Array
    wrong_unit: pa.Array  # two units, or a prefix that is not a currency
    blank: pa.Array


def _parts(values: pa.Array) -> _Parts:
    found = pc.extract_regex(_rewritten(values), _NUMBER)
    sign, before, minus, digits, power, blank, behind = (
        pc.struct_field(found, name)
        for name in ("sign", "before", "minus", "digits", "power", "blank", "behind")
    )
    minuses = pc.or_(pc.equal(sign, "-"), pc.equal(minus, "-"))
    some = pc.not_equal(before, "")
    only_currencies = pc.is_in(before, pa.array(["", *_CURRENCIES]))
    wrong = pc.or_(pc.and_(some, pc.not_equal(behind, "")), pc.invert(only_currencies))
    unit = pc.if_else(pc.equal(before, ""), behind, before)
    return _Parts(
        pc.if_else(minuses, "-", ""),
        digits,
        power,
        unit,
        pc.fill_null(wrong, False),
        pc.fill_null(pc.or_(pc.equal(blank, " "), pc.equal(unit, "")), False),
    )


def _rewritten(values: pa.Array) -> pa.Array:
    for expression, other in REWRITES:
        replaced = pc.replace_substring if len(expression) == 1 else pc.replace_substring_regex
        values = replaced(values, expression, other)
    return values


def _is_unit(unit: str, *, blank: bool) -> bool:
    return unit in (*_CURRENCIES, *_UNITS) or (blank and unit.isalpha())


def _may_be_missing(unit: str) -> bool:
    return unit in _CURRENCIES


def _readings(present: Collection[str]) -> list[tuple[str, str]]:
    """Return the possible pairs of decimal sign and sign of thousands of numbers with these signs."""
    points, groups = [sign for sign in present if sign in ".,"], [sign for sign in present if sign in " '"]
    if len(groups) > 1 or (groups and len(points) > 1):
        return []
    if groups:
        return [(points[0] if points else ".", groups[0])]
    if len(points) == 2:
        return [(".", ","), (",", ".")]
    if points:
        other = "," if points[0] == "." else "."
        return [(points[0], ""), (other, points[0])]
    return [(".", "")]


def _digits(decimal: str, thousands: str) -> str:
    """Return the expression of digits with these signs; groups have three digits, in India also two."""
    point = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        sign = re.escape(thousands)
        indian = rf"|[1-9]\d?({sign}\d\d)+{sign}\d{{3}}" if thousands == "," else ""
        whole = rf"([1-9]\d{{0,2}}({sign}\d{{3}})+{indian}|\d+)"
    return rf"^({whole}({point}\d*)?|{point}\d+)$"


def plain_numbers_of(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
    """Return plain numbers as int64 if all are integers, else as float64; None if a value is not a plain number."""
    few = spread(values)
    for kind in (pa.int64(), pa.float64()):
        try:
            pc.cast(few, kind)  # Arrow takes long to find that all values fail
            found = pc.cast(values, kind)
        except pa.ArrowInvalid:
            continue
        # Arrow also reads 0x10, which is not meant as a number.
        return None if kind == pa.int64() and any(_contains(values, sign) for sign in "xX") else found
    return None


def _contains(values: pa.Array | pa.ChunkedArray, sign: str) -> bool:
    return bool(pc.any(pc.match_substring(values, sign)).as_py())
