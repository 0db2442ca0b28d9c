"""Durations as text: `90s`, `1h30m`."""

from __future__ import annotations

import re

from dlcli.errors import ConfigError

_NUMBER = r"\d+(?:\.\d+)?"
_LONGEST = 1e10  # centuries
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(written: float | str | None, where: str) -> float | None:
    """Return the seconds of a number or of a text such as `90s`, `30m`, `2h`, `1h30m`; None stays None.

    Raises:
        ConfigError: The value is not a positive duration.
    """
    if written is None:
        return None
    text = str(written) if isinstance(written, str) else ""
    if re.fullmatch(_NUMBER, text):
        text += "s"
    parts = re.findall(rf"({_NUMBER})([smhd])", text)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not isinstance(written, str):
        is_number = isinstance(written, int | float) and not isinstance(written, bool)
        total = written if is_number and abs(written) < _LONGEST else 0.0
    elif "".join(number + unit for number, unit in parts) != text:
        total = 0.0
    if not 0 < total < _LONGEST:
        hint = "Write a number of seconds, or a text such as 90s, 30m, 2h, 1h30m."
        raise ConfigError(f"{written!r} is not a duration", where, hint)
    return total


def in_words(seconds: float) -> str:
    """Return a duration in seconds as a configuration writes it: `90s`, `5m`, `1h30m`."""
    rounded = round(seconds)
    if rounded < 60 or (rounded % 60 and rounded < 600):
        return f"{seconds:g}s" if seconds < 60 else f"{rounded}s"
    hours, minutes = divmod(round(rounded / 60), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
