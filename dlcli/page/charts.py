"""Line charts and bar charts as SVG, in the colours of the page.

Matplotlib takes a second to import, and its pictures do not follow the page's dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from dlcli.page.blocks import shown_number
from dlcli.sanitize.presentable import presentable_name

Tone = Literal["train", "val", "quiet"]
Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 50, 34
# Ratio of the largest to the smallest value from which on the axis is logarithmic.
_LOG_FROM = 30
_MOST_POINTS = 400  # maximum number of points of a line
_LARGEST = 1e300  # the difference of larger numbers may not be finite


@dataclass(frozen=True)
class ChartLine:
    """A line of a chart: its name in the legend (empty for none), its colour, and finite points sorted by x."""

    name: str
    tone: Tone
    points: Points


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Return the position of a value on the axis, from 0 to 1."""
        low, high, value = (math.log10(x) if self.log else x for x in (self.low, self.high, value))
        return (value - low) / (high - low)


def line_chart(
    title: str,
    lines: Sequence[ChartLine],
    *,
    mark: tuple[float, float, str] | None = None,
    may_be_log: bool = False,
    below: str = "epoch",
    are_whole: bool = True,
) -> Markup:
    """Return a chart of one or more lines.

    Args:
        title: title of the chart.
        lines: the lines, drawn in this order.
        mark: a point with a label, such as the best epoch.
        may_be_log: whether the vertical axis is logarithmic if the values span a large factor.
        below: label of the horizontal axis.
        are_whole: whether its values are whole numbers, such as epochs.
    """
    lines = [ChartLine(line.name, line.tone, _thinned(line.points)) for line in lines if line.points]
    head = Markup('<text class="t" x="2" y="15">{}</text>').format(presentable_name(title))
    if not lines:
        empty = Markup('<text class="q" x="{}" y="{}">no finite values</text>').format(_LEFT, _HEIGHT // 2)
        return _svg(title, head + empty)
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    across = _whole_axis(min(xs), max(xs)) if are_whole else _value_axis(min(xs), max(xs), False)
    up = _value_axis(min(ys), max(ys), may_be_log)

    def place(x: float, y: float) -> tuple[str, str]:
        left = _LEFT + across.share(x) * (_WIDTH - _LEFT - _RIGHT)
        top = _HEIGHT - _BOTTOM - up.share(y) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{left:.1f}", f"{top:.1f}"

    parts = [head, *_legend(lines, mark), *_grid(across, up, place, below)]
    if mark is not None:
        x, _ = place(mark[0], mark[1])
        parts.append(
            Markup('<line class="m" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, _TOP, _HEIGHT - _BOTTOM)
        )
    for line in lines:
        path = " ".join(",".join(place(x, y)) for x, y in line.points)
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(line.tone, path))
        if len(line.points) == 1:
            x, y = place(*line.points[0])
            parts.append(Markup('<circle class="{}" cx="{}" cy="{}" r="3"/>').format(line.tone, x, y))
    if mark is not None:
        x, y = place(mark[0], mark[1])
        parts.append(Markup('<circle class="b" cx="{}" cy="{}" r="4"/>').format(x, y))
    return _svg(title, Markup("").join(parts))


def can_be_drawn(values: Iterable[float]) -> bool:
    """Return whether all values are finite, and so are their differences."""
    return all(abs(value) <= _LARGEST for value in values)


def finite(points: Iterable[tuple[float, float]]) -> Points:
    """Return the points whose values can be drawn."""
    return [(x, y) for x, y in points if can_be_drawn([y])]


def _svg(title: str, content: Markup) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, presentable_name(title), content
    )


def _legend(lines: Sequence[ChartLine], mark: tuple[float, float, str] | None) -> list[Markup]:
    """Return the names of the lines above the chart, with a dash in their colour."""
    parts, left = [], 2
    named = [(line.name, line.tone) for line in lines if line.name]
    for name, tone in [*named, *([(mark[2], "b")] if mark else [])]:
        shown = name if len(name) <= 40 else f"{name[:39]}…"
        if tone == "b":
            parts.append(Markup('<circle class="b" cx="{}" cy="31" r="4"/>').format(left + 7))
        else:
            line = '<line class="{}" x1="{}" x2="{}" y1="31" y2="31"/>'
            parts.append(Markup(line).format(tone, left, left + 14))
        parts.append(
            Markup('<text class="l" x="{}" y="35">{}</text>').format(left + 19, presentable_name(shown))
        )
        left += 19 + round(6.4 * len(shown)) + 14
    return parts


def _grid(across: _Axis, up: _Axis, place: object, below: str) -> list[Markup]:
    assert callable(place)
    parts = []
    for value in up.ticks:
        _, y = place(across.low, value)
        line = '<line class="g" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        parts.append(Markup(line).format(_LEFT, _WIDTH - _RIGHT, y, y))
        text = '<text class="l e" x="{}" y="{}" dy="4">{}</text>'
        parts.append(Markup(text).format(_LEFT - 6, y, _tick(value)))
    for value in across.ticks:
        x, _ = place(value, up.low)
        text = '<text class="l c" x="{}" y="{}">{}</text>'
        parts.append(Markup(text).format(x, _HEIGHT - _BOTTOM + 15, _tick(value)))
    end = '<text class="l e q" x="{}" y="{}">{}</text>'
    parts.append(Markup(end).format(_WIDTH - _RIGHT, _HEIGHT - 4, escape(below)))
    return parts


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _whole_axis(low: float, high: float) -> _Axis:
    """Return an axis of whole numbers, such as epochs."""
    if low == high:
        return _Axis(low - 1, high + 1, False, (low,))
    step = max(1, math.ceil(_step(high - low, 6)))
    first = math.ceil(low / step) * step
    ticks = [float(x) for x in range(first, math.floor(high) + 1, step)]
    if low not in ticks and (not ticks or ticks[0] - low >= 0.6 * step):
        ticks.insert(0, low)
    return _Axis(low, high, False, tuple(ticks))


def _value_axis(low: float, high: float, may_be_log: bool) -> _Axis:
    if may_be_log and low > 0 and high / low > _LOG_FROM:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        factors = (1, 2, 5) if last - first <= 2 else (1,)
        every = max(1, (last - first) // 6)
        marks = [f * 10.0**d for d in range(first, last + 1, every) for f in factors]
        inside = tuple(x for x in marks if low <= x <= high)
        return _Axis(low / 1.1, high * 1.1, True, inside or (low, high))
    if low == high:
        room = abs(low) * 0.1 or 1.0
        return _Axis(low - room, high + room, False, (low,))
    step = _step(high - low, 4)
    room = 0.04 * (high - low)
    first = math.ceil((low - room) / step)
    ticks = tuple(round(n * step, 12) for n in range(first, math.floor((high + room) / step) + 1))
    return _Axis(low - room, high + room, False, ticks)


def _step(span: float, parts: int) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides a span into about the given number of parts."""
    power = 10.0 ** math.floor(math.log10(span / parts))
    return min((factor * power for factor in (1, 2, 5, 10)), key=lambda step: abs(span / step - parts))


def _thinned(points: Points) -> Points:
    every = -(-len(points) // _MOST_POINTS)
    if every <= 1:
        return list(points)
    kept = list(points[::every])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


# Layout of bar charts: widths of names and values, height of a bar, and space above the first one.
_NAMES, _VALUES, _LINE, _ABOVE = 150, 58, 22, 28
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
        middle = _ABOVE + _LINE * number + _LINE / 2
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
    parts.insert(1, axis.format(place(0.0), _ABOVE, _ABOVE + _LINE * len(bars)))
    svg = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(_WIDTH, _ABOVE + _LINE * len(bars) + 6, presentable_name(title), Markup("").join(parts))


def are_finite(bars: Sequence[Bar]) -> bool:
    """Return whether all numbers of bars can be drawn."""
    return can_be_drawn(end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None)
