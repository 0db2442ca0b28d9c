"""Bar charts as SVG, in the colours of the page that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dlcli.page.blocks import shown_number
from dlcli.page.charts import can_be_drawn
from dlcli.sanitize.presentable import presentable_name

_WIDTH, _NAMES, _VALUES, _LINE, _TOP = 420, 150, 58, 22, 28
_LONGEST = 24  # characters of a name


@dataclass(frozen=True)
class Bar:
    """A bar, with an interval if both ends are given."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """Return a chart of horizontal bars from 0, the first one on top."""
    ends = [0.0, *(end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return _NAMES + (value - low) / span * (_WIDTH - _NAMES - _VALUES)

    parts = [Markup('<text class="t" x="2" y="15">{}</text>').format(presentable_name(title))]
    for number, bar in enumerate(bars):
        middle = _TOP + _LINE * number + _LINE / 2
        name = bar.name if len(bar.name) <= _LONGEST else f"{bar.name[: _LONGEST - 1]}…"
        text = Markup('<text class="l e" x="{}" y="{:.1f}" dy="4">{}</text>')
        parts.append(text.format(_NAMES - 8, middle, presentable_name(name)))
        left, right = sorted((place(0.0), place(bar.value)))
        box = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}"/>')
        tone = "bar" if bar.value >= 0 else "bar less"
        parts.append(box.format(tone, left, middle - 7, max(right - left, 0.5), 14))
        reach = right
        if bar.low is not None and bar.high is not None:
            first, last = place(bar.low), place(bar.high)
            line = Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
            parts.append(line.format(first, last, middle, middle))
            reach = max(reach, last)
        value = Markup('<text class="l" x="{:.1f}" y="{:.1f}" dy="4">{}</text>')
        parts.append(value.format(reach + 5, middle, shown_number(bar.value)))
    axis = Markup('<line class="g" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>')
    parts.insert(1, axis.format(place(0.0), _TOP, _TOP + _LINE * len(bars)))
    svg = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(_WIDTH, _TOP + _LINE * len(bars) + 6, presentable_name(title), Markup("").join(parts))


def are_finite(bars: Sequence[Bar]) -> bool:
    """Return whether all numbers of bars can be drawn."""
    return can_be_drawn(end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None)
