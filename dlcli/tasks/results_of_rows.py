"""What a task tells of evaluated and of new rows beyond its predictions: baselines, tables, notices, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor

from dlcli.datasets.notices import Notice
from dlcli.tasks.cases import Cases
from dlcli.tasks.essentials import Essentials

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ResultsOfRows(Essentials):
    """Baselines, tables, notices and files, with the defaults of a vector of outputs per row."""

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Any, Tensor]]:
        """Return the baselines for raw rows `x` by name: the task that evaluates them, and outputs `(N, num_outputs)`.

        The name of the first one is empty.

        Args:
            x: the raw rows.
            kept: what is kept of the model's own outputs for these rows.
            y: their targets, for a task that compares baselines with the targets when it keeps them.
        """
        task, outputs = self.baseline()
        return {"": (task, outputs.expand(len(x), -1))}

    def baseline_descriptions(self) -> dict[str, str]:
        """Return name to description of the `baselines`, for use in a sentence; empty if there is nothing to add."""
        return {}

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return the table of evaluated rows: targets and predictions, from which `metric_inputs_of` restores
        metrics."""
        return pd.concat([self.targets(y), self.predictions(outputs)], axis=1)

    def cases(self, outputs: Tensor, y: Any) -> Cases | None:
        """Return the errors of rows or of their parts, by which `dlcli explain` finds slices; None if there are none.

        Tasks of one value per row need none: the errors of their predictions are known.

        Args:
            outputs: what is kept of the rows.
            y: their targets, in the form of `Data.y`.
        """
        return None

    def described(self, outputs: Tensor, x: Any) -> pd.DataFrame:
        """Return a readable table of the results of `predicted` for raw rows `x`; by default `predictions`.

        A task whose predictions are parts of the rows, such as answers in texts, overrides this method.
        """
        return self.predictions(outputs)

    def lost_targets(self, fields: Mapping[str, Any], model: Any = None) -> list[Notice]:
        """Return notices on training rows, given as fields with `y`, whose targets cannot be used.

        The preprocessing cuts them off, or the model has too few outputs for them.
        """
        return []

    def left_out_of_loss(self, outputs: Tensor, rows: str) -> list[Notice]:
        """Return notices on evaluated rows that the loss does not count; `rows` names their kind, such as `test`."""
        return []

    def unseen_targets(self, y: Any, rows: str) -> list[Notice]:
        """Return notices on parts of targets that do not occur in training; `rows` names the rows, in the plural."""
        return []

    def counts_of_new(self, outputs: Tensor) -> dict[str, int]:
        """Return counts from the results of `predicted`, which are summed over pieces of the new rows."""
        return {}

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notices about the predictions of new rows with these counts."""
        return []

    def row_pictures(
        self, images: Any, y: Any, outputs: Callable[[], Tensor], captions: Sequence[str], of: int
    ) -> Figure | None:
        """Return a figure of the worst rows; None for a grid of their images.

        Args:
            images: the images of the worst rows, bytes `(N, H, W)` or `(N, H, W, 3)`.
            y: their targets.
            outputs: function that returns the results of `predicted` for these rows.
            captions: the descriptions of `worst`.
            of: number of all rows.
        """
        return None

    def answered(self, outputs: Tensor, x: Any) -> pd.DataFrame | None:
        """Return columns that answers over HTTP have in addition to `described`; None without any.

        Args:
            outputs: the results of `predicted`.
            x: the raw rows.
        """
        return None

    def write_files(self, folder: Path, names: Sequence[str], x: Any, outputs: Tensor) -> pd.DataFrame | None:
        """Write the predictions of some rows as files; return None if the task has no files.

        Args:
            folder: where to write.
            names: a name for each row, without a suffix.
            x: the raw rows.
            outputs: the results of `predicted`.

        Returns:
            Columns with the names of the files, one line per row.
        """
        return None
