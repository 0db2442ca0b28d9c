"""dlcli: deep-learning experiments from the shell, and from notebooks.

    import dlcli
    result = dlcli.train(["model=mlp", "dataset=iris"])
    result.metrics["test/accuracy"]

Each function does what the command of its name does (`evaluate` is `dlcli eval`). Importing the package is instant:
functions import what they need. docs/python.md shows all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlcli.process.deferred_imports import defer_imports

if TYPE_CHECKING:
    import pandas as pd

    from dlcli.checks.profile import Profile
    from dlcli.comparison.compare import Comparison
    from dlcli.exporting.export import Exported
    from dlcli.inference.saved_model import SavedModel
    from dlcli.result import Result
    from dlcli.training.rehearsal import Rehearsal

__version__ = "0.1.0"
__all__ = ["check", "compare", "evaluate", "export", "load_run", "predict", "resume", "sweep", "train"]

defer_imports()


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


def train(
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
) -> Result:
    """Train an experiment and record it, as `dlcli train` does.

    Args:
        overrides: Hydra overrides, as on the command line: `["model=mlp", "optimizer.lr=0.01"]`.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs; None uses the key `runs_dir`, by default `runs` in the current folder.

    Returns:
        The finished run. `metrics` holds the best epoch's figures on validation and test rows (`val/loss`,
        `test/accuracy`), with several folds also `cv/accuracy_mean` and the like, and `folds` a result for each.

    Raises:
        dlcli.errors.ConfigError: the configuration has mistakes; all of them are in `problems`.
        dlcli.errors.DataError: the rows cannot be read or split.
        dlcli.errors.TrainingError: the training failed; the run is recorded as FAILED.
        dlcli.errors.Interrupted: a signal or Ctrl-C came; the run is recorded as KILLED and can be resumed.
    """
    from dlcli import runner

    with _session():
        return runner.train(_words(overrides), _paths(conf_dirs), _path(runs_dir))


def sweep(
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
) -> Result:
    """Search for the best configuration on validation rows, as `dlcli sweep` does.

    Args:
        overrides: Hydra overrides. Those with several values are the space: `model.hidden=64,128`,
            `optimizer.lr=tag(log,interval(1e-4,1e-1))`. `sweep.trials=50` is the number of trials.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs; None uses the key `runs_dir`.

    Returns:
        The finished sweep. `trials` holds a mapping for each trial with its `params` and `value`, `best` that of the
        best trial with the `command` that trains it, `metrics` the figures of the refitted winner on the test rows.

    Raises:
        dlcli.errors.ConfigError: the space or the configuration has mistakes; all of them are in `problems`.
        dlcli.errors.DataError: the rows cannot be read or split.
        dlcli.errors.TrainingError: no trial finished, or too many failed.
        dlcli.errors.Interrupted: a signal or Ctrl-C came; the sweep can be resumed.
    """
    from dlcli import runner

    with _session():
        return runner.sweep(_words(overrides), _paths(conf_dirs), _path(runs_dir))


def resume(
    run: str | Path,
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> Result:
    """Continue a run that was stopped, or extend one that has finished, as `dlcli resume` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        overrides: what may change: `trainer.max_epochs` and `sweep.trials` (larger), where data lies, `executor`.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: run the code that the run's folder names, even where the folder is not known to be the user's own.

    Returns:
        The result of the whole run, as `train` or `sweep` return it.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.ConfigError: an override would make it another experiment.
        dlcli.errors.DataError: the rows are not those of the run.
        dlcli.errors.TrainingError: the training failed.
        dlcli.errors.Interrupted: a signal or Ctrl-C came; the run can be resumed again.
    """
    from dlcli import runner

    with _session():
        return runner.resume(str(run), _words(overrides), _paths(conf_dirs), _path(runs_dir), trust=trust)


def evaluate(
    run: str | Path,
    split: Literal["test", "val"] = "test",
    *,
    overrides: str | Sequence[str] = (),
    file: str | Path | None = None,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> Result:
    """Compute a run's metrics again from its saved model and the raw rows, as `dlcli eval` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        split: the rows of the run's split to evaluate on.
        overrides: where the run's data lies now: `dataset.path=FILE`, `dataset.root=DIR`.
        file: evaluate on the rows of this file instead, which has the targets too.
        conf_dirs: the user's own configuration folders; model code beside them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that lies in the run's folder alone.

    Returns:
        A result whose `metrics` and `baselines` are named `test/...` or `val/...`.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.DataError: the rows are not those of the run, or the file does not fit the model.
    """
    from dlcli import runner

    with _session():
        return runner.evaluate(
            str(run),
            split,
            conf_dirs=_paths(conf_dirs),
            runs_dir=_path(runs_dir),
            trust=trust,
            overrides=_words(overrides),
            file=_path(file),
        )


def predict(
    run: str | Path,
    files: str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    keep: Sequence[str] | Literal["all"] = (),
    overrides: str | Sequence[str] = (),
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> pd.DataFrame | None:
    """Predict files of new rows with a run's saved model, as `dlcli predict` does.

    For rows in memory use `load_run(run).predict(rows)`.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        files: tables, texts, images or folders of them, of the kind that the run was trained on. Targets may be absent.
        output: a .csv, .parquet or .jsonl to write; files larger than memory need it.
        keep: columns of tables and texts to carry through, or `"all"`.
        overrides: how the files are written: `dataset.separator=;`.
        device: `auto` uses an accelerator where there is one.
        conf_dirs: the user's own configuration folders; model code beside them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that lies in the run's folder alone.

    Returns:
        What `dlcli predict` writes, in the order of the files: a line for each row (for series, a line for each step
        ahead), with columns that say which row it is, those of `keep`, `prediction`, and for classes the probability
        of each, `p(NAME)`. None where `output` is given.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.DataError: a file, row or column is not what the model needs.
        dlcli.errors.InputError: `output` cannot be written.
    """
    import pandas as pd
    import pyarrow as pa

    from dlcli import runner
    from dlcli.prediction.predict import NewData

    names = [files] if isinstance(files, str | Path) else files
    data = NewData([Path(file) for file in names], _words(overrides), keep)
    tables: list[pa.Table] = []
    with _session():
        runner.predict(
            str(run),
            data,
            Path(output) if output is not None else nullcontext(tables.append),
            device=device,
            conf_dirs=_paths(conf_dirs),
            runs_dir=_path(runs_dir),
            trust=trust,
        )
    if output is not None:
        return None
    return pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame()


def export(
    run: str | Path,
    output: str | Path,
    *,
    overrides: str | Sequence[str] = (),
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> Exported:
    """Write a run's network as a file that needs no dlcli, as `dlcli export` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        output: a .pt2 (`torch.export`) or .onnx file.
        overrides: where the run's data lies now: `dataset.path=FILE`. The file is compared with the model on its rows.
        conf_dirs: the user's own configuration folders; model code beside them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that lies in the run's folder alone.

    Returns:
        The `file`, its `description` (a JSON file with names, types and shapes of inputs and outputs), and the
        `largest_difference` between its outputs and the model's on `rows` rows.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: the suffix is not known, the folder is absent, or a package for ONNX is missing.
        dlcli.errors.DlcliError: the network cannot be exported.
    """
    from dlcli import runner

    with _session():
        return runner.export(
            str(run),
            Path(output),
            _words(overrides),
            conf_dirs=_paths(conf_dirs),
            runs_dir=_path(runs_dir),
            trust=trust,
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
        runs: two runs or more: IDs or their beginnings, names, folders, `last` or `best`.
        metric: compare by this metric, such as `accuracy`; None takes the first that is not the loss.
        picture: draw the critical differences of three runs or more into this PNG file.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.

    Returns:
        `settings` (key to the runs' values, where they differ), `figures` (metric to the runs' values on held-out
        rows), `pairs` with differences and p-values, and for three runs or more the `ranking`. `refusal` says why the
        runs' rows cannot be paired, if so.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: fewer than two runs, an unknown metric, or a picture of fewer than three runs.
    """
    from dlcli import runner

    with _session():
        return runner.compare([str(run) for run in runs], metric, _path(picture), _path(runs_dir))


def check(
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
) -> tuple[Rehearsal, Profile]:
    """Find every mistake without training, as `dlcli check` does; nothing is recorded.

    Args:
        overrides: Hydra overrides, as for `train`.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs, whose disk needs room; None uses the key `runs_dir`.

    Returns:
        What the training would need (`parameters`, `memory` and `disk` in bytes, `seconds_per_epoch`), and what the
        data holds (`rows`, `classes`, `columns`), with `warnings` about what makes results misleading.

    Raises:
        dlcli.errors.ConfigError: with all mistakes in `problems`.
        dlcli.errors.DataError: the rows cannot be read or split.
    """
    from dlcli import runner

    with _session():
        return runner.check(_words(overrides), _paths(conf_dirs), _path(runs_dir))


def load_run(
    run: str | Path,
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> SavedModel:
    """Return a run's trained model with its preprocessing: from raw rows to predictions.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        conf_dirs: the user's own configuration folders (`-C`): the code beside them may run where it is unchanged.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run the model code that the run's folder holds.

    Returns:
        A model whose `predict(rows)` takes N raw rows (a DataFrame, a list of texts, or an array of images) and returns
        a DataFrame with one row for each, in the user's own labels or units; `outputs(rows)` returns the network's
        outputs as a tensor, `(N, num_outputs)`.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.CorruptRun: a file of the run is damaged.
    """
    from dlcli import runner

    return runner.load_run(str(run), conf_dirs=_paths(conf_dirs), runs_dir=_path(runs_dir), trust=trust)


@contextmanager
def _session() -> Iterator[None]:
    """Silence libraries, and raise signals as `Interrupted`, as the commands do."""
    from dlcli.process.interrupts import interruptible
    from dlcli.process.quiet import quiet

    with quiet(), interruptible():
        yield


def _words(overrides: str | Sequence[str]) -> Sequence[str]:
    """Return the overrides as a list; a single one may be given as a string."""
    return [overrides] if isinstance(overrides, str) else overrides


def _paths(folders: Sequence[Any]) -> list[Path]:
    return [Path(folder) for folder in folders]


def _path(given: str | Path | None) -> Path | None:
    return Path(given) if given else None
