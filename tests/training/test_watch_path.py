"""The callback that keeps the path of the weights, and its plot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dlcli
from dlcli import job
from dlcli.datasets.data import Data
from dlcli.errors import TrainingError
from dlcli.reports.path_plot import path_figure
from dlcli.tasks.regression import Regression
from dlcli.training import watch_path
from dlcli.training.network import Network
from dlcli.training.watch_path import WatchPath, WeightPath

TRAINER: Any = None
X = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
DATA = Data(name="d", kind="table", x=X, y=X @ [1.0, -2.0], targets=("t",))


def walk(watch: WatchPath, model: nn.Linear, steps: range) -> None:
    for step in steps:
        module: Any = SimpleNamespace(network=SimpleNamespace(model=model))
        watch.on_before_optimizer_step(TRAINER, module, torch.optim.SGD(model.parameters()))
        with torch.no_grad():
            model.weight.fill_(step + 1)


def test_points_are_evenly_spaced_and_a_resumed_run_has_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_path, "_POINTS", 4)
    whole, first, second = WatchPath(), WatchPath(), WatchPath()
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    walk(whole, model, range(10))
    path = whole.path(model)
    assert path is not None
    assert path.names == ("weight",)
    assert path.points[:, 0].tolist() == [0.0, 4.0, 8.0, 10.0]
    nn.init.zeros_(model.weight)
    walk(first, model, range(7))
    second.load_state_dict(first.state_dict())
    walk(second, model, range(7, 10))
    again = second.path(model)
    assert again is not None
    assert torch.equal(again.points, path.points)


def test_a_model_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_path, "_VALUES", 3)
    with pytest.raises(TrainingError, match="2 weights"):
        walk(WatchPath(), nn.Linear(2, 1, bias=False), range(1))


def test_the_plot_shows_the_loss_around_the_path_and_restores_the_weights() -> None:
    model = nn.Linear(2, 1, bias=False)
    task = Regression(("t",), [0.0], [1.0], nn.MSELoss())
    network = Network(_Net(model))
    saved: Any = SimpleNamespace(
        network=network,
        task=task,
        fields=lambda x: {"x": torch.from_numpy(x)},
        kept_of=lambda fields, y, _: (network.model(fields["x"]), torch.from_numpy(y).float()[:, None]),
    )
    before = model.weight.detach().clone()
    points = torch.tensor([[3.0, 0.0], [2.0, -1.0], [1.0, -2.0]])
    path = WeightPath(("linear.weight",), points)
    figure = path_figure(saved, DATA, np.arange(8), path, torch.device("cpu"))
    assert figure is not None
    assert torch.equal(model.weight, before)
    drawn = figure.axes[0].lines[0]
    lengths = np.linalg.norm(np.diff(np.column_stack([drawn.get_xdata(), drawn.get_ydata()]), axis=0), axis=1)
    assert lengths == pytest.approx([2**0.5] * 2)  # distances in the plane are those of the weights
    other = WeightPath(("linear.weight",), points[:, :1])
    assert path_figure(saved, DATA, np.arange(8), other, torch.device("cpu")) is None


class _Net(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def test_a_run_that_was_stopped_while_it_was_drawn_has_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[WeightPath] = []
    write_report = job.write_report

    def stopped(run_dir: Path, model: Any, data: Data, fitted: Any, *others: Any, **more: Any) -> str:
        paths.append(fitted.path)
        if len(paths) == 1:
            raise RuntimeError("stopped")
        return write_report(run_dir, model, data, fitted, *others, **more)

    monkeypatch.setattr(job, "write_report", stopped)
    with pytest.raises(RuntimeError, match="stopped"):
        dlcli.train(
            [
                *(
                    "dataset=iris",
                    "model=mlp",
                    "model.hidden=4",
                    "callbacks=watch_path",
                    "trainer.max_epochs=2",
                ),
                *("run_name=watched", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}'"),
            ]
        )
    resumed = dlcli.resume("watched", runs_dir=tmp_path)
    assert torch.equal(paths[0].points, paths[1].points)
    assert "path" in resumed.plots
