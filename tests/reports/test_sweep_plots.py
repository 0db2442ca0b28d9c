"""Pictures of a sweep, however little there is to draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.reports.style import save
from dlcli.reports.sweep_plots import Scale, Tried, contour, history, parallel_coordinates, pareto

SCALES = [Scale("model", ("mlp", "linear")), Scale("model.hidden"), Scale("optimizer.lr", log=True)]
# `model.hidden` exists only where the model is an MLP.
TRIED = [
    Tried(0, {"model": "linear", "optimizer.lr": 0.1}, 0.3),
    Tried(2, {"model": "mlp", "model.hidden": 8, "optimizer.lr": 0.01}, 0.2),
    Tried(3, {"model": "mlp", "model.hidden": 16, "optimizer.lr": 0.001}, 0.1),
    Tried(5, {"model": "mlp", "model.hidden": 32, "optimizer.lr": 0.005}, 30.0),
    Tried(6, {"model": "mlp", "model.hidden": 64, "optimizer.lr": 0.003}, 0.1),
]


@pytest.mark.parametrize("trials", [1, 2, 5])
def test_few_trials_and_conditions_are_drawn(trials: int, tmp_path: Path) -> None:
    tried = TRIED[:trials]
    pictures = {
        "history": history(tried, {"pruned": [1], "failed": [4]}, "val/loss", "min"),
        "parallel": parallel_coordinates(tried, SCALES, "val/loss", "min"),
        "contour": contour(tried, SCALES[1], SCALES[2], "val/loss", "min"),
        "pareto": pareto([(t.value, 10.0**t.number, 1.0) for t in tried], [0], ["val/loss", "cost", "time"]),
    }
    assert (pictures["contour"] is not None) == (trials == 5)
    for name, picture in pictures.items():
        if picture is not None:  # a warning would be an error here
            assert save(picture, tmp_path / f"{name}.png").stat().st_size > 1000
