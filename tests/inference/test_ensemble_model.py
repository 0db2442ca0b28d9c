"""Ensembles of the models of a cross-validation's folds or of several runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import CorruptRun, DataError, InputError
from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.member_outline import merged_facts
from dlcli.result import Result
from dlcli.tasks.losses import Quantile
from dlcli.tasks.regression import Regression
from dlcli.tracking.ledger import Ledger

# A fold does not see the rare category if its only training row is held out; the ensemble does.
pytestmark = pytest.mark.filterwarnings("ignore:.* have a category of coat:UserWarning")

QUICK = ["model=mlp", "model.hidden=4", "trainer.max_epochs=2", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensembles")
    random = np.random.default_rng(0)
    size = random.normal(size=90).round(3)
    rare = ["rare" if row in (3, 70) else name for row, name in enumerate(random.choice(["a", "b"], 90))]
    kind = np.where(size + random.normal(size=90) / 2 > 0, "dog", "cat")
    pets = pd.DataFrame({"size": size, "coat": rare, "kind": kind, "age": 1000 + 50 * size})
    pets.to_csv(folder / "pets.csv", index=False)
    return folder


def train(folder: Path, target: str, name: str, *words: str) -> Result:
    dropped = "age" if target == "kind" else "kind"
    data = ["dataset=table", f"dataset.path='{folder}/pets.csv'", f"dataset.target={target}"]
    own = [f"dataset.drop=[{dropped}]", f"run_name={name}", f"runs_dir='{folder}/runs'"]
    return dlcli.train([*data, *own, *QUICK, *words])


@pytest.fixture(scope="module")
def classes(folder: Path) -> Result:
    words = ("cv=stratified_kfold", "cv.folds=3", "cv.test_size=0.2", "+task.tune_threshold=f1")
    return train(folder, "kind", "classes", *words)


@pytest.fixture(scope="module")
def numbers(folder: Path) -> Result:
    return train(folder, "age", "numbers", "cv=kfold", "cv.folds=3", "cv.test_size=0.2", "cv.refit=true")


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "pets.csv")


def loaded(result: Result, **options: Any) -> Any:
    return dlcli.load_run(result.run_dir, **options)


def test_classes_follow_from_the_mean_probability(folder: Path, classes: Result) -> None:
    ensemble, new = loaded(classes), rows(folder)
    assert isinstance(ensemble, Ensemble)
    members = [loaded(fold).predict(new) for fold in classes.folds]
    found = ensemble.predict(new)
    of_members = np.stack([one["p(dog)"] for one in members])
    np.testing.assert_allclose(found["p(dog)"], of_members.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["spread"], of_members.std(axis=0), atol=1e-6)
    tuned = Ledger.load(classes.run_dir).result["tuned"]  # on all held-out rows together
    assert ensemble.task.threshold == pytest.approx(tuned["tuned_threshold"])
    above = found["p(dog)"] > np.float32(ensemble.task.threshold)
    assert (found["prediction"] == np.where(above, "dog", "cat")).all()


def test_values_are_averaged_in_the_users_unit(folder: Path, numbers: Result) -> None:
    """Each fold has scaled its targets by its own mean and deviation."""
    new = rows(folder)
    members = np.stack([loaded(fold).predict(new)["prediction"] for fold in numbers.folds])
    found = loaded(numbers, use="folds").predict(new)
    np.testing.assert_allclose(found["prediction"], members.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["spread"], members.std(axis=0), atol=1e-3)


def test_the_refitted_model_predicts_unless_the_folds_are_asked_for(folder: Path, numbers: Result) -> None:
    new = str(folder / "pets.csv")
    command = ["predict", str(numbers.run_dir), new, "--json"]
    by_default, folds = (
        json.loads(CliRunner().invoke(app, [*command, *words]).stdout) for words in ((), ("--use", "folds"))
    )
    assert by_default["members"] == []
    assert folds["members"] == [fold.run_id for fold in numbers.folds]
    assert "spread" in folds["predictions"][0]
    assert "spread" not in by_default["predictions"][0]
    told = CliRunner().invoke(app, command).stderr
    assert "The refitted model (cv.refit=true) predicts; --use folds selects the mean" in " ".join(
        told.split()
    )


def test_a_cross_validation_is_evaluated_on_its_final_test_rows(folder: Path, classes: Result) -> None:
    found = dlcli.evaluate(classes.run_dir)
    parts = np.load(classes.run_dir / "split.npz")
    predicted = loaded(classes).predict(rows(folder).iloc[parts["test"]])
    right = predicted["prediction"].to_numpy() == rows(folder)["kind"].to_numpy()[parts["test"]]
    assert found.metrics["test/accuracy"] == pytest.approx(right.mean())
    assert "The mean of the models of 3 folds predicts." in found.messages


def test_runs_separated_by_commas_are_an_ensemble(folder: Path, classes: Result) -> None:
    folds = [str(fold.run_dir) for fold in classes.folds[:2]]
    new = rows(folder)
    members = np.stack([loaded(fold).predict(new)["p(dog)"] for fold in classes.folds[:2]])
    found = dlcli.predict(",".join(folds), folder / "pets.csv")
    assert found is not None
    np.testing.assert_allclose(found["p(dog)"], members.mean(axis=0), rtol=1e-5)
    assert len(dlcli.load_run(f"{folds[0]},{classes.run_dir}").members) == 3  # type: ignore[attr-defined]


def test_two_runs_have_the_same_weight_whatever_their_folds(folder: Path, classes: Result) -> None:
    other = train(folder, "kind", "single", "cv.seed=1")
    new = rows(folder)
    single, folds = (loaded(one).predict(new)["p(dog)"] for one in (other, classes))
    both = dlcli.load_run(f"{other.run_dir},{classes.run_dir}").predict(new)
    np.testing.assert_allclose(both["p(dog)"], (single + folds) / 2, rtol=1e-5)
    with pytest.raises(DataError, match="was trained on"):
        dlcli.evaluate(f"{other.run_dir},{classes.run_dir}")


def test_runs_that_do_not_fit_together_are_refused(folder: Path, classes: Result, numbers: Result) -> None:
    with pytest.raises(InputError, match="in their task: Binary and Regression"):
        dlcli.load_run(f"{classes.run_dir},{numbers.run_dir}")
    with pytest.raises(InputError, match="Name it once"):
        dlcli.load_run(f"{classes.run_dir},{classes.run_dir}")
    with pytest.raises(InputError, match="has no refitted model"):
        loaded(classes, use="refit")
    renamed = rows(folder).rename(columns={"size": "height"})
    (folder / "more").mkdir()
    renamed.to_csv(folder / "more" / "pets.csv", index=False)
    other = dlcli.train(
        [
            "dataset=table",
            f"dataset.path='{folder}/more/pets.csv'",
            "dataset.target=kind",
            "dataset.drop=[age]",
            f"runs_dir='{folder}/runs'",
            *QUICK,
        ]
    )
    with pytest.raises(InputError, match="in their columns: size and height"):
        dlcli.load_run(f"{classes.run_dir},{other.run_dir}")


def test_text_models_with_different_tokens_predict_together(folder: Path) -> None:
    texts = ["a good film", "a bad film", "good good", "bad bad bad"] * 10
    pd.DataFrame({"review": texts, "mood": ["up", "down"] * 20}).to_csv(folder / "texts.csv", index=False)
    data = ["dataset=text", f"dataset.path='{folder}/texts.csv'", "dataset.target=mood"]
    quick = [f"runs_dir='{folder}/runs'", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    runs = [dlcli.train([*data, *quick, f"model={model}"]).run_dir for model in ("linear", "textcnn")]
    single = [dlcli.load_run(run).predict(texts[:4])["p(up)"] for run in runs]
    both = dlcli.load_run(f"{runs[0]},{runs[1]}").predict(texts[:4])["p(up)"]
    np.testing.assert_allclose(both, np.mean(single, axis=0), rtol=1e-5)


def test_a_category_is_unseen_if_no_fold_has_seen_it(folder: Path, classes: Result) -> None:
    new = rows(folder).assign(coat="new")
    with pytest.warns(UserWarning, match="coat"):
        loaded(classes).predict(new)
    seen = loaded(classes).columns["coat"].categories
    assert seen is not None
    assert {"a", "b"} <= set(seen)


def test_an_exported_program_holds_all_folds(
    folder: Path, numbers: Result, classes: Result, tmp_path: Path
) -> None:
    done = dlcli.export(numbers.run_dir, tmp_path / "model.pt2", use="folds")
    assert done.largest_difference < 1e-6
    ensemble = loaded(numbers, use="folds")
    new = rows(folder)[:5]
    program = torch.export.load(tmp_path / "model.pt2").module()
    fields = {name: values[:] for name, values in ensemble.fields(new).items()}
    outputs = program(**fields)
    torch.testing.assert_close(outputs, ensemble.outputs(new))


def test_folds_without_weights_are_reported(folder: Path) -> None:
    result = train(folder, "kind", "few", "cv=kfold", "cv.folds=3", "tracking.keep=1")
    notes = dlcli.predict(result.run_dir, folder / "pets.csv")
    assert notes is not None
    done = CliRunner().invoke(app, ["predict", str(result.run_dir), str(folder / "pets.csv")])
    assert "1 of 3 folds whose weights were kept (tracking.keep)" in " ".join(done.stderr.split())
    with pytest.raises(DataError, match="no final test rows"):
        dlcli.evaluate(result.run_dir)
    for fold in result.folds:
        weights = fold.run_dir / "model" / "weights.safetensors"
        weights.unlink(missing_ok=True)
    with pytest.raises(CorruptRun, match="no fold has kept its weights"):
        loaded(result)


def test_facts_are_merged() -> None:
    found = merged_facts(
        [
            {
                "classes": ["0"],
                "class_counts": [3],
                "target_mean": [1.0],
                "horizon": 2,
                "tuned_threshold": 0.2,
            },
            {"classes": ["0"], "class_counts": [5], "target_mean": [2.0], "horizon": 2},
        ]
    )
    assert found == {"classes": ["0"], "class_counts": [8], "target_mean": [1.5], "horizon": 2}


def test_outputs_are_converted_to_the_unit_of_another_task() -> None:
    loss = Quantile([0.1, 0.5, 0.9])
    one = Regression(["t"], [5.0], [2.0], loss)
    other = Regression(["t"], [-3.0], [0.5], loss)
    outputs = torch.randn(4, 3)
    pd.testing.assert_frame_equal(
        other.predictions(other.converted(outputs, one)), one.predictions(outputs), rtol=1e-5
    )
