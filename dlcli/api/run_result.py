"""The result of a run in the Python API, with its representation in notebooks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dlcli.api.session import command_session, path_or_none
from dlcli.errors import DlcliError
from dlcli.result import Result

if TYPE_CHECKING:
    import pandas as pd

    from dlcli.api.metric_table import MetricTable
    from dlcli.page.account import Account
    from dlcli.runner.report import Reported


@dataclass(frozen=True)
class Plot:
    """A plot of a run, which a notebook displays.

    Attributes:
        name: Name of the plot, such as `roc`.
        file: The PNG file.
    """

    name: str
    file: Path

    def _repr_png_(self) -> bytes:
        return self.file.read_bytes()


@dataclass(frozen=True)
class RunResult(Result):
    """The result of a run, with its tables and plots, which are read from the run's folder on access.

    A notebook shows metrics with baselines and intervals, learning curves and the diagnosis.
    """

    folds: tuple[RunResult, ...] = ()

    @classmethod
    def from_result(cls, result: Result) -> Self:
        """Return the result of a command with access to the tables and plots of its run."""
        own = {field.name: getattr(result, field.name) for field in fields(Result)}
        return cls(**{**own, "folds": tuple(map(cls.from_result, result.folds))})

    @cached_property
    def metrics(self) -> MetricTable:
        """The metrics, one per row: `value`, `baseline`, and the ends `low` and `high` of the 95 % interval.

        Columns without any value are left out. `values` has the same metrics as a dict. If the run's folder cannot be
        read any more, a warning says that there are no intervals.
        """
        from dlcli.api.metric_table import metric_table
        from dlcli.page.figures import metric_intervals

        intervals = {}
        try:
            intervals = metric_intervals(self._account())
        except DlcliError as error:
            reason = error.problems[0].message
            warnings.warn(f"there are no intervals of the metrics of {self.run_name}: {reason}", stacklevel=3)
        return metric_table(self, intervals)

    @property
    def history(self) -> pd.DataFrame:
        """Training and validation metrics by `epoch`, from 1; for a cross-validation also by `fold` and `seed`."""
        import pandas as pd

        account = self._account()
        if not account.folds:
            epochs = account.epochs or (account.refitted.epochs if account.refitted else ())
            return pd.DataFrame(list(epochs), index=pd.RangeIndex(1, len(epochs) + 1, name="epoch"))
        lines = [
            {"fold": int(part.ledger.tags.get("dlcli.fold", 0)), "seed": seed, "epoch": epoch, **metrics}
            for part, seed in zip(account.folds, account.seeds, strict=True)
            for epoch, metrics in enumerate(part.epochs, 1)
        ]
        return pd.DataFrame(lines).set_index(["fold", "seed", "epoch"]) if lines else pd.DataFrame()

    @property
    def predictions(self) -> pd.DataFrame:
        """The predictions of validation and test rows, or of the held-out rows of all folds, with their targets.

        Raises:
            CorruptRun: They are missing or damaged.
        """
        from dlcli.inference.predictions_file import all_predictions

        account = self._account()
        of_refit = account.ledger.kind == "sweep" and account.refitted is not None
        return all_predictions(account.refitted.ledger.run_dir if of_refit else self.run_dir)  # type: ignore[union-attr]

    @property
    def plots(self) -> dict[str, Plot]:
        """The plots of the run by name."""
        from dlcli.runs.overview import pictures_in

        return {
            file.stem: Plot(file.stem, file)
            for file in pictures_in(self.run_dir / "plots")
            if file.suffix == ".png"
        }

    def report(self, output: str | Path | None = None) -> Reported:
        """Return the report of the run, as `dlcli.report` does; `output` is a file to write."""
        from dlcli.runner import report as runner

        with command_session():
            file = path_or_none(output)
            found = runner.report([str(self.run_dir)], None, runner.format_of_report(file, None), None)
            return found if file is None else runner.written_report(found, file)

    def _account(self) -> Account:
        from dlcli.page.account import account_of

        return account_of(self.run_dir, datetime.now(UTC))

    def _repr_html_(self) -> str:
        """Show the result in a notebook; of a run whose folder is gone or damaged, only the metrics."""
        from dlcli.page.render import fragment_html
        from dlcli.page.sections import summary_of_run

        try:
            return fragment_html(summary_of_run(self._account(), datetime.now(UTC)))
        except DlcliError:
            return self.metrics.to_html()


@dataclass(frozen=True)
class EvaluationResult(Result):
    """The metrics of a saved model on some rows, as `dlcli.evaluate` returns them.

    A notebook shows them with their baselines.
    """

    @classmethod
    def from_result(cls, result: Result) -> Self:
        """Return the result of an evaluation with access to the table of its metrics."""
        return cls(**{field.name: getattr(result, field.name) for field in fields(Result)})

    @cached_property
    def metrics(self) -> MetricTable:
        """The metrics, one per row: `value`, and `baseline` if there is any. `values` has them as a dict."""
        from dlcli.api.metric_table import metric_table

        return metric_table(self, {})

    def _repr_html_(self) -> str:
        return self.metrics.to_html()
