"""Every argument of Lightning's trainer, and every callback of Lightning, works or is refused with a reason."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks

from dlcli.checks.callbacks import REFUSED, WORKING
from dlcli.checks.settings import find_config_warnings
from dlcli.checks.steps import warn_of_steps
from dlcli.config.reserved_keys import SUPPLIED
from dlcli.errors import InputError
from dlcli.runner.check import check
from dlcli.training.trainer_arguments import ARGUMENTS, unsupported

IRIS = ["dataset=iris", "model=mlp", "trainer.accelerator=cpu"]
DOCS = Path(__file__).parents[2] / "docs" / "trainer.md"


def mistakes(*overrides: str) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as caught:
        check([*IRIS, *overrides])
    return [(p.where, p.message, p.hint) for p in caught.value.problems]


def parameters() -> dict[str, inspect.Parameter]:
    return {k: p for k, p in inspect.signature(pl.Trainer.__init__).parameters.items() if k != "self"}


def test_every_argument_of_the_trainer_is_treated() -> None:
    """A new version of Lightning may have new arguments: decide what dlcli does with them."""
    own = SUPPLIED["trainer"]
    assert not set(own) & set(ARGUMENTS)
    assert set(parameters()) == {*own, *ARGUMENTS}


def test_the_defaults_of_the_trainer_are_accepted() -> None:
    defaults = {name: parameter.default for name, parameter in parameters().items() if name in ARGUMENTS}
    assert [name for name, _ in unsupported(defaults)] == []


def test_every_callback_of_lightning_is_treated() -> None:
    offered = {getattr(callbacks, name) for name in callbacks.__all__}
    assert not set(REFUSED) & set(WORKING)
    assert offered == {*REFUSED, *WORKING}


def lines(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table under a heading: the first cell's name, and the other cells."""
    text = DOCS.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line[:2] == "| "
    ]
    return {name.strip("`"): rest for name, *rest in rows[1:]}


def test_the_page_has_a_line_for_every_argument() -> None:
    table = lines("Arguments of the trainer")
    assert list(table) == list(parameters())
    for name, (treatment, _) in table.items():
        expected = "set by dlcli" if name in SUPPLIED["trainer"] else "works"
        if name in ARGUMENTS and ARGUMENTS[name].values is not None:
            expected = "works in part" if name in ("strategy", "precision") else "refused"
        assert treatment == expected, name


def test_the_page_has_a_line_for_every_callback() -> None:
    table = lines("Callbacks of Lightning")
    assert list(table) == sorted(callbacks.__all__)
    for name, (treatment, _) in table.items():
        assert treatment == ("refused" if getattr(callbacks, name) in REFUSED else "works"), name


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trainer.val_check_interval=0.5",
            "0.5 is not supported: the best epoch is chosen on all validation rows",
        ),
        (
            "trainer.check_val_every_n_epoch=2",
            "2 is not supported: the best epoch is chosen among all epochs",
        ),
        ("trainer.limit_val_batches=0.5", "0.5 is not supported: the best epoch is chosen on all"),
        ("trainer.limit_val_batches=1", "1 is not supported"),
        (
            "trainer.precision=64",
            "64 is not supported: the weights, the preprocessing and the saved model have 32",
        ),
        ("trainer.precision=bf16-true", "bf16-true is not supported"),
        ("trainer.overfit_batches=2", "2 is not supported: validation would use training rows"),
        ("trainer.fast_dev_run=true", "True is not supported: it would save nothing"),
        (
            "trainer.strategy=ddp_find_unused_parameters_true",
            "is not supported: dlcli trains on one device, or",
        ),
        ("trainer.limit_train_batches=0", "no batch would be trained"),
        ("trainer.limit_train_batches=0.1", "0.1 of 4 batches is less than one batch"),
        ("trainer.profiler=simple", "a profiler by name would write nowhere"),
        ("trainer.max_steps=0", "no step would be trained"),
        ("trainer.gradient_clip_algorithm=value", "has no effect without a value to clip at"),
        ("trainer.gradient_clip_val=-1", "-1 would clip nothing"),
    ],
)
def test_an_argument_that_would_mislead_is_refused_with_the_reason(override: str, message: str) -> None:
    ((where, found, hint),) = mistakes("dataset.batch_size=32", override)
    assert where == override.partition("=")[0]
    assert message in found
    assert hint


def test_limits_of_steps_that_contradict_each_other() -> None:
    ((where, message, hint),) = mistakes("trainer.max_steps=5", "trainer.min_steps=9")
    assert (where, message) == ("trainer.min_steps", "the minimum of 9 steps exceeds the maximum of 5")
    assert hint == "Raise trainer.max_steps (it is 5), or lower trainer.min_steps."


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("LearningRateMonitor", "each epoch's rate is recorded as the metric lr"),
        ("ModelCheckpoint", "tracking.checkpoint_minutes"),
        ("DeviceStatsMonitor", "tracking.system_metrics=true"),
        ("EMAWeightAveraging", "weight_averaging=ema"),
    ],
)
def test_a_callback_that_does_not_work_is_refused_with_what_to_use(name: str, instead: str) -> None:
    ((where, message, hint),) = mistakes(f"callbacks.mine._target_=pytorch_lightning.callbacks.{name}")
    assert where == "callbacks.mine"
    assert message.startswith(name)
    assert instead in hint


def test_two_callbacks_that_would_share_a_state_are_refused() -> None:
    """Lightning identifies their state by the monitored metric."""
    second = "callbacks.second._target_=pytorch_lightning.callbacks.EarlyStopping"
    ((where, message, _),) = mistakes(second, "callbacks.second.monitor=val/loss")
    assert where == "trainer"
    assert "state_key" in message


def test_variables_of_the_environment_do_not_change_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_TRAINER_MAX_STEPS", "3")
    ((where, message, hint),) = mistakes()
    assert where == "trainer.max_steps"
    assert message.startswith("the environment variable PL_TRAINER_MAX_STEPS would change the trainer")
    assert hint == "Use trainer.max_steps=3, and unset PL_TRAINER_MAX_STEPS."


def test_accumulation_is_set_once() -> None:
    scheduler = [
        "callbacks.gather._target_=pytorch_lightning.callbacks.GradientAccumulationScheduler",
        "callbacks.gather.scheduling={0:2}",
    ]
    ((where, message, _),) = mistakes(*scheduler, "trainer.accumulate_grad_batches=2")
    assert (where, message) == (
        "trainer.accumulate_grad_batches",
        "contradicts the callback GradientAccumulationScheduler, which also sets it",
    )
    ((_, message, _),) = mistakes(*scheduler, "optimizer=lbfgs", "model=linear")
    assert message.startswith("L-BFGS evaluates a batch several times per step")


def test_more_accumulated_batches_than_an_epoch_has_are_reported() -> None:
    from dlcli.experiment import plan_experiment

    def warnings(batches: int) -> list[Any]:
        words = [*IRIS, "dataset.batch_size=32", f"trainer.accumulate_grad_batches={batches}"]
        experiment = plan_experiment(words)
        found = list(find_config_warnings(experiment.config, experiment.splits))
        assert found == list(warn_of_steps(experiment.config, experiment.splits[0]))
        return [(w.where, w.message, w.hint) for w in found]

    assert warnings(4) == []
    assert warnings(24) == [
        (
            "trainer.accumulate_grad_batches",
            "24 is more than the 4 batches of an epoch, so that an epoch is a single step over all of its rows",
            "Gradients are not accumulated across epochs: 4 has the same effect.",
        )
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_accelerator_that_is_not_there_is_reported_with_those_that_are() -> None:
    for asked, message in (("cuda", "this machine has no cuda"), ("npu", "there is no accelerator npu")):
        ((where, found, hint),) = mistakes(f"trainer.accelerator={asked}")
        assert (where, found) == ("trainer.accelerator", message)
        assert hint.startswith("Use trainer.accelerator=cpu")


def test_steps_that_the_rows_make_unreachable_are_reported() -> None:
    """102 rows in batches of 32 are 4 batches; silently capped before."""
    from dlcli.experiment import plan_experiment

    def warnings(*words: str) -> list[tuple[str, str]]:
        experiment = plan_experiment([*IRIS, "dataset.batch_size=32", "trainer.max_epochs=5", *words])
        return [
            (w.where.removeprefix("trainer."), w.message)
            for w in warn_of_steps(experiment.config, experiment.splits[0])
        ]

    assert warnings("trainer.limit_train_batches=4", "trainer.max_steps=20", "trainer.min_epochs=5") == []
    assert warnings("trainer.limit_train_batches=500") == [
        (
            "limit_train_batches",
            "500 is more than the 4 batches of an epoch, so that each epoch has all of them",
        )
    ]
    capped = "1,000 is more than the 20 steps of trainer.max_epochs=5, which ends training first"
    assert warnings("trainer.max_steps=1000") == [("max_steps", capped)]
    assert warnings("trainer.max_steps=1000", "trainer.max_epochs=-1") == []
    assert warnings("trainer.min_steps=21") == [
        ("min_steps", "21 is more than the 20 steps of trainer.max_epochs=5")
    ]
    ((where, message),) = warnings("trainer.max_steps=7", "trainer.min_epochs=4")
    assert (where, message) == (
        "min_epochs", "4 is more than the 2 epochs of trainer.max_steps=7, which has priority"
    )  # fmt: skip
    idle = "has no effect: nothing stops training before trainer.max_epochs or trainer.max_steps"
    assert warnings("trainer.min_epochs=3", "callbacks=none") == [("min_epochs", idle)]
    scheduler = "callbacks.gather._target_=pytorch_lightning.callbacks.GradientAccumulationScheduler"
    late = "accumulates from epoch 10 on, but training ends after 5 epochs"
    assert warnings(scheduler, "callbacks.gather.scheduling={0:2,9:4}") == [("callbacks", late)]


def test_the_page_names_the_refused_arguments() -> None:
    text = re.sub(r"\s+", " ", DOCS.read_text())
    for name in ("val_check_interval", "check_val_every_n_epoch", "limit_val_batches"):
        assert f"`{name}`" in text


def test_few_training_windows_of_a_forecast_are_reported(tmp_path: Path) -> None:
    from dlcli.experiment import plan_experiment

    file = tmp_path / "months.csv"
    months = [f"{1990 + n // 12}-{n % 12 + 1:02d}-01,{n % 12 + n / 10}" for n in range(144)]
    file.write_text("\n".join(["month,passengers", *months]))

    def warnings(horizon: int) -> list[str]:
        experiment = plan_experiment(
            ["dataset=series", f"dataset.path='{file}'", f"dataset.horizon={horizon}"]
        )
        assert (
            experiment.config["dataset"]["lookback"] == {6: 24, 24: 24}[horizon]
        )  # what auto means is recorded
        return [w.message for w in find_config_warnings(experiment.config, experiment.splits)]

    assert warnings(6) == []
    (few,) = warnings(24)
    assert few == "24 training windows for a horizon of 24: forecasts and their quantiles are uncertain"
