"""Format numbers, sizes, durations and lines for a shell."""

from __future__ import annotations

import math
import shlex

REDRAW_SECONDS = 0.2  # interval between updates of the terminal


def number(value: float) -> str:
    """Format a number with four significant digits, as in all of dlcli's tables."""
    if 9999.5 <= abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:#.4g}".removesuffix(".") if value else "0"


def amount(size: float) -> str:
    """Format bytes with three significant digits: `3.21 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 thread`, `1,200 steps`; a plural without -s is given."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Format seconds as `0.4 s`, `2:05` or `1:02:05`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def age_text(seconds: float) -> str:
    """Format the time since something happened in its largest unit: `45 s`, `12 min`, `3 h`, `5 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def shell_line(*words: str) -> str:
    """Return a line that a shell splits into these words."""
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # Messages make control characters visible, so that the shell has to be given their escapes.
    return f"$'{''.join(map(_shell_character, word))}'"


def _shell_character(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\x{ord(character):02x}" if character < "\x80" else f"\\U{ord(character):08x}"


def with_error(value: float, half_width: float) -> tuple[str, str]:
    """Return a figure and half the width of its interval, rounded to two significant digits of the latter."""
    if not math.isfinite(value) or not math.isfinite(half_width) or half_width <= 0:
        return number(value), number(half_width)
    decimals = min(max(0, 1 - math.floor(math.log10(half_width))), 10)
    return f"{value:,.{decimals}f}", f"{half_width:,.{decimals}f}"
