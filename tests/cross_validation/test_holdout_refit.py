"""A hold-out whose model is refitted on train and val rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlcli
from dlcli.cross_validation.children import families
from dlcli.cross_validation.refit import replanned
from dlcli.splits.split import Split
from dlcli.tracking.ledger import Ledger

WORDS = ["dataset=iris", "model=mlp", "model.hidden=8", "trainer.max_epochs=6", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dlcli.Result:
    runs = tmp_path_factory.mktemp("runs")
    return dlcli.train([*WORDS, "callbacks=none", "cv.refit=true", "run_name=one", f"runs_dir='{runs}'"])


def children(result: dlcli.Result) -> dict[str, Ledger]:
    parent = Ledger.load(result.run_dir)
    return {place: Ledger.load(folder) for place, folder in families(parent)[parent.run_id].items()}


def test_the_final_model_is_trained_on_train_and_val_rows_for_the_best_epochs(result: dlcli.Result) -> None:
    known = children(result)
    assert set(known) == {"fold 0", "refit"}
    first, final = (Split.load(known[place].run_dir / "split.npz") for place in ("fold 0", "refit"))
    assert final.train.tolist() == sorted([*first.train, *first.val])
    assert len(final.val) == 0
    epochs = int(known["fold 0"].metrics["best/epoch"])
    assert known["refit"].metrics["best/epoch"] == epochs
    assert result.messages[0] == (
        f"The best epoch on the {len(first.val)} val rows was {epochs}. The final model was trained on the "
        f"{len(final.train)} train and val rows for as many epochs, and tested once on {len(final.test)} final test "
        "rows."
    )


def test_only_the_final_model_reads_the_final_test_rows(result: dlcli.Result) -> None:
    known = children(result)
    first, final = (Split.load(known[place].run_dir / "split.npz") for place in ("fold 0", "refit"))
    assert len(first.test) == 0
    assert len(final.test) == 30
    assert not np.isin(final.test, final.train).any()
    assert not [name for name in known["fold 0"].metrics if name.startswith("test/")]
    assert result.metrics["test/loss"] == known["refit"].metrics["test/loss"]
    assert result.metrics["val/loss"] == known["fold 0"].metrics["val/loss"]


def test_the_run_has_the_final_model(result: dlcli.Result) -> None:
    again = dlcli.evaluate(result.run_dir)
    assert again.metrics["test/loss"] == pytest.approx(result.metrics["test/loss"])
    assert Split.load(Path(result.run_dir) / "split.npz").sizes == {"train": 120, "val": 0, "test": 30}


def test_it_is_compared_by_its_final_model_and_resumes_to_nothing(result: dlcli.Result) -> None:
    runs = Path(result.run_dir).parents[2]
    other = dlcli.train(
        [*WORDS, "callbacks=none", "optimizer.lr=0.1", "cv.refit=true", "run_name=two", f"runs_dir='{runs}'"]
    )
    found = dlcli.compare([result.run_dir, other.run_dir])
    assert found.figures["loss"] == (result.metrics["test/loss"], other.metrics["test/loss"])
    assert found.refusal is None
    assert "nothing to do" in dlcli.resume(result.run_dir).messages[0]


def test_a_schedule_that_is_planned_for_fewer_epochs_is_told() -> None:
    cosine = {"_target_": "dlcli.training.schedules.cosine"}
    config = {"scheduler": cosine, "weight_averaging": {}, "trainer": {"max_epochs": 20}}
    told = " There, the schedule (cosine) is planned for 3 epochs; it was planned for 20."
    assert replanned(config, 3) == told
    assert replanned(config, 20) == replanned({**config, "scheduler": {}}, 3) == ""
