"""`dlcli label`: find rows of a run whose labels are probably wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.data import take
from dlcli.datasets.raw_rows import load_current
from dlcli.errors import InputError
from dlcli.files.disk import write_errors
from dlcli.files.paths import is_folder, kind_at
from dlcli.files.unfinished import unfinished
from dlcli.formatting import counted
from dlcli.inference.predictions_file import all_predictions
from dlcli.reports.image_grid import MOST, image_grid
from dlcli.reports.run_plots import as_bytes
from dlcli.reports.style import save
from dlcli.runner import runs_directory
from dlcli.runs.folder import OpenedRun, open_run, with_overrides
from dlcli.runs.recorded import read_split
from dlcli.statistics.label_errors import find_label_errors


@dataclass(frozen=True, eq=False)
class Labelled:
    """The likely label errors of a run.

    Attributes:
        run_id: ID of the run.
        run_name: Its name.
        run_dir: Its folder.
        rows: Number of rows that were checked.
        expected: Estimated number of wrong labels among them.
        errors: One row per likely error, the most likely first: `row`, `label`, `suggested`, and the probability of
            both, `p_label` and `p_suggested`.
        messages: Sentences for the user.
        file: The CSV file, if it was written.
        picture: The plot of the rows, if they are images and it was written.
    """

    run_id: str
    run_name: str
    run_dir: Path
    rows: int
    expected: float
    errors: pd.DataFrame
    messages: tuple[str, ...] = ()
    file: Path | None = None
    picture: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the `--json` document."""
        return {
            "status": "OK",
            "run_id": self.run_id,
            "run_name": self.run_name,
            "run_dir": str(self.run_dir),
            "rows": self.rows,
            "expected_errors": self.expected,
            "errors": self.errors.to_dict("records"),
            "messages": list(self.messages),
            "output": str(self.file.resolve()) if self.file else None,
            "picture": str(self.picture.resolve()) if self.picture else None,
        }


def label(
    run: str,
    output: Path | None = None,
    picture: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
) -> Labelled:
    """Return the rows whose label is probably wrong, by recorded predictions of models that were not trained on them.

    Args:
        run: The user's reference to the run; for a cross-validation, all rows of its folds are checked.
        output: A .csv file to write.
        picture: A .png file to write, for a run on images.
        overrides: Current location of the run's data.
        conf_dirs: Conf folders given by the user.
        runs_dir: The runs folder in use.
        trust: Whether the user trusts everything in the run's folder.

    Raises:
        InputError: The task is not a classification with one class per row, or a file cannot be written.
        CorruptRun: The predictions cannot be read.
    """
    for file, suffix, option in ((output, ".csv", "--output"), (picture, ".png", "--picture")):
        if file is not None and (file.suffix.lower() != suffix or not is_folder(file.parent)):
            raise InputError(f"is no {suffix} in a folder that exists", str(file), f"Name another {option}.")
        if file is not None and kind_at(file) == "device":
            raise InputError("is not a regular file", str(file), f"Name another {option}.")
    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
    ledger = opened.ledger
    if ledger.kind in ("sweep", "ensemble") or ledger.status != "FINISHED":
        hint = "Label errors are found by one run, best by a cross-validation: cv=stratified_kfold"
        if command := dict(ledger.result.get("best") or {}).get("command"):
            hint += f". The sweep's winner by itself: {command}"
        raise InputError(f"is a {ledger.kind} with the status {ledger.status}", ledger.run_name, hint)
    table = all_predictions(opened.folder)
    shares = [str(name) for name in table.columns if str(name).startswith("p(")]
    if not {"prediction", "target"} <= set(table.columns) or len(shares) < 2:
        raise _without_classes(opened)
    names = [name[2:-1] for name in shares]
    target = table["target"].astype(str)
    # Rows that several models predict, such as those of repeated folds or several seeds.
    mean = table.groupby("row")[shares].mean()
    first = target.groupby(table["row"]).first()
    codes = first.map({name: code for code, name in enumerate(names)}).to_numpy(np.int64)
    probabilities = mean.to_numpy(np.float64)
    found = find_label_errors(codes, probabilities)
    rows = mean.index.to_numpy()
    errors = pd.DataFrame(
        {
            "row": rows[found.rows],
            "label": np.array(names, dtype=object)[codes[found.rows]],
            "suggested": np.array(names, dtype=object)[found.suggested],
            "p_label": probabilities[found.rows, codes[found.rows]],
            "p_suggested": probabilities[found.rows, found.suggested],
        }
    )
    right = float((probabilities.argmax(axis=1) == codes).mean())
    total = sum(read_split(ledger).sizes.values())
    told = _told(opened, len(rows), total, len(errors), found.expected, right)
    messages = [*opened.notes, *told]
    if output is not None:
        with write_errors(output.parent), unfinished(output) as partial:
            errors.to_csv(partial, index=False)
            partial.replace(output)
    if picture is not None:
        _draw(opened, overrides, errors, picture)
    return Labelled(
        ledger.run_id,
        ledger.run_name,
        opened.folder,
        len(rows),
        found.expected,
        errors,
        tuple(messages),
        output,
        picture,
    )


def _without_classes(opened: OpenedRun) -> InputError:
    """Return the error for a run whose predictions are not probabilities of one class for each row."""
    task = str(opened.config["task"].get("_target_", "")).rpartition(".")[2]
    if task == "Multilabel":
        instead = "Train a classifier of one label at a time: dataset.target=LABEL"
    elif task in ("Generate", "LanguageModel", "MaskedLanguageModel", "Forecast"):
        instead = "This run has no labels."
    else:
        instead = (
            f"The rows with the worst predictions are in its report: dlcli report {opened.ledger.run_id[:8]}"
        )
    hint = f"Label errors can be found for one class out of several, in binary and multiclass runs. {instead}"
    return InputError(f"has no probabilities of classes ({task})", opened.ledger.run_name, hint)


_LOOK = "They include rows that are hard to distinguish: inspect each row before you change its label. "


def _told(opened: OpenedRun, rows: int, total: int, errors: int, expected: float, right: float) -> list[str]:
    said = [
        f"{counted(errors, 'label')} of {rows:,} {'is' if errors == 1 else 'are'} probably wrong; about "
        f"{expected:,.0f} are expected to be (confident learning). {_LOOK if errors else ''}"
        f"The most probable class is the label in {right:.1%} of the rows; the list "
        "of a poor model is not reliable."
    ]
    if opened.ledger.kind != "cv":
        said.append(
            "Only validation and test rows were checked, and the epoch was selected on the former. To check all rows: "
            "cv=stratified_kfold"
        )
    elif rows < total:
        said.append(
            f"Only {rows:,} of the run's {total:,} rows were checked, those that its folds hold out. "
            "To check all rows: cv=stratified_kfold without cv.test_size"
        )
    return said


def _draw(opened: OpenedRun, overrides: Sequence[str], errors: pd.DataFrame, picture: Path) -> None:
    """Draw the most likely errors of a run on images.

    Raises:
        InputError: The run's rows are not images, or there is nothing to draw.
        DataError: The data differs from the run's.
    """
    if errors.empty:
        raise InputError("there is nothing to draw", "--picture", "Leave it out.")
    config = with_overrides(opened.config, overrides)
    with opened.gate.closed():
        data = load_current(config["dataset"])
    opened.check_rows(data)
    if data.kind != "image":
        raise InputError("the rows are not images", "--picture", "Write a table: --output labels.csv")
    shown = errors.head(MOST)
    images = as_bytes(np.asarray(take(data.x, shown["row"].to_numpy())))
    captions = [
        f"{row}: {given}, or {other} {share:.2f}"
        for row, given, other, share in shown[["row", "label", "suggested", "p_suggested"]].itertuples(
            index=False
        )
    ]
    note = f"{len(shown)} of {counted(len(errors), 'likely label error')}, the most likely first."
    save(image_grid(images, captions, note), picture)
