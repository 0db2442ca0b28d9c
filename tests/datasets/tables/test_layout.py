"""Common layouts of table files, and the settings for reading them."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import Expected, evaluating
from dlcli.datasets.table import load
from dlcli.datasets.tables.column_selection import ColumnSelection
from dlcli.datasets.tables.layout import find_layout
from dlcli.datasets.tables.pieces import read_pieces
from dlcli.errors import DataError

_NUMBERS = st.sampled_from(["1", "12.5", "-3"])


def read(text: str, target: str = "y", name: str = "t.csv", **options: object) -> Data:
    Path(name).write_text(text)
    return load(name, target, **options)  # type: ignore[arg-type]


def refused(text: str, target: str = "y", **options: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read(text, target, **options)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "a,b,y\n1.5,u,no\n2.5,v,yes\n",
        "# made by hand\n# twice\na,b,y\n1.5,u,no\n2.5,v,yes\n",
        "a,b,y\n1.5,u,no\n# a remark\n2.5,v,yes\n",
        "sep=;\na;b;y\n1,5;u;no\n2,5;v;yes\n",
        "a,b,y,\n1.5,u,no,\n2.5,v,yes,\n",
        "a,b,y\n1.5,u,no,\n2.5,v,yes,\n",
        '"a","b","y"\n"1",1.5,"u","no"\n"2",2.5,"v","yes"\n',
        "#a,b,y\n1.5,u,no\n2.5,v,yes\n",
        "Flats of 2024\n\nby hand\na,b,y\n1.5,u,no\n2.5,v,yes\n",
        "Flats of 2024,,\n,,\na,b,y\n1.5,u,no\n2.5,v,yes\n",
    ],
    ids=[
        "plain",
        "comments",
        "a comment inside",
        "sep",
        "commas",
        "commas of rows",
        "R",
        "header in a comment",
        "title",
        "title with commas",
    ],
)
def test_layouts_that_people_have(text: str) -> None:
    data = read(text)
    assert {name: data.x[name].tolist() for name in data.x} == {"a": [1.5, 2.5], "b": ["u", "v"]}
    assert data.classes == ("no", "yes")


def test_columns_aligned_by_blanks() -> None:
    text = '18.0   8   307.0   1\t"chevelle malibu"\n15.0   8   350.0   2\t"buick"\n 9.5  12  1350.5   3\t"skylark"\n'
    data = read(text, "c0")
    assert data.x["c2"].tolist() == [307.0, 350.0, 1350.5]
    assert data.x["c4"].tolist() == ["chevelle malibu", "buick", "skylark"]
    error = refused(text.replace("350.0", "many"), "c0", types={"c2": "numeric"})
    assert error.problems[0].where == "t.csv:2, column c2"


def test_one_list_of_json_objects() -> None:
    data = read('[{"a": 1.5, "y": "no"},\n {"a": 2.5, "y": "yes"}]', name="t.json")
    assert (data.x["a"].tolist(), data.classes) == ([1.5, 2.5], ("no", "yes"))


def test_long_numbers_of_json_keep_their_digits() -> None:
    rows = "".join(f'{{"id": 1234567890123456789{n}, "y": {n}.5}}\n' for n in range(3))
    data = read(rows, name="t.jsonl", types={"id": "categorical"})
    assert data.x["id"].tolist() == [f"1234567890123456789{n}" for n in range(3)]


def test_a_sheet_is_chosen_by_its_name() -> None:
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter("t.xlsx") as book:
        pd.DataFrame({"note": ["read me"]}).to_excel(book, sheet_name="about", index=False)
        pd.DataFrame({"a": ["007", "08"], "y": [1.5, 2.5]}).to_excel(book, sheet_name="data", index=False)
    data = load("t.xlsx", "y", sheet="data")
    assert data.x["a"].tolist() == ["007", "08"]
    with pytest.raises(DataError, match=r"there is no sheet date in t\.xlsx\n  Did you mean data"):
        load("t.xlsx", "y", sheet="date")
    with pytest.raises(DataError, match="there is no column y") as caught:
        load("t.xlsx", "y")
    assert "Sheet data has it: dataset.sheet=data." in caught.value.problems[0].hint
    with pytest.raises(DataError, match="there is no column z") as caught:
        next(read_pieces(Path("t.xlsx"), ColumnSelection(["z"])))
    assert (
        "Other sheets of the file: data; one is read with dataset.sheet=data."
        in caught.value.problems[0].hint
    )


def test_cells_of_a_sheet_with_an_error_are_counted() -> None:
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame({"a": ["#DIV/0!", 1.5, None, 2.5, "#N/A", 3.5], "y": [1.5, 2, 3, 4, 5, 6]})
    frame.to_excel("t.xlsx", index=False)
    data = load("t.xlsx", "y")
    assert data.x["a"].isna().tolist() == [True, False, True, False, True, False]
    assert [warning.message for warning in data.warnings] == [
        "2 cells with an error such as #DIV/0! read as missing"
    ]


def test_empty_rows_of_a_sheet_and_names_that_occur_twice() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["a", "y"], [1.5, 1.5], [], [None, 2.5], [], [], [3.5, "x"], [4.5, 3.5]):
        book.active.append(row)
    book.save("t.xlsx")
    data = load("t.xlsx", "y", missing_values=["x"], missing_target="drop")
    assert [warning.message for warning in data.warnings] == ["3 empty rows between the rows skipped"]
    assert data.y.tolist() == [1.5, 2.5, 3.5]
    with pytest.raises(DataError, match=r"t\.xlsx:7, column y: the target is missing"):
        load("t.xlsx", "y", missing_values=["x"])
    (piece,) = read_pieces(Path("t.xlsx"), ColumnSelection(["a"]))
    assert (len(piece.raw), piece.raw.empty) == (4, 3)
    book.active["A1"] = "y"
    book.save("t.xlsx")
    with pytest.raises(DataError, match="the column name y occurs 2 times"):
        load("t.xlsx", "y")


def test_names_in_two_rows_of_a_sheet_are_refused() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["inputs", None, "y"], ["a", "b", None], [1.5, "u", 1.5], [2.5, "v", 2.5]):
        book.active.append(row)
    book.active.merge_cells("A1:B1")
    book.save("t.xlsx")
    with pytest.raises(
        DataError, match="1 column without a name: the names seem to stand in two rows"
    ) as caught:
        load("t.xlsx", "y")
    assert "first row" in caught.value.problems[0].hint
    book.active.delete_rows(2)
    book.save("t.xlsx")
    assert load("t.xlsx", "y").x.shape == (2, 2)


def test_rows_that_blanks_may_separate_show_the_setting() -> None:
    Path("t.txt").write_text("a b y\n1,5 u 1\n2,5 v,w 2\n3,5 u 3\n")
    with pytest.raises(DataError, match=r"has \d columns, but previous rows have \d") as caught:
        load("t.txt", "y")
    assert "dataset.separator=' '" in caught.value.problems[0].hint.replace('"', "'")
    assert load("t.txt", "y", separator=" ").x["a"].tolist() == [1.5, 2.5, 3.5]


def test_a_sheet_without_rows_names_the_others() -> None:
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter("t.xlsx") as book:
        pd.DataFrame({"About": []}).to_excel(book, sheet_name="about", index=False)
        pd.DataFrame({"a": [1, 2], "y": [1.5, 2.5]}).to_excel(book, sheet_name="data", index=False)
    with pytest.raises(DataError, match="has no rows in the sheet about") as caught:
        load("t.xlsx", "y")
    assert "dataset.sheet=data" in caught.value.problems[0].hint


def test_ambiguous_dates_as_text_in_a_sheet_are_refused() -> None:
    pytest.importorskip("openpyxl")
    days: list[object] = [*pd.date_range("2024-01-01", periods=20).to_pydatetime(), "01.02.2024"]
    pd.DataFrame({"when": days, "y": range(21)}).to_excel("t.xlsx", index=False)
    with pytest.raises(DataError, match=r"01.02.2024 may be \(2024-02-01\) or \(2024-01-02\)"):
        load("t.xlsx", "y")


def test_categories_of_pandas_are_words() -> None:
    frame = pd.DataFrame({"a": pd.Categorical([1, 2, 3, 1]), "y": [1.5, 2.5, 3.5, 4.5]})
    frame.to_parquet("t.parquet")
    data = load("t.parquet", "y")
    assert data.columns is not None
    assert (data.columns["a"].kind, data.x["a"].tolist()) == ("categorical", ["1", "2", "3", "1"])
    assert data.columns["a"].note == "words, since they are categories in the file"
    numbers = load("t.parquet", "y", types={"a": "numeric"})
    assert numbers.x["a"].tolist() == [1, 2, 3, 1]


def test_rows_with_one_cell_more_than_the_header_have_no_row_names_if_cells_are_split() -> None:
    """R's names of rows differ, and are words or whole numbers."""
    for text in ("a,y\n1,5,2\n1,7,3\n", "a,y\n0.5,'u, v',2\n1.5,'u, w',3\n", "a,y\n1,'u, v',2\n2,'u, w',3\n"):
        assert "has 3 columns" in str(refused(text)) or "has 4 columns" in str(refused(text))


@pytest.mark.parametrize(
    ("name", "values"), [("is_test", [True, False, True, False]), ("TRAIN", [1, 0, 0, 1])]
)
def test_a_mark_of_a_part_is_reported_if_no_setting_names_it(name: str, values: list[object]) -> None:
    pd.DataFrame({name: values, "a": [1, 2, 3, 4], "y": [1.5, 2.5, 3.5, 4.5]}).to_csv("t.csv", index=False)
    (told,) = load("t.csv", "y").notices
    assert (told.key, told.text) == (
        "unused_marks",
        f"may mark the rows of a part, and is used as a feature: {name}",
    )


def test_features_of_0_and_1_are_not_marks_of_a_part() -> None:
    names = ["valid", "is_valid", "test1", "is_test2", "training", "tr", "Dev"]
    frame = pd.DataFrame({name: [1, 0, 0, 1] for name in names})
    frame.assign(y=[1.5, 2.5, 3.5, 4.5]).to_csv("t.csv", index=False)
    assert [notice for notice in load("t.csv", "y").notices if notice.key == "unused_marks"] == []


def test_marks_of_0_and_1_are_not_read_as_numbers_of_folds() -> None:
    pd.DataFrame({"is_test": [1, 0, 0, 1], "a": [1, 2, 3, 4], "y": [1.5, 2.5, 3.5, 4.5]}).to_csv(
        "t.csv", index=False
    )
    with pytest.raises(DataError, match="0 and 1 are not parts of a split"):
        load("t.csv", "y", split="is_test")


@pytest.mark.parametrize("name", ["t.feather", "t.dta", "t.arff"])
def test_files_of_other_programs_are_refused_with_how_to_convert_them(name: str) -> None:
    Path(name).write_bytes(b"some")
    with pytest.raises(DataError, match="is not a supported table format") as caught:
        load(name, "y")
    assert "Convert it in Python: pandas." in caught.value.problems[0].hint
    assert ".to_parquet('t.parquet')" in caught.value.problems[0].hint


def test_the_index_of_pandas_is_not_a_feature() -> None:
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "y": [1.5, 2.5, 3.5, 4.5]})
    frame[frame["a"] != 2].to_parquet("t.parquet")
    data = load("t.parquet", "y")
    assert list(data.x.columns) == ["a"]
    assert data.columns is not None
    assert data.columns.left_out() == {"__index_level_0__": "index"}
    frame.set_index(pd.Index(list("pqrs"), name="id")).to_parquet("t.parquet")
    assert list(load("t.parquet", "y").x.columns) == ["a"]
    assert load("t.parquet", "y", group="id").groups.tolist() == list("pqrs")


def test_a_header_is_recognised_by_the_names_that_settings_use() -> None:
    assert read("id,2019,2020\nu,1,2.5\nv,3,4.5\n", "2020").targets == ("2020",)
    assert read("x,y\nn,y\ny,n\n").classes == ("n", "y")
    assert "dataset.header=true" in refused("id,2019,2020\nu,1,2.5\nv,3,4.5\n", "price").problems[0].hint
    assert "dataset.header=false" in refused("a,b\nu,1\nv,3\n", "c1").problems[0].hint


def test_the_users_own_split_is_used_in_any_spelling() -> None:
    rows = "".join(f"{n},{part},{n}.5\n" for n, part in enumerate(["Training", "TRAIN", "valid", "Holdout"]))
    data = read("a,part,y\n" + rows, split="part")
    assert data.parts is not None and data.test_rows is not None and data.val_rows is not None
    assert data.parts.tolist() == ["train", "train", "val", "test"]
    assert (data.test_rows.tolist(), data.val_rows.tolist()) == ([3], [2])
    error = refused("a,part,y\n1,one,1.5\n2,train,2.5\n", split="part")
    assert (error.problems[0].where, error.problems[0].message) == (
        "t.csv:2, column part", "'one' is not a part of a split",
    )  # fmt: skip
    Path("test.csv").write_text("a,part,y\n1,test,1.5\n")
    assert (
        "defined twice"
        in refused("a,part,y\n" + rows, split="part", test_path="test.csv").problems[0].message
    )


def test_rows_without_a_target_can_be_left_out() -> None:
    text = "a,y\n" + "".join(f"{n},{'n.a.' if n % 6 == 5 else n * 1.5}\n" for n in range(60))
    error = refused(text)
    assert "the target is missing (and in 9 more rows)" in error.problems[0].message
    assert "dataset.missing_target=drop" in error.problems[0].hint
    data = read(text, missing_target="drop")
    assert (data.target_kind, len(data)) == ("regression", 50)
    assert [notice.text for notice in data.notices] == ["10 of 60 rows without a target left out"]
    assert (
        refused(text.replace("59,n.a.", "59,1.5").replace("0,0.0", "0,oops"), missing_target="drop")
        .problems[0]
        .where.startswith("t.csv:2")
    )


def test_prices_with_commas_are_numbers() -> None:
    rows = "".join(f'{n},"{n},250"\n' for n in range(1, 40))
    data = read("a,y\n" + rows)
    assert (data.target_kind, data.y[:2].tolist()) == ("regression", [1250, 2250])
    assert any("dataset.decimal" in told.hint for told in data.warnings)


def test_a_class_may_be_named_none() -> None:
    text = "a,y\n1,None\n2,x\n"
    assert "dataset.missing_values=[]" in refused(text).problems[0].hint
    assert read(text, missing_values=[]).classes == ("None", "x")


def test_classes_of_a_test_file_are_those_of_the_training_file() -> None:
    train = "39, State-gov, <=50K\n50, ?, >50K\n38, Private, <=50K\n"
    Path("adult-test.data").write_text("39, ?, <=50K.\n50, Private, >50K.\n")
    with pytest.raises(DataError) as caught:
        read(train, "c2", "adult.data", test_path="adult-test.data")
    assert "the class <=50K. does not occur in the training file" in caught.value.problems[0].message
    assert "Did you mean <=50K?" in caught.value.problems[0].hint
    data = load("adult.data", "c2")
    assert (data.classes, data.x["c1"].isna().tolist()) == (("<=50K", ">50K"), [False, True, False])


@pytest.mark.parametrize(
    ("options", "where", "message"),
    [
        (
            {"missing_values": {"grösse": ["x"]}},
            "dataset.missing_values",
            "there is no column grösse in t.csv",
        ),
        ({"date_format": {"tag": "%d.%m.%Y"}}, "dataset.date_format", "there is no column tag in t.csv"),
        ({"drop": ["y"]}, "dataset.drop", "column y is dataset.target, and cannot be left out"),
        (
            {"drop": ["Tag"], "time": "Tag"},
            "dataset.drop",
            "column Tag is dataset.time, and cannot be left out",
        ),
    ],
)
def test_settings_name_columns_that_exist_and_are_used(options: dict, where: str, message: str) -> None:
    problem = refused("Größe,Tag,y\n1.5,31.01.2024,1.5\n2.5,01.02.2024,2.5\n", **options).problems[0]
    assert (problem.where, problem.message) == (where, message)


def test_a_format_of_dates_that_fits_no_column_is_warned_of() -> None:
    text = "a,b,y\n31.01.2024,01/31/2024,1.5\n01.02.2024,02/01/2024,2.5\n"
    (told,) = read(text, date_format="%d %m %Y").warnings
    assert told.message == "no column has dates in the format %d %m %Y"
    data = read(text, date_format="%d.%m.%Y")
    assert (data.warnings, data.x["a"].equals(data.x["b"].rename("a"))) == ((), True)


def test_classes_of_a_test_file_in_another_spelling() -> None:
    Path("test.csv").write_text("a,y\n1,1.0\n2,2\n3,2.0\n")
    for kinds, last in (({"y": "categorical"}, "1"), ({}, "A")):
        data = read(f"a,y\n1,1\n2,2\n3,{last}\n", test_path="test.csv", types=kinds)
        assert [data.classes[code] for code in data.y] == ["1", "2", last, "1", "2", "2"]
        assert len(data.classes) == len({"1", "2", last})


def test_types_of_many_or_peculiar_names_stand_in_a_file() -> None:
    Path("types.yaml").write_text("'size, [m]': categorical\n\"o'clock\": categorical\n")
    data = read('"size, [m]",o\'clock,y\n01,1,1.5\n1,2,2.5\n', types="types.yaml")
    assert (data.x.iloc[:, 0].tolist(), data.x.iloc[:, 1].tolist()) == (["01", "1"], ["1", "2"])
    Path("types.yaml").write_text("a: number\n")
    assert (
        "'number' is not a kind of column"
        in refused("a,y\n1,2\n2,3\n", types="types.yaml").problems[0].message
    )


def test_a_title_is_reported_and_line_numbers_are_those_of_the_file() -> None:
    title, rows = "|1x3 Cross validator\n", "1.5,u,no\n2.5,v,yes\n"
    data = read("1.5,u,no\n2.5,v,yes\n", "c2")
    Path("test.csv").write_text(title + rows)
    data = load("t.csv", "c2", test_path="test.csv")
    assert [(warning.message, warning.where) for warning in data.warnings] == [
        ("1 line before the table skipped: |1x3 Cross validator", "test.csv:1")
    ]
    Path("test.csv").write_text(title + rows + "3.5,u,maybe\n")
    with pytest.raises(DataError, match=r"test\.csv:4, column c2"):
        load("t.csv", "c2", test_path="test.csv")


def test_a_header_with_missing_names_is_not_a_title() -> None:
    data = read("y,a,,\nno,1,2,3\nyes,3,4,5\n")
    assert list(data.x) == ["a", "c2", "c3"]


def test_a_row_with_more_cells_than_all_others_is_named_and_no_header() -> None:
    with pytest.raises(DataError, match=r"t\.csv:4: has 4 columns, but previous rows have 3"):
        read("y,a,b\nno,1,2\nyes,3,4\nno,5,6,7\nyes,8,9\nno,1,2\n")


def test_words_and_numbers_aligned_by_blanks() -> None:
    data = read("a    b     y\n1.5  low   no\n2.5  high  yes\n")
    assert data.x["b"].tolist() == ["low", "high"]


@given(
    separator=st.sampled_from(["\t", ", ", ",", "; ", ";", "|"]),
    rows=st.lists(
        st.tuples(st.sampled_from(["New York", "Los Angeles", "2024-01-01 10:00", "1 a"]), *[_NUMBERS] * 3),
        min_size=2,
        max_size=4,
    ),
    columns=st.integers(2, 4),
    header=st.sampled_from(["city", "full name"]),
)
@settings(max_examples=40, deadline=None)
def test_blanks_inside_cells_are_not_separators(
    separator: str, rows: list[tuple[str, ...]], columns: int, header: str
) -> None:
    names = (header, "a", "b", "c")
    lines = [separator.join(row[:columns]) for row in (names, *rows)]
    layout = find_layout(lines)
    assert (layout.aligned, layout.header, layout.title) == (False, None, None)


@pytest.mark.parametrize(
    ("text", "y"),
    [
        ("city, y\nNew York, 12.5\nLos Angeles, 3\n", [12.5, 3]),
        ("time, y\n2024-01-01 10:00, 5.5\n2024-01-01 11:00, 6.5\n", [5.5, 6.5]),
        ("id\tname\ty\n1\tJohn Smith\t12.5\n2\tJane Doe\t13.5\n", [12.5, 13.5]),
        ("first last\ty\nJohn Smith\t12.5\nJane Doe\t13.5\n", [12.5, 13.5]),
        ("time\ta\tb\ty\n2024-01-01 10:00\t1\t2\t3.5\n2024-01-01 11:00\t4\t5\t6.5\n", [3.5, 6.5]),
    ],
)
def test_cells_of_two_words(text: str, y: list[float]) -> None:
    assert read(text).y.tolist() == y


def test_texts_of_two_words_are_one_column() -> None:
    assert not find_layout(["said", "see 5", "call 3"]).aligned
    assert find_layout(['"x"', '"a" 1.5', '"b" 2.5']).header == '"(row names)" "x"'


def test_row_names_separated_by_blanks() -> None:
    for text in (
        '"mpg" "y"\n"Mazda RX4" 21.5 6.5\n"Datsun 710" 22.5 4.5\n',
        '"kind" "y"\n"1" "a" 6.5\n"2" "b" 4.5\n',
        "mpg y\nMazda 21.5 6.5\nDatsun 22.5 4.5\n",
    ):
        data = read(text)
        assert (data.x.shape, data.y.tolist()) == ((2, 1), [6.5, 4.5])
        assert data.columns is not None
        assert list(data.columns.left_out()) == ["(row names)"]


def test_the_header_of_row_names_and_one_column_is_not_a_title() -> None:
    for separator in ",\t":
        layout = find_layout([f"{row.replace(',', separator)}\n" for row in ('"x"', '"a",1.5', '"b",2.5')])
        assert (layout.title, layout.header) == (None, f'(row names){separator}"x"')
    for title in ("Flats of 2024", "x"):
        assert find_layout([title, "a,b", "1.5,2.5", "3,4"]).title == title
    assert find_layout(["x", "1,1.5", "1,2.5"]).title == "x"  # row names differ


def test_utf_16_without_a_mark_is_refused() -> None:
    Path("t.tsv").write_bytes('a\ty\n"1\t2\n'.encode("utf-16-le"))
    with pytest.raises(DataError, match="cannot be read as utf-16"):
        load("t.tsv", "y", encoding="utf-16")


def test_a_separator_that_is_not_recognised_is_suggested() -> None:
    text = "a^y\n1^no\n2^yes\n"
    assert """'dataset.separator="^"'""" in refused(text).problems[0].hint
    assert "dataset.separator" not in refused(text.replace("^y", "").replace("^", "")).problems[0].hint
    for suffix in ("csv", "data", "dat", "tab", "txt", "train", "test"):
        assert read(text, name=f"t.{suffix}", separator="^").x["a"].tolist() == [1, 2]


def test_the_index_of_a_csv_file_is_not_attributed_to_a_sheet() -> None:
    assert "sheet" not in refused("Unnamed: 0,a,b\n0,u,1\n1,v,3\n").problems[0].hint


def test_one_object_of_columns_is_not_a_table() -> None:
    for text in ('{"a": [1, 2], "y": ["no", "yes"]}', '{"a": {"0": 1}, "y": {"0": "no"}}'):
        Path("t.json").write_text(text)
        with pytest.raises(DataError, match="contains lists or objects instead of rows"):
            load("t.json", "y")


def test_a_hidden_sheet_is_not_read() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["notes"])
    book.active.sheet_state = "hidden"
    for row in (["a", "long", "y"], [1, timedelta(hours=36), "no"], [2, time(0, 5), "yes"]):
        book.create_sheet("data").append(row) if "data" not in book else book["data"].append(row)
    book.save("t.xlsx")
    data = load("t.xlsx", "y")
    assert data.x["a"].tolist() == [1, 2]
    assert data.x["long"].tolist() == ["36:00:00", "0:05:00"]
    assert data.warnings[0].message == "has 1 more sheet; the first that is not hidden is read: data"


def test_types_of_extensions_are_refused() -> None:
    periods = pd.period_range("2024-01", periods=2, freq="M")
    pd.DataFrame({"a": [1, 2], "month": periods, "y": ["no", "yes"]}).to_parquet("t.parquet")
    with pytest.raises(DataError, match="column month") as caught:
        load("t.parquet", "y")
    assert "'dataset.drop=[month]'" in caught.value.problems[0].hint
    assert list(load("t.parquet", "y", drop=["month"]).x) == ["a"]


def test_evaluation_leaves_out_rows_without_a_target_as_training_does() -> None:
    text = "a,y\n" + "".join(f"{n},{'' if n % 6 == 5 else 'yes' if n % 2 else 'no'}\n" for n in range(60))
    columns = read(text, missing_target="drop").columns
    with evaluating(Expected("categorical", columns)):
        data = read(text, missing_target="drop")
        assert "the target is missing" in refused(text).problems[0].message
    assert len(data) == 50
    assert [(notice.key, notice.count, notice.warns) for notice in data.notices] == [
        ("missing_targets", 10, True)
    ]


def test_classes_without_training_rows_are_reported() -> None:
    rows = "".join(f"{n},{'train' if n < 40 else 'test'},{'Yes' if n % 2 else 'no'}\n" for n in range(60))
    data = read("a,part,y\n" + rows + "60,test,yes\n", split="part")
    (notice,) = data.notices
    assert notice.text == "1 of 61 rows are of classes that no training row has: yes"
    assert notice.hint == "Did you mean Yes?"
    assert (
        "has no training rows"
        in refused("a,part,y\n1,test,no\n2,val,yes\n", split="part").problems[0].message
    )


def test_a_blank_as_the_separator_aligns_columns_only_where_blanks_repeat() -> None:
    for rows, aligned in ((["a  b", "1  2"], True), ([" a b", " 1 2"], True), (["a b", "1 2"], False)):
        assert find_layout(rows, " ").aligned is aligned
