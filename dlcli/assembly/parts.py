"""Build tensors, task and network for one training run, with the facts that they need from the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dlcli.assembly.number_facts import number_facts
from dlcli.assembly.optimization import make_chosen
from dlcli.assembly.prepared_rows import PreparedRows, prepared_once
from dlcli.assembly.room import check_fits_in_memory
from dlcli.assembly.rows_on_demand import fields_on_demand
from dlcli.assembly.starting_weights import start_from, starting_weights
from dlcli.config.build import TARGET, build, locate
from dlcli.config.target_types import check_type
from dlcli.datasets.data import Data, take
from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.tables.source import column_kinds
from dlcli.models.row_reading import audio_facts, series_facts, text_facts
from dlcli.preprocessing.fitted import FittedPreprocessing, fit_preprocessing
from dlcli.preprocessing.protocols import NeedsColumns, Preprocessing, facts_of_model, notices_of
from dlcli.splits.split import Split
from dlcli.tasks.base import Task
from dlcli.tasks.facts import target_facts
from dlcli.tasks.metric_choice import with_metrics
from dlcli.training.fields import Field, as_fields
from dlcli.training.network import Network
from dlcli.training.out_of_memory import release_freed
from dlcli.training.user_errors import check_sizes_known

# Number of rows of a table that are transformed at a time, to avoid a second copy of all raw rows in memory.
_ROWS = 1 << 16


@dataclass(frozen=True)
class Parts:
    """The parts of one training run.

    Attributes:
        fitted: The fitted preprocessing and the training rows that it was fitted on.
        train: Fields of the training rows: `x`, `y` and the other fields of the preprocessing.
        val: Fields of the validation rows; None without validation rows.
        task: The task, which defines the meaning of the outputs.
        facts: Facts of the data that the model is built from, by `facts_of_model`.
        target_facts: Arguments that the task receives from the targets.
        network: The model, preceded by the part of the preprocessing that runs on the device.
        columns: The columns of a table, as new rows are read.
    """

    fitted: FittedPreprocessing
    train: dict[str, Field]
    val: dict[str, Field] | None
    task: Task
    facts: dict[str, Any]
    target_facts: dict[str, Any]
    network: Network
    columns: Columns | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """The fitted preprocessing."""
        return self.fitted.preprocessing

    @property
    def notices(self) -> list[Notice]:
        """Notices on values that the preprocessing truncates or converts, and on the initial weights of the model."""
        of_model: Sequence[Notice] = getattr(self.network.model, "notices", ())
        return [
            *notices_of(self.preprocessing),
            *self.task.lost_targets(self.train, self.network.model),
            *of_model,
            *self._of_random_backbone(),
        ]

    def _of_random_backbone(self) -> Iterator[Notice]:
        """Yield a warning if the group `finetune` keeps weights that no one trained, in part or at a lower rate."""
        setting = getattr(self.network.model, "random_backbone", "")
        if setting and self.network.finetuning is not None:
            text = f"the backbone has random weights ({setting}), which finetune freezes or trains at a lower rate"
            hint = "Give pretrained weights, or train all weights alike: finetune=none."
            yield Notice("random_backbone", 1, text, "finetune", hint)


def preprocessing_of(config: Mapping[str, Any]) -> Preprocessing:
    """Build a configuration's preprocessing; for texts, series and audio it receives settings of the model."""
    facts = _facts_for_preprocessing(config)
    preprocessing: Preprocessing = build(config["preprocessing"], where="preprocessing", **facts)
    return preprocessing


def _facts_for_preprocessing(config: Mapping[str, Any]) -> dict[str, Any]:
    model = locate(config["model"][TARGET])
    return text_facts(model) | series_facts(model) | audio_facts(model)


def assemble(
    config: Mapping[str, Any],
    data: Data,
    split: Split,
    seed: int,
    targets: Mapping[str, Any] | None = None,
    at_most: int | None = None,
    on_demand: bool = False,
) -> Parts:
    """Fit the preprocessing, transform the rows, and build task and network.

    torch's global random state is not restored after the network's initialization.

    Args:
        config: The run's configuration.
        data: Rows of the dataset.
        split: Row numbers of the split.
        seed: Seed of the network's initial weights.
        targets: Facts of the targets; computed on the training rows if None.
        at_most: Maximum number of rows to fit and train on; None for all.
        on_demand: Whether the rows of a large table are transformed on access only, for a rehearsal.
    """
    preprocessing = preprocessing_of(config)

    def prepare() -> PreparedRows:
        fitted = fit_preprocessing(preprocessing, data, split, at_most)
        if at_most is None:
            check_fits_in_memory(fitted.preprocessing, data, fitted.rows, len(split.val))

        def fields(rows: np.ndarray) -> dict[str, Field]:
            # A table that was read by its columns contains only values that can be transformed.
            if on_demand and data.kind == "table" and data.columns is not None and len(rows) > _ROWS:
                return fields_on_demand(lambda some: fitted.preprocessing.transform(take(data.x, some)), rows)
            return as_fields(_transformed(fitted.preprocessing, data, rows))

        train = fields(fitted.rows) if fitted.fields is None else as_fields(fitted.fields)
        val = fields(split.val) if len(split.val) else None
        return PreparedRows(fitted, train, val, fitted_columns(data, fitted))

    if at_most is None and not on_demand:
        settings = {"preprocessing": config["preprocessing"], "facts": _facts_for_preprocessing(config)}
        prepared = prepared_once(preprocessing, settings, data, split, prepare)
    else:
        prepared = prepare()
    fitted = prepared.fitted
    targets = targets or target_facts(data, fitted.rows)
    task = check_type(
        build(with_metrics(config["task"], config.get("metric")), where="task", **targets),
        "task",
        config["task"]["_target_"],
    )
    preprocessing = fitted.preprocessing
    task.attach(preprocessing)

    def with_target(fields: dict[str, Field], rows: np.ndarray) -> dict[str, Field]:
        return fields | as_fields({"y": task.encode(data.y[rows])})

    train = with_target(prepared.train, fitted.rows)
    val = with_target(prepared.val, split.val) if prepared.val is not None else None
    facts = {
        "input_shape": tuple(train["x"].shape[1:]),
        "num_outputs": task.num_outputs,
        **outputs_fact(task),
        **preprocessing.facts(),
        **number_facts(config["model"], train["x"], None if at_most is None else len(split.train)),
    }
    torch.manual_seed(seed)
    node = config["model"]
    made = build(node, where="model", **facts_of_model(preprocessing, facts))
    model = check_type(made, "model", node["_target_"])
    check_sizes_known(model)
    # A few rows may lack categories, and so columns for which the weights were trained.
    if at_most is None and (file := starting_weights(config)):
        start_from(model, file)
    network = Network(
        model,
        preprocessing.on_device(),
        make_chosen(config, "finetune"),
        task.combined,
        task.rows_at_once(facts["input_shape"]),
        finish=task.outputs,
    )
    return Parts(fitted, train, val, task, facts, dict(targets), network, prepared.columns)


def outputs_fact(task: Task) -> dict[str, Any]:
    """Return `outputs_of` and `output_names`, unless the model has outputs of rows, as most do."""
    if task.outputs_of == "row":
        return {}
    return {"outputs_of": task.outputs_of, "output_names": list(getattr(task, "classes", ()))}


def fitted_columns(data: Data, fitted: FittedPreprocessing) -> Columns | None:
    """Return the columns that are used after fitting, with the categories of the training rows."""
    columns = data.columns
    if data.kind != "table" or not isinstance(fitted.preprocessing, NeedsColumns):
        return columns
    needed = fitted.preprocessing.needed_columns()
    if columns is None:  # the table of a user-defined dataset
        columns = Columns.of_kinds(column_kinds(data.x))
    left_out = getattr(fitted.preprocessing, "left_out_", {})
    reasons = left_out if isinstance(left_out, dict) else {}
    words = data.x[[name for name in data.x.columns if needed.get(str(name)) == "categorical"]]
    return columns.used(needed, reasons).counted(words, fitted.rows)


def _transformed(preprocessing: Preprocessing, data: Data, rows: np.ndarray) -> dict[str, Any]:
    """Return the fields of some rows. A large table is transformed piece by piece into preallocated arrays."""
    if data.kind != "table" or len(rows) <= _ROWS:  # fields of other kinds of data need not be arrays
        return preprocessing.transform(take(data.x, rows))

    fields: dict[str, Any] = {}
    for first in range(0, len(rows), _ROWS):
        piece = preprocessing.transform(take(data.x, rows[first : first + _ROWS]))
        for name, values in piece.items():
            if name not in fields:
                fields[name] = np.empty((len(rows), *values.shape[1:]), dtype=values.dtype)
            fields[name][first : first + _ROWS] = values
        release_freed()  # memory of this piece, and of the rows on which the preprocessing was fitted
    return fields
