"""`dataset.batch_size`: a number of rows, `auto` (from the number of training rows), or `full` (all of them)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlcli.config.build import locate
from dlcli.training.fields import Fields
from dlcli.training.penalty_path import rows_of_a_piece

# With `auto`, an epoch has about this number of steps, with batch sizes between these bounds. On seven tables, batches
# of four times the size have 1.02 of the loss in 1.03 times the CPU time (docs/examples-and-measurements.md). The rule
# must not change, because runs of earlier versions recorded `auto` and apply the rule again when they are resumed.
_STEPS, _FEWEST, _MOST = 100, 32, 1024


def automatic_rows(training_rows: int) -> int:
    """Return the batch size of `auto`: the power of two nearest to a hundredth of the number of training rows.

    It is between 32 and 1024. With Adam, larger batches reach the same quality in as many epochs on such tables, and an
    epoch takes a fraction of the time, since a step of a small network takes as long for 32 as for 256 rows.
    """
    return min(max(2 ** round(math.log2(max(training_rows, 1) / _STEPS)), _FEWEST), _MOST)


def rows_of(size: Any, training_rows: int) -> int:
    """Return the batch size for a value of `dataset.batch_size` and a number of training rows."""
    if size == "auto":
        return automatic_rows(training_rows)
    return training_rows if size == "full" else int(size)


def batch_rows(config: Mapping[str, Any], train: Fields) -> int:
    """Return the batch size of a configuration for the training fields.

    For an optimizer that uses all rows in each step, this is the number of rows whose loss is computed at a time.
    """
    return (
        rows_of_a_piece(train)
        if takes_all_rows(config)
        else rows_of(config["dataset"]["batch_size"], len(train["y"]))
    )


def takes_all_rows(config: Mapping[str, Any]) -> bool:
    """Return whether each step of the optimizer uses all training rows, whatever the batch size."""
    return bool(getattr(locate(config["optimizer"]["_target_"]), "takes_all_rows", False))


def grows_trees(config: Mapping[str, Any]) -> bool:
    """Return whether the optimizer grows decision trees, without a gradient."""
    return bool(getattr(locate(config["optimizer"]["_target_"]), "grows_trees", False))
