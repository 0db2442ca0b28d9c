"""Models of users that lose a part of themselves when they are saved are refused before training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dlcli
from dlcli.errors import ConfigError

HERE = Path(__file__).name


class Kept(nn.Module):
    accepts = frozenset({"table"})

    def __init__(self, input_shape: Any, num_outputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(input_shape[0], num_outputs)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.scale = 0.9 * self.scale + 0.5
        return self.inner(x / self.scale) + torch.rand(())


class Layers(Kept):
    def __init__(self, input_shape: Any, num_outputs: int) -> None:
        super().__init__(input_shape, num_outputs)
        self.layers = [nn.Linear(input_shape[0], num_outputs)]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.layers[0](x)


class Number(Kept):
    def __init__(self, input_shape: Any, num_outputs: int) -> None:
        super().__init__(input_shape, num_outputs)
        self.factor = 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.factor += 0.5 * self.training
        return super().forward(x * self.factor)


class Drawn(Kept):
    def __init__(self, input_shape: Any, num_outputs: int) -> None:
        super().__init__(input_shape, num_outputs)
        self.centre = torch.randn(input_shape[0])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - self.centre)


class Late(Kept):
    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Linear(x.shape[1], 3)
        return super().forward(x) + self.late(x)


class Lazy(nn.Module):
    accepts = frozenset({"table"})

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.inner = nn.LazyLinear(num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Changing(Kept):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


def check(model: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(sys.modules, "test_own_state", sys.modules[__name__])
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "own.yaml").write_text(f"_target_: test_own_state.{model.__name__}\n")
    dlcli.check(["dataset=iris", "model=own", f"runs_dir={tmp_path}"], conf_dirs=[tmp_path / "conf"])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Layers, "layers is a list of layers"),
        (Number, "after a batch, and 1 in a new model"),
        (Drawn, "centre is a tensor that is neither a parameter nor a buffer"),
        (Late, "Late has other parameters after a batch than before: late.bias, late.weight"),
        (Lazy, "Lazy has lazy layers, whose sizes are unknown before the first batch: inner.weight"),
        (Changing, "Changing changes x in place, which are rows of the data"),
    ],
)
def test_a_model_that_cannot_be_saved(
    model: type, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(model, tmp_path, monkeypatch)
    (problem,) = caught.value.problems
    assert problem.where == "model" and said in problem.message and HERE in problem.message


def test_a_model_that_draws_numbers_and_keeps_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(Kept, tmp_path, monkeypatch)
