"""A run's `model/` folder, which is written after training. Trained models are loaded from it only.

::

    MLmodel, requirements.txt, python_env.yaml   files that MLflow reads
    model.json            classes to build and their plain arguments
    weights.safetensors   the best weights
    preprocessing.skops   the preprocessing, fitted on the training rows
    vocabulary.json       for texts: the tokens in the order of their numbers (for people; it is not read)
    columns.json          for tables: the columns, and how their cells are read
    labels.json           names of the classes or labels, in the order of their codes
    *input_example.json   a synthetic row, for MLflow
    digests.json          SHA-256 of the files above, compared before they are read

Nothing in it is unpickled. Only classes of dlcli and torch are built, unless the caller trusts others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_model as load_weights
from torch import Tensor, nn

from dlcli.config.build import build
from dlcli.datasets.notices import Notice, as_plain, warn_of
from dlcli.datasets.reading.columns import Columns
from dlcli.errors import CorruptRun, InputError, NotSet, first_line
from dlcli.files.regular import check_regular, os_reason
from dlcli.gate.fitted_objects import LastFitted, load_fitted
from dlcli.gate.gate import Gate, current
from dlcli.inference.columns_file import recorded_columns
from dlcli.inference.declared_size import check_declared_size, within_size
from dlcli.inference.forward_passes import through
from dlcli.inference.model_description import (
    DAMAGED_MODEL,
    DESCRIPTION,
    LABELS,
    read_description,
    read_task_facts,
    without_auto,
)
from dlcli.inference.rows import as_rows, notices_on_rows
from dlcli.inference.write_model import PREPROCESSING_FILE, WEIGHTS_FILE
from dlcli.preprocessing.protocols import CountsNewRows, NeedsColumns, Preprocessing, facts_of_model
from dlcli.statistics.conformal import Conformal
from dlcli.tasks.base import Task
from dlcli.tasks.metric_choice import with_metrics
from dlcli.tracking.manifest import check_model
from dlcli.training.fields import Field, Fields, as_fields
from dlcli.training.network import Network


@dataclass(frozen=True)
class SavedModel:
    """A trained network with its fitted preprocessing.

    Attributes:
        network: The network.
        preprocessing: The fitted preprocessing.
        task: The task, which converts outputs to predictions.
        kind: Kind of the data: `image`, `table`, ...
        input_shape: Shape of a row's `x`; a dimension that differs between rows is 0.
        image_kinds: For images in files, the number of each kind of pixels in the training data; None for runs of
            earlier versions.
        columns: The columns of tables, by which new rows are read; None for other kinds of data.
        task_section: The section `task` of the configuration, without the facts.
        facts: Facts of the training targets that the task was built with: classes, means, tuned thresholds.
        conformal: Calibrated sets or intervals to add to predictions; None to add none.
    """

    network: Network
    preprocessing: Preprocessing
    task: Task
    kind: str
    input_shape: tuple[int, ...] = ()
    image_kinds: Mapping[str, int] | None = None
    columns: Columns | None = None
    task_section: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None

    def retuned(self, tuned: Mapping[str, Any]) -> SavedModel:
        """Return the model with other facts that its task has tuned, such as a calibration and a threshold."""
        if not tuned:
            return self
        facts = {**self.facts, **tuned}
        task: Task = build(self.task_section, where="task", **facts)
        network = self.network.calibrated_by(task.calibration())
        return replace(self, network=network, task=task, facts=facts)

    def outputs(
        self, x: Any, device: torch.device | str = "cpu", counts: Counter[str] | None = None
    ) -> Tensor:
        """Return the outputs for raw rows, as `Task.predicted` reduces them, `(N, ...)`, on the CPU.

        Numbers of truncated or unknown values, and of predictions that end early, are added to `counts`.

        Raises:
            InputError: The model generates images, and cannot predict rows.
        """
        self.check_predicts_rows()
        fields = self.fields(x, counts)
        found = through(self.network, self.task, fields, device, lambda outs, _: (self.task.predicted(outs),))
        if not found:
            return torch.empty(0, self.task.num_outputs)
        if counts is not None:
            counts.update(self.task.counts_of_new(found[0]))
        return found[0]

    def check_predicts_rows(self) -> None:
        """Raise an InputError if the model generates images, and cannot predict rows."""
        if not self.task.predicts_rows:
            raise InputError(
                f"{type(self.network.model).__name__} generates images, and cannot predict rows",
                "RUN",
                "Generate images: dlcli predict RUN --samples 64",
            )

    def fields(self, x: Any, counts: Counter[str] | None = None) -> dict[str, Field]:
        """Return the fields of raw rows; numbers of truncated or unknown values are added to `counts`."""
        if counts is not None and isinstance(self.preprocessing, CountsNewRows):
            fields, own = self.preprocessing.transform_and_count(x)
            counts.update(own)
        else:
            fields = self.preprocessing.transform(x)
        return as_fields(fields)

    def kept_of(self, fields: Fields, y: Any, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Return the outputs and targets for an evaluation, as `Task.kept` reduces them, `(N, ...)` each, on the CPU.

        Args:
            fields: preprocessed rows, or the backbone's `features`.
            y: the targets of the rows, in the form of `Data.y`.
            device: device of the forward passes.
        """
        own = as_fields({"y": self.task.encode(y)})
        found = through(self.network, self.task, {**fields, **own}, device, self.task.kept)
        if not found:
            return torch.empty(0, self.task.num_outputs), own["y"][:]
        outputs, targets = found
        return outputs, targets

    def notices(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notices about new rows with these counts."""
        of_rows = (
            self.preprocessing.notices_of_new(counts) if isinstance(self.preprocessing, CountsNewRows) else []
        )
        return [*of_rows, *self.task.notices_of_new(counts)]

    def predict(
        self,
        x: Any,
        device: torch.device | str = "cpu",
        counts: Counter[str] | None = None,
        *,
        are_read: bool = False,
    ) -> pd.DataFrame:
        """Return predictions for raw rows (a table, an array or texts), one line per row, in the units of `y`.

        `attrs["notices"]` of the table lists truncated values and values unseen in training, as for `dlcli.predict`.

        Args:
            x: the rows.
            device: device of the forward passes.
            counts: receives the numbers of truncated or unknown values, for a caller that reports them itself.
            are_read: whether a table has already been read by the model's columns, from a file. Its reader reports
                its own notices.

        Warns:
            UserWarning: information is lost, such as a category that training did not see.
        """
        rows = as_rows(x, self.kind, self.columns, are_read=are_read)
        if are_read or counts is not None:
            return self.outputs_and_predictions(rows, device, counts)[1]
        counts = Counter()
        _, predictions = self.outputs_and_predictions(rows, device, counts)
        notices = [*notices_on_rows(rows, self.kind, self.columns), *self.notices(counts)]
        predictions.attrs["notices"] = as_plain(notices)
        warn_of(notices)
        return predictions

    def outputs_and_predictions(
        self, rows: Any, device: torch.device | str, counts: Counter[str] | None
    ) -> tuple[Tensor, pd.DataFrame]:
        """Return outputs and predictions for rows that have been read."""
        outputs, predictions, members = self.computed(rows, device, counts)
        if self.conformal is None:
            return outputs, predictions
        return outputs, pd.concat([predictions, self.conformal.columns(predictions, members)], axis=1)

    def computed(
        self, rows: Any, device: torch.device | str, counts: Counter[str] | None
    ) -> tuple[Tensor, pd.DataFrame, list[pd.DataFrame]]:
        """Return outputs and predictions for rows that have been read, without sets and intervals.

        The last value is a table of predictions for each member of an ensemble.
        """
        outputs = self.outputs(rows, device, counts)
        return outputs, self.task.described(outputs, rows), []

    def members_predictions(self, x: Any, device: torch.device | str = "cpu") -> list[pd.DataFrame]:
        """Return the predictions of each member of an ensemble for raw rows; empty for a single model."""
        return []


def load_model(folder: Path, *, trust: bool = False, last_fitted: LastFitted | None = None) -> SavedModel:
    """Load a model folder.

    Args:
        folder: A run's `model/`.
        trust: Also build classes that belong to neither dlcli nor torch, unless the caller has closed a gate. This
            runs the code of their author.
        last_fitted: Reads the preprocessing, if several models of this process share it.

    Raises:
        CorruptRun: A file is missing or damaged, or names a class that is not trusted.
    """
    gate = _gate(folder, trust)
    with gate.closed(), _report_damage(folder):
        check_model(folder, DESCRIPTION, LABELS, PREPROCESSING_FILE, WEIGHTS_FILE)
        description = read_description(folder)
        gate.admit_all({name: description.get(name) or {} for name in ("model", "task", "metric")})
        gate.admit_facts(description["model"], "model", description["model_facts"])
        preprocessing = (last_fitted.load if last_fitted else load_fitted)(folder / PREPROCESSING_FILE, gate)
        with torch.random.fork_rng(devices=[]):  # the initial weights are replaced immediately
            facts = _as_tuples(description["model_facts"])
            made_of = facts_of_model(preprocessing, facts)
            _check_weights(folder / WEIGHTS_FILE)
            node = without_auto(description["model"], folder / WEIGHTS_FILE)
            limit: AbstractContextManager[None] = nullcontext()
            if not gate.may_download:  # a run of another user
                check_declared_size(node, made_of, folder / WEIGHTS_FILE)
                limit = within_size(folder / WEIGHTS_FILE)
            with limit:
                model: nn.Module = build(node, where="model", **made_of, restored=True)
        load_weights(model, str(folder / WEIGHTS_FILE))
        task = _build_task(folder, description)
        task.attach(preprocessing)
        if facts.get("num_outputs", task.num_outputs) != task.num_outputs:
            raise CorruptRun(
                f"the model has {facts['num_outputs']} outputs, but its task has {task.num_outputs}: "
                f"{LABELS} and {DESCRIPTION} do not belong together",
                str(folder),
                DAMAGED_MODEL,
            )
    with _report_damage(folder):
        at_once = task.rows_at_once(facts["input_shape"])
        network = Network(
            model,
            preprocessing.on_device(),
            combine=task.combined,
            rows_at_once=at_once,
            calibration=task.calibration(),
            finish=task.outputs,
        )
    columns = _read_columns(folder, preprocessing)
    kinds = description.get("image_kinds")
    return SavedModel(
        network,
        preprocessing,
        task,
        description["kind"],
        facts["input_shape"],
        kinds if isinstance(kinds, dict) else None,
        columns,
        with_metrics(description["task"], description.get("metric")),
        read_task_facts(folder),
    )


def load_task(folder: Path, *, trust: bool = False) -> Task:
    """Load the task of a model folder as `load_model` does; the weights may have been deleted."""
    with _gate(folder, trust).closed(), _report_damage(folder):
        check_model(folder, DESCRIPTION, LABELS)
        return _build_task(folder, read_description(folder))


def _gate(folder: Path, trust: bool) -> Gate:
    """Return the active gate, or else a new one for this folder."""
    return current() or Gate(str(folder), is_open=trust)


def _read_columns(folder: Path, preprocessing: Preprocessing) -> Columns | None:
    """Return the columns of a model folder, or those that the preprocessing of an earlier version needs."""
    columns = recorded_columns(folder)
    if columns is None and isinstance(preprocessing, NeedsColumns):
        return Columns.of_kinds(preprocessing.needed_columns(), getattr(preprocessing, "dates_written_", {}))
    return columns


def _check_weights(file: Path) -> None:
    try:
        check_regular(file)
    except OSError as error:
        raise CorruptRun(f"the file of weights {os_reason(error)}", str(file), DAMAGED_MODEL) from error


def _build_task(folder: Path, description: Mapping[str, Any]) -> Task:
    facts = read_task_facts(folder)
    if gate := current():
        gate.admit_facts(description["task"], "task", facts)
    section = description.get("metric")
    if gate:
        gate.admit_all({"metric": section or {}})
    task: Task = build(with_metrics(description["task"], section), where="task", **facts)
    return task


@contextmanager
def _report_damage(folder: Path) -> Iterator[None]:
    try:
        yield
    except (CorruptRun, NotSet):
        raise
    except Exception as error:
        raise CorruptRun(
            f"the model cannot be loaded: {first_line(error)}",
            where=str(folder),
            hint=DAMAGED_MODEL,
        ) from error


def _as_tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
