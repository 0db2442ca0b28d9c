"""The result of a run in the Python API, with its representation in notebooks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dlcli.result import Result

if TYPE_CHECKING:
    import pandas as pd

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

    @classmethod
    def from_result(cls, result: Result) -> Self:
        """Return the result of a command with access to the tables and plots of its run."""
        own = {field.name: getattr(result, field.name) for field in fields(Result)}
        return cls(**{**own, "folds": tuple(map(cls.from_result, result.folds))})

    @property
    def figures(self) -> pd.DataFrame:
        """The metrics as a table, one per line, with baselines and the ends of 95 % intervals if available.

        For a cross-validation these are means over folds; the attribute `metrics` has all values by name.
        """
        import pandas as pd

        from dlcli.page.figures import figures_tables

        tables = figures_tables(self._account())
        if not tables:
            return pd.DataFrame()
        rows = tables[0].to_json()["rows"]
        named = dict.fromkeys(key for row in rows for key in row)
        columns = [f"{key}{end}" for key in tables[0].columns() for end in ("", " low", " high")]
        return pd.DataFrame(rows, columns=[key for key in columns if key in named]).set_index("metric")

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
        from dlcli.api.trained_runs import report

        return report(self.run_dir, output)

    def _account(self) -> Account:
        from dlcli.page.account import account_of

        return account_of(self.run_dir, datetime.now(UTC))

    def _repr_html_(self) -> str:
        """Show the result in a notebook."""
        from dlcli.page.render import fragment_html
        from dlcli.page.sections import summary_of_run

        return fragment_html(summary_of_run(self._account(), datetime.now(UTC)))
