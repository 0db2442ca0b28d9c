"""`export --bundle`: a folder with a model that predicts raw rows without dlcli."""

from __future__ import annotations

import csv
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from torch import nn

from dlcli.errors import DlcliError, InputError
from dlcli.exporting.bundle_audio import RecordingRows
from dlcli.exporting.bundle_images import ImageRows
from dlcli.exporting.bundle_steps import StepRows
from dlcli.exporting.bundle_table_rows import TableRows, form_of
from dlcli.exporting.bundle_texts import TextRows
from dlcli.exporting.bundle_words import WordRows
from dlcli.exporting.bundled_rows import BundledRows, BundleSource
from dlcli.exporting.card import model_card
from dlcli.exporting.exported_program import ABSOLUTE, RELATIVE, need_onnx
from dlcli.exporting.heads import INSTEAD, computing_of, head_of, output_columns
from dlcli.exporting.new_folder import check_new_folder, new_folder
from dlcli.files.paths import resolved
from dlcli.files.unfinished import scratch_folder
from dlcli.inference.ensemble_model import SPREAD, Ensemble
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.output import csv_to
from dlcli.preprocessing.table import Table
from dlcli.runs.folder import OpenedRun, with_overrides
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_split
from dlcli.tasks.base import Task

_EXPECTED = "expected.csv"

# Module to the name of its package, if they differ.
_PACKAGES = {"PIL": "pillow"}


_QUESTIONS = (
    "questions cannot be made: its script would have to divide texts into tokens as the pretrained model's"
)


@dataclass(frozen=True)
class Bundled:
    """A bundle.

    Attributes:
        folder: its folder.
        rows: number of raw rows on which its predictions were compared with the model's.
        largest_difference: largest absolute difference between numbers of the predictions.
        run_id: ID of the run.
        messages: messages for the user.
        example: name of the file or folder with example rows, for the script.
    """

    folder: Path
    rows: int
    largest_difference: float
    run_id: str
    messages: tuple[str, ...] = ()
    example: str = "example.csv"


def export_bundle(
    opened: OpenedRun, model: SavedModel, folder: Path, overrides: Sequence[str] = ()
) -> Bundled:
    """Write a folder with the model as ONNX, a script that predicts raw rows, its requirements, a card and an example.

    The folder appears only after the script has predicted raw rows of the run's data in a separate process, and its
    predictions agree with the model's.

    Args:
        opened: the run.
        model: its model.
        folder: the folder, which may be empty or absent.
        overrides: overrides with the current location of the run's data.

    Raises:
        InputError: The folder exists, a package is missing, or the preprocessing has no counterpart in ONNX or the
            script.
        DlcliError: The network cannot be exported, or the predictions of the bundle differ from the model's.
        DataError: The run's rows cannot be found.
    """
    folder = resolved(folder)
    check_new_folder(folder, "--bundle")
    need_onnx("--bundle")
    _check_kind(model)
    head = head_of(model.task)
    dataset = with_overrides(opened.config, overrides)["dataset"]
    with model_errors(opened.folder):
        data, rows = opened.part_of(dataset, "val", "test", "train")
        tests = len(read_split(opened.ledger, len(data)).rows("test"))
        source = BundleSource(opened, model, dataset, data, rows)
        bundled = _rows_of(source)
        spec: dict[str, Any] = {"run_id": opened.ledger.run_id, "example": bundled.example}
        outputs = output_columns(model.task, head)
        with new_folder(folder, "the bundle") as made, scratch_folder() as scratch:
            raw, example = bundled.write_raw(scratch), bundled.write_example(made)
            expected, of_raw = bundled.predicted(example), bundled.predicted(raw)
            outputs += _spread_columns(outputs, expected)
            spec["outputs"] = outputs
            if isinstance(model, Ensemble):
                spec |= _write_members(made, model, source, bundled)
                _write_script(made, spec, "read_several.txt")
            else:
                _write_model(made, bundled, model.task, head, spec)
            _write_card(made, bundled, model_card(opened, model, tests, bundled.card))
            of_example, largest = _compared(made, example, expected, outputs)
            (made / _EXPECTED).write_bytes(_as_text(of_example))
            difference = max(
                _compared(made, raw, of_raw, outputs)[1],
                largest,
            )
    messages = (*opened.notes, *bundled.notes)
    return Bundled(folder, len(of_raw), difference, opened.ledger.run_id, messages, bundled.example)


def _check_kind(model: SavedModel) -> None:
    """Raise an InputError for a kind of model or rows that bundles do not support."""
    if model.task.outputs_of == "text":
        name = type(model.network.model).__name__
        hint = "Write an encoder and a decoder: --output DIR"
        raise InputError(
            f"{name} generates one token at a time, which cannot be a single program", "--bundle", hint
        )
    if getattr(model.task, "tile", None):
        tiles = "a bundle of a model that predicts images by tiles cannot be made: its script does not stitch them"
        raise InputError(tiles, "--bundle", "Use dlcli predict, or train on whole images: task.tile=null.")
    if model.kind in ("image", "tokens", "audio", "sequence", "words") or (
        type(model.preprocessing) is Table and model.columns is not None
    ):
        return
    own = f"{type(model.preprocessing).__name__} cannot be made: only of tables whose columns are known"
    raise InputError(f"a bundle of {_QUESTIONS if model.kind == 'questions' else own}", "--bundle", INSTEAD)


def _rows_of(source: BundleSource) -> BundledRows:
    match source.model.kind:
        case "image":
            return ImageRows(source)
        case "audio":
            return RecordingRows(source)
        case "sequence":
            return StepRows(source)
        case "words":
            return WordRows(source)
        case "tokens":
            return TextRows(source, *form_of(source))
    return TableRows(source)


def _write_model(
    folder: Path, rows: BundledRows, task: Task, head: nn.Module, spec: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a model with its script, and return the part of `bundle.json` that describes how rows are read."""
    (folder / "model.onnx").write_bytes(rows.graph(head))
    computing, settings = computing_of(task)
    whole = {**spec, **rows.spec(), **settings}
    _write_script(folder, whole, rows.reader, computing)
    rows.write_extras(folder)
    return whole


def _write_members(folder: Path, model: Ensemble, source: BundleSource, rows: BundledRows) -> dict[str, Any]:
    """Write the models of an ensemble into folders of their own, and the script that computes their mean."""
    members = []
    for number, member in enumerate(model.members, start=1):
        place, task = f"member_{number}", member.model.task
        (folder / place).mkdir()
        head = head_of(task)
        own = {"example": rows.example, "outputs": output_columns(task, head)}
        _write_model(folder / place, _rows_of(replace(source, model=member.model)), task, head, own)
        members.append({"folder": place, "weight": member.count, "run_name": member.name})
    return {"label": rows.spec()["label"], "members": members}


def _write_script(folder: Path, spec: Mapping[str, Any], *parts: str) -> None:
    files = resources.files("dlcli.exporting") / "bundle_files"
    texts = (files.joinpath(name).read_text(encoding="utf-8") for name in (*parts, "predict.txt"))
    (folder / "predict.py").write_text("".join(texts), encoding="utf-8")
    text = json.dumps(spec, ensure_ascii=False, indent=1)
    (folder / "bundle.json").write_text(text, encoding="utf-8")


def _spread_columns(columns: Sequence[Mapping[str, Any]], predicted: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the columns with the deviation over the models of an ensemble, each with the column it refers to."""
    named = {column["name"]: column for column in columns}
    found = []
    for name in predicted.columns:
        if name == SPREAD or str(name).startswith(f"{SPREAD}("):
            ending = str(name).removeprefix(SPREAD)
            of = named[f"p{ending}" if ending and f"p{ending}" in named else f"prediction{ending}"]
            found.append(
                {"name": name, "kind": "spread", "of": of, "center": 0.0, "scale": of.get("scale", 1.0)}
            )
    return found


def _write_card(folder: Path, rows: BundledRows, card: str) -> None:
    """Write the requirements, the container and the model card."""
    files = resources.files("dlcli.exporting") / "bundle_files"
    (folder / "Dockerfile").write_text(files.joinpath("Dockerfile").read_text(encoding="utf-8"))
    pins = [
        f"{_PACKAGES.get(name, name)}=={importlib.import_module(name).__version__}" for name in rows.packages
    ]
    (folder / "requirements.txt").write_text("\n".join([*pins, ""]), encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def _as_text(predictions: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    csv_to(written)(pa.Table.from_pandas(predictions, preserve_index=False))
    return written.getvalue()


def _compared(
    folder: Path, place: Path, expected: pd.DataFrame, outputs: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, float]:
    """Run the bundle's script in a separate process, and compare its predictions with the expected ones.

    Returns:
        The expected predictions, with the script's class where rounding decides on it, and the largest difference.

    Raises:
        DlcliError: The script fails, or its predictions differ from the model's.
    """
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "predict.py"), str(place)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason"])[-1].replace(f"{place}", "row")
        raise _differs(f"the script of the bundle fails: {why}")
    header, *lines = csv.reader(io.StringIO(done.stdout))
    found = pd.DataFrame(lines, columns=header)
    if list(found.columns) != list(expected.columns) or len(found) != len(expected):
        raise _differs("the bundle has other predictions than the model")
    largest, agreed = 0.0, expected.copy()
    for output in outputs:
        name = output["name"]
        tied = _tied(output, outputs, found, expected)
        if output["kind"] in ("number", "spread"):
            one, other = found[name].to_numpy(np.float64), expected[name].to_numpy(np.float64)
            most = RELATIVE * np.abs(other - output["center"]) + ABSOLUTE * output["scale"]
            wrong = ~(np.abs(one - other) <= most) & ~tied
            largest = max(largest, float(np.abs(one - other)[~tied].max(initial=0.0)))
        else:
            wrong = (found[name] != expected[name].astype(str)).to_numpy() & ~tied
        if tied.any():
            agreed[name] = np.where(tied, found[name], expected[name].astype(str))
        if wrong.any():
            row = int(wrong.argmax())
            was, should = found[name].iloc[row], expected[name].iloc[row]
            why = "Does the output of a row depend on the other rows of its batch, such as on their padding?"
            raise _differs(f"the bundle predicts {was} for {name} of a row, and the model {should}", why)
    return agreed, largest


def _tied(
    output: Mapping[str, Any],
    outputs: Sequence[Mapping[str, Any]],
    found: pd.DataFrame,
    expected: pd.DataFrame,
) -> np.ndarray:
    """Return the rows `(N,)` with another class, between which and the expected one rounding decides.

    Both are as probable as any, or at the threshold. Trees of a small forest often vote so. The deviation over several
    models is that of the predicted class.
    """
    column = output.get("of", output)
    if column["kind"] not in ("above", "largest"):
        return np.zeros(len(expected), dtype=bool)
    names = pd.Index([str(name) for name in column["names"]])
    classes = [names.get_indexer(table[column["name"]].astype(str)) for table in (found, expected)]
    numbers = {one["index"]: expected[one["name"]] for one in outputs if one["kind"] == "number"}
    if column["kind"] == "above":
        apart = np.abs(numbers[column["index"]].to_numpy(np.float64) - column["above"])
    else:
        p = np.stack([numbers[index].to_numpy(np.float64) for index in range(len(names))])
        rows = np.arange(len(expected))
        apart = p.max(axis=0) - np.minimum(*(p[place, rows] for place in classes))
    tied: np.ndarray = (classes[0] != classes[1]) & (classes[0] >= 0) & (apart <= ABSOLUTE)
    return tied


def _differs(message: str, why: str = "") -> DlcliError:
    return DlcliError(f"{message}; nothing was written", "--bundle", f"{why}\n{INSTEAD}".strip())
