"""`finetune.head=auto`: a head that is solved on cached features unless steps are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import dlcli
from dlcli.checks.extension import find_length_problems
from dlcli.errors import ConfigError
from dlcli.experiment import Experiment, plan_experiment
from dlcli.inference.saved_model import load_model
from dlcli.models.pretrained_image import PretrainedImage
from dlcli.runs.find import find_run
from dlcli.runs.folder import recorded_epochs
from dlcli.sweeps.planning import plan_sweep
from dlcli.training.finetuning import FeatureExtraction

MODEL = [
    "model=pretrained_image", "model.architecture=test_resnet", "model.weights=null", "model.input_size=16",
    "trainer.accelerator=cpu", "trainer.limit_rows=200", "cv.test_size=0.1",
]  # fmt: skip


def choice(*words: str, folders: tuple[Path, ...] = ()) -> tuple[str, str]:
    """Return the value and the reason for a new experiment."""
    plan: Experiment = plan_experiment([*MODEL, *words], folders)
    told = {one.key: (one.value, one.told) for one in plan.choices}
    assert plan.config["finetune"]["head"] == told["finetune.head"][0]
    return told["finetune.head"]


def config_of(run: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((Path(run.run_dir) / "config.yaml").read_text())
    return found


def test_the_solved_head_is_that_of_the_fine_tuning_method_which_solves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same metrics; features are computed once per row, also for the evaluation; a second run computes none."""
    rows: list[int] = []
    original = PretrainedImage.features
    monkeypatch.setattr(
        PretrainedImage, "features", lambda self, x: (rows.append(len(x)), original(self, x))[1]
    )
    words = [*MODEL, f"runs_dir='{tmp_path}'"]
    run = dlcli.train(words)
    assert (
        sum(n for n in rows if n > 8) <= 2 * 200 + 180 + 64
    )  # and at most 64 rows that latency is measured with
    assert len(recorded_epochs(run.run_dir)) == 1
    assert any(text.startswith("The head was solved on the features") for text in run.messages)
    assert config_of(run)["finetune"]["head"] == "solved"
    other = dlcli.train([*words, "finetune=auto", "finetune.tune=false"])
    assert dict(run.values) == pytest.approx(dict(other.values), rel=1e-4, abs=1e-5)
    steps = dlcli.train([*words, "finetune.head=steps", "trainer.max_epochs=2"])
    assert len(recorded_epochs(steps.run_dir)) == 2
    assert run.metrics["val/loss"] < steps.metrics["val/loss"]
    assert load_model(run.run_dir / "model").predict(plan_experiment(MODEL).data.x[:3]).shape[0] == 3
    with pytest.raises(ConfigError, match="was solved without epochs of steps"):
        dlcli.resume(run.run_id, ["trainer.max_epochs=50"], runs_dir=tmp_path)


def test_who_sets_something_of_steps_gets_them(tmp_path: Path) -> None:
    assert choice()[0] == "solved"
    for words, reason in {
        ("optimizer.lr=0.001",): "as optimizer is set",
        ("optimizer=adam",): "as optimizer is set",
        ("trainer.max_epochs=3",): "as trainer.max_epochs is set",
        ("dataset.batch_size=64",): "as dataset.batch_size is set",
        ("model.dropout=0.3",): "as model.dropout is set",
        ("scheduler=cosine", "optimizer.lr=0.1"): "as scheduler and optimizer are set",
        ("model.hidden=8",): "as the head has a dense layer, and cannot be solved",
        ("augmentation=digits",): "as augmentation changes the rows",
        ("finetune.cache=false",): "as the features are computed in each epoch",
        ("optimizer=penalty_path",): "of the solver, one for each penalty",
    }.items():
        assert choice(*words) == ("steps", f"steps {reason}"), words
    assert choice("model.dropout=0")[0] == "solved"
    own = tmp_path / "conf" / "experiment" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\ndefaults:\n  - override /optimizer: sgd\n")
    assert choice("experiment=mine", folders=(tmp_path / "conf",))[1] == "steps as optimizer is set"
    own.write_text("# @package _global_\noptimizer:\n  lr: 0.01\n")
    assert choice("experiment=mine", folders=(tmp_path / "conf",))[1] == "steps as optimizer is set"
    own.write_text("# @package _global_\ntrainer:\n  max_epochs: 7\n")
    assert choice("experiment=mine", folders=(tmp_path / "conf",)) == (
        "solved",
        "solved as no setting of steps but trainer.max_epochs, which is not of the command line, is given "
        "(finetune.head=steps trains it by steps)",
    )
    assert choice("experiment=mine", "trainer.max_epochs=7", folders=(tmp_path / "conf",))[0] == "steps"
    own.write_text("# @package _global_\nseed: 1\n")
    assert choice("experiment=mine", folders=(tmp_path / "conf",))[0] == "solved"


def test_what_has_no_effect_on_a_solved_head_is_refused() -> None:
    for words, message in (
        (["model.hidden=8"], r"model.hidden: the head has a dense layer"),
        (["finetune.cache=false"], r"finetune.cache: the features are computed in each epoch"),
        (["scheduler=cosine"], r"scheduler: has no effect on a head that is solved"),
        (["optimizer=penalty_path"], r"optimizer: has no effect on a head that is solved"),
        (["augmentation=digits"], r"finetune.head: augmentation changes the rows"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_experiment([*MODEL, "finetune.head=solved", *words])


def test_a_search_over_rates_takes_steps_and_folds_solve(tmp_path: Path) -> None:
    words = [*MODEL, f"runs_dir='{tmp_path}'", "tracking.keep=all"]
    found = dlcli.sweep([*words, "trainer.limit_epochs=1", "optimizer.lr=0.001,0.01"])
    heads = {config_of(find_run(trial["run_id"], tmp_path))["finetune"]["head"] for trial in found.trials}
    assert heads == {"steps"}
    folds = dlcli.train([*words, "cv=kfold", "cv.folds=2", "cv.refit=true"])
    assert {config_of(fold)["finetune"]["head"] for fold in folds.folds} == {"solved"}
    assert {len(recorded_epochs(Path(fold.run_dir))) for fold in folds.folds} == {1}


def test_an_automatic_search_begins_with_the_solved_head(tmp_path: Path) -> None:
    """It began with a head that was trained by steps, and called it the default: what it found was worse than this."""
    plan = plan_sweep([*MODEL, "sweep=auto"], (), tmp_path)
    assert plan.space.starts == ({"finetune.head": "solved"},)
    assert not plan.space.apart
    assert plan.config["finetune"]["head"] == "solved"
    rest = {"optimizer.lr", "model.hidden", "model.dropout"}
    assert {d.key: d.given for d in plan.space.dimensions} == {
        "finetune.head": (),
        **dict.fromkeys(rest, (("finetune.head", "steps"),)),
    }
    domains = {d.key: d.domain for d in plan.space.dimensions}
    assert set(domains["model.hidden"].values_in_order()) == {0, 128, 512}
    said = plan_sweep([*MODEL, "sweep=auto", "finetune.head=auto"], (), tmp_path)
    assert said.space == plan.space
    found = dlcli.sweep([*MODEL, "sweep=auto", "sweep.trials=2"], runs_dir=tmp_path)
    assert [trial["params"].get("finetune.head") for trial in found.trials] == ["solved", "steps"]
    assert found.trials[0]["value"] == pytest.approx(
        dlcli.train([*MODEL, f"runs_dir='{tmp_path}'"]).values["val/loss"]
    )


def test_what_the_user_sets_of_steps_is_not_searched_with_a_solved_head(tmp_path: Path) -> None:
    for words in (["optimizer.lr=0.001,0.01"], ["optimizer.lr=0.001"], ["finetune.head=steps"]):
        plan = plan_sweep([*MODEL, "sweep=auto", *words], (), tmp_path)
        assert plan.config["finetune"]["head"] == "steps", words
        assert "finetune.head" not in {d.key for d in plan.space.dimensions}, words
        assert not any(d.given for d in plan.space.dimensions), words
    both = plan_sweep([*MODEL, "sweep=auto", "finetune.head=auto,steps"], (), tmp_path)
    assert {d.given for d in both.space.dimensions} == {(), (("finetune.head", "steps"),)}
    for words in (["finetune.head=solved"], ["finetune=auto", "finetune.tune=false"]):
        with pytest.raises(ConfigError, match="a head that is solved has no settings to search"):
            plan_sweep([*MODEL, "sweep=auto", *words], (), tmp_path)


def test_an_older_automatic_search_continues_with_steps(tmp_path: Path) -> None:
    """Its space is that of the version which started it, without a choice of the head."""
    words = [*MODEL, "sweep=auto"]
    was = plan_sweep([*words, "finetune.head=steps"], (), tmp_path).config
    del was["finetune"]["head"]
    plan = plan_sweep(words, (), tmp_path, earlier=was)
    assert plan.config["sweep"]["space"] == was["sweep"]["space"]
    assert plan.config["finetune"]["head"] == "steps"
    now = plan_sweep(words, (), tmp_path)
    assert plan_sweep(words, (), tmp_path, earlier=now.config).config == now.config


def test_training_continues_from_the_head_of_a_run(tmp_path: Path) -> None:
    run = dlcli.train([*MODEL, f"runs_dir='{tmp_path}'"])
    told = choice(f"runs_dir='{tmp_path}'", f"model.weights={run.run_id}")[1]
    assert told == "steps as training continues from the head of model.weights"


def test_older_runs_and_files_without_the_key_take_steps(tmp_path: Path) -> None:
    assert not FeatureExtraction().only_head
    own = tmp_path / "conf" / "finetune" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: dlcli.training.finetuning.FeatureExtraction\n")
    plan = plan_experiment([*MODEL, "finetune=mine"], [tmp_path / "conf"])
    assert "head" not in plan.config["finetune"]
    longer = {**plan.config, "trainer": {**plan.config["trainer"], "max_epochs": 999}}
    assert not list(find_length_problems(plan.config, longer))
