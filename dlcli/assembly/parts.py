"""What a training trains: fields out of raw rows, the task, the network; each told the facts that the data gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlcli.assembly.optimization import make_chosen
from dlcli.assembly.starting_weights import start_from, starting_weights
from dlcli.config.build import build
from dlcli.config.fitting import fitting

if TYPE_CHECKING:
    import numpy as np

    from dlcli.datasets.data import Data
    from dlcli.preprocessing.base import Preprocessing
    from dlcli.preprocessing.fitted import Fitted
    from dlcli.splits.split import Split
    from dlcli.tasks.base import Task
    from dlcli.training.fields import Field
    from dlcli.training.network import Network

# Rows of a table that are transformed at a time, lest the raw ones be there twice.
_ROWS = 1 << 16


@dataclass(frozen=True)
class Parts:
    """The parts of one training.

    Attributes:
        fitted: the preprocessing, and the training rows that it was fitted on.
        train: fields of those rows, `x`, `y` and what else there is.
        val: those of the validation rows, if there are any.
        task: what outputs mean.
        facts: what the model was told of the data.
        target_facts: what the task was told of the targets.
        network: the model behind the last part of its preprocessing.
    """

    fitted: Fitted
    train: dict[str, Field]
    val: dict[str, Field] | None
    task: Task
    facts: dict[str, Any]
    target_facts: dict[str, Any]
    network: Network

    @property
    def preprocessing(self) -> Preprocessing:
        """Fitted."""
        return self.fitted.preprocessing


def assemble(
    config: Mapping[str, Any],
    data: Data,
    split: Split,
    seed: int,
    targets: Mapping[str, Any] | None = None,
    at_most: int | None = None,
) -> Parts:
    """Fit the preprocessing, transform the rows, and make task and network; `seed` is that of the weights.

    `targets` are the facts of the targets where they are known; else they are counted on the rows that are trained on.
    With `at_most`, no more than so many rows are fitted and trained on. Leaves torch's random state behind the
    network's initialisation.
    """
    import torch

    from dlcli.preprocessing.fitted import fit_preprocessing
    from dlcli.tasks.facts import target_facts
    from dlcli.training.fields import as_fields
    from dlcli.training.network import Network

    fitted = fit_preprocessing(build(config["preprocessing"], where="preprocessing"), data, split, at_most)
    targets = targets or target_facts(data, fitted.rows)
    task = fitting(build(config["task"], where="task", **targets), "task", config["task"]["_target_"])
    preprocessing = fitted.preprocessing

    def fields(rows: np.ndarray) -> dict[str, Field]:
        return as_fields({**_transformed(preprocessing, data, rows), "y": task.encode(data.y[rows])})

    train, val = fields(fitted.rows), fields(split.val) if len(split.val) else None
    facts = {
        "input_shape": tuple(train["x"].shape[1:]),
        "num_outputs": task.num_outputs,
        **preprocessing.facts(),
    }
    torch.manual_seed(seed)
    model = fitting(build(config["model"], where="model", **facts), "model", config["model"]["_target_"])
    if file := starting_weights(config):
        start_from(model, file)
    network = Network(model, preprocessing.on_device(), make_chosen(config, "finetune"))
    return Parts(fitted, train, val, task, facts, dict(targets), network)


def _transformed(preprocessing: Preprocessing, data: Data, rows: np.ndarray) -> dict[str, Any]:
    """The fields of some rows; of a large table piece by piece, into arrays that are made once."""
    from dlcli.datasets.data import take
    from dlcli.training.memory import release_freed

    if data.kind != "table" or len(rows) <= _ROWS:  # other kinds' fields need not be arrays
        return preprocessing.transform(take(data.x, rows))
    import numpy as np

    fields: dict[str, Any] = {}
    for first in range(0, len(rows), _ROWS):
        piece = preprocessing.transform(take(data.x, rows[first : first + _ROWS]))
        for name, values in piece.items():
            if name not in fields:
                fields[name] = np.empty((len(rows), *values.shape[1:]), dtype=values.dtype)
            fields[name][first : first + _ROWS] = values
        release_freed()  # this copy, and the one that was fitted
    return fields
