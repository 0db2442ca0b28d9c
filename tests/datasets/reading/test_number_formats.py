"""Numbers as people write them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dlcli.datasets.reading.number_formats import NumberFormat, find_formats, is_number_like, is_plain_point


@pytest.mark.parametrize(
    ("written", "meant", "how"),
    [
        (["1.5", "2"], [1.5, 2.0], (".", "", "")),
        (["1.5e3", "+5", "-.5"], [1500.0, 5.0, -0.5], (".", "", "")),
        (["1,5", "2,25"], [1.5, 2.25], (",", "", "")),
        (["1.234,56", "2"], [1234.56, 2.0], (",", ".", "")),
        (["1,250.5", "998"], [1250.5, 998.0], (".", ",", "")),
        (["1.234.567", "12"], [1234567, 12], (",", ".", "")),
        (["1 234,56", "7"], [1234.56, 7.0], (",", " ", "")),
        (["1\u202f234,56", "7"], [1234.56, 7.0], (",", " ", "")),
        (["1'234.50", "1\u2019000"], [1234.5, 1000.0], (".", "'", "")),
        (["1,00,000.5", "5"], [100000.5, 5.0], (".", ",", "")),
        (["$5,000.00", "12", "-$3"], [5000.0, 12.0, -3.0], (".", ",", "$")),
        (["€ 1.234,00", "5,50"], [1234.0, 5.5], (",", ".", "€")),
        (["12.5 %", "3%"], [12.5, 3.0], (".", "", "%")),
        (["5 kg", "6.5 kg"], [5.0, 6.5], (".", "", "kg")),
        (["(123)", "5"], [-123, 5], (".", "", "")),
        (["\u22125", "6"], [-5, 6], (".", "", "")),
    ],
)
def test_one_format_fits_all_numbers(
    written: list[str], meant: list[float], how: tuple[str, str, str]
) -> None:
    values = pa.array(written)
    assert find_formats(values).formats == (NumberFormat(*how),)
    assert NumberFormat(*how).parse(values).to_pylist() == pytest.approx(meant)
    assert is_number_like(values).to_pylist() == [True] * len(written)


@pytest.mark.parametrize(
    "written",
    [
        ["1.327", "1,5", "2.5"],
        ["12 %", "0.5"],
        ["5 kg", "6 lb"],
        ["1 m2", "2 m2"],
        ["A12", "A13"],
        ["12A", "15A"],
        ["5 *", "6 *"],
        ["1/2", "3"],
        ["12:30"],
        ["2024-01-01"],
        ["abc", "1"],
        ["1,23,4", "5"],
    ],
)
def test_other_values_are_not_numbers_in_one_format(written: list[str]) -> None:
    assert find_formats(pa.array(written)).formats == ()


def test_numbers_with_three_digits_after_the_sign_fit_two_formats() -> None:
    values = pa.array(["1.327", "998", "2.600"])
    point, comma = find_formats(values).formats
    assert point.parse(values).to_pylist() == pytest.approx([1.327, 998.0, 2.6])
    assert comma.parse(values).to_pylist() == [1327, 998, 2600]
    assert find_formats(values, decimal=".").formats == (NumberFormat(),)
    assert find_formats(values, decimal=",").formats == (NumberFormat(",", "."),)
    assert find_formats(values, thousands=".").formats == (NumberFormat(",", "."),)
    assert find_formats(values, thousands="").formats == (NumberFormat(),)
    assert not is_plain_point(pa.chunked_array([["1.327", "998"]]))
    for certain in ("1.32", "0.327", "1.3270", "1e3"):
        assert is_plain_point(pa.chunked_array([["1.327", certain]]))


def test_a_value_in_another_format_is_none() -> None:
    assert NumberFormat(",", ".").parse(pa.array(["1.327", "1,5", "1.5", "x", None])).to_pylist() == [
        1327.0, 1.5, None, None, None,
    ]  # fmt: skip
    assert NumberFormat().parse(pa.array(["0x10", "1", "1,5"])).to_pylist() == [None, 1, None]


def test_two_signs_of_thousands_fit_no_format() -> None:
    for written in (["1 234", "1'234"], ["1 234.567,8"], ["1 234.5", "2,5"]):
        assert find_formats(pa.array(written)).formats == ()
