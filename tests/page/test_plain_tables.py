"""Tables of a report as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io

import pytest

from dlcli.formatting import with_error
from dlcli.page.blocks import Estimate, Figures, shown_number
from dlcli.page.plain_tables import tables_text
from dlcli.page.render import _breakable

TABLE = Figures(
    "results",
    "a_b, held-out rows",
    ("metric", "mean\n95 % interval", "baseline"),
    (
        ("accuracy", Estimate(0.98983, 0.97446, 1.0, is_mean=True), 0.25),
        ("auroc", Estimate(0.9, 0.74, 0.99), None),
        ("<script>|&%$_{}", Estimate(1353.2), 20000.0),
    ),
    "Five folds.",
)


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.98983, 0.01537, ("0.990", "0.015")),
        (1353.2, 25.0, ("1,353", "25")),
        (0.5, 0.0, ("0.5000", "0")),
        (0.99992, 0.000349, ("0.99992", "0.00035")),
    ],
)
def test_an_interval_decides_the_digits(value: float, half: float, shown: tuple[str, str]) -> None:
    assert with_error(value, half) == shown


def test_thousands_are_separated() -> None:
    assert [shown_number(x) for x in (0.25, 999.4, 1353.2, 20000.0, -5000.0)] == [
        "0.2500",
        "999.4",
        "1,353",
        "20,000",
        "-5,000",
    ]


def test_a_table_as_markdown_escapes_its_signs() -> None:
    assert tables_text([TABLE], "md").splitlines() == [
        "| metric | mean, 95 % interval | baseline |",
        "| --- | ---: | ---: |",
        "| accuracy | 0.990 ± 0.015 | 0.2500 |",
        "| auroc | 0.9000 [0.7400, 0.9900] | – |",  # noqa: RUF001
        r"| \<script\>\|\&%$\_{} | 1,353 | 20,000 |",
        "",
        r"a\_b, held-out rows. Five folds.",
    ]


def test_a_table_as_latex_escapes_its_signs() -> None:
    text = tables_text([TABLE], "latex")
    assert r"    accuracy & $0.990 \pm 0.015$ & 0.2500 \\" in text
    assert r"    auroc & 0.9000 [0.7400--0.9900] & -- \\" in text
    assert r"\textless{}script\textgreater{}\textbar{}\&\%\$\_\{\}" in text
    assert r"\caption{a\_b, held-out rows. Five folds.}" in text
    assert r"\begin{tabular}{lrr}" in text


def test_csv_has_all_digits_and_no_formulas() -> None:
    table = Figures("folds", "t", ("run", "loss", "loss"), (("=cmd()", Estimate(0.1, 0.05, 1 / 3), 2.0),))
    rows = list(csv.reader(io.StringIO(tables_text([table], "csv"))))
    assert rows[0] == ["run", "loss of run", "loss of run low", "loss of run high", "loss of loss of run"]
    assert rows[1] == ["'=cmd()", "0.1", "0.05", str(1 / 3), "2.0"]


def test_a_line_for_each_run() -> None:
    table = Figures("comparison", "t", ("metric", "a", "b"), (("loss", 1.0, 2.0), ("f1", 3.0, None)))
    turned = table.transposed("run")
    assert turned.heading == ("run", "loss", "f1")
    assert turned.rows == (("a", 1.0, 3.0), ("b", 2.0, None))


def test_names_break_after_separators_and_decimals_do_not() -> None:
    assert str(_breakable("val/balanced_accuracy")) == "val/<wbr>balanced_<wbr>accuracy"
    assert str(_breakable("1.5 s of 1,200")) == "1.5 s of 1,200"
