"""Charts as SVG."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from dlcli.page.charts import ChartLine, finite, line_chart


def texts(chart: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(chart).iter("text")]


def test_a_chart_names_what_it_shows_and_counts_in_round_steps() -> None:
    points = [(float(epoch), 0.9 / epoch) for epoch in range(1, 21)]
    chart = line_chart("a run on data: loss", [ChartLine("val", "val", points)], mark=(20.0, 0.045, "best"))
    found = texts(chart)
    assert found[0] == "a run on data: loss"
    assert {"val", "best", "1", "20", "0.2", "0.4", "0.6", "0.8", "epoch"} <= set(found)
    assert len(re.findall(r"[\d.]+,[\d.]+", re.findall(r'points="([^"]*)"', chart)[0])) == 20


def test_thousands_are_separated() -> None:
    chart = line_chart("mse", [ChartLine("val", "val", [(1, 1000.0), (2, 5000.0)])])
    assert {"1,000", "5,000"} <= set(texts(chart))


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [1e-9, 1e9], [-3.0, 4.0], [0.0, 0.0]], ids=str)
def test_odd_values_are_drawn(values: list[float]) -> None:
    points = [(float(x), y) for x, y in enumerate(values, 1)]
    chart = line_chart("x", [ChartLine("val", "val", points)], may_be_log=True)
    assert "nan" not in chart and "inf" not in chart
    ET.fromstring(chart)


def test_values_over_a_large_factor_have_a_logarithmic_axis() -> None:
    points = [(1.0, 1.0), (2.0, 0.1), (3.0, 0.001)]
    assert {"1", "0.1", "0.01", "0.001"} <= set(
        texts(line_chart("x", [ChartLine("", "val", points)], may_be_log=True))
    )


def test_values_that_are_not_finite_are_left_out_of_a_chart() -> None:
    assert finite([(1, math.nan), (2, math.inf), (3, 1.0)]) == [(3, 1.0)]
    assert "no finite values" in texts(line_chart("x", [ChartLine("val", "val", [])]))


def test_names_in_a_chart_are_escaped() -> None:
    evil = '"><script>alert(1)</script>\x1b[2J'
    chart = line_chart(evil, [ChartLine(evil, "val", [(1, 1.0), (2, 2.0)])], below="<b>")
    assert "<script" not in chart and "\x1b" not in chart and "<b>" not in chart
    ET.fromstring(chart)


def test_long_lines_are_thinned() -> None:
    points = [(float(x), math.sin(x)) for x in range(100_000)]
    assert len(line_chart("x", [ChartLine("val", "val", points)])) < 20_000
