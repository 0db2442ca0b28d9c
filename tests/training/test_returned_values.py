"""Mistakes in a user's own parts are found before training, and named with file and line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

import dlcli
from dlcli.checks import callbacks as checks
from dlcli.checks import own_preprocessing
from dlcli.errors import ConfigError, describe_error
from dlcli.process.own_frame import own_place
from dlcli.training.returned_values import check_augmentation, check_groups, check_not_nan, check_size

HERE = rf"{Path(__file__).name}:\d+\)"


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.nan


def test_the_place_is_that_of_the_method_of_the_user() -> None:
    lines = Path(__file__).read_text().splitlines()
    assert lines[int(own_place(Own(), "step", "forward")[:-1].rpartition(":")[2]) - 1].startswith(
        "    def forward"
    )
    assert own_place(nn.Linear(1, 1), "forward") == own_place(SGD, "step") == ""


@pytest.mark.parametrize("is_of_model", [True, False])
def test_a_first_loss_that_is_nan_is_an_error_of_own_code_only(is_of_model: bool) -> None:
    outputs = torch.full((2, 1), torch.nan if is_of_model else 1.0)
    of: Any = (SimpleNamespace(criterion=Own()), SimpleNamespace(model=Own()))
    with pytest.raises(
        ConfigError, match=rf"Own.forward returns nan for the first batch \(.*{HERE}"
    ) as caught:
        check_not_nan(torch.tensor(torch.nan), outputs, *of)
    assert caught.value.problems[0].where == ("model" if is_of_model else "task.loss")
    shipped: Any = (SimpleNamespace(criterion=nn.MSELoss()), SimpleNamespace(model=nn.Linear(1, 1)))
    check_not_nan(torch.tensor(torch.nan), outputs, *shipped)  # it may be the learning rate or the data


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda batch: {**batch, "x": batch["x"][:, :2]}, r"x of shape \(4, 2\) for \(4, 3\)"),
        (lambda batch: {**batch, "x": batch["x"] * torch.nan}, "x with nan"),
        (lambda batch: None, "no dictionary with x, y"),
    ],
    ids=["shape", "nan", "nothing"],
)
def test_what_an_augmentation_returns(made: Any, said: str) -> None:
    class Augment:
        def __call__(self, batch: Any) -> Any:
            return made(batch)

    batch = {"x": torch.ones(4, 3), "y": torch.ones(4)}
    with pytest.raises(ConfigError, match=rf"Augment returns {said} \(.*{HERE}"):
        check_augmentation(Augment(), SimpleNamespace(), batch)  # type: ignore[arg-type]


def test_a_metric_returns_a_number_or_one_for_each_class() -> None:
    class Five:
        def compute(self) -> Tensor:
            return torch.ones(5)

    metric: Any = SimpleNamespace(inner=Five(), each=lambda: torch.ones(5))
    check_size("five", metric, SimpleNamespace(num_outputs=5))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"Five.compute returns 5 values \(.*{HERE}"):
        check_size("five", metric, SimpleNamespace(num_outputs=1, classes=("a", "b")))  # type: ignore[arg-type]


def test_methods_that_are_never_called_or_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(pl.Callback):
        def on_train_epoch_ended(self, trainer: Any, pl_module: Any) -> None: ...

        def on_fit_end(self, trainer: Any) -> None: ...  # type: ignore[override]

        def on_fit_start(self, *given: Any) -> None: ...

    monkeypatch.setattr(checks, "locate", lambda target: Stop)
    never, cannot = checks.find_callback_problems({"callbacks": {"stop": {"_target_": "Stop"}}})
    assert "Stop.on_train_epoch_ended is never called" in never.message
    assert never.hint == "Did you mean on_train_epoch_end?"
    assert cannot.hint == "Write def on_fit_end(self, trainer, pl_module)."


def test_an_optimizer_without_a_learning_rate() -> None:
    class Fixed(Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {})

    with pytest.raises(ConfigError, match=rf"Fixed has no learning rate lr .*{HERE}"):
        check_groups(Fixed([nn.Parameter(torch.ones(1))]))


def test_a_preprocessing_that_cannot_be_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    # In place of skops, whose import takes seconds.
    why = "it is a function"
    monkeypatch.setattr(
        own_preprocessing,
        "_is_saved",
        lambda value: why if callable(value) or not isinstance(value, float) else None,
    )

    class Fitted:
        def __init__(self) -> None:
            self.mean_, self.scaled_ = 1.0, lambda value: value

        def fit(self, x: Any) -> None: ...

    with pytest.raises(
        ConfigError, match=rf"Fitted.scaled_ cannot be saved with the model: it is a function .*{HERE}"
    ):
        own_preprocessing.check_saved(Fitted())


def test_an_error_in_another_process_keeps_its_place() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    (problem,) = describe_error(caught.value)["problems"]
    assert problem["message"] == "your own code failed: ZeroDivisionError: division by zero"
    assert Path(__file__).name in problem["where"] and "in test_an_error" in problem["where"]


@pytest.mark.parametrize(
    ("lines", "where", "hint"),
    [
        ("_traget_: mine.Net\n", "model._traget_", "_traget_ is probably meant to be _target_"),
        ("hidden: 8\n", "model._target_", "Name the class in the option's file"),
        ("_target_: mine.Net\n\thidden: 8\n", "own.yaml:2", "Indent with blanks"),
    ],
    ids=["misspelt", "missing", "tab"],
)
def test_mistakes_in_a_yaml_file(lines: str, where: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "own.yaml").write_text(lines)
    with pytest.raises(ConfigError) as caught:
        dlcli.check(["dataset=iris", "model=own"], conf_dirs=[tmp_path / "conf"])
    problem = caught.value.problems[0]
    assert problem.where.endswith(where) and problem.hint.startswith(hint)
