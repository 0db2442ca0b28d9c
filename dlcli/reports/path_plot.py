"""Plot the path of the weights during training over the loss around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.formatting import counted
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.style import INK, PALETTE, caption, label_axes, new_figure
from dlcli.training.scores import Scores
from dlcli.training.watch_path import WeightPath

_MARGIN = 0.2
# Points of a side of the grid and rows at most; both are fewer for models with many weights, so that the plot takes
# seconds: weights x rows x points of the grid.
_GRIDS, _ROWS, _FEWEST_ROWS, _WORK = (21, 11), 256, 16, 2_000_000_000


def path_figure(
    model: SavedModel, data: Data, rows: np.ndarray, path: WeightPath, device: torch.device
) -> Figure | None:
    """Plot the path in the plane of its two main directions, with the loss of the network in this plane.

    The directions are the first two principal directions of the differences from the last point (Li, Xu, Taylor, Studer
    and Goldstein, "Visualizing the Loss Landscape of Neural Nets", 2018, section 7). The loss is that of at most 256
    rows, fewer for large models, with the statistics of normalization layers of the trained network.

    Args:
        model: The trained model, whose weights are changed and restored.
        data: Rows of the dataset.
        rows: Numbers of the training rows.
        path: The path.
        device: Device of the forward passes.

    Returns:
        The figure; None if the path has fewer than three points, or the model has other weights.
    """
    known = dict(model.network.model.named_parameters())
    trained = [known[name] for name in path.names if name in known]
    if len(path.points) < 3 or sum(weights.numel() for weights in trained) != path.points.shape[1]:
        return None
    end = path.points[-1]
    moved = (path.points - end).double()
    _, sizes, directions = torch.linalg.svd(moved, full_matrices=False)
    plane = directions[:2]
    places = (moved @ plane.T).numpy()
    size = sum(weights.numel() for weights in known.values())
    grid = next((one for one in _GRIDS if size * _FEWEST_ROWS * one**2 <= _WORK), _GRIDS[-1])
    most = max(_FEWEST_ROWS, min(_ROWS, _WORK // (size * grid**2)))
    across, up = (_axis(places[:, number], grid) for number in (0, 1))
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
    surface = _losses(model, data, chosen, trained, end.double(), plane, across, up, device)
    figure, (ax,) = new_figure(width=5.8, height=4.6)
    label_axes(ax, "path of the weights", "first direction", "second direction")
    levels = np.unique(np.quantile(surface[np.isfinite(surface)], np.linspace(0, 1, 15)))
    if len(levels) > 1:
        drawn = ax.contourf(across, up, surface, levels=levels, cmap="viridis_r", alpha=0.75)
        figure.colorbar(drawn, ax=ax, label="loss", format="%.3g")
    ax.plot(*places.T, color=INK, linewidth=0.9, marker=".", markersize=2.5)
    ax.plot(*places[0], "o", color=PALETTE[1], markeredgecolor="white", label="start")
    ax.plot(*places[-1], "*", color=PALETTE[1], markersize=13, markeredgecolor="white", label="end")
    ax.legend(loc="best", frameon=False)
    share = float((sizes[:2] ** 2).sum() / (sizes**2).sum()) if sizes[0] > 0 else 1.0
    caption(
        figure,
        f"{counted(len(places), 'point')}. The plane contains {share:.0%} of their squared distances from the end; the "
        f"loss is that of {counted(len(chosen), 'training row')}.",
    )
    return figure


def _axis(places: np.ndarray, points: int) -> np.ndarray:
    margin = _MARGIN * (float(np.ptp(places)) or 1.0)
    return np.linspace(places.min() - margin, places.max() + margin, points)


def _losses(
    model: SavedModel,
    data: Data,
    rows: np.ndarray,
    trained: Sequence[Tensor],
    end: Tensor,
    plane: Tensor,
    across: np.ndarray,
    up: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """Return the loss at each point of a grid, `(up, across)`; the weights are restored."""
    fields, y = model.fields(take(data.x, rows)), data.y[rows]
    before = [weights.detach().clone() for weights in trained]
    scores, found = Scores(model.task, []), np.full((len(up), len(across)), np.nan)
    try:
        for row, high in enumerate(up):
            for column, wide in enumerate(across):
                _set(trained, end + wide * plane[0] + high * plane[1])
                scores.add(*model.kept_of(fields, y, device))
                found[row, column] = scores.compute()["loss"]
    finally:
        for weights, values in zip(trained, before, strict=True):
            weights.data.copy_(values)
    return found


def _set(trained: Sequence[Tensor], values: Tensor) -> None:
    parts = values.split([weights.numel() for weights in trained])
    for weights, part in zip(trained, parts, strict=True):
        weights.data.copy_(part.view_as(weights))
