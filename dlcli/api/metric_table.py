"""`MetricTable`: the metrics of a run as a DataFrame with a row for each, which are also found by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dlcli.config.suggest import near
from dlcli.result import Result


class MetricTable(pd.DataFrame):
    """A DataFrame with a row for each metric, whose values are also found by the names of the rows.

    `table["test/accuracy"]` is the value in the column `value` as a float, `"test/accuracy" in table` says whether
    there is such a row, and `table.get("test/accuracy")` returns None if there is none. In all other respects it is a
    DataFrame: `table["baseline"]` is a column, iteration yields the names of the columns, and those of the metrics are
    in `table.index`.
    """

    @property
    def _constructor(
        self,
    ) -> type[MetricTable]:  # what operations on a subclass return, by pandas' documentation
        return MetricTable

    def __getitem__(self, key: Any) -> Any:
        """Return a column, or the value of a metric; the values as a Series if several rows have this name.

        Raises:
            KeyError: There is no such column or metric; the message contains similar names.
        """
        if not isinstance(key, str) or key in self.columns:
            return super().__getitem__(key)
        if not self._has_metric(key):
            similar = near(key, [*map(str, self.index), *map(str, self.columns)])
            more = (
                f"; similar names: {', '.join(similar)}" if similar else "; `metrics.index` has their names"
            )
            if "value" not in self.columns:
                more = "; this part of the table lacks the column `value`"
            raise KeyError(f"there is no metric {key}{more}")
        found = self.at[key, "value"]
        return found if isinstance(found, pd.Series) else float(found)

    def __contains__(self, key: object) -> bool:
        """Return whether there is a column or a metric of this name."""
        return bool(super().__contains__(key)) or self._has_metric(key)

    def _has_metric(self, key: object) -> bool:
        is_by_name = "value" in self.columns and not isinstance(self.index, pd.MultiIndex)
        return isinstance(key, str) and is_by_name and key in self.index


def metric_table(result: Result, intervals: Mapping[str, tuple[float, float]]) -> MetricTable:
    """Return the metrics of a result with their baselines and 95 % intervals.

    Args:
        result: the result.
        intervals: name of a metric to the ends of its 95 % interval.

    Returns:
        The rows are named as in `values`, with the columns `value`, `baseline`, `low` and `high`. The last three are
        left out if they have no value.
    """
    rows = [
        (value, result.baselines.get(name, math.nan), *intervals.get(name, (math.nan, math.nan)))
        for name, value in result.values.items()
    ]
    index = pd.Index(list(result.values), name="metric", dtype="str")
    table = MetricTable(rows, index, ["value", "baseline", "low", "high"], dtype=float)
    return table[[name for name in table.columns if name == "value" or table[name].notna().any()]]
