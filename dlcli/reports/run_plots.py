"""Plot a run: its training, the path of its weights, and the rows that its model was evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from dlcli.datasets.data import Data, take
from dlcli.inference.evaluation import Evaluation
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.convolution_plots import filter_figure
from dlcli.reports.image_grid import MOST, image_grid
from dlcli.reports.learning_curves import gradient_curves, learning_curves
from dlcli.reports.path_plot import path_figure
from dlcli.reports.style import save
from dlcli.reports.translation_plots import attention_figure
from dlcli.splits.split import Part, name_of_test_rows
from dlcli.training.watch_path import WeightPath


def plot_training(
    plots: Path,
    about: str,
    history: Mapping[str, Sequence[tuple[int, float]]],
    best_epoch: int | None,
    monitor: str,
    max_epochs: int | None,
    baseline: float | None,
    *,
    has_linear: bool,
) -> None:
    """Write `learning_curves.png` and, if the norms of the gradients were recorded, `gradients.png`.

    The arguments after `about`, the line above the plots, are those of `learning_curves`.
    """
    curves = learning_curves(history, best_epoch, monitor, max_epochs, baseline, has_linear=has_linear)
    save(curves, plots / "learning_curves.png", about)
    if layers := gradient_curves(history):
        save(layers, plots / "gradients.png", about)


def plot_path(
    plots: Path,
    about: str,
    model: SavedModel,
    data: Data,
    train: np.ndarray,
    path: WeightPath,
    device: torch.device,
) -> None:
    """Write `path.png`, the path of the weights over the loss of the training rows, if it can be drawn."""
    figure = path_figure(model, data, train, path, device)
    if figure is not None:
        save(figure, plots / "path.png", about)


def plot_rows(
    plots: Path,
    about: str,
    model: SavedModel,
    data: Data,
    evaluations: Mapping[Part, Evaluation],
    device: torch.device,
    *,
    is_fold: bool,
) -> None:
    """Write the task's plots of the test rows (of the validation rows if there are none), and those of single rows."""
    evaluation = evaluations.get("test", evaluations.get("val"))
    assert evaluation is not None
    rows = name_of_test_rows(is_fold) if "test" in evaluations else "validation"
    about_rows = f"{about} · {rows} rows"
    for what, picture in model.task.pictures(evaluation.outputs, evaluation.y):
        save(picture, plots / f"{what}.png", about_rows)
    if data.kind == "image":
        if grid := _worst_images(model, data, evaluation, device):
            save(grid, plots / "worst.png", about_rows)
        first = int(evaluation.rows[0])
        image = as_bytes(np.asarray(take(data.x, np.array([first]))))[0]
        if filters := filter_figure(model, data, first, image):
            save(filters, plots / "filters.png", about_rows)
    shown = evaluations.get("val", evaluation)
    if data.kind == "tokens" and (attention := attention_figure(model, data, shown.rows)):
        save(attention, plots / "attention.png", about)


def _worst_images(
    model: SavedModel, data: Data, evaluation: Evaluation, device: torch.device
) -> Figure | None:
    """Plot the images with the largest errors; None if there are no errors."""
    worst = model.task.worst(evaluation.outputs, evaluation.y)
    if not worst:
        return None
    places = [position for position, _ in worst[:MOST]]
    rows = evaluation.rows[places]
    images, texts = as_bytes(np.asarray(take(data.x, rows))), [text for _, text in worst[:MOST]]
    drawn = model.task.row_pictures(
        images,
        data.y[rows],
        lambda: model.outputs(take(data.x, rows), device),
        texts,
        len(evaluation.rows),
    )
    if drawn is not None:
        return drawn
    note = (
        f"{min(len(worst), MOST)} of {len(worst):,} errors in {len(evaluation.rows):,} rows, the worst first."
    )
    return image_grid(images, texts, note)


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Return images for a plot, with the range of values mapped to bytes."""
    if images.dtype == np.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    return np.rint((images - low) * (255 / (high - low or 1.0))).astype(np.uint8)
