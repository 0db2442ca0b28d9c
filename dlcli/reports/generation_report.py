"""Report of a run of image generation: pictures, and distances to the nearest training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.formatting import counted
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.missing_pictures import MissingPictures
from dlcli.splits.split import Split
from dlcli.tasks.generate import Generate
from dlcli.tasks.judge import ENOUGH_IMAGES
from dlcli.tasks.pixels import as_pictures
from dlcli.training.epoch_samples import FOLDER
from dlcli.training.fit import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Maximum numbers of generated images and held-out rows that are compared with training rows, and of training rows read
# from files.
_COMPARED, _READ = 500, 20_000
_LOW = 0.01  # quantile of the held-out rows' distances below which an image is close to a training row
_SAME = 0.5 / 255  # distance within which pixels are equal up to rounding
_BLOCK = 4096  # training rows whose distances are in memory at a time

# Number of columns of the pictures, and maximum number of lines.
_COLUMNS, _LINES = 10, 12
_SHOWN = 8  # images of the picture of nearest rows


@dataclass(frozen=True)
class GenerationReport:
    """Values by name, and sentences on them."""

    figures: dict[str, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


def report_generation(
    run_dir: Path,
    model: SavedModel,
    data: Data,
    split: Split,
    fitted: FitResult,
    pictures: MissingPictures | None,
) -> GenerationReport:
    """Write pictures of generated images, and compare images with their nearest training rows; do nothing for
    other tasks.

    `pictures` receives those that cannot be drawn; None writes no pictures.
    """
    task = model.task
    if not isinstance(task, Generate):
        return GenerationReport()
    held_out = split.test if len(split.test) else split.val
    network = model.network.to(fitted.device).eval()
    if pictures is not None:
        _write_pictures(run_dir, task, network, fitted, pictures)
    if not len(held_out):
        return GenerationReport()
    return _nearest(run_dir, model, data, split, held_out, fitted.device, pictures)


def _write_pictures(
    run_dir: Path, task: Generate, network: Any, fitted: FitResult, missing: MissingPictures
) -> None:
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    shown = list(range(min(task.num_outputs, _LINES)))
    y = torch.tensor([[code, column] for code in shown for column in range(_COLUMNS)])
    names = [task.classes[code] for code in shown]
    images = as_pictures(task.made(network, y.to(fitted.device)).cpu().numpy())
    between = as_pictures(task.between(network, shown, _COLUMNS).cpu().numpy())
    best = f"epoch {fitted.best_epoch + 1}"
    with missing.noting("samples"):
        note = f"Generated images, a line for each class ({best})."
        _save(plots, "samples", lambda draw: draw.image_lines(images, names, note))
    with missing.noting("samples_by_epoch"):
        strips = []
        for file in sorted((run_dir / FOLDER).glob("epoch_*.png")):
            with Image.open(file) as opened:
                strips.append((f"epoch {int(file.stem.rpartition('_')[2])}", np.asarray(opened)))
        _save(plots, "samples_by_epoch", lambda draw: draw.strips(strips) if strips else None)
    with missing.noting("interpolation"):
        of_noise = "Images interpolated between two noise vectors, a line for each class."
        _save(plots, "interpolation", lambda draw: draw.image_lines(between, names, of_noise))
    history = {
        name: [metrics[name] for metrics in fitted.history if name in metrics]
        for name in dict.fromkeys(name for metrics in fitted.history for name in metrics)
    }
    with missing.noting("turns"):
        _save(plots, "turns", lambda draw: draw.turn_curves(history))


def _save(plots: Path, name: str, draw: Callable[[ModuleType], Figure | None]) -> None:
    """Write the figure that `draw` makes with the module `sample_plots`; nothing if it returns None."""
    from dlcli.reports import sample_plots  # a run of another task needs no matplotlib
    from dlcli.reports.style import save

    if (figure := draw(sample_plots)) is not None:
        save(figure, plots / f"{name}.png")


def _nearest(
    run_dir: Path,
    model: SavedModel,
    data: Data,
    split: Split,
    held_out: np.ndarray,
    device: torch.device,
    pictures: MissingPictures | None,
) -> GenerationReport:
    """Compare the distances of generated images and of held-out rows to their nearest training rows."""
    task, train = model.task, split.train
    assert isinstance(task, Generate)
    rows = held_out[np.linspace(0, len(held_out) - 1, min(len(held_out), _COMPARED)).astype(np.int64)]
    in_files = not isinstance(data.x, np.ndarray)
    if in_files and len(train) > _READ:
        train = train[np.linspace(0, len(train) - 1, _READ).astype(np.int64)]
    real = model.fields(take(data.x, rows))["x"][:].float()
    y = torch.from_numpy(task.encode(data.y[rows]))
    made = torch.cat([task.made(model.network, some.to(device)).cpu() for some in y.split(256)])
    field_of_train = model.fields(take(data.x, train))["x"]
    own, places = nearest_rows(made, field_of_train)
    theirs, _ = nearest_rows(real, field_of_train)
    low = float(theirs.quantile(_LOW))
    closer, copies, repeated = (int(count.sum()) for count in (own < low, own < _SAME, theirs < _SAME))
    few = f" of {len(train):,} that were read" if in_files and len(train) == _READ else ""
    figures = {
        "nearest/made": float(own.median()),
        "nearest/held_out": float(theirs.median()),
        "nearest/close": closer / len(own),
        "nearest/copies": copies / len(own),
    }
    text = (
        f"Generated images have a median distance of {figures['nearest/made']:.3f} from the nearest training row{few} "
        f"(root mean square of pixels from 0 to 1), held-out rows {figures['nearest/held_out']:.3f}; "
        f"{counted(closer, 'image')} of {len(own):,} {'is' if closer == 1 else 'are'} closer than {low:.3f}, as "
        f"{_LOW:.0%} of the held-out rows are; {counted(copies, 'image')} and {counted(repeated, 'held-out row')} are "
        "equal to a training row."
    )
    if pictures is not None:
        chosen = own.argsort()[:_SHOWN]
        nearest = field_of_train.index_select(0, places[chosen]).float()
        pairs = as_pictures(torch.stack([made[chosen], nearest], dim=0).flatten(0, 1).numpy())
        labels = ["made", "nearest"]
        note = f"The {len(chosen)} of {len(own):,} generated images that are closest to a training row, and these rows."
        with pictures.noting("nearest"):
            _save(run_dir / "plots", "nearest", lambda draw: draw.image_lines(pairs, labels, note))
    return GenerationReport(figures, [text, *_few_rows(task, split)])


def _few_rows(task: Generate, split: Split) -> list[str]:
    """Return sentences on the number of images, and on the bias of distances for few images."""
    epochs = min(len(split.val), task.rows_of_an_epoch or len(split.val))
    counts = {"in each epoch": epochs, "val": len(split.val), "test": len(split.test)}
    counts = {name: rows for name, rows in counts.items() if rows}
    text = (
        f"Images evaluated: {', '.join(f'{rows:,} {name}' for name, rows in counts.items())}. frechet is larger for "
        "fewer images, so that only values for equal numbers are comparable; kernel_distance is not."
    )
    few = [name for name, rows in counts.items() if rows < ENOUGH_IMAGES]
    if few:
        text += f" Below {ENOUGH_IMAGES} ({', '.join(few)}) frechet is unreliable: read kernel_distance."
    return [text]


def nearest_rows(images: Tensor, rows: Any) -> tuple[Tensor, Tensor]:
    """Return the distance `(N,)` of each image from its nearest row, and the row's number.

    Args:
        images: pixels from 0 to 255, `(N, C, H, W)`.
        rows: a field of such images.

    Returns:
        The root mean square of the pixels' differences, as shares of 255, and numbers of rows.
    """
    flat = images.flatten(1).float() / 255
    best = torch.full((len(flat),), torch.inf)
    place = torch.zeros(len(flat), dtype=torch.long)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].flatten(1).float() / 255
        distances, nearest = torch.cdist(flat, block).min(dim=1)
        place = torch.where(distances < best, nearest + start, place)
        best = torch.minimum(best, distances)
    return best / flat.shape[1] ** 0.5, place
