"""Table files: reading, interpretation and errors."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcli.datasets.data import Data
from dlcli.datasets.table import load
from dlcli.errors import DataError


def write(text: str | bytes, name: str = "t.csv") -> str:
    file = Path(name)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def refused(
    text: str | bytes = "", target: str = "y", name: str = "t.csv", **options
) -> tuple[str, str, str]:
    with pytest.raises(DataError) as caught:
        load(write(text, name), target, **options)
    (problem,) = caught.value.problems
    return problem.where, problem.message, problem.hint


TABLE = "a,b,y\n1.5,u,no\n2,v,yes\n,u,no\n"


def test_a_table_with_its_kinds() -> None:
    text = "d,n,b,w,y\n2024-01-31,1.5,true,u,7.5\n2024-02-01,,false,,8.5\n"
    data = load(write(text), "y")
    assert (data.target_kind, data.targets, len(data)) == ("regression", ("y",), 2)
    assert data.x["d"].dt.month.tolist() == [1, 2]
    assert data.x["n"].isna().tolist() == [False, True]
    assert data.x["b"].tolist() == [True, False]
    assert data.x["w"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a,b,y\n1.5,u,no\n2,v,yes\n", "y"),
        ("a;b;y\n1,5;u;no\n2,0;v;yes\n", "y"),
        ("a\tb\ty\n1.5\tu\tno\n2\tv\tyes\n", "y"),
        ("\n\na|b|y\n1.5|u|no\n\n2|v|yes\n", "y"),
        ("\ufeffa,b,y\r\n1.5,u,no\r\n2,v,yes", "y"),
        ('a,"b",y\n"1.5","u","no"\n2,v,yes\n', "y"),
        ("1.5,u,no\n2,v,yes\n", "c2"),
    ],
    ids=["commas", "semicolons", "tabs", "bars", "windows", "quotes", "no header"],
)
def test_dialects_are_detected(text: str, target: str) -> None:
    data = load(write(text), target)
    assert data.x.iloc[:, 0].tolist() == [1.5, 2.0]
    assert data.x.iloc[:, 1].tolist() == ["u", "v"]
    assert (data.classes, data.y.tolist()) == (("no", "yes"), [0, 1])


def test_other_formats_and_compressed_files_give_the_same_rows() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.0, 2.5], "b": ["u", "v", None], "y": ["no", "yes", "no"]})
    frame.to_csv("t.csv", index=False)
    frame.to_csv("t.tsv", index=False, sep="\t")
    with zipfile.ZipFile("t.zip", "w") as packed:
        packed.write("t.csv", "some/t.csv")
        packed.writestr("__MACOSX/some/._t.csv", b"macOS adds this")
        packed.writestr("some/.DS_Store", b"and this")
    Path("t.csv.gz").write_bytes(gzip.compress(Path("t.csv").read_bytes()))
    frame.to_csv("t.csv.xz", index=False)
    frame.to_parquet("t.parquet")
    frame.astype({"b": "category"}).to_parquet("categories.parquet")
    frame.to_json("t.jsonl", orient="records", lines=True)
    names = ["t.csv", "t.tsv", "t.csv.gz", "t.zip", "t.csv.xz", "t.parquet", "categories.parquet", "t.jsonl"]
    assert len({load(name, "y").fingerprint for name in names}) == 1


def test_an_excel_file_is_read_with_its_dates() -> None:
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame(
        {"a": [1.5, 2.0], "d": pd.to_datetime(["2024-01-31", "2024-02-01"]), "y": [1.5, 2.5]}
    )
    frame.to_excel("t.xlsx", index=False)
    data = load("t.xlsx", "y")
    assert data.x["a"].tolist() == [1.5, 2.0]
    assert data.x["d"].dt.day.tolist() == [31, 1]


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (["1", "0", "1"], "binary", ("0", "1")),
        (["10", "9", "8"], "multiclass", ("8", "9", "10")),
        (["true", "false", "true"], "binary", ("False", "True")),
        (["b", "a", "b"], "binary", ("a", "b")),
        (["1.5", "2", "3"], "regression", ()),
        ([str(n) for n in range(30)], "regression", ()),
        ([*map(str, range(10, 30)), *"uuuuuvvvvv"] * 2, "multiclass", (*map(str, range(10, 30)), "u", "v")),
    ],
    ids=["0 and 1", "grades", "booleans", "words", "decimals", "many whole numbers", "20 numbers and words"],
)
def test_the_task_follows_from_the_target(values: list[str], kind: str, classes: tuple[str, ...]) -> None:
    data = load(write("a,y\n" + "".join(f"1,{value}\n" for value in values)), "y")
    assert (data.target_kind, data.classes) == (kind, classes)


def test_the_kind_of_a_target_can_be_set() -> None:
    text = "a,y\n1,5\n2,6\n3,7\n"
    assert "for regression set" in load(write(text), "y").note
    data = load("t.csv", "y", types={"y": "numeric"})
    assert (data.target_kind, data.y.tolist(), data.note) == ("regression", [5.0, 6.0, 7.0], "")


@pytest.mark.parametrize(
    ("classes", "is_told"),
    [
        (["rain", "wind", "rain|wind"], True),
        (["rain, wind", "wind, fog", "rain, fog", "fog"], True),
        (["New York, NY", "Austin, TX"], False),
        (["a/b", "a/c", "a/d"], False),
    ],
)
def test_classes_that_may_be_several_labels_are_told(classes: list[str], is_told: bool) -> None:
    text = "a;y\n" + "".join(f'{row};"{name}"\n' for row, name in enumerate(classes * 2))
    assert ("to predict each word by itself" in load(write(text), "y").note) == is_told


def test_several_targets_are_labels_or_numbers() -> None:
    text = "a,u,v,w\n1,0,1,1.5\n2,1,1,2\n3,1,0,0\n"
    labels = load(write(text), ["u", "v"])
    assert (labels.target_kind, labels.classes, labels.y.tolist()) == (
        "multilabel", ("u", "v"), [[0, 1], [1, 1], [1, 0]],
    )  # fmt: skip
    numbers = load("t.csv", ["v", "w"])
    assert (numbers.target_kind, numbers.targets, numbers.x.columns.tolist()) == (
        "regression", ("v", "w"), ["a", "u"],
    )  # fmt: skip


def test_columns_of_splits() -> None:
    text = "a,who,day,at,part,y\n1,p,2024-01-01,5,train,0.5\n2,q,2024-01-02,6,test,1.5\n"
    data = load(write(text), "y", group="who", time="at", split="part")
    assert data.x.columns.tolist() == ["a", "day"]
    assert data.groups.tolist() == ["p", "q"]
    assert data.times.tolist() == [5, 6]
    assert data.parts.tolist() == ["train", "test"]
    assert "day" in load("t.csv", "y", time="day").x


def test_times_are_sorted_as_dates_not_as_strings() -> None:
    text = "a,day,y\n1,12/31/2022,0.5\n2,02/01/2024,1.5\n3,03/01/2023,2.5\n"
    data = load(write(text), "y", time="day")
    assert np.argsort(data.times).tolist() == [0, 2, 1]
    assert refused(text + "4,soon,3.5\n", time="day")[:2] == (
        "t.csv:5, column day", "'soon' is not a date in the format %m/%d/%Y",
    )  # fmt: skip


def test_booleans_with_missing_values_in_test_rows_only() -> None:
    write("a,y\ntrue,1\n,0\nfalse,1\n", "test.csv")
    data = load(write("a,y\ntrue,false\nfalse,true\n"), "y", test_path="test.csv")
    np.testing.assert_array_equal(data.x["a"].to_numpy(), [1, 0, 1, np.nan, 0])
    assert (data.classes, data.y.tolist()) == (("False", "True"), [0, 1, 1, 0, 1])
    write("a,y\ntrue,2\n", "test.csv")
    with pytest.raises(DataError, match=r"test.csv:2, column y: '2' is neither true nor false"):
        load("t.csv", "y", test_path="test.csv")


def test_types_of_columns_whose_names_have_blanks_around_them() -> None:
    text = 'zip, code ,"note" ,y\n1,007,012,1.5\n2,008,013,2.5\n'
    data = load(write(text), "y", types={"code": "categorical", "note": "categorical"})
    assert data.x["code"].tolist() == ["007", "008"]
    assert data.x["note"].tolist() == ["012", "013"]


def test_dates_of_several_time_zones() -> None:
    text = "day,y\n2024/07/01 12:00 +02:00,1.5\n2024/12/01 12:00 +01:00,2.5\n"
    data = load(write(text), "y", types={"day": "date"})
    assert data.x["day"].dt.hour.tolist() == [10, 11]


def test_rows_of_a_test_file_are_test_rows() -> None:
    write("b,y,a\nx,1.5,7\n", "test.csv")
    data = load(write("a,b,y\n1,2,0.5\n2,w,0.25\n"), "y", test_path="test.csv")
    assert data.test_rows.tolist() == [2]
    assert data.x["a"].tolist() == [1, 2, 7]
    write("b,y\nx,1.5\n", "test.csv")
    assert refused("a,b,y\n1,2,0.5\n2,w,0.25\n", test_path="test.csv")[0] == "dataset.test_path (test.csv)"


def test_types_of_columns_are_those_given() -> None:
    text = "zip,day,note,y\n007,31/12/2024,good wine,1.5\n012,01/01/2025,bad wine,2.5\n"
    data = load(write(text), "y", types={"zip": "categorical", "day": "date", "note": "text"})
    assert data.x["zip"].tolist() == ["007", "012"]
    assert data.x["day"].dt.year.tolist() == [2024, 2025]
    assert data.x["note"].tolist() == ["good wine", "bad wine"]


@pytest.mark.parametrize(
    ("text", "options", "where", "message"),
    [
        ("", {}, "t.csv", "is empty"),
        ("a,y\n", {}, "t.csv", "has no rows"),
        ("a,y\n1,2\n3\n4,5\n", {}, "t.csv:3", "has 1 column, but previous rows have 2: 3"),
        ("a,y\n1,2\n3,4,5\n", {}, "t.csv:3", "has 3 columns, but previous rows have 2: 3,4,5"),
        (b"a,y\n1,x\n3,caf\xe9\n", {},  "t.csv:3", 'is not UTF-8: byte 0xe9 after "3,caf"'),
        ("a,y\n1,x\n".encode("utf-16"), {}, "t.csv", "is written in UTF-16"),
        ("a,a,y\n1,2,3\n", {}, "t.csv", "the column name a occurs 2 times: columns 1, 2"),
        ("a,y\n1,u\n2,\n3,\n", {}, "t.csv:3, column y", "the target is missing (and in 1 more rows)"),
        ("a,y\n1,u\n2,u\n", {}, "t.csv, column y", "all rows are of one class, u"),
        ("a,y\n1,1.5\n2,1.5\n", {}, "t.csv, column y", "all rows have the same target, 1.5"),
        ("a,y\n" + "1,2.5\n" * 20 + "1,oops\n", {}, "t.csv:22, column y",
         "'oops' is not a number, but all other values of the target are"),
        ("a,y\n" + "".join(f"1,{n}\n" for n in [*range(21), *"uuuuuvvvvv"]), {}, "t.csv:23, column y",
         "'u' is not a number, and 9 more like it, but most values of the target are"),
        ("a,y\n1,0.5\ninf,1.5\n", {}, "t.csv:3, column a", "inf is infinite"),
        ("a,y\n1,0.5\n-1e300,1.5\n", {}, "t.csv:3, column a", "-1e+300 is too large: its square is infinite"),
        ("a,y\n1,0.5\n2,inf\n", {}, "t.csv:3, column y", "'inf' is infinite"),
        ("a,Y\n1,2\n", {}, "dataset.target", "there is no column y in t.csv"),
        ("a,y\n1,2\n", {"drop": ["b"]}, "dataset.drop", "there is no column b in t.csv"),
        ("a,y\n1,2\nx,3\n", {"types": {"a": "numeric"}}, "t.csv:3, column a", "'x' is not a number"),
        ("a,y\n2024-01-01,2\n2024-13-01,3\n", {"types": {"a": "date"}}, "t.csv:3, column a",
         "'2024-13-01' is not a date such as 2024-12-31"),
        ("a,g,y\n1,p,2\n2,,3\n", {"group": "g"}, "t.csv:3, column g", "the value for dataset.group is missing"),
        ("y\n1\n2\n", {}, "dataset", "there is no column left in t.csv to predict y from"),
    ],
)  # fmt: skip
def test_invalid_data_is_reported(text: str | bytes, options: dict, where: str, message: str) -> None:
    assert refused(text, **options)[:2] == (where, message)


def test_infinite_numbers_of_single_precision_are_refused() -> None:
    frame = pd.DataFrame({"a": np.array([1, np.inf, 3e38], np.float32), "y": [1.5, 2.5, 3.5]})
    frame.to_parquet("t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet, row 2, column a: inf is infinite"):
        load("t.parquet", "y")


def test_missing_columns_are_reported_together() -> None:
    with pytest.raises(DataError) as caught:
        load(write("sex,y\n1,2\n2,3\n"), "y", drop=["foo"], types={"sexx": "numeric"}, time="when")
    assert [problem.where for problem in caught.value.problems] == [
        "dataset.drop",
        "dataset.types",
        "dataset.time",
    ]


def test_numbered_columns_are_listed_in_order() -> None:
    text = "\n".join(",".join(str(row + column) for column in range(12)) for row in range(5))
    assert refused(text, target="quality", header=False)[2] == (
        "Choices: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11. "
        "The first line is read as a row, so the columns are numbered; if it has their names, set "
        "dataset.header=true."
    )


def test_a_text_target_gets_a_hint_to_the_text_dataset() -> None:
    rows = "".join(f"{row % 2},a message of number {row}\n" for row in range(60))
    assert "use dataset=text" in refused("y,words\n" + rows, target="words")[2]


def test_missing_files_and_invalid_tables_are_reported() -> None:
    write(TABLE, "wine.csv")
    with pytest.raises(DataError, match=r"wnie.csv: there is no such file\n  Did you mean wine.csv"):
        load("wnie.csv", "y")
    write(TABLE, "new_c.csv")
    with pytest.raises(DataError, match=r"nope.csv: there is no such file\n  Check dataset.path"):
        load("nope.csv", "y")
    assert refused(b"PK\x03\x04", name="t.pdf")[1] == ".pdf is not a supported table format"
    assert refused(b"nothing", name="t.parquet")[1].startswith("is not a valid Parquet file")
    assert refused(b"nothing", name="t.csv.gz")[1].startswith("cannot be read: Not a gzipped file")
    with zipfile.ZipFile("t.zip", "w") as packed:
        packed.writestr("a.csv", TABLE)
        packed.writestr("b.csv", TABLE)
    with pytest.raises(DataError, match=r"t.zip: contains 2 files: a.csv, b.csv\n  Unpack it"):
        load("t.zip", "y")
    assert refused(b"nothing", name="t.zip")[1].startswith("cannot be read: File is not a zip")


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ('{"y": 1}\n\n{"y": "u"}\n', "t.jsonl:3, column y", "is a string, but previous values of the column"),
        ('{"y": 1}\n{"y": 2\n', "t.jsonl:2", "is not JSON: Expecting"),
        ('[{"y": 1}, 2]\n', "t.jsonl, item 1", "is a number, not an object"),
    ],
    ids=["two kinds", "cut off", "an item of a list"],
)
def test_invalid_json_lines_are_reported(text: str, where: str, message: str) -> None:
    found = refused(text, name="t.jsonl")
    assert (found[0], found[1].startswith(message)) == (where, True), found


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_columns_of_lists_are_rejected_only_if_they_are_needed(name: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 2], "tags": [[0.5], []], "y": ["no", "yes"]})
    frame.to_parquet(name) if name == "t.parquet" else frame.to_json(name, orient="records", lines=True)
    with pytest.raises(DataError, match=r"column tags: contains list<.*\n.*dataset\.drop=\[tags\]"):
        load(name, "y")
    with pytest.raises(DataError, match="column tags: contains list"):
        load(name, "tags", drop=["y"])
    assert list(load(name, "y", drop=["tags"]).x.columns) == ["a"]


def test_peculiar_times_are_reported_with_their_line() -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 31) if day not in (17, 18)]
    rows = [f"{day},{number},{number % 2}" for number, day in enumerate([days[1], days[0], *days[2:]])]
    write("day,a,y\n" + "\n".join(rows))
    assert [(found.where, found.message) for found in load("t.csv", "y", time="day").warnings] == [
        ("t.csv:3, column day", "2024-01-01 00:00:00 is before the time of the previous row"),
        (
            "t.csv:18, column day",
            "2024-01-19 00:00:00 comes after a gap: the previous time is 2024-01-16 00:00:00",
        ),
    ]
    assert load("t.csv", "y").warnings == ()
    Path("test.csv").write_text("day,a,y\n2023-12-31,1,1\n")
    (odd, *_) = load("t.csv", "y", time="day", test_path="test.csv").warnings[:1]
    assert odd.message.endswith("and 1 more like it")
    uneven = "".join(f"{number**2},{number},{number % 2}\n" for number in range(30))
    assert load(write("n,a,y\n" + uneven), "y", time="n").warnings == ()


def test_a_string_among_numbers_is_reported() -> None:
    rows = "".join(f"{row},{row % 2}\n" for row in range(40))
    (odd,) = load(write("a,y\n" + rows + "x,1\n"), "y").warnings
    assert (odd.where, odd.message.partition(":")[0]) == ("t.csv:42, column a", "'x' is not a number")
    assert load("t.csv", "y", types={"a": "categorical"}).warnings == ()


def test_an_unclosed_quote_is_reported_with_its_line() -> None:
    where, message, _ = refused('a,b,y\n1,2,3\n1,"2,3\n4,5,6\n')
    assert (where, message) == ("t.csv:3", 'has 2 columns, but previous rows have 3: 1,"2,3')


def test_rows_of_a_test_file_are_reported_with_its_name() -> None:
    Path("test.csv").write_text("g,a,y\nu,1,1\n,2,0\n")
    with pytest.raises(DataError, match=r"test\.csv:3, column g: the value for dataset\.group is missing"):
        load(write("g,a,y\nu,1,1\nv,2,0\n"), "y", group="g", test_path="test.csv")


CELL = st.one_of(
    st.sampled_from(["", "1", "2.5", "-3", "1e400", "nan", "inf", "x", '"', "'", "\x00", "é", "2024-01-01", "true"]),
    st.text(max_size=4),
)  # fmt: skip
ROW = st.lists(CELL, min_size=0, max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROW, max_size=6), separator=st.sampled_from(",;\t|"), raw=st.binary(max_size=6))
def test_any_file_is_a_table_or_an_error_that_names_it(
    rows: list[list[str]], separator: str, raw: bytes
) -> None:
    text = "\n".join(separator.join(row) for row in rows)
    for content in (text.encode(errors="replace"), text.encode(errors="replace") + raw, raw):
        try:
            data = load(write(content), "c0" if len(rows) % 2 else "a")
        except DataError as error:
            assert all(problem.where and problem.message for problem in error.problems)
        else:
            assert isinstance(data, Data)
            assert len(data) == len(data.x) > 0


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    numbers=st.lists(
        st.tuples(st.floats(-1e9, 1e9), st.one_of(st.none(), st.integers(-99, 99)), st.sampled_from("pqr")),
        min_size=2,
        max_size=20,
    ),
    separator=st.sampled_from(",;\t|"),
)
def test_written_tables_are_read_unchanged(numbers: list[tuple], separator: str) -> None:
    frame = pd.DataFrame(numbers, columns=["a", "b", "c"]).assign(y=np.arange(len(numbers)) + 0.5)
    frame.to_csv("t.csv", index=False, sep=separator)
    data = load("t.csv", "y")
    assert np.array_equal(data.y, frame["y"])
    for name in ("a", "b"):
        np.testing.assert_allclose(data.x[name].astype(float), frame[name].astype(float), rtol=1e-15)
    assert data.x["c"].tolist() == frame["c"].tolist()


@pytest.mark.parametrize(
    ("file", "target", "kind", "rows", "columns"),
    [
        ("winequality-red.csv", "c11", "multiclass", 1599, 11),
        ("california-housing.csv", "median_house_value", "regression", 20640, 9),
        ("penguins.csv", "species", "multiclass", 344, 6),
        ("bike-hour.csv", "cnt", "regression", 17379, 16),
    ],
)
def test_real_files_have_the_expected_kind_and_size(
    file: str, target: str, kind: str, rows: int, columns: int, shared_data: Path
) -> None:
    data = load(str(shared_data / "tabular" / file), target)
    assert (data.target_kind, data.x.shape) == (kind, (rows, columns))


def test_targets_with_infinite_squares_are_refused_with_their_line() -> None:
    Path("t.csv").write_text("x,y\n" + "".join(f"{n},{n}.5\n" for n in range(30)) + "30,1e39\n")
    with pytest.raises(DataError) as caught:
        load("t.csv", "y")
    assert caught.value.problems[0].where == "t.csv:32, column y"
    assert "the target 1e+39 is too large" in caught.value.problems[0].message


def test_folds_of_a_column_stand_beside_the_rows_of_a_test_file() -> None:
    write("x,fold,y\n9,1,0.5\n", "test.csv")
    rows = "".join(f"{n},{n % 2},{n}.5\n" for n in range(6))
    data = load(write(f"x,fold,y\n{rows}"), "y", split="fold", test_path="test.csv")
    assert data.test_rows.tolist() == [6]
    assert data.parts.tolist()[:6] == [0, 1] * 3
