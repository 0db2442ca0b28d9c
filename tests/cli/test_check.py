"""`check` reports the mistakes of all stages together; without mistakes, it runs one step and estimates resources."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.checks.settings import find_config_warnings
from dlcli.datasets.raw_rows import load_data
from dlcli.errors import ConfigError, InputError
from dlcli.experiment import plan_experiment
from dlcli.runner.check import check
from dlcli.runner.train import train
from dlcli.training import rehearsal

IRIS = ["dataset=iris", "model=mlp", "trainer.accelerator=cpu"]


def mistakes(*overrides: str, conf: Path | None = None) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as caught:
        check(overrides, [conf] if conf else ())
    return [(p.where, p.message, p.hint) for p in caught.value.problems]


# In a command, `quiet` suppresses it.
@pytest.mark.filterwarnings("ignore:You passed `Trainer")
def test_mistakes_of_all_stages_are_reported_at_once() -> None:
    found = mistakes(
        "dataset=iris", "model=cnn", "optimizer.lrr=1", "optimizer.betas=[1,2]", "monitor=val/acuracy",
        "trainer.accelerator=cpu", "trainer.precision=16-mixed", "seed=-1",
    )  # fmt: skip
    assert found == [
        ("optimizer.lrr", "torch.optim.Adam has no argument lrr", "Did you mean optimizer.lr?"),
        ("seed", "should be at least 0, not -1", ""),
        (
            "trainer.precision",
            "precision 16-mixed needs a GPU; this would train on the CPU",
            "Use trainer.precision=bf16-mixed, or 32.",
        ),
        (
            "optimizer.betas",
            "is rejected by torch.optim.Adam: Invalid beta parameter at index 0: 1",
            "",
        ),
        (
            "model",
            "CNN takes audio or image data, but iris is table data",
            "Options for table data: ft_transformer, hist_gradient_boosting, linear, mlp, random_forest, "
            "table_resnet, tabm.",
        ),
        ("monitor", "val/acuracy is monitored, but never logged", "Did you mean val/accuracy?"),
    ]


def test_the_mode_of_a_metric_without_a_direction_is_asked_for() -> None:
    words = ["dataset=diabetes", "model=mlp", "trainer.accelerator=cpu", "task/loss=quantile"]
    words += ["task.loss.quantiles=[0.1,0.5,0.9]", "scheduler=plateau"]
    hint = "Set mode=min or mode=max, whichever values are better."
    assert mistakes(*words, "monitor=val/coverage") == [("mode", "val/coverage has no direction", hint)]
    words.append("callbacks.early_stopping.monitor=val/coverage")
    key = "callbacks.early_stopping.mode"
    assert mistakes(*words) == [(key, "val/coverage has no direction", hint.replace("mode", key))]
    assert plan_experiment([*words, f"{key}=max"]).config["callbacks"]["early_stopping"]["mode"] == "max"


def test_a_batch_of_no_rows_does_not_hide_what_the_rows_would_show() -> None:
    found = mistakes(*IRIS, "dataset.batch_size=0", "trainer.max_epochs=0", "monitor=val/acuracy")
    assert [where for where, _, _ in found] == ["dataset.batch_size", "trainer.max_epochs", "monitor"]


def test_what_needs_no_rows_is_reported_with_the_first_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        train([*IRIS, "model.hiden=3", "trainer.max_epochs=0"])
    assert [problem.where for problem in caught.value.problems] == ["model.hiden", "trainer.max_epochs"]
    with pytest.raises(InputError) as caught:
        train(["dataset=table", "dataset.path=no.csv", "dataset.target=y", "trainer.max_epochs=0"])
    assert caught.value.problems[0].where == "trainer.max_epochs"
    assert caught.value.problems[1].message == "there is no such file"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["optimizer.lr=-1"],
            ("optimizer.lr", "is rejected by torch.optim.Adam: Invalid learning rate: -1", ""),
        ),
        (
            ["optimizer=rmsprop", "optimizer.weight_decay=-1"],
            (
                "optimizer.weight_decay",
                "is rejected by torch.optim.RMSprop: Invalid weight_decay value: -1",
                "",
            ),
        ),
        (
            ["monitor=val/f1", "mode=min"],
            ("mode", "the mode is min, but higher values of val/f1 are better", "Use mode=max."),
        ),
        (
            ["mode=max"],
            ("mode", "the mode is max, but lower values of val/loss are better", "Use mode=min."),
        ),
        (
            ["callbacks.early_stopping.monitor=val/f1", "callbacks.early_stopping.mode=min"],
            (
                "callbacks.early_stopping.mode",
                "the mode is min, but higher values of val/f1 are better",
                "Use callbacks.early_stopping.mode=max.",
            ),
        ),
        (
            ["trainer.max_epochs=0"],
            ("trainer.max_epochs", "no epoch would be trained", "Set it to at least 1."),
        ),
        (
            ["trainer.min_epochs=30"],
            (
                "trainer.min_epochs",
                "the minimum of 30 epochs exceeds the maximum of 20",
                "Raise trainer.max_epochs (it is 20), or lower trainer.min_epochs.",
            ),
        ),
        (
            ["trainer.max_epochs=-1", "callbacks=none"],
            (
                "trainer.max_epochs",
                "training would never end",
                "Set trainer.max_time or trainer.max_steps, or a callback that stops training (callbacks=default).",
            ),
        ),
        (
            ["cv.val_size=0"],
            (
                "monitor",
                "val/loss is monitored, but there are no validation rows",
                "Add validation rows (cv.val_size=0.15), or, outside a sweep, use monitor=train/loss.",
            ),
        ),
        (
            ["preprocessing=image"],
            (
                "preprocessing",
                "Image cannot take iris, table data",
                "Use the dataset's default, or choose one for table data.",
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings_that_contradict_each_other(overrides: list[str], expected: tuple[str, str, str]) -> None:
    assert mistakes(*IRIS, *overrides) == [expected]


def test_arguments_that_dlcli_supplies_are_not_suggested() -> None:
    ((where, _, hint),) = mistakes(*IRIS, "task.tune_threshold=f1")
    choices = "Choices: average, calibrate, coverage, loss, metrics."
    more = "Options with tune_threshold: task=binary, task=multilabel."
    assert (where, hint) == ("task.tune_threshold", f"{choices} {more}")


def test_a_section_with_a_wrong_value_is_not_judged_twice() -> None:
    assert [where for where, _, _ in mistakes(*IRIS, "trainer.max_epochs=x", "model.hidden=-1")] == [
        "trainer.max_epochs", "model.hidden",
    ]  # fmt: skip


def test_the_figures_of_a_rehearsal(tmp_path: Path) -> None:
    found, _ = check(["model=mlp", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/runs'"])
    weights = (64 * 128 + 128) + (128 * 128 + 128) + (128 * 10 + 10)
    assert found.parameters == found.trainable == weights
    # 1,797 digits: a fifth are test rows, 15 % of the others validation rows.
    assert found.steps_per_epoch == -(-1222 // 32)
    assert found.memory["gradients"] == 4 * weights
    assert found.memory["weights"] == 4 * (weights + 2)  # and the two numbers that scale a channel
    # Adam's two moments of each weight, and one step counter per tensor.
    assert found.memory["optimizer"] == 4 * (2 * weights + 6)
    assert found.memory["data"] == (1222 + 216) * (64 + 8)
    assert found.memory["batch"] >= 4 * 32 * (64 + 128 + 128)
    assert found.disk == 2 * 4 * weights + found.memory["optimizer"]
    assert 0 < found.seconds_per_epoch < 60
    assert not (tmp_path / "runs").exists()


def test_training_is_rehearsed_in_two_steps_and_timed_only_by_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[None] = []
    step = rehearsal.rehearse_step
    monkeypatch.setattr(
        rehearsal, "rehearse_step", lambda *parts, **named: (steps.append(None), step(*parts, **named))
    )
    plan_experiment(IRIS).rehearse(quick=True)
    assert len(steps) == 2, "with an empty state of the optimizer, and with a filled one"
    plan_experiment(IRIS).rehearse()
    assert len(steps) > 4


def test_a_rehearsal_leaves_the_random_state_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check(IRIS)
    assert torch.equal(torch.rand(2), expected)


def test_checkpoints_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.experiment.free_space", lambda folder: 1000)
    ((where, message, hint),) = mistakes(*IRIS)
    assert (where, hint) == ("runs_dir", "Free some space, or record on another disk: --runs-dir DIR.")
    assert message == "the checkpoints need 561 kB at a time, 1 kB are free"


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's model that fails in its forward pass, its backward pass, or has too few outputs."""
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "broken.yaml").write_text("_target_: broken_net.Broken\nhow: forward\n")
    (tmp_path / "broken_net.py").write_text(
        dedent(
            """
            import torch
            from torch import nn

            class Broken(nn.Module):
                def __init__(self, input_shape, num_outputs, how):
                    super().__init__()
                    self.how = how
                    self.layer = nn.Linear(3 if how == "forward" else input_shape[0], num_outputs)

                def forward(self, x):
                    out = self.layer(x)
                    if self.how == "backward":
                        return out.detach()
                    return out[:, 0] if self.how == "loss" else out
            """
        )
    )
    # Each test imports its own module.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_net", raising=False)
    return tmp_path / "conf"


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(("command", "rows"), [(check, 16), (train, 8)], ids=["check", "train"])
def test_a_model_that_fails_on_a_batch_is_reported_before_a_run_is_made(
    command: Callable[..., object], rows: int, broken: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        command(["dataset=iris", "model=broken", "trainer.accelerator=cpu"], [broken])
    (problem,) = caught.value.problems
    assert problem.where == "model"
    assert problem.message.startswith("Broken fails on a batch: RuntimeError: ")
    assert f"mat1 and mat2 shapes cannot be multiplied ({rows}x4 and 3x3)" in problem.message
    assert problem.message.endswith(f" ({tmp_path / 'broken_net.py'}:12)")
    assert problem.hint == f"Its inputs were x float32 ({rows}, 4). Outputs should be of shape ({rows}, 3)."
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("backward", "Broken.forward returns outputs without gradients"),
        ("loss", "Broken.forward returns outputs of shape (16,)"),
    ],
)
def test_other_failures_of_a_step_are_reported(how: str, text: str, broken: Path) -> None:
    ((where, message, _),) = mistakes(*IRIS[:1], "model=broken", f"model.how={how}", conf=broken)
    assert where == "model"
    assert message.startswith(text)


def test_early_stopping_that_would_cut_a_cycle_short_is_warned_of() -> None:
    _, data = check([*IRIS, "scheduler=onecycle", "trainer.max_epochs=20"])
    (warning,) = data.warnings
    assert (warning.where, warning.hint) == (
        "callbacks.early_stopping",
        "Use callbacks=none, or callbacks.early_stopping.patience=20: the best epoch is kept in any case.",
    )
    assert warning.message.startswith("may stop training before the cycle of 20 epochs is complete")
    patient = "callbacks.early_stopping.patience=20"
    _, data = check([*IRIS, "scheduler=onecycle", "trainer.max_epochs=20", patient])
    assert not data.warnings


def test_a_word_in_a_mapping_that_is_no_choice_is_guessed_at() -> None:
    table = [
        "dataset=table",
        "dataset.path=t.csv",
        "dataset.target=y",
        "dataset.types={a: numeric, b: numerik}",
    ]
    (found,) = mistakes(*table)
    assert (found[0], found[2]) == ("dataset.types", "Did you mean numeric?")


def test_train_names_wrong_columns_together_with_other_mistakes() -> None:
    Path("t.csv").write_text("x,part,y\n" + "1.5,train,a\n2.5,train,b\n3.5,test,a\n" * 5)
    words = ["dataset=table", "dataset.path=t.csv", "dataset.target=z", "model=mlp", "trainer.max_epoch=1"]
    found = mistakes(*words)
    assert [where for where, *_ in found] == ["trainer.max_epoch", "dataset.target"]
    with pytest.raises(InputError) as caught:
        train(words)
    assert [(p.where, p.message, p.hint) for p in caught.value.problems] == found


def test_a_share_of_test_rows_is_refused_if_the_data_has_test_rows() -> None:
    Path("t.csv").write_text("x,part,y\n" + "1.5,train,a\n2.5,train,b\n3.5,test,a\n" * 5)
    table = ["dataset=table", "dataset.path=t.csv", "dataset.target=y", "dataset.split=part", "model=linear"]
    ((where, message, _),) = mistakes(*table, "cv.test_size=0.5")
    assert (where, message) == ("cv.test_size", "has no effect: t defines its test rows")
    plan_experiment([*table, "cv.val_size=0.2"])  # the data names no validation rows


def test_a_short_series_names_the_keys_of_the_series() -> None:
    Path("s.csv").write_text("t,v\n" + "".join(f"2024-01-{day:02},{day % 7}\n" for day in range(1, 31)))
    ((where, message, hint),) = mistakes("dataset=series", "dataset.path=s.csv", "dataset.target=v")
    assert (where, message.partition(":")[0]) == ("dataset.horizon", "no window is left for training")
    assert "dataset.test_steps" in hint


def monthly(steps: int) -> list[str]:
    """Write a series of months, and return the words that forecast it a year ahead in folds."""
    lines = "".join(f"{1949 + m // 12}-{m % 12 + 1:02},{m}\n" for m in range(steps))
    Path("s.csv").write_text(f"t,v\n{lines}")
    return ["dataset=series", "dataset.path=s.csv", "dataset.horizon=12", "cv=time_series"]


_SEASON = "preprocessing.deseasonalize=true"


def test_the_lookback_leaves_the_first_fold_windows_to_train_on() -> None:
    series = monthly(144)
    experiment = plan_experiment([*series, "cv.folds=3"])
    assert experiment.config["dataset"]["lookback"] == 12 == experiment.data.x.lookback
    (few,) = (
        one for one in find_config_warnings(experiment.config, experiment.splits) if "window" in one.message
    )
    assert "hold out less (cv.folds, cv.val_size)" in few.hint
    assert experiment.data.note == (
        "lookback 12: it leaves 6 windows to train on in the smallest of 3 training sets, and 48 would leave none"
    )
    assert load_data(experiment.config["dataset"]) is experiment.data
    experiment = plan_experiment(monthly(400))
    assert len(experiment.splits[0].train) >= 32
    assert experiment.config["dataset"]["lookback"] == 36
    assert plan_experiment([*series, "cv=holdout"]).config["dataset"]["lookback"] == 48


def test_the_lookback_is_long_enough_for_a_season() -> None:
    words = ["preprocessing.deseasonalize=true", "dataset.horizon=6"]
    experiment = plan_experiment([*monthly(160), "cv=holdout", *words])
    assert experiment.config["dataset"]["lookback"] == 36 == experiment.data.x.lookback
    assert experiment.data.note == "lookback 36: 3 seasons of 12, for preprocessing.deseasonalize=true"
    # Not shorter, though more windows would be left.
    assert plan_experiment([*monthly(160), "cv.folds=3", *words]).config["dataset"]["lookback"] == 36
    assert plan_experiment([*monthly(400), "cv=holdout", words[0]]).config["dataset"]["lookback"] == 48
    assert mistakes(*monthly(38), "cv=holdout", *words)[0][1:] == (
        "38 steps are too few for a lookback of 36 and a horizon of 6",
        "Set preprocessing.deseasonalize=false: a season is computed on at least 36 steps.",
    )
    # A season for which no lookback is chosen.
    (told,) = mistakes(*monthly(400), "cv=holdout", "dataset.season=200", *words)
    assert told[2] == "Set dataset.lookback=600 or more, or preprocessing.deseasonalize=false."


@settings(max_examples=8, deadline=None)
@given(
    st.integers(60, 300),
    st.sampled_from(
        ["cv.folds=2", "cv.folds=4", "cv.gap=3", "cv.window=40", "cv.val_size=0.3", "cv=holdout"]
    ),
    st.sampled_from([[], [_SEASON], [_SEASON, "dataset.lookback=48"]]),
)
def test_settings_that_leave_no_window_are_answered_by_some_that_do(
    steps: int, word: str, more: list[str]
) -> None:
    words = [*monthly(steps), word, *more]
    try:
        plan_experiment(words)
    except InputError as error:
        (problem,) = error.problems
        advised = re.findall(r"((?:cv|dataset|preprocessing)\.\w+=\S+) \((\d+) training", problem.hint)
        assert advised or re.search("or give a longer series|deseasonalize=false", problem.hint)
        for advice, left in advised:
            experiment = plan_experiment([*words, advice])
            assert min(len(split.train) for split in experiment.splits) == int(left) > 0


def test_a_series_too_short_for_folds_names_the_fold_and_settings_that_fit() -> None:
    series = monthly(144)
    ((where, message, hint),) = mistakes(*series)
    assert where == "cv"
    assert message.startswith(
        "no window is left for training in fold 0: all windows before its held-out rows"
    )
    fit = "cv.folds=2 (15 training windows) or dataset.horizon=6 (9 training windows)"
    assert hint == f"Use {fit}, or give a longer series."
    assert "dataset.lookback=12 (" in mistakes(*series, "cv.folds=3", "dataset.lookback=48")[0][2]
    ((_, message, hint),) = mistakes(*series, "cv.folds=200")
    assert message.startswith("85 windows cannot be split")
    assert hint.startswith("Use cv.folds=")


def test_shorter_histories_of_several_series_are_advised() -> None:
    lines = "".join(f"{name},{step},{step % 7}\n" for name in "uvwx" for step in range(100))
    Path("s.csv").write_text(f"id,t,v\n{lines}")
    words = ["dataset=series", "dataset.path=s.csv", "dataset.id=id", "dataset.time=t", "dataset.horizon=6"]
    words += ["cv=time_series", "dataset.lookback=60"]
    ((_, _, hint),) = mistakes(*words)
    ((advice, left),) = re.findall(r"(dataset.min_lookback=\d+) \((\d+) training windows\)", hint)
    assert min(len(split.train) for split in plan_experiment([*words, advice]).splits) == int(left) >= 8


def test_the_words_that_keep_all_columns_from_being_used_are_named() -> None:
    rows = "".join(f"{row * 1.5 if row % 9 else 'gone'},{row % 2}\n" for row in range(1, 90))
    Path("t.csv").write_text("a,y\n" + rows)
    found = mistakes("dataset=table", "dataset.path=t.csv", "dataset.target=y", "model=linear")
    assert found[0][1].startswith("all columns are left out: a")
    assert any("'gone' is not a number" in message for _, message, _ in found)
