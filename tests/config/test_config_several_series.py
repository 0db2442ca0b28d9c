"""With `dataset.id`, a forecast has a network and absolute errors by default, which give way to the user's choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import dlcli
from dlcli.config.compose import draft
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.experiment import plan_experiment
from dlcli.tracking.ledger import Ledger

ONE = ["dataset=series", "dataset.path=x.csv"]
SEVERAL = [*ONE, "dataset.id=who"]


def composed(*words: str, folders: tuple[Path, ...] = ()) -> tuple[str, str | None, Any]:
    found = draft(words, folders, SUPPLIED, BY_DATA).composed
    return found.choices["model"], found.choices.get("task/loss"), found.config["dataset"]["batch_size"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (ONE, ("linear_forecast", None, 32)),
        ([*ONE, "dataset.id=null"], ("linear_forecast", None, 32)),
        (SEVERAL, ("mlp", "mae", "auto")),
        ([*SEVERAL, "model.hidden=8", "optimizer.lr=0.1"], ("mlp", "mae", "auto")),
        ([*SEVERAL, "task/loss=quantile", "dataset.batch_size=8"], ("mlp", "quantile", 8)),
        ([*SEVERAL, "model=linear_forecast"], ("linear_forecast", None, 32)),
        ([*SEVERAL, "model=segrnn"], ("segrnn", None, 32)),
        (["experiment=etth1_linear", *SEVERAL], ("linear_forecast", None, 32)),
    ],
)
def test_the_defaults_give_way_to_what_is_chosen(
    words: list[str], expected: tuple[str, str | None, Any]
) -> None:
    model, loss, size = composed(*words)
    assert (model, loss) == expected[:2]
    assert size == expected[2] or words[0].startswith("experiment")


def test_with_a_model_in_the_project_the_dataset_decides_as_for_one_series(tmp_path: Path) -> None:
    (tmp_path / "dlcli.yaml").write_text("model: gru\n")
    alone = composed(*ONE, folders=(tmp_path,))
    assert alone == ("linear_forecast", None, 32)  # that of dataset/series.yaml, not the project's
    assert composed(*SEVERAL, folders=(tmp_path,)) == alone


def test_the_choice_is_recorded_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"who": np.repeat(["a", "b"], 60), "t": [*range(60)] * 2})
    frame.assign(v=draw.normal(size=120)).to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.chdir(tmp_path)
    words = [*SEVERAL, "dataset.time=t", "dataset.horizon=3", "dataset.season=1", "trainer.max_epochs=1"]
    words += ["trainer.accelerator=cpu", "baseline=none"]
    told = {choice.key: choice.told for choice in plan_experiment(words).choices}
    assert told["model"] == ("MLP for several series (model=mlp, task/loss=mae, dataset.batch_size=auto)")
    assert "model" not in {choice.key for choice in plan_experiment([*words, "model=mlp"]).choices}
    run = dlcli.train([*words, "cv=time_series", "cv.folds=2"])
    config = yaml.safe_load((run.run_dir / "config.yaml").read_text())
    assert config["model"]["_target_"].endswith(".MLP")
    fold = Ledger.load(run.folds[0].run_dir)
    assert fold.about["panel"]["chosen"] == f"auto: {told['model']}"
