"""`train --like` of runs that were trained with other defaults than today's."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from dlcli.experiment import plan_experiment
from dlcli.runner.former_words import former_words
from dlcli.runner.like import like
from dlcli.runner.train import train
from dlcli.tracking.digests import replace_recorded
from dlcli.tracking.ledger import Ledger

QUICK = ["trainer.accelerator=cpu", "trainer.max_epochs=1"]
PRETRAINED = [
    "dataset=digits", "model=pretrained_image", "model.architecture=test_resnet", "model.weights=null",
    "model.input_size=16", "trainer.limit_rows=200", "cv.test_size=0.1", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    (
        ["dataset=iris"],
        ["dataset=iris", "model=linear", "trainer.limit_epochs=2"],
        ["dataset=iris", "model=random_forest", "cv=kfold"],
        ["dataset=digits", "augmentation=digits", "trainer.precision=auto"],
        ["dataset=digits", "finder=lr", "scheduler=cosine"],
        PRETRAINED,
        [*PRETRAINED, "finetune=auto"],
    ),
    ids=" ".join,
)
def test_a_run_of_today_has_no_former_defaults(words: list[str]) -> None:
    """Also if values follow from the rows, or from other settings."""
    plan = plan_experiment(words, ())
    assert former_words(words, [], (), plan.config) == []


def test_values_and_keys_of_former_versions_are_kept() -> None:
    was = copy.deepcopy(plan_experiment([*PRETRAINED, "finetune.head=steps"], ()).config)
    del was["finetune"]["head"]
    assert former_words(PRETRAINED, [], (), was) == ["finetune.head=steps"]
    words = ["dataset=iris", "model=mlp", *QUICK]
    was = copy.deepcopy(plan_experiment(words, ()).config)
    was["model"]["activation"] = "gelu"
    del was["model"]["bins"]
    assert "model.activation=gelu" in former_words(words, [], (), was)
    assert former_words(words, ["model=tabm"], (), was) == []
    assert former_words([*words, "model.activation=relu"], [], (), was) == []  # the user's own
    assert former_words([*words, "model.unknown=1"], [], (), was) == []


def test_an_option_that_a_project_did_not_replace_is_kept_and_told(tmp_path: Path) -> None:
    """A dataset's suggestion had precedence over an option of dlcli.yaml."""
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "dlcli.yaml").write_text("model: table_resnet\n")
    run = train(["dataset=iris", *QUICK], [conf], tmp_path / "runs")
    found = like(run.run_id, [], [conf], tmp_path / "runs")
    assert found.words == ("dataset=iris", *QUICK)
    # As a version recorded it that trained the model of the dataset.
    config = plan_experiment(["dataset=iris", "model=mlp", *QUICK], [conf], tmp_path / "runs").config
    ledger = Ledger.load(Path(run.run_dir))
    replace_recorded(ledger, {"config.yaml": yaml.safe_dump(config, sort_keys=False)})
    found = like(run.run_id, ["optimizer.lr=0.5"], [conf], tmp_path / "runs")
    assert found.words == ("model=mlp", "dataset=iris", *QUICK, "optimizer.lr=0.5")
    assert "Keeps defaults of the run that are others today: model=mlp" in found.notes
    other = like(run.run_id, ["model=tabm"], [conf], tmp_path / "runs")
    assert other.words == ("dataset=iris", *QUICK, "model=tabm")
    assert not any("others today" in note for note in other.notes)
