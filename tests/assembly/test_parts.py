import numpy as np
import pandas as pd

from dlcli.assembly.parts import assemble
from dlcli.datasets.data import Data
from dlcli.splits.split import Split

CONFIG = {
    "preprocessing": {"_target_": "dlcli.preprocessing.table.Table", "duplicates": "drop"},
    "task": {
        "_target_": "dlcli.tasks.binary.Binary",
        "loss": {"_target_": "dlcli.tasks.losses.BinaryCrossEntropy", "class_weights": "balanced"},
    },
    "model": {"_target_": "dlcli.models.linear.Linear"},
    "finetune": {},
}


def test_targets_are_counted_on_the_rows_that_are_trained_on() -> None:
    values = np.repeat(np.arange(12.0), [4] * 4 + [1] * 8)
    y = (values >= 4).astype(np.int64)
    data = Data("d", "table", pd.DataFrame({"a": values}), y, ("no", "yes"))
    none = np.arange(0)
    parts = assemble(CONFIG, data, Split(np.arange(len(data)), none, none), seed=0)
    assert len(parts.train["y"]) == 12
    assert parts.target_facts["class_counts"] == [4, 8]
