"""Predictions computed from the outputs of a network equal those of the task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlcli.exporting.heads import head_of, output_columns
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import MSE, BinaryCrossEntropy, CrossEntropy, Quantile
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression

TASKS: dict[str, Task] = {
    "binary": Binary(["no", "yes"], [3, 5], BinaryCrossEntropy(["no", "yes"], [3, 5]), tuned_threshold=0.3),
    "multiclass": Multiclass(["a", "b", "c"], [1, 2, 3], CrossEntropy(["a", "b", "c"], [1, 2, 3])),
    "multilabel": Multilabel(
        ["x", "y"], [[1, 2], [3, 4]], BinaryCrossEntropy(["no", "yes"], [3, 5]), tuned_thresholds=[0.2, 0.7]
    ),
    "numbers": Regression(["u", "v"], [5e4, -3.0], [2.0, 0.1], MSE()),
    "quantiles of seconds since 1970": Regression(
        ["t", "u"], [1.7e9, 1.7e9], [1e3, 10.0], Quantile([0.1, 0.5, 0.9])
    ),
    "quantiles": Regression(["u", "v"], [5e4, -3.0], [2.0, 0.1], Quantile([0.1, 0.5, 0.9])),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_predictions_follow_from_the_numbers(task: Task) -> None:
    outputs = torch.randn(50, task.num_outputs, generator=torch.Generator().manual_seed(1))
    head = head_of(task)
    numbers, expected = head(outputs).numpy(), task.predictions(outputs)
    columns = output_columns(task, head)
    assert [column["name"] for column in columns] == list(expected.columns)
    for column in columns:
        if column["kind"] == "largest":
            found = np.array(column["names"])[numbers.argmax(axis=1)]
        elif column["kind"] == "above":
            chosen = numbers[:, column["index"]] > column["above"]
            found = np.array(column["names"])[chosen.astype(int)]
        else:
            atol = 1e-5 * column["scale"]
            np.testing.assert_allclose(
                numbers[:, column["index"]], expected[column["name"]], rtol=0, atol=atol
            )
            continue
        assert found.tolist() == expected[column["name"]].tolist()
