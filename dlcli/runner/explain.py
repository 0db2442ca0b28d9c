"""`dlcli explain`: the importance of columns for a run's model, and the groups of rows with the largest errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.datasets.raw_rows import load_current
from dlcli.errors import DataError
from dlcli.files.disk import write_errors
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.inference.evaluation import choose_device
from dlcli.inference.importance import Dependence, Importance, dependence, importances
from dlcli.inference.saved_model import SavedModel
from dlcli.runner import runs_directory
from dlcli.runner.explained_rows import KINDS, ExplainedRow, draw_rows, explained_rows
from dlcli.runner.judged_cases import judge_cases
from dlcli.runner.row_errors import (
    blocks_of_windows,
    has_row_errors,
    row_errors,
    slice_columns,
    without_row_errors,
)
from dlcli.runs.ensembles import OpenedModel, open_model
from dlcli.runs.explanation_record import SALIENCY_PICTURE, write_explanation
from dlcli.runs.folder import with_overrides
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_final_test, read_split
from dlcli.splits.split import shares_rows
from dlcli.statistics.associated import correlated_groups
from dlcli.statistics.slices import FEWEST, Slice, find_slices
from dlcli.tasks.base import Task
from dlcli.training.fields import as_fields

_CURVES = 4  # number of columns whose partial dependence is computed
_ALPHA = 0.05
_ROWS_ARE = {"tokens": "texts", "audio": "recordings", "words": "sentences", "questions": "questions"}
_ABOUT_WINDOWS = (
    "Targets of windows overlap: slices count blocks of windows, one for each horizon, instead of rows."
)
_LISTS = ("importances", "dependence", "slices", "examples")
_SAME = "Name runs with the same final test rows: the same cv, cv.test_size and cv.seed."


@dataclass(frozen=True)
class Explanation:
    """The importance of columns for a model, and the groups of rows with the largest errors.

    Attributes:
        run_id: ID of the run.
        run_name: Its name.
        run_dir: Its folder.
        rows: Number of distinct rows, each predicted by models that were not trained on it.
        of_rows: Name of the rows: `final test rows`, `held-out rows of the folds`, ...
        loss: The loss on these rows.
        importances: Importances of columns and groups of correlated columns, in units of the loss, the largest first.
        dependence: Partial dependence of the predictions on the most important columns.
        error: Name of the error of a row, such as the absolute error.
        slices: Groups of rows, those with the largest difference of their mean error first.
        examples: For images and texts, the worst and typical rows with attributions to their pixels or words.
        files: Files that were written into the run's folder, for `dlcli report`.
        messages: Sentences for the user.
    """

    run_id: str
    run_name: str
    run_dir: Path
    rows: int
    of_rows: str
    loss: float
    importances: tuple[Importance, ...]
    dependence: tuple[Dependence, ...]
    error: str
    slices: tuple[Slice, ...]
    examples: tuple[ExplainedRow, ...]
    files: tuple[Path, ...]
    messages: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the `--json` document; heat maps of images are in the picture."""
        return {
            "status": "OK",
            **{name: value for name, value in vars(self).items() if name not in _LISTS},
            **{name: [asdict(one) for one in getattr(self, name)] for name in _LISTS[:-1]},
            "examples": [one.plain() for one in self.examples],
            "run_dir": str(self.run_dir),
            "files": [str(file) for file in self.files],
        }


def explain(
    run: str,
    *,
    rows: int = 1000,
    repeats: int = 10,
    examples: int = 6,
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
) -> Explanation:
    """Return the importance of columns for a run's model, and its errors by slice on rows not used for training.

    Args:
        run: The user's reference to the run.
        rows: Maximum number of rows for importance and partial dependence; slices use all rows.
        repeats: Number of permutations of each column.
        examples: For images and texts, number of the worst and of typical rows whose pixels or words are explained.
        overrides: Current location of the run's data.
        conf_dirs: Conf folders given by the user.
        runs_dir: The runs folder in use.
        trust: Whether the user trusts everything in the run's folder.

    Raises:
        DataError: There are no rows that were not used for training.
        InputError: The task defines no error of a single row.
    """
    places = runs_directory(runs_dir), conf_dirs
    found = open_model(run, *places, trust=trust, overrides=overrides, averages=False)
    opened = found.run
    config = with_overrides(opened.config, overrides)
    device = choose_device(config["trainer"].get("accelerator", "auto"))
    with opened.gate.closed():
        data = load_current(config["dataset"])
    opened.check_rows(data)
    task = found.model.task
    if not has_row_errors(task):
        raise without_row_errors(task)
    with model_errors(opened.folder):
        parts, of_rows = _parts(found, data)
        numbers = np.concatenate([own for _, own in parts])
        distinct = np.unique(numbers)
        messages = list(found.notes)
        outputs: Tensor | None = None
        if task.keeps_outputs:
            outputs = torch.cat([_outputs_of(task, model, take(data.x, own), device) for model, own in parts])
            encoded = as_fields({"y": task.encode(data.y[numbers])})["y"][:]
            loss = float(task.loss(outputs, encoded))
            errors, what = row_errors(task, outputs, data.y[numbers])
            # Rows that several models predict, such as those of repeated folds or several seeds, count once.
            judged = pd.Series(errors).groupby(numbers).mean()
            blocks = blocks_of_windows(data.y[distinct])
            slices = find_slices(slice_columns(data, distinct), judged.to_numpy(), blocks)
            if blocks is not None:
                messages.append(_ABOUT_WINDOWS)
        else:
            cases = judge_cases(parts, data, device)
            loss, what, slices = cases.loss, cases.error, cases.slices
            messages += cases.messages
        if len(distinct) < len(numbers):
            times = f"{len(numbers) / len(distinct):.2g}"
            messages.append(
                f"Each of the {len(distinct):,} {of_rows} is predicted by {times} models; its mean error counts once."
            )
        used: tuple[Importance, ...] = ()
        curves: tuple[Dependence, ...] = ()
        if data.kind == "table" and outputs is not None:
            few = _sampled(parts, distinct, rows)
            some = np.concatenate([own for _, own in few])
            if rows < len(distinct):
                messages.append(
                    f"Importance is computed on {rows:,} of {len(distinct):,} {of_rows} (--rows)."
                )
            names = [column.name for column in found.model.columns.features()] if found.model.columns else []
            names = names or [str(name) for name in data.x.columns]
            tables = [
                (partial(_outputs_of, task, model, device=device), take(data.x, own)) for model, own in few
            ]
            groups = correlated_groups(pd.concat([x for _, x in tables])[names])
            score = _loss_of(task, data, some)
            used = tuple(importances(tables, score, groups, some, repeats=repeats))
            single = [one.columns[0] for one in used if len(one.columns) == 1][:_CURVES]
            curves = tuple(
                dependence([(model, take(data.x, own)) for model, own in few], name, task, device)
                for name in single
            )
            messages += _about_importance(used)
        else:
            rows_are = _ROWS_ARE.get(data.kind, f"{data.kind}s")
            messages.append(f"Importance is available for columns of tables only; these rows are {rows_are}.")
        explained: list[ExplainedRow] = []
        if data.kind in KINDS and outputs is None:
            messages.append(
                f"The {KINDS[data.kind]} that predictions depend on are available for classes and numbers only."
            )
        elif data.kind in KINDS and outputs is not None:
            explained, said = explained_rows(parts, data, task, outputs, device, examples)
            messages += said
    messages += _about_slices(slices)
    ledger = opened.ledger
    explanation = Explanation(
        ledger.run_id,
        ledger.run_name,
        opened.folder,
        len(distinct),
        of_rows,
        loss,
        used,
        curves,
        what,
        tuple(slices),
        tuple(explained),
        (),
        tuple(messages),
    )
    return _recorded(explanation, found, data, runs_directory(runs_dir))


def _recorded(explanation: Explanation, found: OpenedModel, data: Data, runs_dir: Path) -> Explanation:
    """Write the explanation into the run's folder, unless there are several runs, or the run is in another folder."""
    ledger, folder = found.run.ledger, found.run.folder / "plots"
    of_folds = all(member.ledger.parent_id == ledger.run_id for member in found.members)
    reason = ""
    if found.members and not of_folds and ledger.kind not in ("ensemble", "sweep"):
        reason = "it is of several runs"
    elif not ledger.is_in_place or not found.run.folder.resolve().is_relative_to(runs_dir.resolve()):
        reason = f"the run is not in {display(runs_dir)}, the runs folder in use"
    elif folder.is_symlink():  # otherwise a picture elsewhere would be replaced
        reason = f"{display(folder)} is a link"
    if reason:
        told = f"The explanation was not recorded: {reason}."
        return replace(explanation, messages=(*explanation.messages, told))
    picture = folder / f"{SALIENCY_PICTURE}.png"
    files = []
    with write_errors(folder):
        picture.unlink(missing_ok=True)
        if any(one.pixels is not None for one in explanation.examples):
            folder.mkdir(exist_ok=True)
            draw_rows(explanation.examples, data, picture, f"{ledger.run_name} · {data.name}")
            files.append(picture)
    document = explanation.to_json()
    left_out = ("status", "run_id", "run_name", "run_dir", "files")
    kept = {name: value for name, value in document.items() if name not in left_out}
    files.append(write_explanation(ledger, kept))
    return replace(explanation, files=tuple(files))


def _parts(found: OpenedModel, data: Data) -> tuple[list[tuple[SavedModel, np.ndarray]], str]:
    """Return the models, each with rows that it was not trained on, and the name of these rows.

    Raises:
        DataError: There are none.
    """
    ledger = found.run.ledger
    final = read_split(ledger, len(data)).test
    # The models of several named runs are one ensemble, even if the first run is a cross-validation.
    if found.members and all(member.ledger.parent_id == ledger.run_id for member in found.members):
        parts = [(member.load_model(), read_split(member.ledger, len(data)).test) for member in found.members]
        parts = [(model, rows) for model, rows in parts if len(rows)]
        if parts:
            are_final = any(shares_rows(rows, final) for _, rows in parts)
            return parts, "final test rows" if are_final else "held-out rows of the folds"
    if len(final):
        found.check_unseen(data, final, _SAME)
        of_fold = ledger.kind == "fold" and not shares_rows(final, read_final_test(ledger, len(data)))
        return [(found.model, final)], "held-out rows" if of_fold else "final test rows"
    rows = read_split(ledger, len(data)).val
    if len(rows):
        found.check_unseen(data, rows, _SAME)
        return [(found.model, rows)], "validation rows"
    raise DataError(
        "the run has no rows that were not used for training", ledger.run_name, "Train with cv.test_size=0.2."
    )


def _outputs_of(task: Task, model: SavedModel, x: Any, device: torch.device) -> Tensor:
    """Return the outputs of a model for raw rows, in the units of the ensemble's task."""
    return task.converted(model.outputs(x, device), model.task)


def _sampled(
    parts: Sequence[tuple[SavedModel, np.ndarray]], distinct: np.ndarray, most: int
) -> list[tuple[SavedModel, np.ndarray]]:
    """Return the models with at most `most` of the distinct rows, evenly spaced."""
    kept = distinct[np.linspace(0, len(distinct) - 1, min(most, len(distinct))).astype(int)]
    few = [(model, rows[np.isin(rows, kept)]) for model, rows in parts]
    return [(model, rows) for model, rows in few if len(rows)]


def _loss_of(task: Task, data: Data, rows: np.ndarray) -> Callable[[Tensor, np.ndarray], float]:
    encoded = as_fields({"y": task.encode(data.y[rows])})["y"][:]

    def score(outputs: Tensor, positions: np.ndarray) -> float:
        return float(task.loss(outputs, encoded[torch.from_numpy(positions)]))

    return score


def _about_importance(used: Sequence[Importance]) -> list[str]:
    told = ["Importance is the increase of the loss if the values of a column are permuted among the rows."]
    if any(len(one.columns) > 1 for one in used):
        told.append(
            "Columns with a correlation of 0.8 or more are permuted together, because each can replace the other."
        )
    return told


def _about_slices(slices: Sequence[Slice]) -> list[str]:
    if not slices:
        return [f"There is no slice with {FEWEST} rows inside and outside."]
    worse = [one for one in slices if one.p < _ALPHA and one.difference > 0]
    tested = counted(len(slices), "slice")
    if not worse:
        return [f"None of {tested} has a significantly larger error than the other rows (Holm's correction)."]
    are = "has" if len(worse) == 1 else "have"
    return [
        f"{counted(len(worse), 'slice')} of {len(slices)} {are} a significantly larger error than the other rows "
        "(Holm's correction)."
    ]
