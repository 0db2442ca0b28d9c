"""Functions of the Python API that train or check an experiment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.api.notebook_progress import notebook_listener
from dlcli.api.run_result import RunResult
from dlcli.api.session import command_session, path_list, path_or_none, word_list

if TYPE_CHECKING:
    from dlcli.checks.profile import Profile
    from dlcli.training.rehearsal import Rehearsal


def train(
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
) -> RunResult:
    """Train an experiment and record it, as `dlcli train` does.

    Args:
        overrides: Hydra overrides, as on the command line: `["model=mlp", "optimizer.lr=0.01"]`.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs; None uses the key `runs_dir`, by default `runs` in the current folder.

    Returns:
        The finished run. `metrics` is a DataFrame of the best epoch's metrics on validation and test rows
        (`val/loss`, `test/accuracy`) with baselines and intervals, with several folds also `cv/accuracy_mean` and the
        like, and `folds` has a result for each.

    Raises:
        dlcli.errors.ConfigError: the configuration has mistakes; all of them are in `problems`.
        dlcli.errors.DataError: the rows cannot be read or split.
        dlcli.errors.TrainingError: the training failed; the run is recorded as FAILED.
        dlcli.errors.Interrupted: a signal or Ctrl-C came; the run is recorded as KILLED and can be resumed.
    """
    from dlcli.config.misspelt import refuse_misspelt

    words, folders = word_list(overrides), path_list(conf_dirs)
    with command_session():
        if "dlcli.runner.train" not in sys.modules:  # the import takes seconds
            refuse_misspelt(words, folders)
        from dlcli.runner import train as runner

        with notebook_listener() as listen:
            return RunResult.from_result(runner.train(words, folders, path_or_none(runs_dir), listen))


def sweep(
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
) -> RunResult:
    """Search for the best configuration on validation rows, as `dlcli sweep` does.

    Args:
        overrides: Hydra overrides. Those with several values are the space: `model.hidden=64,128`,
            `optimizer.lr=tag(log,interval(1e-4,1e-1))`. `sweep.trials=50` is the number of trials.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs; None uses the key `runs_dir`.

    Returns:
        The finished sweep. `trials` holds a mapping for each trial with its `params` and `value`, `best` that of the
        best trial with the `command` that trains it, `metrics` those of the refitted winner on the test rows.

    Raises:
        dlcli.errors.ConfigError: the space or the configuration has mistakes; all of them are in `problems`.
        dlcli.errors.DataError: the rows cannot be read or split.
        dlcli.errors.TrainingError: no trial finished, or too many failed.
        dlcli.errors.Interrupted: a signal or Ctrl-C came; the sweep can be resumed.
    """
    with command_session():
        from dlcli.runner import sweep as runner

        with notebook_listener() as listen:
            found = runner.sweep(word_list(overrides), path_list(conf_dirs), path_or_none(runs_dir), listen)
        return RunResult.from_result(found)


def resume(
    run: str | Path,
    overrides: str | Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> RunResult:
    """Continue a run that was stopped, or extend one that has finished, as `dlcli resume` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        overrides: what may change: `trainer.max_epochs` and `sweep.trials` (larger), where data lies, `executor`.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: run the code that the run's folder names, even if the folder is not known to be the user's own.

    Returns:
        The result of the whole run, as `train` or `sweep` return it.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.ConfigError: an override would make it another experiment.
        dlcli.errors.DataError: the rows are not those of the run.
        dlcli.errors.TrainingError: the training failed.
        dlcli.errors.Interrupted: a signal or Ctrl-C came; the run can be resumed again.
    """
    with command_session():
        from dlcli.runner import resume as runner

        with notebook_listener() as listen:
            words, folders = word_list(overrides), path_list(conf_dirs)
            found = runner.resume(str(run), words, folders, path_or_none(runs_dir), listen, trust=trust)
        return RunResult.from_result(found)


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
        The requirements of training (`parameters`, `memory` and `disk` in bytes, `seconds_per_epoch`), and the profile
        of the data (`rows`, `classes`, `columns`), with `warnings` about data that makes results misleading.

    Raises:
        dlcli.errors.ConfigError: with all mistakes in `problems`.
        dlcli.errors.DataError: the rows cannot be read or split.
    """
    with command_session():
        from dlcli.runner import check as runner

        return runner.check(word_list(overrides), path_list(conf_dirs), path_or_none(runs_dir))
