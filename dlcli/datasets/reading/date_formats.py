"""Date formats: order of day and month, months by name, quarters and weeks, times of day, time zones, epochs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.cells import spread
from dlcli.datasets.reading.date_patterns import FIRST, LAST, Order, pattern_of
from dlcli.datasets.reading.months import are_doubtful, in_english, letters

# pandas' name of the format of dates that begin with the year, optionally with a time and a zone.
ISO = "ISO8601"

# Patterns that strptime lacks: quarters (2024Q1, Q1 2024), midnights, and numbers that count from 1970.
QUARTER = "quarter"
# Days written as midnight with different offsets from UTC, such as in winter and in summer time.
MIDNIGHT = "midnight"
_EPOCHS = {"epoch s": 1, "epoch ms": 1_000, "epoch us": 1_000_000, "epoch ns": 1_000_000_000}

# Seconds from 1970 to 2100: larger numbers count smaller units.
_BOUND = 4_102_444_800

_TIME = pa.timestamp("us")

_ISO = r"^\d{4}([-/]\d{1,2}){2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)? ?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_QUARTER = (
    r"^(?:(?P<a>\d{4})[-/ ]?[qQ](?P<b>[1-4])|[qQ](?P<c>[1-4])[-/ ]?(?P<d>\d{4})"
    r"|(?P<e>[1-4])[qQ][-/ ]?(?P<f>\d{4}))$"
)
_MIDNIGHT = r"[T ]00:00(:00([.,]0+)?)? ?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)$"
_ZONE = r"(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)(?: \d{4})?$"

# Span in years from which leading two-digit years are doubted.
_WIDE = 25

# Maximum number of patterns in a column of dates, such as with and without a time of day.
_PATTERNS = 3


@dataclass(frozen=True)
class DateFormat:
    """Format of the dates of a column.

    Attributes:
        patterns: strptime patterns, `ISO8601`, `quarter`, `midnight`, or patterns such as `epoch s`.
        zone: time zone of the values (`UTC`, `+02:00`, `Europe/Berlin`), `mixed` for several, or "".
    """

    patterns: tuple[str, ...] = (ISO,)
    zone: str = ""

    def describe(self) -> str:
        """Return the format in words; empty for dates that begin with the year."""
        words = "" if self.patterns == (ISO,) else " or ".join(map(_shown, self.patterns))
        zone = "in several zones" if self.zone == "mixed" else f"in the zone {self.zone}" if self.zone else ""
        return f"{words} {zone}".strip()

    @property
    def has_no_day(self) -> bool:
        """Whether all values are times of day, such as 13:30, which strptime reads as times of 1900-01-01."""
        return all(pattern.startswith(("%H", "%I")) for pattern in self.patterns)

    @property
    def order(self) -> str:
        """Whether days come before months (`day`) or after them (`month`); empty for other dates."""
        for pattern in self.patterns:
            day, month, year = (pattern.find(sign) for sign in ("%d", "%m", "%y"))
            year = max(year, pattern.find("%Y"))
            if min(day, month) >= 0 and year > min(day, month):
                return "day" if day < month else "month"
        return ""

    def with_order(self, day_first: bool | None) -> DateFormat:
        """Return the format with days before or after months; None keeps it."""
        if day_first is None or not self.order or (self.order == "day") == day_first:
            return self
        swapped = {"%d": "%m", "%m": "%d"}
        patterns = (re.sub("%[dm]", lambda sign: swapped[sign[0]], pattern) for pattern in self.patterns)
        return replace(self, patterns=tuple(patterns))

    def parse(self, values: pa.Array) -> pa.Array:
        """Return strings as times in UTC, in microseconds; null for values that do not have this format.

        Dates that begin with the year, and times without the format's fraction of a second, are also accepted.
        """
        strings = pd.Series(_usual(values).to_pandas(), dtype="object")
        found = pd.Series(pd.NaT, index=strings.index, dtype="datetime64[us, UTC]")
        for pattern in (*self.patterns, *(p.replace(".%f", "") for p in self.patterns if ".%f" in p)):
            found = found.fillna(_parsed(strings, pattern)) if found.isna().any() else found
        if ISO not in self.patterns and MIDNIGHT not in self.patterns and found.isna().any():
            iso = strings.where(pc.match_substring_regex(values, _ISO).to_pandas().fillna(False).astype(bool))
            found = found.fillna(_parsed(iso, ISO))
        return pa.Array.from_pandas(found.dt.tz_localize(None), type=_TIME)


ISO_DATES = DateFormat()
SECONDS = DateFormat(("epoch s",))


def iso_dates(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return strings such as 2024-01-31 or 2024-01-31 13:00 as times, with Arrow's fast parser; None for others."""
    try:
        pc.cast(spread(values), _TIME)  # Arrow is slow if all values fail
        return pc.cast(values, _TIME)
    except pa.ArrowInvalid:
        return None


def find_dates(
    values: pa.Array, day_first: bool | None = None, given: str | None = None
) -> Sequence[DateFormat]:
    """Return the formats that match all values; several if days, months and two-digit years are ambiguous.

    Args:
        values: distinct strings without white space around them.
        day_first: whether the day comes before the month; None if that is not known.
        given: the pattern set by the user, if any.
    """
    few = spread(values)
    if not len(values):
        return []
    if len(few) < len(values) and not are_doubtful(few) and not find_dates(few, day_first, given):
        return []
    if given is not None:
        asked = DateFormat((given,), _zone(values))
        return [asked] if not asked.parse(values).null_count else []
    if _all(values, _QUARTER):
        return [DateFormat((QUARTER,))]
    if _all(values, _ISO):
        zone = _zone(values)
        are_days = zone == "mixed" and not some_lack_zone(values) and _all(values, _MIDNIGHT)
        found = DateFormat((MIDNIGHT,)) if are_days else DateFormat((ISO,), zone)
        return [found] if not found.parse(values).null_count else []
    orders: tuple[Order, ...] = ("day", "month", "year")
    if day_first is not None:
        orders = ("day" if day_first else "month", "year")
    usual = _usual(values)
    if are_doubtful(values):
        return []
    fitting = {
        order: format
        for order in orders
        if (format := _in_order(usual, order)) is not None and not format.parse(values).null_count
    }
    if day_first is not None and len(fitting) > 1:
        del fitting["year"]
    if "month" in fitting and "day" in fitting and "." in fitting["month"].patterns[0]:
        del fitting["month"]  # 12.31.2024 is not a usual format
    return list(dict.fromkeys(fitting.values()))


def same_dates(formats: Sequence[DateFormat], values: pa.Array) -> bool:
    """Return whether all formats read the same dates, such as 05/05/2024."""
    first, *others = (format.parse(values) for format in formats)
    return all(first.equals(other) for other in others)


def some_lack_zone(values: pa.Array) -> bool:
    """Return whether some values with a time of day have a zone and others do not."""
    zones = _zones(values)
    return len(zones) > 1 and None in zones


def without_wide_years(formats: Sequence[DateFormat], values: pa.Array) -> tuple[list[DateFormat], int]:
    """Remove formats with leading two-digit years that are more likely days, and return the years that they would span.

    Leading days 01 to 31 read as years would span about 30 years. This is doubted if the only other reading spans less
    than a third of that, unless all days would be first or last days of months.
    """
    early = [format for format in formats if format.patterns[0].startswith("%y")]
    others = [format for format in formats if format not in early]
    if len(early) != 1 or len(others) != 1:
        return list(formats), 0
    first, last = early[0].parse(values).to_pandas(), others[0].parse(values).to_pandas()
    span, other = first.max() - first.min(), last.max() - last.min()
    regular = first.dt.is_month_start.all() or first.dt.is_month_end.all()
    if regular or span < pd.Timedelta(days=_WIDE * 365) or span < 3 * other:
        return list(formats), 0
    return others, span.days // 365


def numbers_as_dates(numbers: pa.ChunkedArray) -> DateFormat | None:
    """Return the format of dates written as numbers: 20240131, 202401, 2024, 20240131235959, or counted from 1970."""
    if pa.types.is_floating(numbers.type) and pc.all(pc.equal(numbers, pc.floor(numbers))).as_py():
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, numbers.type)).cast(pa.int64())
    if not pa.types.is_integer(numbers.type):
        return None
    low, high = pc.min_max(numbers).values()
    low, high = low.as_py(), high.as_py()
    if low is None or low < 0:
        return None
    for pattern, digits in (("%Y%m%d%H%M%S", 14), ("%Y%m%d%H%M", 12), ("%Y%m%d", 8), ("%Y%m", 6), ("%Y", 4)):
        begin, end = (int(bound * 10.0 ** (digits - 8)) for bound in (FIRST, LAST + 1))
        if begin <= low and high < max(end, begin + 1):
            format = DateFormat((pattern,))
            distinct = pc.drop_null(pc.unique(numbers)).cast(pa.string())
            return format if not format.parse(distinct).null_count else None
    return next((DateFormat((name,)) for name, unit in _EPOCHS.items() if high < _BOUND * unit), None)


def epoch_times(numbers: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    """Return numbers counted from 1970 as times."""
    return pc.cast(
        pc.multiply(pc.cast(numbers, pa.float64()), 1_000_000 / _EPOCHS[pattern]), pa.int64()
    ).cast(_TIME)


def is_epoch(pattern: str) -> bool:
    """Return whether a pattern denotes numbers counted from 1970."""
    return pattern in _EPOCHS


def _shown(pattern: str) -> str:
    if pattern == MIDNIGHT:
        return "at midnight in several time zones, read as days"
    return f"in {pattern.partition(' ')[2]} since 1970" if is_epoch(pattern) else pattern


def _parsed(strings: pd.Series, pattern: str) -> pd.Series:
    if pattern == QUARTER:
        strings, pattern = _first_days(strings), "%Y-%m-%d"
    if pattern == MIDNIGHT:
        strings, pattern = strings.str.replace(_MIDNIGHT, "", regex=True), ISO
        strings = strings.mask(strings.str.contains(":", na=False))
    if pattern.endswith("%V"):  # a week begins on Monday
        strings, pattern = strings + "1", pattern + "%u"
    if is_epoch(pattern):
        counts = pd.to_numeric(strings, errors="coerce")
        micros = (counts * (1_000_000 / _EPOCHS[pattern])).where(counts.abs() < _BOUND * _EPOCHS[pattern])
        return pd.to_datetime(micros, unit="us", utc=True).astype("datetime64[us, UTC]")
    strings = strings.mask(strings.isin(("now", "today")))  # pandas reads them as the present time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pd.to_datetime(strings, format=pattern, errors="coerce", utc=True)
    return found.astype("datetime64[us, UTC]")


def _first_days(strings: pd.Series) -> pd.Series:
    """Return the first days of quarters as strings; None for others."""
    parts = strings.str.extract(_QUARTER)
    year = parts["a"].fillna(parts["d"]).fillna(parts["f"])
    quarter = pd.to_numeric(parts["b"].fillna(parts["c"]).fillna(parts["e"]))
    month = (quarter * 3 - 2).map("{:02.0f}".format, na_action="ignore")
    return (year.astype("object") + "-" + month.astype("object") + "-01").where(quarter.notna())


def _in_order(values: pa.Array, order: Order) -> DateFormat | None:
    """Return the format of the values in this order of day, month and year, found pattern by pattern."""
    patterns: list[str] = []
    rest = values
    while len(rest) and len(patterns) < _PATTERNS:
        pattern = pattern_of(rest[0].as_py(), order, padded=_all(values, r"^\d\d\.\d\d\.\d\d\b"))
        if pattern is None or pattern in patterns:
            return None
        patterns.append(pattern)
        left = np.asarray(DateFormat((pattern,)).parse(rest).is_null())
        rest = rest.filter(pa.array(left))
    return DateFormat(tuple(patterns), _zone(values)) if not len(rest) else None


def _usual(values: pa.Array) -> pa.Array:
    """Return strings in the form that strptime expects: Sep for Sept, July for Juli, 1 for 1st, AM for a.m.,
    points for commas."""
    values = pc.replace_substring_regex(values, r"(:\d{2}),(\d)", r"\1.\2")
    values = pc.replace_substring_regex(values, r"(:\d{2}(?:\.\d+)? ?)([-+]\d{2})$", r"\1\2:00")
    letter = letters(values)
    if not pc.any(
        pc.match_substring_regex(values, f"[{letter}]")
    ).as_py():  # spares the expressions for words
        return values
    values = pc.replace_substring_regex(in_english(values), r"(?i)(\d)(st|nd|rd|th|er|º|ª)(\W|$)", r"\1\3")
    values = pc.replace_substring_regex(
        values, rf"(?i)(\d|[{letter}]{{3}}) (de|del) ", r"\1 "
    )  # 5 de enero de 2024
    values = pc.replace_substring_regex(values, "(\\d{4}) ?\u0433\\.?$", r"\1")  # a Russian "of the year"
    values = pc.replace_substring_regex(values, r"(?i)\bsept\b", "Sep")
    values = pc.replace_substring_regex(values, r"(?i)\b([ap])\.m\.?", r"\1m")
    return pc.replace_substring_regex(values, r"(?i)(\d ?)(UTC|GMT)( \d{4})?$", r"\1Z\3")


def _zone(values: pa.Array) -> str:
    """Return the zone at the end of all values; `mixed` if there are several, "" if there is none."""
    zones = _zones(values)
    if zones <= {None}:
        return ""
    named = {"UTC" if zone in ("Z", "UTC", "GMT", "+00:00", "+0000") else zone for zone in zones}
    (first, *others) = {f"{zone}:00" if zone and re.fullmatch(r"[-+]\d\d", zone) else zone for zone in named}
    if others or first is None:
        return "mixed"
    return first if first == "UTC" or ":" in first else f"{first[:3]}:{first[3:]}"


def _zones(values: pa.Array) -> set[str | None]:
    """Return the zones at the end of the values that have a time of day, unchanged."""
    with_clock = values.filter(pc.match_substring_regex(values, r":\d{2}"))
    found = pc.struct_field(pc.extract_regex(with_clock, _ZONE), "zone")
    return set(pc.unique(found).to_pylist())


def _all(values: pa.Array, expression: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, expression)).as_py())
