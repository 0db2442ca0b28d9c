"""The strptime pattern of a date, from the order of its numbers and the names in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

# The part of a date that comes first; the year only if it has two digits, because four digits are always a year.
Order = Literal["day", "month", "year"]
_YEAR_FIRST = r"^\d\d([-/.])\d\d([-/.])\d\d\b"

# Range of years in which a number such as 20240131 is a date.
FIRST, LAST = 19000101, 21001231

_WEEK = r"^\d{4}-?W\d{2}(-?[1-7])?$"
_BASIC = r"\d{8}T\d{6}(Z|[+-]\d{2}:?\d{2})?"
_CLOCK = re.compile(
    r"(?P<date>.*?)(?:(?P<gap>[ T]+|:)(?P<clock>\d{1,2}:\d{2}(?P<seconds>:\d{2})?(?P<fraction>\.\d+)?)"
    r"(?P<blank>\s?)(?P<half>[AaPp]\.?[Mm]\.?)?(?P<zone>\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?(?P<year> \d{4})?)?"
)
_CLOCK_ALONE = re.compile(
    r"\d{1,2}:\d{2}(?P<seconds>:\d{2}(?P<fraction>\.\d+)?)?(?P<blank> ?)(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def pattern_of(example: str, order: Order, *, padded: bool) -> str | None:
    """Return the strptime pattern of a value; None if it is not a date."""
    if re.fullmatch(_WEEK, example):
        dash = "-" if "-W" in example else ""
        day = re.fullmatch(r".*W\d{2}(-?)[1-7]", example)
        return f"%G{dash}W%V{day[1]}%u" if day else f"%G{dash}W%V"
    if re.fullmatch(_BASIC, example):
        return "%Y%m%dT%H%M%S" + ("%z" if len(example) > 15 else "")
    parts = _CLOCK.fullmatch(example)
    if parts is None or not example[:1].isalnum():
        return None
    if clock := _CLOCK_ALONE.fullmatch(example):
        return _clock_pattern(clock)
    if re.fullmatch(r"\d{8}", parts["date"]):
        date: str | None = "%Y%m%d" if FIRST <= int(parts["date"]) <= LAST else None
    else:
        late = parts["year"] or ""  # as in Wed Jan 31 13:05:00 2024
        date = _date_pattern(parts["date"] + late, order, padded=padded)
        date = date.removesuffix(" %Y") if date and late else date
    if date is None:
        return None
    time_of_day = ""
    if parts["clock"]:
        time_of_day = parts["gap"] + _clock_pattern(parts)
    zone = parts["zone"] or ""
    zoned = (" " if zone[:1] == " " else "") + ("%z" if zone else "")
    return date + time_of_day + zoned + (" %Y" if parts["year"] else "")


def _clock_pattern(parts: re.Match[str]) -> str:
    pattern = ("%I" if parts["half"] else "%H") + ":%M" + (":%S" if parts["seconds"] else "")
    return pattern + (".%f" if parts["fraction"] else "") + parts["blank"] + ("%p" if parts["half"] else "")


def _date_pattern(date: str, order: Order, *, padded: bool) -> str | None:
    tokens = re.findall(r"\d+|[^\W\d_]+|[\W_]+", date)
    numbers = [token for token in tokens if token.isdecimal()]
    years = [number for number in numbers if len(number) == 4]
    short = [number for number in numbers if len(number) <= 2]
    named = any(_name(token, _MONTHS) for token in tokens)
    if len(years) > 1 or len(years) + len(short) != len(numbers):
        return None
    if order == "year" and not re.match(_YEAR_FIRST, date) and not (years and numbers[0] == years[0]):
        return None
    day_month = ["%d", "%m"] if order == "day" else ["%m", "%d"]
    if years:
        signs = {
            (False, 2): ["%m", "%d"] if numbers[0] == years[0] else day_month,
            (False, 1): ["%m"],
            (True, 1): ["%d"],
            (True, 0): [],
        }.get((named, len(short)))
    else:
        ends = len(numbers[-1]) == 2 if numbers else False
        of_three = ["%y", "%m", "%d"] if order == "year" else [*day_month, "%y"]
        signs = {(False, 3): of_three, (True, 2): ["%d", "%y"]}.get((named, len(short) if ends else 0))
        if signs and not named and "." in date and not padded:
            return None  # versions such as 1.2.10
    if signs is None:
        return None
    return "".join(_signs(tokens, iter(signs)) or ()) or None


def _signs(tokens: Sequence[str], signs: Iterator[str]) -> list[str] | None:
    pattern = []
    for token in tokens:
        if token.isdecimal():
            pattern.append("%Y" if len(token) == 4 else next(signs))
        elif name := _name(token, _MONTHS):
            pattern.append("%B" if name == "full" and token.lower() != "may" else "%b")
        elif name := _name(token, _DAYS):
            pattern.append("%A" if name == "full" else "%a")
        elif token.isalpha() and token != "M":  # as in 2024M01
            return None
        else:
            pattern.append(token.replace("%", "%%"))
    return pattern


def _name(token: str, names: Sequence[str]) -> str:
    """Return whether a word is a full name, or its first three letters; empty if it is neither."""
    word = token.lower()
    return "full" if word in names else "short" if word in {name[:3] for name in names} else ""
