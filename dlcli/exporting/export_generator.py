"""`export` of a model that makes images: a program from noise and classes to images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.errors import InputError
from dlcli.exporting.dynamic_sizes import ROWS
from dlcli.exporting.export_network import Exported, check_program_file
from dlcli.exporting.exported_program import batch_size_of, description_of, write_program
from dlcli.inference.saved_model import SavedModel
from dlcli.runs.folder import OpenedRun
from dlcli.runs.model_errors import model_errors
from dlcli.tasks.generate import Generate, drawn_noise
from dlcli.training.network import Network

# Sizes of the batches on which the program is compared with the model.
_BATCHES = (4, 3, 1)

_MEANING = "images from -1 to 1; pixel = round((value + 1) * 127.5), from 0 to 255"


class _Maker(nn.Module):
    """A model that makes images, called as other models are."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.wrapped = model

    def forward(self, noise: Tensor, y: Tensor) -> Tensor:
        """Return images `(N, C, H, W)` from -1 to 1, from noise and classes `(N,)`."""
        return self.wrapped.make(noise, y)


def export_generator(opened: OpenedRun, model: SavedModel, file: Path) -> Exported:
    """Write the part of the model that makes images as .pt2 or .onnx, and its description as `FILE.json`.

    All steps of a diffusion model are in the program. It is compared with the model on drawn noise for the classes in
    turn.

    Args:
        opened: The run.
        model: The run's model, of the task `Generate`.
        file: The file to write.

    Raises:
        InputError: The extension is unknown, a package is missing, or the description would overwrite another file.
        DlcliError: The model cannot be exported.
    """
    check_program_file(file)
    task = model.task
    made: Any = model.network.model
    assert isinstance(task, Generate)
    if file.suffix == ".pte":
        hint = "Write an .onnx or a .pt2."
        raise InputError("a program of ExecuTorch that makes images is not supported", str(file), hint)
    shape = tuple(made.noise_shape)
    batches, first = [], 0
    for size in _BATCHES:
        draws = range(first, first + size)
        codes = torch.tensor(draws) % task.num_outputs
        batches.append({"noise": drawn_noise(draws, shape), "y": codes})
        first += size

    def describe(difference: float, image: tuple[int, ...]) -> str:
        return json.dumps(
            {
                "schema_version": 1,
                "run_id": opened.ledger.run_id,
                "run_name": opened.ledger.run_name,
                "inputs": [
                    {
                        "name": "noise",
                        "dtype": "float32",
                        "shape": [ROWS, *shape],
                        "meaning": "draws from the standard normal distribution",
                    },
                    {"name": "y", "dtype": "int64", "shape": [ROWS], "meaning": "index of the class of each image"},
                ],
                "outputs": [
                    {"name": "outputs", "dtype": "float32", "shape": [ROWS, *image], "meaning": _MEANING}
                ],
                "task": {"name": task.describe(), "classes": list(task.classes)},
                "largest_difference": difference,
            },
            ensure_ascii=False,
            indent=2,
        )  # fmt: skip

    with model_errors(opened.folder):
        difference = write_program(Network(_Maker(made)), batches, file, describe)
    rows = sum(map(batch_size_of, batches))
    messages = (
        *opened.notes,
        "It was compared on drawn noise; its inputs are noise and the index of a class.",
    )
    return Exported(file, description_of(file), rows, difference, opened.ledger.run_id, messages)
