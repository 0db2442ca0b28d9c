"""Describe a training run: the rows of the terminal's panel, and the summary of the model's layers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torchinfo
from pytorch_lightning.utilities.seed import isolate_rng
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from dlcli.config.reserved_keys import SUPPLIED
from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice, told
from dlcli.datasets.passages import Passages
from dlcli.datasets.reading.column_notices import unseen_notices
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.windows import History
from dlcli.files.paths import display
from dlcli.models.forest import Forest
from dlcli.preprocessing.fitted import FittedPreprocessing
from dlcli.preprocessing.protocols import CountsNewRows, Preprocessing
from dlcli.preprocessing.series import Series
from dlcli.splits.split import HELD_OUT, Split, in_time, name_of_part
from dlcli.tasks.base import Task
from dlcli.training.network import Network


@dataclass(frozen=True)
class ModelSummary:
    """A model's layers as text, its numbers of (trainable) parameters, and the multiply-adds of one row."""

    text: str
    parameters: int
    trainable: int
    multiply_adds: int

    @property
    def figures(self) -> dict[str, float]:
        """The numbers by the names of their metrics."""
        return {
            "model/parameters": self.parameters,
            "model/trainable_parameters": self.trainable,
            "model/multiply_adds": self.multiply_adds,
        }


# Summaries of the networks that were described last. Folds and trials often have the same layers.
_known: dict[Any, ModelSummary] = {}
_MOST_KNOWN = 32
_DROPOUT = re.compile(r"Dropout\(p=[^,]+,")


def summarize_known(network: Network, row: Mapping[str, Tensor], section: Mapping[str, Any]) -> ModelSummary:
    """Return `summarize` of a network, which is not computed again for shipped layers of the same shapes.

    The random state is kept, since a network may draw numbers in its forward pass.

    Args:
        network: The network.
        row: Fields of a batch of size 1.
        section: The section `model` of the configuration.
    """
    kinds = tuple(map(type, network.modules()))
    if not all(kind.__module__.startswith(("dlcli.", "torch.")) for kind in kinds):
        with isolate_rng():  # own code may change meanwhile, in a notebook
            return summarize(network, row)
    shapes = [
        (name, tuple(weight.shape), weight.requires_grad) for name, weight in network.named_parameters()
    ]
    rows = [(name, tuple(values.shape), values.dtype) for name, values in row.items()]
    # The rate of a dropout, which trials vary, changes neither the layers nor their shapes.
    settings = {name: value for name, value in section.items() if name != "dropout"}
    layers = _DROPOUT.sub("Dropout(", str(network))
    key = (kinds, repr(settings), layers, tuple(shapes), tuple(rows))
    if key not in _known:
        while len(_known) >= _MOST_KNOWN:
            _known.pop(next(iter(_known)), None)
        with isolate_rng():
            _known[key] = summarize(network, row)
    return _known[key]


def summarize(network: nn.Module, row: Mapping[str, Tensor]) -> ModelSummary:
    """Return the layers of a network with their shapes, from a forward pass of one row (a batch of size 1)."""
    training = network.training
    found = torchinfo.summary(
        network,
        input_data=[dict(row)],
        col_names=("input_size", "output_size", "num_params", "mult_adds"),
        depth=4,
        verbose=0,
        device=next(network.parameters()).device,
        mode="eval",
    )
    network.train(training)
    # torchinfo counts by calls of `forward`: weights that other methods use are missed, or counted twice.
    weights = list(network.parameters())
    found.total_params = sum(weight.numel() for weight in weights)
    found.trainable_params = sum(weight.numel() for weight in weights if weight.requires_grad)
    return ModelSummary(
        str(found) + "\n", found.total_params, found.trainable_params, int(found.total_mult_adds)
    )


def panel_rows(
    data: Data,
    split: Split,
    network: Network,
    fitted: FittedPreprocessing,
    task: Task,
    summary: ModelSummary,
    run_dir: Path,
    columns: Columns | None = None,
    notices: Sequence[Notice] = (),
    is_fold: bool = False,
    final_test: int = 0,
) -> dict[str, str]:
    """Return the panel's rows: data, task, split, preprocessing, how rows are read, model and the run's folder.

    `columns` are those of a table after fitting, with those left out and the categories of the training rows. `notices`
    are those of the training rows. The test rows of a fold are called held-out, those of other runs final test rows; a
    fold sets `final_test` of them aside. Rows that are in no part of the split are counted as unused.
    """
    unseen = unseen_in_evaluation(data, split, columns, fitted.preprocessing, task)
    sizes = {name_of_part(part, is_fold): rows for part, rows in split.sizes.items()}
    if is_fold and not len(split.test):  # of a hold-out before its refit
        del sizes[HELD_OUT]
    unused = len(data) - sum(sizes.values())
    if final_test := min(final_test, unused):
        sizes["final test"] = final_test
    sizes |= {"unused": unused - final_test} if unused > final_test else {}
    counts = ", ".join(f"{rows:,} {part}" for part, rows in sizes.items())
    order = ", split in time" if in_time(data, split) else ""
    frozen = summary.parameters - summary.trainable
    own = [notice.text for notice in notices]
    reading = "; ".join(filter(None, [told(data.notices), *own]))
    trains = f" ({summary.trainable:,} trainable)" if frozen else ""
    model = network.model
    size = model.size_words() if isinstance(model, Forest) else f"{summary.parameters:,} parameters{trains}"
    sharing = getattr(network.on_device, "sharing", 1)
    shared = f", shared by {sharing} variables" if sharing > 1 else ""
    return {
        **describe_question(data, task, columns),
        "rows": counts + order,
        **({"unseen": unseen[0].text} if unseen else {}),
        "preprocessing": f"{_settings(fitted.preprocessing)}, {fitted.proof(data, split)}",
        **({"reading": reading} if reading else {}),
        "model": f"{type(model).__name__}, {size}{shared}",
        "record": display(run_dir),
    }


def _settings(preprocessing: Preprocessing) -> str:
    """Return the name of a preprocessing and the keys that differ from their defaults, in the form of the
    command line, without those that dlcli passes itself."""
    name = type(preprocessing).__name__
    if not isinstance(preprocessing, BaseEstimator):
        return name
    usual = inspect.signature(type(preprocessing)).parameters
    changed = {
        key: value
        for key, value in preprocessing.get_params(deep=False).items()
        if key not in SUPPLIED["preprocessing"]
        and not np.array_equal(value, usual[key].default)
        # The default of the option, which concerns columns of texts alone.
        and not (key == "texts" and not getattr(preprocessing, "texts_", None))
    }
    return f"{name} with {', '.join(f'{key}={value}' for key, value in changed.items())}" if changed else name


def unseen_in_evaluation(
    data: Data, split: Split, columns: Columns | None, preprocessing: Preprocessing, task: Task
) -> list[Notice]:
    """Return the notice on validation and test rows with categories or characters that do not occur in training, or
    with values that the preprocessing raises."""
    rows, name = np.sort(np.concatenate([split.val, split.test])), "validation and test"
    if isinstance(data.x, History) and isinstance(preprocessing, Series):
        return preprocessing.notices_of_windows(data.x[rows], f"{name} windows")
    if isinstance(data.x, Passages) and isinstance(preprocessing, CountsNewRows):
        return preprocessing.notices_of_new(preprocessing.transform_and_count(data.x[rows])[1])
    if columns is None or data.kind != "table":
        return task.unseen_targets(data.y[rows], f"{name} rows")
    return unseen_notices(columns.unseen(data.x, rows), len(rows), data.source)


def describe_question(data: Data, task: Task, columns: Columns | None = None) -> dict[str, str]:
    """Return the rows of every panel: data, the dataset's note, conversions, and task."""
    columns = columns or data.columns
    return {
        "data": f"{data.name}: {len(data):,} {_plural(data)}, {data.targets_of_kind.described(data.target_names)}",
        **({"note": data.note} if data.note else {}),
        **(columns.panel() if columns is not None else {}),
        "task": task.describe(),
    }


def _plural(data: Data) -> str:
    if data.target_kind == "forecast":
        return f"windows of {len(data.x.values):,} steps"
    if isinstance(data.x, Passages):
        return "lines" if data.x.are_documents else "blocks"
    nouns = {
        "table": "rows",
        "image": "images",
        "sequence": "sequences",
        "tokens": "texts",
        "audio": "recordings",
        "questions": "questions",
        "words": "sentences",
    }
    return nouns[data.kind]
