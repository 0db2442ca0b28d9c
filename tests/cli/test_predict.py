"""`dlcli predict` on files of new rows, and `dlcli eval --file`."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

import dlcli
from dlcli.cli.app import app
from dlcli.datasets.raw_rows import load_data
from dlcli.datasets.tables.arrow_types import dated
from dlcli.errors import DataError, DiskFull, InputError
from dlcli.prediction.evaluation_file import labelled_rows
from dlcli.prediction.output import written_to
from dlcli.prediction.predict_rows import NewData


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"{number:03}" for number in range(40)],
            "size": random.normal(size=40).round(3),
            "coat": random.choice(["true", "false", "007"], 40),
            "born": pd.date_range("2020-01-01", periods=40, freq="53D").strftime("%Y-%m-%d"),
            "kind": random.choice(["cat", "dog"], 40),
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, rows: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    rows.to_csv(folder / "pets.csv", index=False)
    dataset = f"dataset=table dataset.path='{folder}/pets.csv' dataset.target=kind dataset.drop=[id]"
    quick = "trainer.max_epochs=1 model.hidden=4 run_name=pets"
    dlcli.train([*dataset.split(), *quick.split(), f"runs_dir='{folder}'"])
    return folder


@pytest.fixture(autouse=True)
def _new(rows: pd.DataFrame) -> None:
    rows.drop(columns="kind").to_csv("new.csv", index=False)


@pytest.fixture(scope="module")
def expected(runs: Path, rows: pd.DataFrame) -> pd.DataFrame:
    return dlcli.load_run("pets", runs_dir=runs).predict(rows)


def predict(runs: Path, *words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["predict", "pets", *words, "--runs-dir", str(runs)], input=stdin)


def test_stdout_is_a_csv_and_nothing_else(runs: Path, expected: pd.DataFrame) -> None:
    done = predict(runs, "new.csv")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("row,prediction,p(cat),p(dog)\n0,")
    Path("found.csv").write_text(done.stdout)
    found = pd.read_csv("found.csv")
    assert found.pop("row").tolist() == list(range(40))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    assert done.stderr == ""


def test_single_rows_that_are_piped_in_are_read_as_all_of_them(runs: Path, expected: pd.DataFrame) -> None:
    """Values that a small file would give another type (true, 007) keep the type of the training data."""
    head, *lines = Path("new.csv").read_text().splitlines()
    for number in (0, 1, 2, 3, 4):
        found = json.loads(predict(runs, "--json", stdin=f"{head}\n{lines[number]}\n").stdout)["predictions"]
        assert found[0]["p(cat)"] == pytest.approx(expected["p(cat)"][number], rel=1e-5)


@pytest.mark.parametrize("value", ["inf", "1e300", "1e40"])
def test_numbers_that_cannot_be_scaled_are_refused_with_their_line(value: str, runs: Path) -> None:
    rows = pd.read_csv("new.csv", dtype=str)
    rows.loc[7, "size"] = value
    rows.to_csv("new.csv", index=False)
    done = predict(runs, "new.csv")
    assert done.exit_code == 2
    assert "new.csv:9, column size" in done.stderr


def test_skipped_lines_of_new_files_are_reported(runs: Path, expected: pd.DataFrame) -> None:
    head, *lines = Path("new.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join(["Pets of 2024", head, *lines[:7], "# checked", *lines[7:]]))
    document = json.loads(predict(runs, "new.csv", "--json").stdout)
    assert len(document["predictions"]) == len(expected)
    told = [notice["text"] for notice in document["notices"]]
    assert told == ["1 line before the table skipped: Pets of 2024", "1 line beginning with # skipped"]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_a_file_takes_several_inputs_and_columns_of_them(
    name: str, runs: Path, expected: pd.DataFrame
) -> None:
    pd.read_csv("new.csv", dtype=str).iloc[:2].to_json("few.jsonl", orient="records", lines=True)
    words = ["new.csv", "few.jsonl", "-", "--keep", "id, size", "-o", name]
    done = predict(runs, *words, stdin=Path("new.csv").read_text())
    assert done.exit_code == 0, done.output
    assert done.stdout == f"82 predictions in {name}\n"
    read = {
        "out.csv": lambda: pd.read_csv(name, dtype=str),
        "out.parquet": lambda: pd.read_parquet(name),
        "out.jsonl": lambda: pd.read_json(name, lines=True, dtype=False),
    }
    found = read[name]()
    assert list(found) == ["file", "row", "id", "size", "prediction", "p(cat)", "p(dog)"]
    assert found["id"].tolist() == [f"{number:03}" for number in (*range(40), 0, 1, *range(40))]
    assert found["file"].unique().tolist() == ["new.csv", "few.jsonl", "standard input"]
    np.testing.assert_allclose(found["p(dog)"][:40].astype(float), expected["p(dog)"], rtol=1e-6)
    assert [file.name for file in Path().glob(".*")] == []


def test_json_tells_where_the_predictions_are(runs: Path) -> None:
    document = json.loads(predict(runs, "new.csv", "--json", "--output", "out.csv").stdout)
    assert list(document) == [
        "schema_version",
        "status",
        "run_id",
        "run_name",
        "run_dir",
        "lines",
        "notices",
        "members",
        "coverage",
        "calibration_rows",
        "output",
    ]
    assert (document["lines"], document["output"]) == (40, str(Path("out.csv").resolve()))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["late.csv", "-o", "old.csv"], "error: late.csv:40, column size\n  'big0"),
        (["typo.csv"], "there is no column size\n  hint: Did you mean sizes?"),
        (["new.cvs"], "there is no such file"),
        (["new.csv", "--keep", "sise"], "hint: Did you mean size?"),
        (["own.csv", "--keep", "all"], "the output would have two columns named prediction"),
        (["new.csv", "more.csv", "--keep", "all", "-o", "out.csv"], "more.csv\n  has other columns to keep"),
        (["new.csv", "-o", "out.txt"], "has an unknown extension"),
        (["new.csv", "-o", "no/out.csv"], "there is no such folder"),
        (["new.csv", "-o", "pipe.csv"], "is not a regular file"),
        (["new.csv", "-o", "new.csv"], "would overwrite the rows to predict"),
        (["new.csv", "dataset.target=x"], "is not a setting for reading new rows"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_exit_with_2_and_leave_no_files(words: list[str], told: str, runs: Path) -> None:
    text = Path("new.csv").read_text()
    Path("late.csv").write_text(text.replace("038,", "038,big", 1))
    Path("typo.csv").write_text(text.replace("size", "sizes"))
    Path("own.csv").write_text(text.replace("id", "prediction"))
    Path("more.csv").write_text(text.replace("id", "code"))
    Path("old.csv").write_text("as it was")
    os.mkfifo("pipe.csv")
    files = {*Path().iterdir()}
    done = predict(runs, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert {*Path().iterdir()} == files
    assert Path("old.csv").read_text() == "as it was"


def test_commands_do_not_wait_for_rows_from_a_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(InputError, match="Name a file, or pipe rows in"):
        NewData.of([])


def test_new_rows_with_targets_judge_the_model(
    runs: Path, rows: pd.DataFrame, expected: pd.DataFrame
) -> None:
    some = (rows["coat"] == "true").to_numpy()  # this column alone would be detected as boolean
    rows[some].to_csv("some.csv", index=False)
    done = CliRunner().invoke(app, ["eval", "pets", "--file", "some.csv", "--json", "--runs-dir", str(runs)])
    assert done.exit_code == 0, done.output
    right = (expected["prediction"] == rows["kind"])[some].mean()
    found = json.loads(done.stdout)
    assert found["metrics"]["test/accuracy"] == pytest.approx(right)
    likely = np.where(rows["kind"] == "dog", expected["p(dog)"], expected["p(cat)"])[some]
    assert found["metrics"]["test/log_loss"] == pytest.approx(-np.log(likely).mean(), rel=1e-5)
    rows[some].replace({"kind": {"dog": "dgo"}}).to_csv("some.csv", index=False)
    with pytest.raises(
        DataError, match=r"some\.csv: the class dgo is unknown to the model\n.*Did you mean dog\?"
    ):
        dlcli.evaluate("pets", file="some.csv", runs_dir=runs)


@pytest.mark.parametrize("count", [1, 5])
def test_new_rows_may_be_of_one_class(count: int, runs: Path, rows: pd.DataFrame) -> None:
    rows[rows["kind"] == "dog"][:count].to_csv("dogs.csv", index=False)
    metrics = dlcli.evaluate("pets", file="dogs.csv", runs_dir=runs).values
    found = dlcli.load_run("pets", runs_dir=runs).predict(pd.read_csv("dogs.csv", dtype={"coat": str}))
    assert metrics["test/accuracy"] == pytest.approx((found["prediction"] == "dog").mean())
    assert metrics["test/log_loss"] == pytest.approx(-np.log(found["p(dog)"]).mean(), rel=1e-5)


@pytest.mark.parametrize("text", ["a,n\n1,2\n", "a,n\n1,2\n2,2\n"])
def test_new_targets_may_be_equal(text: str) -> None:
    Path("few.csv").write_text(text)
    model: Any = SimpleNamespace(
        kind="table", preprocessing=None, columns=None, task=SimpleNamespace(kind="regression")
    )
    dataset = {"_target_": "dlcli.datasets.table.load", "path": "old.csv", "target": "n", "types": {}}
    data = labelled_rows(dataset, Path("few.csv"), model)
    assert (set(data.y.tolist()), data.target_kind) == ({2}, "regression")
    with pytest.raises(DataError, match="all rows"):  # is not allowed in training
        load_data({**dataset, "path": "few.csv"})


def test_as_many_classes_as_rows_judge_a_model() -> None:
    Path("few.csv").write_text("a,c\n" + "".join(f"{row},k{row}\n" for row in range(30)))
    task = SimpleNamespace(kind="multiclass", classes=[f"k{number}" for number in range(40)])
    model: Any = SimpleNamespace(kind="table", preprocessing=None, columns=None, task=task)
    dataset = {"_target_": "dlcli.datasets.table.load", "path": "old.csv", "target": "c", "types": {}}
    assert labelled_rows(dataset, Path("few.csv"), model).y.tolist() == list(range(30))


def test_few_numbers_are_not_classes_if_the_run_was_trained_on_numbers() -> None:
    Path("few.csv").write_text("a,n\n1,2\n2,3\n3,2\n")
    model: Any = SimpleNamespace(
        kind="table", preprocessing=None, columns=None, task=SimpleNamespace(kind="regression")
    )
    dataset = {"_target_": "dlcli.datasets.table.load", "path": "old.csv", "target": "n", "types": {}}
    data = labelled_rows({**dataset, "test_path": "gone.csv", "split": "part"}, Path("few.csv"), model)
    assert (data.y.tolist(), data.targets, data.test_rows) == ([2, 3, 2], ("n",), None)
    with pytest.raises(InputError, match="the run's dataset is not read from a file"):
        labelled_rows({"_target_": "dlcli.datasets.bundled.iris"}, Path("few.csv"), model)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
def test_a_full_disk_is_reported_and_the_old_file_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    Path(name).write_text("as it was")
    with pytest.raises(DiskFull, match=f"{name}: no space left"), written_to(Path(name)) as write:
        write(pa.table({"a": [1]}))
    assert Path(name).read_text() == "as it was"
    assert [file.name for file in Path().glob(".*")] == []


@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
def test_unreadable_rows_are_not_attributed_to_the_output(name: str) -> None:
    with pytest.raises(PermissionError, match=r"cat\.png"), written_to(Path(name)) as write:
        write(pa.table({"a": [1]}))
        raise PermissionError(errno.EACCES, "Permission denied", "rows/cat.png")
    assert list(Path().glob("*out*")) == []


def test_a_column_looks_the_same_in_all_pieces() -> None:
    days = pd.to_datetime(
        ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04 10:00", None], format="ISO8601"
    )
    single = np.array([0.1, 1, 2, np.nan, 0.5], np.float32)
    frame = pd.DataFrame(
        {"at": days, "on": days.normalize(), "single": single, "double": single.astype(float)}
    )
    table = pa.Table.from_pandas(frame)
    table = table.set_column(1, "on", table["on"].cast(pa.date32()))
    table = dated(table.append_column("day", table["on"].cast(pa.timestamp("us"))))
    with written_to(Path("out.csv")) as write:
        write(table[:2])
        write(table[2:])
    found = Path("out.csv").read_text().splitlines()
    assert found[1].startswith("2024-01-01 00:00:00,2024-01-01,0.1,0.1")
    assert found[3:] == [
        "2024-01-03 00:00:00,2024-01-03,2.0,2.0,2024-01-03",
        "2024-01-04 10:00:00,2024-01-04,,,2024-01-04",
        ",,0.5,0.5,",
    ]
