"""Plot a run: its training, the path of its weights, and the rows that its model was evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from dlcli.reports.missing_pictures import MissingPictures
from dlcli.reports.path_plot import path_figure
from dlcli.reports.style import save
from dlcli.reports.translation_plots import attention_figure
from dlcli.splits.split import Part, name_of_test_rows
from dlcli.training.watch_path import WeightPath


class RunPlots:
    """Draws a run's plots.

    Args:
        plots: The folder of the plots.
        about: The line above the plots.
        missing: Receives the plots that cannot be drawn.
    """

    def __init__(self, plots: Path, about: str, missing: MissingPictures) -> None:
        self._plots = plots
        self._about = about
        self._missing = missing

    def _write(self, name: str, draw: Callable[[], Figure | None], about: str | None = None) -> None:
        """Write the figure that `draw` makes to `NAME.png`; nothing if it returns None."""
        with self._missing.noting(name):
            if (figure := draw()) is not None:
                save(figure, self._plots / f"{name}.png", self._about if about is None else about)

    def training(
        self,
        history: Mapping[str, Sequence[tuple[int, float]]],
        best_epoch: int | None,
        monitor: str,
        max_epochs: int | None,
        baseline: float | None,
        *,
        linear: str,
        solved_head: bool,
    ) -> None:
        """Write `learning_curves.png` and, if the norms of the gradients were recorded, `gradients.png`.

        The arguments are those of `learning_curves`.
        """
        self._write(
            "learning_curves",
            lambda: learning_curves(
                history, best_epoch, monitor, max_epochs, baseline, linear=linear, solved_head=solved_head
            ),
        )
        self._write("gradients", lambda: gradient_curves(history))

    def path(
        self, model: SavedModel, data: Data, train: np.ndarray, path: WeightPath, device: torch.device
    ) -> None:
        """Write `path.png`, the path of the weights over the loss of the training rows, if it can be drawn."""
        self._write("path", lambda: path_figure(model, data, train, path, device))

    def rows(
        self,
        model: SavedModel,
        data: Data,
        evaluations: Mapping[Part, Evaluation],
        device: torch.device,
        *,
        is_fold: bool,
    ) -> None:
        """Write the task's plots of the test rows (of the validation rows if there are none), and of single rows."""
        evaluation = evaluations.get("test", evaluations.get("val"))
        assert evaluation is not None
        rows = name_of_test_rows(is_fold) if "test" in evaluations else "validation"
        about_rows = f"{self._about} · {rows} rows"
        write_of_task(
            model.task.pictures(evaluation.outputs, evaluation.y), self._plots, about_rows, self._missing
        )
        if data.kind == "image":
            self._write("worst", lambda: _worst_images(model, data, evaluation, device), about_rows)
            self._write("filters", lambda: _filters(model, data, evaluation), about_rows)
        shown = evaluations.get("val", evaluation)
        if data.kind == "tokens":
            self._write("attention", lambda: attention_figure(model, data, shown.rows))


def write_of_task(
    pictures: Iterable[tuple[str, Figure]], plots: Path, about: str, missing: MissingPictures
) -> None:
    """Write the pictures of a task to a folder, and note those that cannot be drawn."""
    with missing.noting("plots of the evaluated rows"):
        for name, picture in pictures:
            with missing.noting(name):
                save(picture, plots / f"{name}.png", about)


def _filters(model: SavedModel, data: Data, evaluation: Evaluation) -> Figure | None:
    """Plot the filters of the first layer; None if it has none."""
    first = int(evaluation.rows[0])
    return filter_figure(model, data, first, as_bytes(np.asarray(take(data.x, np.array([first]))))[0])


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
