"""Generate images with a run's saved model: as files with a table, or in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from PIL import Image

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.errors import InputError
from dlcli.events import Listener, RowsPredicted, ignore
from dlcli.files.disk import write_errors
from dlcli.inference.evaluation import choose_device
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.output import Write
from dlcli.tasks.generate import Generate
from dlcli.tasks.pixels import as_pictures
from dlcli.training.loader import derive_seed

GRID = "grid.png"

_GAP = 2  # pixels between the images of the grid
MOST_IN_GRID = 400


@dataclass(frozen=True)
class Wanted:
    """Settings of the generated images.

    Attributes:
        samples: number of images.
        seed: seed of their noise: the same seed gives the same images; a larger number adds images to these.
        classes: names of the classes to cycle through; empty for all.
    """

    samples: int
    seed: int = 0
    classes: Sequence[str] = field(default_factory=tuple)


def write_samples(
    model: SavedModel,
    wanted: Wanted,
    write: Write,
    folder: Path,
    *,
    device: Any = "auto",
    listen: Listener = ignore,
) -> int:
    """Generate images, write each of them and a grid as PNG, and a table with a line for each; return their number.

    Raises:
        InputError: the model generates no images or lacks a class, or a file cannot be written.
    """
    first: list[np.ndarray] = []
    done = 0
    for pictures, table in _pieces(model, wanted, folder, device):
        first += list(pictures[: max(0, MOST_IN_GRID - len(first))])
        write(pa.Table.from_pandas(table, preserve_index=False))
        done += len(table)
        listen(RowsPredicted(done))
    _write_grid(folder, first)
    return done


def samples_in_memory(
    model: SavedModel, wanted: Wanted, folder: Path | None, *, device: Any = "auto"
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return images and the table; also write the files of `write_samples` to a folder, if there is one."""
    pieces = list(_pieces(model, wanted, folder, device))
    pictures = np.concatenate([some for some, _ in pieces])
    if folder is not None:
        _write_grid(folder, list(pictures[:MOST_IN_GRID]))
    return pictures, pd.concat([table for _, table in pieces], ignore_index=True)


def _pieces(
    model: SavedModel, wanted: Wanted, folder: Path | None, device: Any
) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
    """Yield some images at a time with their table, and write their files."""
    y = draws_of(task_of(model), wanted)
    at_once = model.network.evaluation_rows()
    digits = len(str(wanted.samples))
    for start in range(0, len(y), at_once):
        pictures, table = made_of(model, y[start : start + at_once], device)
        table.insert(0, "sample", np.arange(start + 1, start + len(pictures) + 1))
        if folder is not None:
            table["file"] = [f"{number:0{digits}}.png" for number in table["sample"]]
            with write_errors(folder, what="the folder", elsewhere="name another --files"):
                folder.mkdir(exist_ok=True)
                for name, picture in zip(table["file"], pictures, strict=True):
                    Image.fromarray(picture).save(folder / name)
        yield pictures, table


def _write_grid(folder: Path, images: Sequence[np.ndarray]) -> None:
    with write_errors(folder, what="the folder", elsewhere="name another --files"):
        Image.fromarray(grid_of(np.stack(images))).save(folder / GRID)


def task_of(model: SavedModel) -> Generate:
    """Return the task of a model that generates images.

    Raises:
        InputError: the model generates no images.
    """
    if not isinstance(model.task, Generate):
        raise InputError(
            f"a model for {model.task.describe()} generates no images",
            "--samples",
            "Name a run of task=generate, files of new rows, or for a language model --prompt TEXT.",
        )
    return model.task


def draws_of(task: Generate, wanted: Wanted) -> torch.Tensor:
    """Return class and draw of each image, `(N, 2)`.

    Raises:
        InputError: a class is unknown, or the number of images or the seed is invalid.
    """
    if wanted.samples < 1 or wanted.seed < 0:
        raise InputError(
            f"{wanted.samples} images with seed {wanted.seed} cannot be generated",
            "--samples",
            "Use a number of images from 1 on, and a seed from 0 on.",
        )
    codes = {name: code for code, name in enumerate(task.classes)}
    for name in wanted.classes:
        if name not in codes:
            raise InputError(
                f"there is no class {name}", "--class", hint(did_you_mean(name, codes), choices(codes))
            )
    asked = [codes[name] for name in wanted.classes or task.classes]
    draws = [derive_seed(wanted.seed, number) for number in range(wanted.samples)]
    return torch.tensor([[asked[number % len(asked)], draw] for number, draw in enumerate(draws)])


def made_of(model: SavedModel, y: torch.Tensor, device: Any = "auto") -> tuple[np.ndarray, pd.DataFrame]:
    """Return images as bytes `(N, H, W)` or `(N, H, W, 3)`, with their classes and those predicted by the judge."""
    task = task_of(model)
    place = choose_device(device)
    with torch.inference_mode():
        images = task.made(model.network.to(place).eval(), y.to(place)).cpu()
    names = np.array(task.classes, dtype=object)
    table = pd.DataFrame({"class": names[y[:, 0].numpy()]})
    if task.judge is not None:
        table["recognized_as"] = names[task.judge.judged(images)[1].numpy()]
    return as_pictures(images.numpy()), table


def grid_of(images: np.ndarray) -> np.ndarray:
    """Return images `(N, H, W)` or `(N, H, W, 3)` in an approximately square grid on white."""
    columns = int(np.ceil(np.sqrt(len(images))))
    lines = -(-len(images) // columns)
    high, wide = images.shape[1:3]
    size = (lines * (high + _GAP) - _GAP, columns * (wide + _GAP) - _GAP, *images.shape[3:])
    grid = np.full(size, 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (high + _GAP), number % columns * (wide + _GAP)
        grid[top : top + high, left : left + wide] = image
    return grid
