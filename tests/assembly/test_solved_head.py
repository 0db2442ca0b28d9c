"""`finetune=auto`: a head that is solved on the features of the frozen backbone, then fine-tuning if it helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import dlcli
from dlcli.assembly.parts import assemble
from dlcli.assembly.solved_head import HeadPath, told_of_head
from dlcli.config.solver_names import memory_hint
from dlcli.errors import ConfigError
from dlcli.experiment import plan_experiment
from dlcli.result import Result
from dlcli.runs.folder import recorded_epochs
from dlcli.training.finetuning import ProbeFirst

MODEL = [
    "model=pretrained_image", "model.architecture=test_resnet", "model.weights=null", "model.input_size=16",
    "trainer.accelerator=cpu", "finetune=auto", "trainer.limit_rows=200", "cv.test_size=0.1",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def probe(runs: Path) -> Result:
    """A run of so few rows that only the head is solved."""
    return dlcli.train([*MODEL, f"runs_dir='{runs}'"])


def weights_of(run: Result) -> dict[str, torch.Tensor]:
    return load_file(run.run_dir / "model" / "weights.safetensors")


def test_only_the_head_of_few_rows_is_solved(probe: Result) -> None:
    config = yaml.safe_load((probe.run_dir / "config.yaml").read_text())
    assert config["finetune"]["tune"] is False
    assert len(recorded_epochs(probe.run_dir)) == 1
    assert any(text.startswith("The head was solved on the features") for text in probe.messages)
    assert not any("Too short" in text or "1 epoch" in text for text in probe.messages)


def test_a_backbone_of_random_weights_that_is_kept_is_told(probe: Result) -> None:
    (told,) = [one for one in probe.notices if one["key"] == "random_backbone"]
    assert "model.weights=null" in told["text"]


def test_the_head_is_that_of_scikit_learn_for_the_best_penalty() -> None:
    """Of standardized features; the saved head takes the features as they are."""
    plan = plan_experiment(["dataset=digits", "model=linear", "trainer.limit_rows=300"])
    parts = assemble(plan.config, plan.data, plan.splits[0], 0)
    assert parts.val is not None
    train, val = (
        {"features": 3 * torch.as_tensor(fields["x"][:]).float().flatten(1) + 5, "y": fields["y"]}
        for fields in (parts.train, parts.val)
    )
    mean, std = train["features"].mean(0), train["features"].std(0, correction=0)
    std[std < 1e-6] = 1
    path = HeadPath(parts.task, train, mean, std, 10, 1.0)
    penalty, head, loss = path.best(val)
    x, others = (((rows["features"] - mean) / std).numpy() for rows in (train, val))
    y, expected = train["y"].numpy(), {}
    for exponent in range(5):
        model = LogisticRegression(C=1 / (len(y) * 10.0**-exponent), max_iter=2000, tol=1e-7).fit(x, y)
        expected[exponent] = log_loss(val["y"].numpy(), model.predict_proba(others))
    best = min(expected, key=lambda exponent: expected[exponent])
    assert penalty == pytest.approx(10.0**-best)
    assert loss == pytest.approx(expected[best], rel=0.01)
    torch.testing.assert_close(path.solution(penalty).layer.weight, head.layer.weight)
    layer = torch.nn.Linear(64, 10)
    head.copy_to(layer)
    torch.testing.assert_close(layer(val["features"]), head(val["features"]), rtol=1e-4, atol=1e-4)


def test_fine_tuning_starts_from_the_solved_head_and_resumes(
    probe: Result, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first epoch takes no steps; a stopped run continues from its checkpoint, not from the solved head."""
    words = [*MODEL, f"runs_dir='{runs}'", "finetune.tune=true", "optimizer.lr=0.001"]
    whole = dlcli.train([*words, "trainer.max_epochs=3"])
    first = recorded_epochs(whole.run_dir)[0]
    assert first["val/loss"] == pytest.approx(probe.metrics["val/loss"], rel=1e-5)
    assert len({epoch["val/loss"] for epoch in recorded_epochs(whole.run_dir)}) == 3
    short = dlcli.train([*words, "trainer.max_epochs=1", "run_name=short"])
    for name, values in weights_of(probe).items():
        assert weights_of(short)[name].equal(values), name
    longer = dlcli.resume("short", ["trainer.max_epochs=3"], runs_dir=runs)
    for name, values in weights_of(whole).items():
        assert weights_of(longer)[name].equal(values), name


def test_a_refit_without_validation_rows_solves_the_head(runs: Path) -> None:
    run = dlcli.train([*MODEL, f"runs_dir='{runs}'", "cv.val_size=0.2", "cv.refit=true"])
    assert run.metrics["test/accuracy"] > 0.5
    told = " ".join(run.messages)
    assert "The head was solved on the train rows, with a penalty chosen on the 200 val rows." in told
    assert "epoch" not in told


def test_folds_and_their_final_model_are_told_to_be_solved(runs: Path) -> None:
    words = ["cv=kfold", "cv.folds=2", "cv.refit=true", "executor.jobs=1"]
    run = dlcli.train([*MODEL, f"runs_dir='{runs}'", *words])
    assert any("by solving its head, with a penalty chosen on a fifth" in text for text in run.messages)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ([*MODEL[:3], *MODEL[-2:], "finetune=feature_extraction"], "finetune.head=steps"),
        ([*MODEL[:3], *MODEL[-2:], "finetune=fine_tuning"], "use smaller batches (dataset.batch_size)"),
        (["model=linear"], "use fewer rows or columns"),
    ],
)
def test_what_helps_where_memory_runs_out_follows_from_what_trains(words: list[str], remedy: str) -> None:
    config = plan_experiment(words).config
    assert remedy in memory_hint(config)
    assert "--jobs" in memory_hint(config, at_once=True)


def test_a_file_without_the_key_tune_gets_it_by_the_rows(tmp_path: Path) -> None:
    own = tmp_path / "conf" / "finetune" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: dlcli.training.finetuning.ProbeFirst\n")
    words = ["finetune=mine" if word == "finetune=auto" else word for word in MODEL]
    assert plan_experiment(words, [tmp_path / "conf"]).config["finetune"]["tune"] is False


def test_what_has_no_linear_head_is_refused() -> None:
    for words, message in (
        (["model.hidden=8"], r"model.hidden: the head has a dense layer, and cannot be solved"),
        (["optimizer=penalty_path"], "PenaltyPath solves linear models"),
    ):
        with pytest.raises(ConfigError, match=message):
            plan_experiment([*MODEL, *words])
    with pytest.raises(ConfigError, match="CNN has no pretrained backbone"):
        plan_experiment(["finetune=auto"])


def test_whether_fine_tuning_helped_is_told() -> None:
    assert ProbeFirst.automatic(999) == {"tune": (False, "for 999 training rows")}
    assert ProbeFirst.automatic(1000) == {"tune": (True, "for 1,000 training rows")}
    finetune = {"_target_": "dlcli.training.finetuning.ProbeFirst"}
    config: dict[str, Any] = {"finetune": finetune, "monitor": "val/loss", "mode": "min"}
    history = [{"val/loss": 0.5}, {"val/loss": 0.7}, {"val/loss": 0.4}]
    assert told_of_head(config, history, 2) == [
        "Fine-tuning improved the solved head: val/loss 0.5, then 0.4 in epoch 3."
    ]
    assert told_of_head(config, history[:2], 0) == [
        "Fine-tuning did not improve the solved head: val/loss 0.5, then 0.7 at best. The solved head is kept."
    ]
    assert told_of_head({**config, "finetune": {}}, history, 2) == []
