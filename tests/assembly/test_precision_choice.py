"""`trainer.precision=auto` is measured once, recorded, and not measured again."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import dlcli
from dlcli.assembly import precision_choice
from dlcli.assembly.automatic import AutomaticChoice
from dlcli.experiment import plan_experiment
from dlcli.sweeps.planning import plan_sweep
from dlcli.tracking.ledger import Ledger
from dlcli.training import step_times

CNN = ["dataset=digits", "model=cnn", "model.channels=[4]", "model.hidden=0", "trainer.accelerator=cpu"]
AUTO = "trainer.precision=auto"
KEY = "trainer.precision"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A processor with bfloat16, on which a step takes 20 ms in full precision and 10 ms in bfloat16."""
    calls: list[int] = []

    def fastest(steps: list[object]) -> list[float]:
        calls.append(len(steps))
        return [0.02, 0.01]

    monkeypatch.setattr(precision_choice, "computes_bfloat16", lambda: True)
    monkeypatch.setattr(precision_choice, "fastest_steps", fastest)
    return calls


def choice_of(*words: str) -> AutomaticChoice:
    (choice,) = (one for one in plan_experiment([*words, AUTO]).choices if one.key == KEY)
    return choice


def test_a_clearly_faster_precision_is_chosen(measured: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    told = "as a step takes 10 ms in bf16-mixed, 20 ms in 32-true"
    assert choice_of(*CNN) == (KEY, "bf16-mixed", told)
    monkeypatch.setattr(precision_choice, "fastest_steps", lambda steps: [0.0125, 0.01])
    assert choice_of(*CNN).value == "32-true"
    assert measured == [2]


def test_it_is_measured_only_where_it_can_be_faster(
    measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choice_of("dataset=iris", "model=mlp", "trainer.accelerator=cpu")[1:] == (
        "32-true",
        "as the network has no convolutions",
    )
    assert choice_of("dataset=digits", "model=linear", "trainer.accelerator=cpu").value == "32-true"
    monkeypatch.setattr(precision_choice, "computes_bfloat16", lambda: False)
    assert choice_of(*CNN).reason == "as the processor has neither AMX nor AVX512-BF16"
    assert measured == []
    assert not [one for one in plan_experiment(CNN).choices if one.key == KEY]  # 32 unless it is asked for


def test_the_choice_is_recorded_and_resumed(measured: list[int], tmp_path: Path) -> None:
    words = [*CNN, AUTO, "cv=kfold", "cv.folds=2", "trainer.max_epochs=1", f"runs_dir={tmp_path}"]
    result = dlcli.train([*words, "trainer.limit_rows=60"])
    told = "bf16-mixed as a step takes 10 ms in bf16-mixed, 20 ms in 32-true"
    for folder in (result.run_dir, result.folds[0].run_dir):
        assert (
            yaml.safe_load((Path(folder) / "config.yaml").read_text())["trainer"]["precision"] == "bf16-mixed"
        )
        assert Ledger.load(Path(folder)).tags[f"dlcli.auto.{KEY}"] == told
    dlcli.resume(str(result.run_dir), ["trainer.max_epochs=2"])
    assert measured == [2]


def test_trials_have_the_precision_of_the_first_point(measured: list[int]) -> None:
    plan = plan_sweep([*CNN, AUTO, "model.dropout=0,0.1"])
    config, tags = plan.trial({"model.dropout": 0.1})
    assert config["trainer"]["precision"] == "bf16-mixed"
    assert tags[f"dlcli.auto.{KEY}"].startswith("bf16-mixed")
    again = plan_sweep([*CNN, AUTO, "model.dropout=0,0.1"], earlier=plan.config)
    assert again.trial({"model.dropout": 0.1})[0]["trainer"]["precision"] == "bf16-mixed"
    assert measured == [2]


@pytest.mark.parametrize(
    ("varied", "what"),
    (
        ("model=cnn,mlp", "models"),
        ("model=mlp,cnn", "models"),
        (f"{KEY}=32,auto", "precisions"),
        (f"{KEY}=auto,32", "precisions"),
    ),
)
def test_nothing_is_measured_in_a_search_over_networks(varied: str, what: str, measured: list[int]) -> None:
    key = varied.partition("=")[0]
    words = [
        "dataset=digits",
        "trainer.accelerator=cpu",
        *([AUTO] if key == "model" else ["model=cnn"]),
        varied,
    ]
    plan = plan_sweep(words)
    told = f"32-true as it is not measured in a search over {what}"
    for again in (plan, plan_sweep(words, earlier=plan.config)):
        for value in ("cnn", "mlp") if key == "model" else ("auto",):
            config, tags = again.trial({key: value})
            assert (config["trainer"]["precision"], tags[f"dlcli.auto.{KEY}"]) == ("32-true", told)
    assert measured == []


def test_a_search_over_models_that_was_started_with_a_measurement_keeps_it(measured: list[int]) -> None:
    words = ["dataset=digits", "trainer.accelerator=cpu", AUTO, "model=cnn,mlp"]
    was = plan_sweep(words).config
    was = {**was, "trainer": {**was["trainer"], "precision": "bf16-mixed"}}
    config, tags = plan_sweep(words, earlier=was).trial({"model": "mlp"})
    assert config["trainer"]["precision"] == "bf16-mixed"
    assert tags[f"dlcli.auto.{KEY}"] == "bf16-mixed as when the search started"


def test_the_steps_take_turns_and_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    clock = iter(range(10_000))
    monkeypatch.setattr(step_times.time, "thread_time", lambda: next(clock) ** 2)  # ever slower
    found = step_times.fastest_steps([lambda: taken.append("a"), lambda: taken.append("b")])
    assert taken[:4] == ["a", "b", "a", "b"]
    assert found == [1, 5]
