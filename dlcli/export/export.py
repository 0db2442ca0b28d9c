"""`export`: a run's network as a file, and beside it what goes in and comes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.datasets.data import take
from dlcli.errors import InputError
from dlcli.export.program import description_of, need_onnx, write_program
from dlcli.files.paths import is_folder, kind_at
from dlcli.inference.saved_model import SavedModel, read_task_facts
from dlcli.runs.folder import OpenedRun, with_overrides
from dlcli.training.fields import Batch, as_fields, first_rows

SUFFIXES = (".pt2", ".onnx")

# Rows on which the program is compared with the model: so many at a time.
_BATCHES = (16, 3, 1)

# Values of a fitted preprocessing that are told, at most.
_TOLD = 10_000


@dataclass(frozen=True)
class Exported:
    """A program and its description; `rows` of the run's data it was compared on, and how far outputs were apart."""

    file: Path
    description: Path
    rows: int
    largest_difference: float


def export(opened: OpenedRun, model: SavedModel, file: Path, overrides: Sequence[str] = ()) -> Exported:
    """Write the network as a .pt2 (`torch.export`) or .onnx, and `FILE.json`, which describes it.

    Its inputs are what the preprocessing makes of rows, as batches have it. It is compared with the model on the run's
    own rows; `overrides` say where these lie now.

    Raises:
        InputError: the file's ending is neither, a package is missing, or another's file is where the description goes.
        DlcliError: the network cannot be exported.
        DataError: the run's rows are not there.
    """
    if file.suffix not in SUFFIXES:
        raise InputError("the ending says nothing", str(file), f"It is one of {', '.join(SUFFIXES)}.")
    if not is_folder(file.parent):
        raise InputError("there is no such folder", str(file.parent), "Make it, or name another.")
    description = description_of(file)
    _refuse_foreign(description)
    if file.suffix == ".onnx":
        need_onnx()
    dataset = with_overrides(opened.config, overrides)["dataset"]
    batches = _batches(opened, model, dataset)

    def describe(difference: float) -> str:
        return json.dumps(_describe(opened, model, batches[0], difference), indent=2)

    difference = write_program(model.network, batches, file, describe)
    return Exported(file, description, sum(len(batch["x"]) for batch in batches), difference)


def _refuse_foreign(description: Path) -> None:
    """What stands where the description goes may be an earlier one, and nothing else."""
    if kind_at(description) == "nothing":
        return
    try:
        found = json.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= {"schema_version", "run_id", "inputs", "outputs"}:
        raise InputError(
            "stands where the description goes, and is none of a program",
            str(description),
            "Move it away, or name another --output.",
        )


def _batches(opened: OpenedRun, model: SavedModel, dataset: dict[str, Any]) -> list[Batch]:
    # A model that was refitted has no validation rows, and not always test rows.
    data, rows = opened.part_of(dataset, "val", "test", "train")
    batches, first = [], 0
    for size in _BATCHES:
        # Again from the first where there are not enough.
        some = np.take(rows, np.arange(first, first + size), mode="wrap")
        fields = as_fields(model.preprocessing.transform(take(data.x, some)))
        batches.append(first_rows(fields, size))
        first += size
    return batches


def _describe(opened: OpenedRun, model: SavedModel, batch: Batch, difference: float) -> dict[str, Any]:
    ragged = "lengths" in batch
    return {
        "schema_version": 1,
        "run_id": opened.ledger.run_id,
        "run_name": opened.ledger.run_name,
        "inputs": [
            {
                "name": name,
                "dtype": str(values.dtype).removeprefix("torch."),
                "shape": [
                    "rows",
                    *(["steps"] if ragged and name == "x" else values.shape[1:2]),
                    *values.shape[2:],
                ],
            }
            for name, values in batch.items()
        ],
        "outputs": [{"name": "outputs", "dtype": "float32", "shape": ["rows", model.task.num_outputs]}],
        "task": {"name": model.task.describe(), **read_task_facts(opened.folder / "model")},
        "preprocessing": _plain(model.preprocessing),
        "largest_difference": difference,
    }


def _plain(preprocessing: Any) -> dict[str, Any]:
    """What was fitted, as far as it is plain: columns, means and deviations, a tokenizer."""
    told: dict[str, Any] = {"class": type(preprocessing).__name__}
    for name, value in vars(preprocessing).items():
        if isinstance(value, np.ndarray) and value.size <= _TOLD:
            value = value.tolist()
        if isinstance(value, str | int | float | list | None):
            told[name.rstrip("_")] = value
    return told
