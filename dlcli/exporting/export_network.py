"""`export`: write a run's network to a file, and a description of its inputs and outputs next to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.datasets.data import take
from dlcli.errors import InputError
from dlcli.exporting.dynamic_sizes import named_shape, output_shape, size_names
from dlcli.exporting.exported_program import (
    batch_size_of,
    description_of,
    need_onnx,
    need_packages,
    write_program,
)
from dlcli.exporting.program_meanings import input_meaning, output_meaning
from dlcli.files.paths import is_folder, kind_at
from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.series import Series
from dlcli.runs.folder import OpenedRun, with_overrides
from dlcli.runs.model_errors import model_errors
from dlcli.training.fields import Batch, first_rows

SUFFIXES = (".pt2", ".onnx", ".pte")

# Sizes of the batches on which the program is compared with the model.
_BATCHES = (16, 3, 1)

# Maximum number of values in an array of the fitted preprocessing that is written to the description.
_MAX_VALUES = 1 << 18


@dataclass(frozen=True)
class Exported:
    """An exported program.

    Attributes:
        file: File of the program.
        description: File of its description.
        rows: Number of rows on which the program was compared with the model.
        largest_difference: Largest absolute difference between the outputs of both.
        run_id: ID of the run.
        messages: Messages for the user.
    """

    file: Path
    description: Path
    rows: int
    largest_difference: float
    run_id: str
    messages: tuple[str, ...] = ()


def export_network(
    opened: OpenedRun, model: SavedModel, file: Path, overrides: Sequence[str] = ()
) -> Exported:
    """Write the network as .pt2 (`torch.export`), .onnx or .pte (ExecuTorch), and its description as `FILE.json`.

    The program's inputs are batches of preprocessed rows. It is compared with the model on the run's rows.

    Args:
        opened: The run.
        model: The run's model.
        file: The file to write.
        overrides: Overrides with the current location of the run's data.

    Raises:
        InputError: The extension is unknown, a package is missing, or the description would overwrite another file.
        DlcliError: The network cannot be exported.
        DataError: The run's rows cannot be found.
    """
    check_program_file(file)
    if model.task.outputs_of == "next_token" and not model.input_shape[0]:
        raise InputError(
            "a language model can be exported if its rows have the same number of tokens (dataset.rows=blocks, "
            "preprocessing.tokens=characters), which is not the case for this run",
            str(file),
            "Use the run itself: dlcli predict, dlcli serve, or dlcli.load_run in Python.",
        )
    if why := getattr(getattr(model.network, "model", None), "not_exported", ""):
        raise InputError(
            f"{why}, so that this network cannot be exported as a program of fixed operations",
            str(file),
            "Use the run itself: dlcli predict, dlcli serve, or dlcli.load_run in Python.",
        )
    if getattr(model.task, "tile", None):
        raise InputError(
            "this run predicts large images by tiles, whose outputs a program of the network does not combine",
            str(file),
            "Use the run itself: dlcli predict, dlcli serve, or dlcli.load_run in Python.",
        )
    dataset = with_overrides(opened.config, overrides)["dataset"]
    with model_errors(opened.folder):
        batches = example_batches(opened, model, dataset)

    def describe(difference: float, shape: tuple[int, ...]) -> str:
        outputs = output_shape(shape, model.task.outputs_of)
        if file.suffix == ".pte":
            outputs[0] = 1
        return json.dumps(_describe(opened, model, batches[0], difference, outputs), indent=2)

    with model_errors(opened.folder):
        difference = write_program(
            model.network, batches, file, describe, getattr(model.task, "paired", None)
        )
    rows = sum(batch_size_of(batch) for batch in batches)
    return Exported(file, description_of(file), rows, difference, opened.ledger.run_id, opened.notes)


def check_program_file(file: Path) -> None:
    """Check that a program can be written, and that the packages for its format are installed.

    Raises:
        InputError: The extension is unknown, a package is missing, or the description would overwrite another file.
    """
    if file.suffix not in SUFFIXES:
        raise InputError("has an unknown extension", str(file), f"Use one of {', '.join(SUFFIXES)}.")
    if not is_folder(file.parent):
        raise InputError("there is no such folder", str(file.parent), "Create it, or name another.")
    if kind_at(file) == "device":  # it would be replaced by a file
        raise InputError("is not a regular file", str(file), "Name another --output.")
    _refuse_foreign(description_of(file))
    if file.suffix == ".onnx":
        need_onnx()
    if file.suffix == ".pte":
        need_packages("ExecuTorch", ["executorch"], "--output")


def _refuse_foreign(description: Path) -> None:
    """Raise an InputError if the description would overwrite a file other than an earlier description."""
    if kind_at(description) == "nothing":
        return
    try:
        found = json.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= {"schema_version", "run_id", "inputs", "outputs"}:
        raise InputError(
            "would be overwritten by the program's description",
            str(description),
            "Move it away, or name another --output.",
        )


def example_batches(opened: OpenedRun, model: SavedModel, dataset: dict[str, Any]) -> list[Batch]:
    """Return preprocessed rows of the run's data, on which programs are compared with the model."""
    # A refitted model has no validation rows and may have no test rows.
    data, rows = opened.part_of(dataset, "val", "test", "train")
    batches: list[Batch] = []
    first = 0
    for size in _BATCHES:
        # Rows are repeated from the first one if there are not enough.
        some = np.take(rows, np.arange(first, first + size), mode="wrap")
        fields = model.fields(take(data.x, some))
        taken = {name: values for name, values in fields.items() if name not in model.task.own_fields}
        batches.append(first_rows(taken, size))
        first += size
    return batches


def _describe(
    opened: OpenedRun, model: SavedModel, batch: Batch, difference: float, outputs: Sequence[int | str]
) -> dict[str, Any]:
    sizes = size_names(batch)
    of_x = next((own.get(1, "") for name, own in sizes.items() if name.startswith("x")), "")
    return {
        "schema_version": 1,
        "run_id": opened.ledger.run_id,
        "run_name": opened.ledger.run_name,
        "inputs": [
            {
                "name": name,
                "dtype": str(values.dtype).removeprefix("torch."),
                "shape": named_shape(values, {**sizes[name], 0: outputs[0]}),
                "meaning": input_meaning(name, of_x) + (_of_series(model) if name == "x" else ""),
            }
            for name, values in model.network.taken(batch).items()
        ],
        "outputs": [
            {
                "name": "outputs",
                "dtype": "float32",
                "shape": list(outputs),
                "meaning": output_meaning(model.task.kind),
            }
        ],
        "task": {"name": model.task.describe(), **_settings(model), **model.facts},
        "preprocessing": (
            [_plain(member.model.preprocessing) for member in model.members]
            if isinstance(model, Ensemble)
            else _plain(model.preprocessing)
        ),
        "largest_difference": difference,
    }


def _of_series(model: SavedModel) -> str:
    """Return what the program does with the steps of series besides the forecast."""
    fitted = getattr(model, "preprocessing", None)
    if not isinstance(fitted, Series):
        return ""
    padded = "; steps before the first one are NaN" if fitted.least < fitted.lookback_ else ""
    raised = (
        "; target values below a thousandth of the mean of their row are raised to it for the logarithm: the program "
        "does not tell of them"
    )
    return padded + (raised if fitted.takes_logarithms else "")


def _settings(model: SavedModel) -> dict[str, Any]:
    """Return the settings of the task in plain values, and the frames that a step of the outputs covers."""
    plain = {name: v for name, v in model.task_section.items() if isinstance(v, str | int | float | bool)}
    frames = getattr(getattr(model.network, "model", None), "frames_per_step", 1)
    return plain | ({"frames_per_step": frames} if model.task.outputs_of == "step" else {})


def _plain(preprocessing: Any) -> dict[str, Any]:
    """Return the fitted attributes with plain values: columns, means and deviations, a tokenizer."""
    found: dict[str, Any] = {"class": type(preprocessing).__name__}
    for name, value in vars(preprocessing).items():
        if isinstance(value, np.ndarray) and value.size <= _MAX_VALUES:
            value = value.tolist()
        if isinstance(value, str | int | float | list | None):
            found[name.rstrip("_")] = value
    return found
