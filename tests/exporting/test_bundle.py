"""A bundle predicts raw rows like the model, without an installation of dlcli."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import DlcliError, InputError
from dlcli.exporting.bundle import _tied
from dlcli.result import Result
from dlcli.runner.export import bundle

pytest.importorskip("onnx", reason="needs the extra onnx")
pytestmark = pytest.mark.slow  # each bundle is tried in a process of its own


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    found = pd.DataFrame(
        {
            "size": [f"{value:.2f}".replace(".", ",") for value in random.normal(1500, 400, 120)],
            "price": random.choice(["1.234,5 EUR", "12,5 EUR", "7,0 EUR"], 120),
            "coat": random.choice(["long", "short", "1", "a;b"], 120),
            "tame": random.choice(["true", "false"], 120),
            "born": pd.date_range("2020-01-01", periods=120, freq="53D").strftime("%d.%m.%Y"),
            "kind": random.choice(["cat", "dog", "owl"], 120),
            "weight": random.normal(size=120).round(3),
        }
    )
    for number, name in enumerate(("size", "coat", "price", "born", "tame")):
        found.loc[7 + number, name] = None
    return found.dropna(subset="tame")


def train(target: str, *words: str) -> Result:
    others = {"kind", "weight"} - {target}
    table().drop(columns=sorted(others)).to_csv("rows.csv", index=False, sep=";")
    dataset = ["dataset=table", "dataset.path=rows.csv", f"dataset.target={target}"]
    return dlcli.train([*dataset, "model.hidden=4", "trainer.max_epochs=1", *words])


def run_script(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a bundle's script from another folder, with nothing but what it needs on the path."""
    return subprocess.run(
        [sys.executable, "-I", str(folder / "predict.py"), *words],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )


CASES: dict[str, Sequence[str]] = {
    "classes": ("kind",),
    "two classes, min_max, clipped, indicators, rare": (
        "tame",
        "preprocessing.scaling=min_max",
        "preprocessing.outliers=clip",
        "preprocessing.missing_indicator=true",
        "preprocessing.rare=0.3",
    ),
    "ensemble with embeddings, most frequent, robust": (
        "kind",
        "model=tabm",
        "model.members=2",
        "preprocessing.categorical=embedding",
        "preprocessing.missing_category=most_frequent",
        "preprocessing.scaling=robust",
    ),
    "quantiles, ordinal, mean": (
        "weight",
        "task/loss=quantile",
        "task.loss.quantiles=[0.1,0.5,0.9]",
        "preprocessing.categorical=ordinal",
        "preprocessing.missing=mean",
    ),
}


@pytest.mark.filterwarnings("ignore:.* that does not occur in training:UserWarning")
@pytest.mark.parametrize("words", CASES.values(), ids=CASES)
def test_raw_rows_are_predicted_as_by_the_model(words: Sequence[str]) -> None:
    """Decimal commas, units, dates, gaps and unseen categories are read, and encoded, in the same way."""
    result = train(*words)
    made = bundle(str(result.run_dir), Path("made"))
    assert made.rows == 119
    assert made.largest_difference < 1e-3
    new = table().drop(columns=["kind", "weight"])[::-1].head(30)
    new.loc[new.index[0], "coat"] = "curly"
    new.to_csv("new.csv", index=False, sep=";")
    with pytest.warns(
        UserWarning, match="1 of 30 rows have a category of coat that does not occur in training"
    ):
        expected = dlcli.predict(result.run_dir, "new.csv")  # type: ignore[arg-type]
    done = run_script(Path("made"), "new.csv")
    assert done.returncode == 0, done.stderr
    Path("found.csv").write_text(done.stdout)
    found = pd.read_csv("found.csv", dtype={"prediction": expected["prediction"].dtype})  # type: ignore[index]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]


def random_rows() -> pd.DataFrame:
    random = np.random.default_rng(1)
    found = pd.DataFrame(
        {
            "row": random.permutation(120),
            "gr\xf6\xdfe": random.integers(0, 900, 120),
            "coat": random.choice(["K\xe4se", '5" pipe', "1", "1.0"], 120),
            "kind": random.choice(["cat", "dog"], 120),
            "seen": 1.7e9 + random.normal(size=120).round(3) * 1000,
            "left": 1.7e9 + random.normal(size=120).round(3) * 10,
            "wet": random.choice([0, 1], 120),
            "warm": random.choice([0, 1], 120),
        }
    )
    found.loc[:9, "gr\xf6\xdfe"] = -999
    return found


OTHER_FILES: dict[str, tuple[list[str], Sequence[str]]] = {
    "numbers, quantiles of two times, -999, latin-1": (
        ["row", "gr\xf6\xdfe", "seen", "left"],
        ("dataset.target=[seen,left]", "task/loss=quantile", "task.loss.quantiles=[0.1,0.5,0.9]",
         "dataset.missing_values=[-999]", "dataset.encoding=latin-1"),
    ),
    "categories, labels, literal quotes": (
        ["coat", "kind", "wet", "warm"],
        ("dataset.target=[wet,warm]", "dataset.encoding=latin-1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("names, words", OTHER_FILES.values(), ids=OTHER_FILES)
def test_files_are_read_by_the_settings_of_the_run(
    names: list[str], words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle may be the current folder, which stays the same one."""
    random_rows()[names].to_csv("rows.csv", index=False, encoding="latin-1", sep="\t", quoting=csv.QUOTE_NONE)
    dataset = ["dataset=table", "dataset.path=rows.csv", "model.hidden=4", "trainer.max_epochs=1"]
    result = dlcli.train([*dataset, *words])
    run, made = Path(result.run_dir).resolve(), Path("made").resolve()
    made.mkdir()
    before = made.stat()
    data = f"dataset.path={Path('rows.csv').resolve()}"
    monkeypatch.chdir(made)
    found = bundle(str(run), Path(), [data])
    assert found.rows == 120 and os.path.samestat(before, Path().stat())
    assert not [file for file in made.iterdir() if file.name.startswith(".")]
    assert found.largest_difference < 0.1
    assert run_script(made, "--check").returncode == 0


@pytest.mark.filterwarnings("ignore:.* that training did not see:UserWarning")
@pytest.mark.parametrize("target", ["kind", "tame", "weight"])
def test_models_of_folds_and_runs_predict_raw_rows_as_one(target: str) -> None:
    several = train(target, "cv=kfold", "cv.folds=2")
    ref = str(several.run_dir)
    if target == "kind":
        other = train(target, "model.hidden=3", "preprocessing.scaling=robust")
        ref = f"{several.run_id},{other.run_id}"
    made = bundle(ref, Path("made"))
    assert made.largest_difference < 1e-3
    members = json.loads(Path("made/bundle.json").read_text())["members"]
    assert [member["weight"] for member in members] == ([1, 1, 2] if target == "kind" else [1, 1])
    new = table().drop(columns=["kind", "weight", *(["tame"] if target == "tame" else [])])[::-1].head(30)
    new.to_csv("new.csv", index=False, sep=";")
    expected = dlcli.predict(ref, "new.csv")
    assert expected is not None and "spread" in expected
    done = run_script(Path("made"), "new.csv")
    assert done.returncode == 0, done.stderr
    Path("found.csv").write_text(done.stdout)
    found = pd.read_csv("found.csv", dtype={"prediction": expected["prediction"].dtype})
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-3, atol=1e-4)
    assert run_script(Path("made"), "--check").returncode == 0
    assert f"the mean of {len(members)} models (TabM)" in Path("made/README.md").read_text()


@pytest.mark.parametrize(("target", "trees"), [("tame", 4), pytest.param("kind", 2, marks=pytest.mark.long)])
def test_equal_votes_of_trees_are_no_difference(target: str, trees: int) -> None:
    """Forests of three folds: votes are equal in many rows, and rounding decides on the class."""
    other = {"tame": "kind", "kind": "tame"}[target]
    table().drop(columns=[other, "weight"]).to_csv("r.csv", index=False, sep=";")
    words = ["dataset=table", "dataset.path=r.csv", f"dataset.target={target}", "cv=kfold", "cv.folds=3"]
    run = dlcli.train([*words, "model=random_forest", f"model.n_estimators={trees}", "baseline=none"])
    made = bundle(str(run.run_dir), Path("made"))
    assert made.largest_difference < 1e-3
    assert run_script(made.folder, "--check").returncode == 0


def test_a_class_that_rounding_does_not_decide_on_is_a_difference() -> None:
    p = {"name": "p(b)", "kind": "number", "index": 1, "center": 0.0, "scale": 1.0}
    above = {"name": "prediction", "kind": "above", "index": 1, "above": 0.5, "names": ["a", "b"]}
    spread = {"name": "spread", "kind": "spread", "of": above, "center": 0.0, "scale": 1.0}
    expected = pd.DataFrame({"prediction": list("abb"), "p(b)": [0.49999, 0.51, 0.9], "spread": 0.1})
    found = expected.assign(prediction=list("baa"))
    for output in (above, spread):
        assert _tied(output, [above, p, spread], found, expected).tolist() == [True, False, False]
        assert not _tied(output, [above, p, spread], expected, expected).any()
    assert not _tied(p, [above, p, spread], found, expected).any()
    largest = {"name": "prediction", "kind": "largest", "names": ["a", "b"]}
    other = {**p, "name": "p(a)", "index": 0}
    shares = expected.assign(**{"p(a)": 1 - expected["p(b)"]})
    assert _tied(largest, [largest, other, p], found, shares).tolist() == [True, False, False]


def test_only_the_most_probable_classes_are_tied() -> None:
    names = ["a", "b", "c"]
    p = [
        {"name": f"p({name})", "kind": "number", "index": place, "center": 0.0, "scale": 1.0}
        for place, name in enumerate(names)
    ]
    largest = {"name": "prediction", "kind": "largest", "names": names}
    shares = {"p(a)": 0.4, "p(b)": [0.4, 0.4, 0.3, 0.4], "p(c)": [0.2, 0.2, 0.3, 0.2]}
    expected = pd.DataFrame({"prediction": list("aaaa"), **shares})
    found = expected.assign(prediction=["b", "c", "c", "owl"])
    assert _tied(largest, [largest, *p], found, expected).tolist() == [True, False, False, False]


def test_the_folder_holds_all_that_is_needed_and_no_training_row() -> None:
    result = train("kind")
    done = CliRunner().invoke(app, ["export", str(result.run_dir), "--bundle", "made", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows_compared"] == 119
    made = Path("made")
    assert sorted(file.name for file in made.iterdir()) == [
        "Dockerfile",
        "README.md",
        "bundle.json",
        "example.csv",
        "expected.csv",
        "model.onnx",
        "predict.py",
        "requirements.txt",
    ]
    script = (made / "predict.py").read_text()
    assert len(script.splitlines()) <= 200
    assert "dlcli" not in script and "torch" not in script
    pins = (made / "requirements.txt").read_text().split()
    assert [pin.partition("==")[0] for pin in pins] == ["numpy", "onnxruntime"] and all(
        "==" in p for p in pins
    )
    card = (made / "README.md").read_text()
    assert "test/accuracy" in card and " to " in card and "## Limits" in card
    training = {tuple(row) for row in csv.reader(Path("rows.csv").read_text().splitlines(), delimiter=";")}
    example = [
        tuple(row) for row in csv.reader((made / "example.csv").read_text().splitlines(), delimiter=";")
    ]
    assert not {row[:5] for row in training} & set(example[1:])
    checked = run_script(made, "--check")
    assert checked.returncode == 0 and checked.stdout.endswith("are those of expected.csv.\n")
    expected = made / "expected.csv"
    expected.write_text(expected.read_text().replace("0.", "0.9", 1))
    done_again = run_script(made, "--check")
    assert done_again.returncode == 1 and "DIFFER" in done_again.stderr
    header, first, *others = expected.read_text().splitlines()
    expected.write_text("\n".join([header, first.replace(first.split(",")[1], "horse", 1), *others]))
    with_other_class = run_script(made, "--check")
    assert with_other_class.returncode == 1 and "DIFFER" in with_other_class.stderr
    no_file = run_script(made, "none.csv")
    assert no_file.returncode == 1 and "none.csv" in no_file.stderr and "Traceback" not in no_file.stderr
    (made / "bad.csv").write_text("size;price;coat;tame;born\nwide;7,0 EUR;long;true;01.01.2020\n")
    wrong = run_script(made, str(made / "bad.csv"))
    assert wrong.returncode == 1 and "bad.csv:2, column size" in wrong.stderr


def test_what_has_no_counterpart_is_refused_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = train("kind", "preprocessing.scaling=quantile")
    with pytest.raises(InputError, match="QuantileTransformer has no counterpart"):
        bundle(str(result.run_dir), Path("made"))
    table()[["weight", "tame"]].to_csv("blanks.txt", index=False, sep=" ")
    dataset = ["dataset=table", "dataset.path=blanks.txt", "dataset.target=tame"]
    blanks = dlcli.train([*dataset, "model.hidden=4", "trainer.max_epochs=1"])
    with pytest.raises(InputError, match="separated by blanks are not supported"):
        bundle(str(blanks.run_dir), Path("made"))
    other = train("kind")
    Path("taken").mkdir()
    Path("taken/file").touch()
    with pytest.raises(InputError, match="is not empty"):
        bundle(str(other.run_dir), Path("taken"))
    monkeypatch.setattr("dlcli.exporting.bundle.head_of", lambda task: _Wrong())
    with pytest.raises((DlcliError, IndexError)):
        bundle(str(other.run_dir), Path("made"))
    assert not Path("made").exists() and not list(Path().glob(".made*"))
    both = CliRunner().invoke(app, ["export", str(other.run_dir), "--bundle", "made", "-o", "made.onnx"])
    assert both.exit_code == 2 and "name a file, a format or a folder" in both.output


if importlib.util.find_spec("torch"):
    import torch

    class _Wrong(torch.nn.Module):
        """A head that is a little wrong."""

        def forward(self, outputs: torch.Tensor) -> torch.Tensor:
            return (outputs * 1.1).softmax(dim=1)
