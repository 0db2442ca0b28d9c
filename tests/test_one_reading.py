"""A saved model reads files as in training, in every format and with any missing values."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.datasets.reading.column_notices import NewRowCounts
from dlcli.datasets.reading.columns import Columns
from dlcli.errors import Problem
from dlcli.inference.rows import as_rows
from dlcli.inference.saved_model import load_model
from dlcli.result import Result
from dlcli.runner.export import bundle
from dlcli.runs.folder import open_run
from dlcli.serving.bodies import Body
from dlcli.serving.predictor import NotAnswered, Predictor
from dlcli.training.fields import as_fields, first_rows
from tests.generated_tables import LONG, generated

# Tables per format; more to search for mistakes.
EXAMPLES = int(os.environ.get("DLCLI_EXAMPLES", "1"))

QUICK = ["model=linear", "trainer.max_epochs=1", "trainer.accelerator=cpu", "dataset.batch_size=full"]

Write = Callable[[pd.DataFrame, str], object]

FORMATS: dict[str, Write] = {
    "t.csv": lambda frame, name: frame.to_csv(name, index=False),
    "t.tsv": lambda frame, name: frame.to_csv(name, index=False, sep="\t"),
    "t.parquet": lambda frame, name: frame.set_index([frame.index % 3, frame.index], drop=False).to_parquet(
        name
    ),
    "t.jsonl": lambda frame, name: frame.to_json(name, orient="records", lines=True, date_format="iso"),
    "t.xlsx": lambda frame, name: frame.to_excel(name, index=False),
}


def served(run: Path, file: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of a server for a file's text, or for the rows as JSON if the file is no text."""
    opened = open_run(str(run), run.parents[2], trust=False)
    types = {".csv": "text/csv", ".tsv": "text/csv", ".jsonl": "application/x-ndjson"}
    if file.suffix in types:
        body = Body(file.read_bytes(), types[file.suffix])
    else:
        body = Body(frame.to_json(orient="records", date_format="iso").encode(), "application/json")
    (answer,) = Predictor(opened, opened.load_model()).answer([body])
    if isinstance(answer, NotAnswered):
        raise answer.cause
    return pd.DataFrame(answer.predictions).drop(columns="row")


@pytest.mark.filterwarnings("ignore:.* that training did not see:UserWarning")
@pytest.mark.parametrize("seed", range(EXAMPLES))
@pytest.mark.parametrize("name", FORMATS)
def test_the_test_rows_read_back_give_the_recorded_figures(name: str, seed: int) -> None:
    frame = generated(seed + 10 * list(FORMATS).index(name))
    if name == "t.xlsx":
        pytest.importorskip("openpyxl")
        frame = frame.drop(columns=LONG)  # a sheet has 15 digits
    bundles = name == "t.csv"  # one is enough: its graph does not depend on the file's format
    if bundles:
        frame = frame.drop(columns="log times")  # zones are read by no bundle
    FORMATS[name](frame, name)
    table = [
        "dataset=table",
        f"dataset.path={name}",
        "dataset.target=y",
        "dataset.split=part",
        "cv=predefined",
        "dataset.date_format='%d/%m/%Y'",  # of one of the columns
    ]
    trained = dlcli.train([*table, *QUICK])
    tested = frame[frame["part"].isin(["test", "TEST", "holdout"])]
    tested = tested.assign(y=tested["y"].replace("1", "1.0"))  # a class of words in another spelling
    FORMATS[name](tested, f"new-{name}")
    again = dlcli.evaluate(trained.run_dir, file=f"new-{name}").values
    recorded = {key: value for key, value in trained.values.items() if key.startswith("test/")}
    assert again == pytest.approx(recorded, rel=1e-4, abs=1e-5, nan_ok=True)
    doubts = [notice["text"] for notice in trained.notices if notice["key"] == "doubts"]
    assert any("differ only in case" in text for text in doubts)
    columns = json.loads((trained.run_dir / "model" / "columns.json").read_text())["columns"]
    kinds = {column["name"]: column["kind"] for column in columns}
    assert (kinds["booleans"], kinds["codes"], kinds["thousands"], kinds["days first"], kinds["flags"]) == (
        "boolean", "categorical", "numeric", "date", "boolean",
    )  # fmt: skip
    recorded_rows = pd.read_parquet(trained.run_dir / "predictions.parquet").query("split != 'val'")
    predicted = dlcli.predict(trained.run_dir, f"new-{name}")
    assert predicted is not None
    alike = functools.partial(pd.testing.assert_frame_equal, check_dtype=False, rtol=1e-4, atol=1e-5)
    predicted = predicted.drop(columns="row")
    alike(predicted[["prediction"]], recorded_rows[["prediction"]].reset_index(drop=True))
    alike(served(trained.run_dir, Path(f"new-{name}"), tested), predicted)
    in_memory = dlcli.load_run(trained.run_dir).predict(tested.drop(columns=["part", "y"]))
    alike(in_memory.reset_index(drop=True), predicted)
    if bundles:
        pytest.importorskip("onnx", reason="needs the extra onnx")
        # Its script predicts the raw rows in a process of its own.
        made = bundle(str(trained.run_dir), Path("made"))
        assert (made.rows, made.largest_difference < 1e-3) == (len(frame), True)
    assert (kinds["losses"], kinds.get(LONG, "categorical")) == ("numeric", "categorical")
    dated = {"dashes", "months in German", "log times", "compact dates"} & set(frame.columns)
    assert {kinds[name] for name in dated} == {"date"}


def flats() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "price": draw.normal(size=80),
            "zip": [f"{number:05}" for number in range(80)],
            "street": draw.choice(["High", "Low"], 80),
            "later": [None] * 80,
            "y": draw.choice(["no", "yes"], 80),
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("flats")
    flats().to_csv(folder / "flats.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return dlcli.train(["dataset=table", "dataset.path=flats.csv", "dataset.target=y", *QUICK])


def test_skipped_rows_are_reported_and_recorded(trained: Result) -> None:
    (told,) = [notice for notice in trained.notices if notice["key"] == "left_out_columns"]
    assert told["count"] == 2
    assert told["text"] == "left out: zip (identifier), later (empty in the training rows)"
    shown = CliRunner().invoke(app, ["show", str(trained.run_dir)])
    assert "left out: identifier" in shown.output
    document = json.loads(CliRunner().invoke(app, ["show", str(trained.run_dir), "--json"]).stdout)
    assert [column["role"] for column in document["columns"]] == [
        "feature", "left out", "feature", "left out", "target",
    ]  # fmt: skip


def test_new_rows_need_only_the_columns_that_are_used(trained: Result) -> None:
    flats().drop(columns=["zip", "later"]).to_csv("new.csv", index=False)
    few = dlcli.evaluate(trained.run_dir, file="new.csv").values
    flats().assign(later=1e9).to_csv("new.csv", index=False)
    assert dlcli.evaluate(trained.run_dir, file="new.csv").values == pytest.approx(few)


def test_the_exported_network_predicts_the_rows_as_the_model(trained: Result) -> None:
    file = dlcli.export(trained.run_dir, "flats.pt2").file
    model = dlcli.load_run(trained.run_dir)
    rows = flats()
    fields = as_fields(model.preprocessing.transform(as_rows(rows, "table", model.columns)))
    program = torch.export.load(file).module()
    outputs = program(**first_rows(fields, len(rows)))
    pd.testing.assert_frame_equal(model.task.predictions(outputs.detach()), model.predict(rows), rtol=1e-4)


def test_categories_that_training_did_not_see_are_counted(
    trained: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    flats().assign(street=["High", "New"] * 40).to_csv("new.csv", index=False)
    message = "40 of 80 rows have a category of street that does not occur in training"
    found = dlcli.evaluate(trained.run_dir, file="new.csv")
    assert [notice["count"] for notice in found.notices if notice["key"] == "unseen_categories"] == [40]
    assert any(message in text for text in found.messages)
    predicted = CliRunner().invoke(app, ["predict", str(trained.run_dir), "new.csv", "-o", "out.csv"])
    assert message in " ".join(predicted.output.split())
    with pytest.warns(UserWarning, match=message):
        table = dlcli.predict(trained.run_dir, "new.csv")
    (notice,) = [one for one in table.attrs["notices"] if one["warns"]]
    assert (notice["key"], notice["count"]) == ("unseen_categories", 40)
    with pytest.warns(UserWarning, match=message):
        in_memory = dlcli.load_run(trained.run_dir).predict(pd.read_csv("new.csv"))
    assert [one["count"] for one in in_memory.attrs["notices"]] == [40]
    pd.testing.assert_frame_equal(in_memory, table[list(in_memory)], check_dtype=False)
    with pytest.warns(UserWarning, match=message):
        assert dlcli.predict(trained.run_dir, "new.csv", output="out.parquet") is None
    doubt = Problem("'x' is not a number", "new.csv:3, column area", "Correct it.")
    monkeypatch.setattr("dlcli.datasets.notices.warnings_of", lambda notices: [doubt])
    with pytest.warns(UserWarning, match="new.csv:3, column area: 'x' is not a number\n  Correct it."):
        dlcli.predict(trained.run_dir, "new.csv", output="out.parquet")


def test_empty_rows_are_counted_by_every_reader(trained: Result) -> None:
    """Cells of the columns that the model uses: zip and later are left out."""
    rows = flats().drop(columns="zip").assign(zip="x")
    rows.loc[[3, 5], ["price", "street"]] = None
    rows.to_csv("new.csv", index=False)
    text = "2 of 80 rows are empty: what the model says of them rests on missing values"
    found = dlcli.evaluate(trained.run_dir, file="new.csv")
    assert [notice["count"] for notice in found.notices if notice["key"] == "empty_rows"] == [2]
    with pytest.warns(UserWarning, match=text):
        dlcli.predict(trained.run_dir, "new.csv")
    with pytest.warns(UserWarning, match=text):
        in_memory = dlcli.load_run(trained.run_dir).predict(rows)
    opened = open_run(str(trained.run_dir), trained.run_dir.parents[2])
    predictor = Predictor(opened, opened.load_model())
    bodies = [
        Body(Path("new.csv").read_bytes(), "text/csv"),
        Body(b'[{"price": null, "street": null}]', "application/json"),
    ]
    answers = predictor.answer(bodies)
    told = [[one.text for one in answer.notices] for answer in answers if not isinstance(answer, NotAnswered)]
    assert told == [[text], [text.replace("2 of 80 rows are", "1 of 1 rows is")]]
    assert [one["text"] for one in in_memory.attrs["notices"]] == [text]


def test_rows_with_a_single_value_are_counted_where_several_columns_are_used() -> None:
    columns = Columns.of_kinds(dict.fromkeys("abc", "numeric"))
    counts = NewRowCounts(columns)
    counts.add(pd.DataFrame({"a": [1.0, None, None], "b": [2.0, None, None], "c": [3.0, 3.0, None]}))
    counts.add(pd.DataFrame({"a": [1.0], "b": [None], "c": [None]}))
    (told,) = counts.notices()
    assert told.count == 3
    assert told.text.startswith("1 of 4 rows is empty, 2 of 4 rows are empty but for one column: ")
    two = NewRowCounts(Columns.of_kinds(dict.fromkeys("ab", "numeric")))
    two.add(pd.DataFrame({"a": [1.0, 1.0], "b": [None, 2.0]}))
    assert two.notices() == []


def test_a_model_without_columns_reads_by_the_kinds_of_its_preprocessing(trained: Result) -> None:
    model = dlcli.load_run(trained.run_dir)
    assert model.columns is not None
    folder = Path("copy/1/artifacts")
    folder.parent.mkdir(parents=True)
    shutil.copytree(trained.run_dir, folder)
    (folder / "model" / "columns.json").unlink()
    manifest = folder / "model" / "digests.json"
    document = json.loads(manifest.read_text())
    del document["sha256"]["columns.json"]
    manifest.write_text(json.dumps(document))
    old = load_model(folder / "model")
    new = flats().drop(columns=["y", "later"])
    pd.testing.assert_frame_equal(old.predict(new), model.predict(new))
