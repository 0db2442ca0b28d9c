"""Complete runs in this process: the results of `dlcli train` and `dlcli eval`."""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.datasets.bundled import iris
from dlcli.errors import ConfigError, CorruptRun, DataError, RunNotFound
from dlcli.result import Result
from dlcli.splits.split import Split
from dlcli.tracking.ledger import Ledger
from dlcli.training import fit as fitting
from tests.resealing import reseal

QUICK = [
    "dataset=iris",
    "model=mlp",
    "model.hidden=16",
    "optimizer.lr=0.02",
    "trainer.max_epochs=12",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One run that the tests below look at."""
    return dlcli.train([*QUICK, f"runs_dir='{tmp_path_factory.mktemp('runs')}'", "run_name=first"])


def test_the_default_experiment_learns(trained: Result) -> None:
    assert trained.status == "FINISHED"
    assert trained.metrics["test/accuracy"] > 0.85
    assert set(trained.values) >= {f"{part}/{name}" for part in ("val", "test") for name in ("loss", "f1")}
    assert dict(trained.metrics["value"]) == trained.values
    tested = trained.metrics.loc["test/accuracy"]
    assert tested["baseline"] == trained.baselines["test/accuracy"]
    assert 0 < tested["low"] < tested["value"] <= tested["high"] <= 1


def test_the_folder_is_complete(trained: Result) -> None:
    names = {
        file.relative_to(trained.run_dir).as_posix() for file in trained.run_dir.rglob("*") if file.is_file()
    }
    assert names == {
        "config.yaml", "overrides.txt", "environment.txt", "ledger.json", "metrics.jsonl", "split.npz", "seal.json",
        "mlflow.json",
        "predictions.parquet", "model_summary.txt", "checkpoints/last.ckpt",
        "checkpoints/digests.json", "model/digests.json", "model/MLmodel", "model/model.json",
        "model/labels.json", "model/columns.json", "model/preprocessing.skops", "model/weights.safetensors",
        "model/requirements.txt", "model/input_example.json", "model/serving_input_example.json",
        "model/python_env.yaml", "plots/confusion_matrix.png", "plots/learning_curves.png", "plots/roc.png",
        "plots/precision_recall.png", "plots/reliability.png", "breakdown.csv",
    }  # fmt: skip
    assert (trained.run_dir / "overrides.txt").read_text().splitlines()[: len(QUICK)] == QUICK
    assert yaml.safe_load((trained.run_dir / "config.yaml").read_text())["model"]["hidden"] == 16


def test_mlflow_has_the_same_record(trained: Result) -> None:
    client = MlflowClient(trained.tracking_uri)
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert Path(run.info.artifact_uri.removeprefix("file://")) == trained.run_dir
    assert run.data.params["model.hidden"] == "16"
    assert run.data.params["optimizer.lr"] == "0.02"
    assert run.data.tags["dlcli.kind"] == "run"
    assert run.data.tags["dlcli.seed"] == "0"
    assert run.data.metrics["test/accuracy"] == trained.metrics["test/accuracy"]
    losses = client.get_metric_history(trained.run_id, "train/loss")
    assert [entry.step for entry in losses] == list(range(1, 13))
    for name in ("val/f1", "lr", "samples_per_second"):
        assert len(client.get_metric_history(trained.run_id, name)) == 12
    assert {key: run.data.params[key] for key in ("dataset", "model", "optimizer", "task")} == {
        "dataset": "iris", "model": "mlp", "optimizer": "adam", "task": "multiclass"
    }  # fmt: skip
    assert not [key for key, value in run.data.params.items() if "_target_" in key or value in ("None", "{}")]
    assert "runs_dir" not in run.data.params
    contexts = {tag.value for given in run.inputs.dataset_inputs for tag in given.tags}
    assert contexts == {"train", "val", "final test"}


def test_predictions_are_those_of_the_judged_rows(trained: Result) -> None:
    table = pd.read_parquet(trained.run_dir / "predictions.parquet")
    split = Split.load(trained.run_dir / "split.npz")
    assert table["row"].tolist() == [*split.val, *split.test]
    test = table[table["split"] == "final test"]
    assert (test["prediction"] == test["target"]).mean() == pytest.approx(trained.metrics["test/accuracy"])
    assert test.filter(like="p(").sum(axis=1).to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("part", ["val", "test"])
def test_eval_repeats_the_figures(trained: Result, part: str) -> None:
    again = dlcli.evaluate(trained.run_dir, part)
    assert again.values
    for name, value in again.values.items():
        assert value == pytest.approx(trained.metrics[name], abs=1e-6), name


def test_a_copied_folder_evaluates_too(trained: Result, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.run_dir, tmp_path / "elsewhere")
    assert dlcli.evaluate(copy).metrics["test/f1"] == pytest.approx(trained.metrics["test/f1"], abs=1e-6)


@pytest.mark.parametrize("ref", ["last", "first", "ID", "PREFIX"])
def test_a_run_is_found_by(trained: Result, ref: str) -> None:
    ref = {"ID": trained.run_id, "PREFIX": trained.run_id[:8]}.get(ref, ref)
    runs_dir = trained.run_dir.parents[2]
    assert dlcli.evaluate(ref, runs_dir=runs_dir).run_id == trained.run_id


def test_a_run_that_is_not_there(trained: Result) -> None:
    with pytest.raises(RunNotFound, match="frist"):
        dlcli.evaluate("frist", runs_dir=trained.run_dir.parents[2])


def test_raw_rows_are_predicted(trained: Result) -> None:
    data = iris()
    split = Split.load(trained.run_dir / "split.npz")
    model = dlcli.load_run(trained.run_dir)
    predicted = model.task.predictions(model.outputs(data.x.iloc[split.test]))
    truth = np.array(data.classes)[data.y[split.test]]
    assert (predicted["prediction"] == truth).mean() == pytest.approx(trained.metrics["test/accuracy"])


@pytest.mark.filterwarnings("ignore:.*Any type hint")  # mlflow.pyfunc says so of itself
def test_mlflow_loads_the_model_without_dlcli_in_the_way(
    trained: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained.tracking_uri)
    model = mlflow.pyfunc.load_model(f"runs:/{trained.run_id}/model")
    predicted = model.predict(iris().x)
    assert list(predicted.columns) == ["prediction", "p(setosa)", "p(versicolor)", "p(virginica)"]
    assert len(predicted) == 150


def test_the_same_seed_gives_the_same_bits(trained: Result, tmp_path: Path) -> None:
    again = dlcli.train([*QUICK, f"runs_dir='{tmp_path}'"])
    weights = [(result.run_dir / "model" / "weights.safetensors").read_bytes() for result in (trained, again)]
    assert weights[0] == weights[1]
    assert again.values == trained.values
    other = dlcli.train([*QUICK, f"runs_dir='{tmp_path}'", "seed=1"])
    assert (other.run_dir / "model" / "weights.safetensors").read_bytes() != weights[0]
    splits = {(result.run_dir / "split.npz").read_bytes() for result in (trained, again, other)}
    assert len({Split.load(r.run_dir / "split.npz").fingerprint for r in (trained, again, other)}) == 1, (
        splits
    )


def test_training_leaves_the_random_state_of_a_notebook_alone(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    dlcli.train([*QUICK, f"runs_dir='{tmp_path}'", "trainer.max_epochs=1"])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [("cnn", "sgd"), ("lstm", "rmsprop"), ("mlp", "adadelta")],
)
def test_models_and_optimizers_on_digits(model: str, optimizer: str, tmp_path: Path) -> None:
    result = dlcli.train(
        [
            "dataset=digits",
            f"model={model}",
            f"optimizer={optimizer}",
            "trainer.max_epochs=3",
            f"runs_dir='{tmp_path}'",
        ]
    )
    assert result.metrics["test/accuracy"] > 0.5
    assert dlcli.evaluate(result.run_dir).metrics["test/loss"] == pytest.approx(
        result.metrics["test/loss"], abs=1e-6
    )


@pytest.mark.parametrize(
    "options",
    [
        ["trainer.precision=bf16-mixed"],
        ["trainer.gradient_clip_val=1.0", "trainer.accumulate_grad_batches=2"],
        ["trainer.deterministic=true", "monitor=val/accuracy", "mode=max"],
        ["trainer.max_time='00:00:10:00'", "callbacks=none"],
        ["cv.val_size=0", "monitor=train/loss"],
        ["cv.test_size=0"],
    ],
    ids=" ".join,
)
def test_options_of_the_trainer_train(options: list[str], tmp_path: Path) -> None:
    result = dlcli.train([*QUICK, "trainer.max_epochs=3", *options, f"runs_dir='{tmp_path}'"])
    assert result.status == "FINISHED"
    assert result.values


def test_early_stopping_stops_early(tmp_path: Path) -> None:
    result = dlcli.train(
        [
            *QUICK,
            "trainer.max_epochs=200",
            "optimizer.lr=0",  # no epoch is better than the first
            "callbacks.early_stopping.patience=2",
            f"runs_dir='{tmp_path}'",
        ]
    )
    epochs = {
        json.loads(line)["step"]
        for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()
        if "train/loss" in line
    }
    best = MlflowClient(result.tracking_uri).get_run(result.run_id).data.metrics["best/epoch"]
    assert (best, epochs) == (1, {1, 2, 3})


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["model=cnn", "dataset=iris"], "CNN takes audio or image data, but iris is table data"),
        (
            ["model=lstm", "dataset=iris"],
            "Recurrent takes audio, image, sequence, tokens or words data, but iris is table data",
        ),
        (["monitor=val/acuracy"], "val/acuracy is monitored, but never logged"),
        (["cv.val_size=0"], "val/loss is monitored, but there are no validation rows"),
        (["model.channels=[8,8,8,8]"], "an image of 8 x 8 pixels is too small for block 4 of 4"),
    ],
)
def test_mistakes_are_found_before_a_run_is_made(overrides: list[str], text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        dlcli.train([*overrides, f"runs_dir='{tmp_path}/runs'"])
    assert not (tmp_path / "runs").exists()


def test_eval_refuses_other_data(trained: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(trained.run_dir, tmp_path / "run")
    Ledger.load(copy).add_tags({"dlcli.data_fingerprint": "0" * 32})
    with pytest.raises(DataError, match="the data differs from that of the run"):
        dlcli.evaluate(copy)


@pytest.mark.parametrize("file", ["weights.safetensors", "preprocessing.skops", "model.json", "labels.json"])
def test_a_damaged_model_is_named(trained: Result, file: str, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.run_dir, tmp_path / "run")
    content = (copy / "model" / file).read_bytes()
    (copy / "model" / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptRun, match=f"{file}: differs from what was recorded"):
        dlcli.evaluate(copy)
    (copy / "model" / file).unlink()
    with pytest.raises(CorruptRun, match=f"{file}: is missing"):
        dlcli.evaluate(copy)


def test_a_model_that_names_foreign_code_is_not_run(trained: Result, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.run_dir, tmp_path / "run")
    description = json.loads((copy / "model" / "model.json").read_text())
    description["model"]["_target_"] = "os.system"
    (copy / "model" / "model.json").write_text(json.dumps(description))
    reseal(copy)
    with pytest.raises(CorruptRun, match=r"os\.system"):
        dlcli.evaluate(copy)


def test_a_command_reaches_its_epochs_in_eight_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, chains, package = fitting.run_epochs, [], Path(dlcli.__file__).parent

    def run(*arguments: Any) -> Any:
        code = [frame.f_code for frame, _ in traceback.walk_stack(sys._getframe())]
        own = [
            f"{Path(c.co_filename).stem}.{c.co_name}" for c in code if package in Path(c.co_filename).parents
        ]
        chains.append(own[: own.index("train.train") + 1])
        return original(*arguments)

    monkeypatch.setattr(fitting, "run_epochs", run)
    words = ["train", *QUICK, "trainer.max_epochs=1", "cv=kfold", "cv.folds=2", "--runs-dir", str(tmp_path)]
    words += ["executor.stack=false"]  # folds that are trained together take one more
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(chains) == 2
    # Each of these functions makes one call, the last one that of the loop over epochs.
    assert len(chains[0]) <= 8, " < ".join(chains[0])
