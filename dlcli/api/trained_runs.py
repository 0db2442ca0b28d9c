"""Functions of the Python API that use trained runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlcli.api.run_result import EvaluationResult, RunResult
from dlcli.api.session import command_session, path_list, path_or_none, word_list

if TYPE_CHECKING:
    from dlcli.comparison.compare_runs import Comparison
    from dlcli.exporting.export_network import Exported
    from dlcli.inference.saved_model import SavedModel
    from dlcli.runner.report import Reported


def evaluate(
    run: str | Path,
    split: Literal["test", "val"] = "test",
    *,
    overrides: str | Sequence[str] = (),
    file: str | Path | None = None,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
    use: Literal["folds", "refit"] | None = None,
    coverage: float | None = None,
    conformal: Literal["plain", "plus", "adaptive"] | None = None,
) -> EvaluationResult:
    """Compute a run's metrics again with its saved model on the raw rows, as `dlcli eval` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`; `RUN1,RUN2` is an ensemble.
        split: the rows of the run's split to evaluate on.
        overrides: where the run's data lies now: `dataset.path=FILE`, `dataset.root=DIR`.
        file: evaluate on the rows of this file instead, which must contain the targets.
        conf_dirs: the user's own configuration folders; model code beside them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that lies in the run's folder alone.
        use: models of a cross-validation: `folds` for the mean of its folds' models, `refit` for the refitted model
            (the default if there is one).
        coverage: also evaluate prediction sets or intervals that are to cover this share of the rows.
        conformal: how these sets and intervals are made, as `--conformal` of the command.

    Returns:
        A result whose `metrics`, a DataFrame with baselines, are named `test/...` or `val/...`.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.DataError: the rows are not those of the run, or the file does not fit the model.
    """
    with command_session():
        from dlcli.runner import evaluate as runner

        found = runner.evaluate(
            str(run),
            split,
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
            use=use,
            coverage=coverage,
            conformal=conformal,
            overrides=word_list(overrides),
            file=path_or_none(file),
        )
        return EvaluationResult.from_result(found)


def ensemble(
    runs: str | Path | Sequence[str | Path],
    *,
    metric: str | None = None,
    size: int = 25,
    name: str | None = None,
    overrides: str | Sequence[str] = (),
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> RunResult:
    """Select the runs that predict best together, and record them as a run, as `dlcli ensemble` does.

    Args:
        runs: a sweep, whose trials are the candidates, or at least two runs or cross-validations.
        metric: select by this metric on rows that the models were not trained on; None takes the monitored one.
        size: number of models to add, with replacement.
        name: name of the ensemble's run.
        overrides: where the runs' data lies now: `dataset.path=FILE`.
        conf_dirs: the user's own configuration folders; model code beside them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that lies in the runs' folders.

    Returns:
        The result of the ensemble's run: `metrics` on the final test rows, and the `members`.

    Raises:
        dlcli.errors.InputError: fewer than two candidates have weights, or they do not fit together.
        dlcli.errors.DataError: the candidates were evaluated on different rows, or trained on different data.
    """
    with command_session():
        from dlcli.runner import ensemble as runner

        names = [runs] if isinstance(runs, str | Path) else runs
        found = runner.ensemble(
            [str(run) for run in names],
            metric=metric,
            size=size,
            name=name,
            overrides=word_list(overrides),
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
        )
        return RunResult.from_result(found)


def export(
    run: str | Path,
    output: str | Path,
    *,
    overrides: str | Sequence[str] = (),
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
    use: Literal["folds", "refit"] | None = None,
) -> Exported:
    """Write a run's network as a file that needs no dlcli, as `dlcli export` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`; `RUN1,RUN2` is an ensemble.
        output: a .pt2 (`torch.export`) or .onnx file; of a model that generates texts, a folder.
        overrides: where the run's data lies now: `dataset.path=FILE`. The file is compared with the model on its rows.
        conf_dirs: the user's own configuration folders; model code beside them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that lies in the run's folder alone.
        use: models of a cross-validation: `folds` for the mean of its folds' models, `refit` for the refitted model
            (the default if there is one).

    Returns:
        The `file`, its `description` (a JSON file with names, types and shapes of inputs and outputs), and the
        `largest_difference` between its outputs and the model's, over `rows` rows.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: the suffix is not known, the folder is absent, or a package for ONNX is missing.
        dlcli.errors.DlcliError: the network cannot be exported.
    """
    with command_session():
        from dlcli.runner import export as runner

        return runner.export(
            str(run),
            Path(output),
            word_list(overrides),
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
            use=use,
        )


def compare(
    runs: Sequence[str | Path],
    metric: str | None = None,
    *,
    picture: str | Path | None = None,
    runs_dir: str | Path | None = None,
) -> Comparison:
    """Return what differs between runs, and whether one of them is significantly better, as `dlcli compare` does.

    Args:
        runs: at least two runs: IDs or their beginnings, names, folders, `last` or `best`.
        metric: compare by this metric, such as `accuracy`, or by `all`; None takes the first that is not the loss.
        picture: draw the critical differences of at least three runs into this PNG file.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.

    Returns:
        `settings` (key to the runs' values, where they differ), `figures` (metric to the runs' values on held-out
        rows), their `intervals`, `pairs` with differences, p-values and the folds or rows `needed` to find a
        difference of this size, and the `ranking` of at least three runs. `refusal` is the reason if the runs' rows
        cannot be paired.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: fewer than two runs, an unknown metric, or a picture of fewer than three runs.
    """
    with command_session():
        from dlcli.runner import compare as runner

        return runner.compare(
            [str(run) for run in runs], metric, path_or_none(picture), path_or_none(runs_dir)
        )


def report(
    runs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    format: Literal["html", "md", "latex", "csv"] | None = None,
    metric: str | None = None,
    runs_dir: str | Path | None = None,
) -> Reported:
    """Return the report of one run, or of several with their comparison, as `dlcli report` writes it.

    Args:
        runs: a run or several: IDs or their beginnings, names, folders, `last` or `best`.
        output: a .html, .md, .tex or .csv to write.
        format: `md`, `latex` and `csv` are the tables of results alone; None is that of `output`, or `html`.
        metric: compare several runs by this metric; None takes the first that is not the loss.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.

    Returns:
        The report: its `text`, its `tables`, and the `file` if it was written. A notebook shows the page.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.CorruptRun: the ledger of a run is damaged.
        dlcli.errors.InputError: the file cannot be written, or there are no results for tables.
    """
    with command_session():
        from dlcli.runner import report as runner

        names = [runs] if isinstance(runs, str | Path) else runs
        file = path_or_none(output)
        found = runner.report(
            [str(run) for run in names],
            metric,
            runner.format_of_report(file, format),
            path_or_none(runs_dir),
        )
        return found if file is None else runner.written_report(found, file)


def load_run(
    run: str | Path,
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
    use: Literal["folds", "refit"] | None = None,
    coverage: float | None = None,
    conformal: Literal["plain", "plus", "adaptive"] | None = None,
) -> SavedModel:
    """Return a run's trained model with its preprocessing, which predicts raw rows.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`; `RUN1,RUN2` is an ensemble.
        conf_dirs: the user's own configuration folders (`-C`); code beside them may run if it is unchanged.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run the model code that the run's folder holds.
        use: models of a cross-validation: `folds` for the mean of its folds' models, `refit` for the refitted model
            (the default if there is one).
        coverage: add to predictions the columns `set`, or `low` and `high`, which are to cover this share of new rows.
        conformal: how these sets and intervals are made, as `--conformal` of the command.

    Returns:
        A model whose `predict(rows)` takes N raw rows (a DataFrame, a list of texts, or an array of images) and returns
        a DataFrame with one row for each, in the user's own labels or units, with warnings and `attrs["notices"]` as
        for `predict`. `outputs(rows)` returns the network's outputs `(N, num_outputs)` without warnings.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.CorruptRun: a file of the run is damaged.
    """
    from dlcli.runner import load_run as runner

    return runner.load_run(
        str(run),
        conf_dirs=path_list(conf_dirs),
        runs_dir=path_or_none(runs_dir),
        trust=trust,
        use=use,
        coverage=coverage,
        conformal=conformal,
    )
