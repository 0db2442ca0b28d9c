"""Complete runs on table files: training, record, evaluation, and predictions for new rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import ConfigError, DataError
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger

QUICK = ["model.hidden=16", "optimizer.lr=0.02", "trainer.max_epochs=8", "trainer.accelerator=cpu"]


def birds() -> pd.DataFrame:
    """Return two classes that differ in size and color, with missing values, a date and booleans."""
    draw = np.random.default_rng(0)
    kind = draw.choice(["finch", "owl"], 160)
    owl = kind == "owl"
    frame = pd.DataFrame(
        {
            "ring": np.arange(160),
            "size": draw.normal(size=160) + 3 * owl,
            "color": np.where(owl, draw.choice(["brown", "grey"], 160), draw.choice(["grey", "green"], 160)),
            "seen": pd.date_range("2024-01-01", periods=160).strftime("%Y-%m-%d"),
            "at night": owl ^ (draw.random(160) < 0.1),
            "kind": kind,
        }
    )
    frame.loc[::7, "size"] = None
    frame.loc[::9, "color"] = None
    return frame


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("birds")
    birds().to_csv(folder / "birds.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return dlcli.train(
            ["dataset=table", "dataset.path=birds.csv", "dataset.target=kind", "dataset.drop=[ring]", *QUICK]
        )


def test_it_trains_and_reports_the_fitted_rows(trained: Result) -> None:
    assert trained.metrics["test/accuracy"] > 0.85
    ledger = Ledger.load(trained.run_dir)
    assert ledger.tags["dlcli.preprocessing"] == "fitted on 109 of 160 rows; 0 validation or test rows seen"
    assert ledger.tags["dlcli.auto.model.members"] == "8 for 109 training rows"
    assert ledger.about["panel"]["members"] == "auto: 8 for 109 training rows"
    assert ledger.about["panel"]["numbers"] == "auto: plain for 109 training rows"
    assert ledger.about["panel"]["batch_size"] == "auto: 32 for 109 training rows"
    config = yaml.safe_load((trained.run_dir / "config.yaml").read_text())
    assert Path(config["dataset"]["path"]).is_absolute()
    assert config["task"]["_target_"].endswith("Binary")
    assert config["dataset"]["batch_size"] == 32
    saved = json.loads((trained.run_dir / "model" / "model.json").read_text())["model"]
    assert (saved["members"], saved["numbers"]) == (8, "plain")


def test_eval_from_another_folder(trained: Result) -> None:
    again = dlcli.evaluate(trained.run_dir)
    assert again.metrics["test/loss"] == pytest.approx(trained.metrics["test/loss"], abs=1e-6)


def test_new_rows_are_predicted(trained: Result) -> None:
    model = dlcli.load_run(trained.run_dir)
    expected = model.predict(birds().drop(columns="kind"))
    assert set(expected["prediction"]) == {"finch", "owl"}
    new = birds().head(3).assign(color=["never seen", None, "grey"], size=[None, "3.5", 2], note="x")
    with pytest.warns(
        UserWarning, match="1 of 3 rows have a category of color that does not occur in training"
    ):
        assert len(model.predict(new)) == 3
    with pytest.raises(DataError, match=r"there is no column size\n  Did you mean Size?"):
        model.predict(birds().rename(columns={"size": "Size"}))


def test_arrays_are_rows_too(tmp_path: Path) -> None:
    """Columns of an array without names are those of the training rows in order."""
    model = dlcli.load_run(
        dlcli.train(
            ["dataset=iris", "model=linear", "trainer.max_epochs=1", f"runs_dir='{tmp_path}'"]
        ).run_dir
    )
    from dlcli.datasets.bundled import iris

    table = iris().x
    assert model.predict(table.to_numpy()).equals(model.predict(table))
    with pytest.raises(DataError, match="there is no column"):
        model.predict(table.to_numpy()[:, :3])


def test_folds_resume_and_dropped_rows() -> None:
    frame = birds()
    pd.concat([frame, frame.head(20)]).to_csv("birds.csv", index=False)
    table = ["dataset=table", "dataset.path=birds.csv", "dataset.target=kind", *QUICK]
    result = dlcli.train(
        [*table, "cv=kfold", "cv.folds=2", "trainer.max_epochs=2", "preprocessing.duplicates=drop",
         "preprocessing.missing=drop"]
    )  # fmt: skip
    for fold in result.folds:
        proof = Ledger.load(fold.run_dir).tags["dlcli.preprocessing"]
        assert "0 validation or test rows seen" in proof
        assert "training rows dropped" in proof
    held_out = [
        len(pd.read_parquet(fold.run_dir / "predictions.parquet").query("split == 'held-out'"))
        for fold in result.folds
    ]
    assert sum(held_out) == 180
    assert dlcli.resume(result.run_dir, ["trainer.max_epochs=3"]).status == "FINISHED"


def test_a_column_defines_the_split() -> None:
    frame = birds().assign(part=["train", "train", "val", "test"] * 40)
    frame.to_parquet("birds.parquet")
    result = dlcli.train(
        ["dataset=table", "dataset.path=birds.parquet", "dataset.target=kind", "dataset.split=part",
         "cv=predefined", *QUICK]
    )  # fmt: skip
    predictions = pd.read_parquet(result.run_dir / "predictions.parquet")
    assert predictions.groupby("split").size().to_dict() == {"final test": 40, "val": 40}


def test_check_and_train_warn() -> None:
    birds().to_csv("birds.csv", index=False)
    table = ["dataset=table", "dataset.path=birds.csv", "dataset.target=kind", "trainer.max_epochs=1"]
    checked = CliRunner().invoke(app, ["check", "--json", *table])
    data = json.loads(checked.stdout)["data"]
    assert data["classes"] == birds()["kind"].value_counts().sort_index().to_dict()
    assert [column["kind"] for column in data["columns"]] == [
        "numeric", "numeric", "categorical", "date", "boolean",
    ]  # fmt: skip
    assert [warning["where"] for warning in data["warnings"]] == ["column seen", "column ring"]
    trained = CliRunner().invoke(app, ["train", *table])
    assert "warning: column ring: is a row number" in trained.output
    assert trained.output.count("hint: run dlcli check") == 1


def test_embeddings_of_categories_are_trained_and_saved() -> None:
    birds().to_csv("birds.csv", index=False)
    table = [
        "dataset=table",
        "dataset.path=birds.csv",
        "dataset.target=kind",
        "preprocessing.categorical=embedding",
    ]
    result = dlcli.train([*table, *QUICK])
    model = dlcli.load_run(result.run_dir)
    assert [column.num_embeddings for column in model.network.model.categories.columns] == [5]
    new = birds().head(2).assign(color=["never seen", "owl-coloured"])
    with pytest.warns(UserWarning, match="2 of 2 rows have a category of color"):
        assert len(model.predict(new)) == 2
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/plain.yaml").write_text(
        "# Without.\n_target_: torch.nn.Linear\nin_features: 1\nout_features: 2\n"
    )
    with pytest.raises(ConfigError, match="Linear has no embeddings for categorical columns"):
        dlcli.train([*table, "model=plain"], conf_dirs=["conf"])


TABM = ["model=tabm", "model.members=3", "model.hidden=8", "preprocessing.categorical=embedding"]


def test_an_ensemble_resumes_to_the_same_bits_and_predicts_as_one_model() -> None:
    birds().to_csv("birds.csv", index=False)
    table = ["dataset=table", "dataset.path=birds.csv", "dataset.target=kind", *TABM]
    whole = dlcli.train([*table, "trainer.max_epochs=2"])
    part = dlcli.train([*table, "trainer.max_epochs=1"])
    extended = dlcli.resume(part.run_dir, ["trainer.max_epochs=2"])
    assert extended.metrics["val/loss"] == whole.metrics["val/loss"]
    saved = [Path(run.run_dir, "model", "weights.safetensors").read_bytes() for run in (whole, extended)]
    assert saved[0] == saved[1]
    found = dlcli.predict(whole.run_dir, "birds.csv")
    probabilities = found[["p(finch)", "p(owl)"]]
    assert len(found) == 160
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("file", "target", "metric", "least", "more"),
    [
        ("penguins.csv", "species", "test/accuracy", 0.95, []),
        (
            "winequality-white.csv",
            "c11",
            "test/accuracy",
            0.45,
            ["model.members=2", "dataset.batch_size=128"],
        ),
    ],
)
def test_models_learn_real_files(
    file: str, target: str, metric: str, least: float, more: list[str], shared_data: Path
) -> None:
    path = shared_data / "tabular" / file
    words = ["dataset=table", f"dataset.path='{path}'", f"dataset.target={target}", *QUICK]
    result = dlcli.train([*words, *more])
    assert result.metrics[metric] > least
