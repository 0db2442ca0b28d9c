"""Numbers, sizes and durations as people read them."""

from __future__ import annotations

REDRAW_SECONDS = 0.2  # between two drawings of what is redrawn in place


def number(value: float) -> str:
    """A figure with four significant digits, as all of dlcli's tables show it."""
    if 9999.5 <= abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:#.4g}".removesuffix(".") if value else "0"


def amount(size: float) -> str:
    """Bytes with three significant digits: `3.21 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 thread`, `1,200 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as `0.4 s`, `2:05` or `1:02:05`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
