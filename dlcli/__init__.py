"""dlcli: deep-learning experiments from the shell, and from notebooks.

    import dlcli
    result = dlcli.train(["model=mlp", "dataset=iris"])
    result.metrics["test/accuracy"]

Importing the package is instant: the work is imported by the functions that do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dlcli.inference.saved_model import SavedModel
    from dlcli.result import Result

__version__ = "0.1.0"
__all__ = ["evaluate", "load_run", "resume", "sweep", "train"]


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


def train(overrides: Sequence[str] = (), *, conf_dirs: Sequence[str | Path] = ()) -> Result:
    """Train one experiment, as `dlcli train` does, and return its result.

    Args:
        overrides: Hydra overrides, as on the command line.
        conf_dirs: the user's own configuration folders (`-C`).

    Raises:
        dlcli.errors.DlcliError: with what is wrong, where, and what to do.
    """
    from dlcli import runner
    from dlcli.process.quiet import quiet

    if isinstance(overrides, str):  # one override, and not one for each of its letters
        overrides = [overrides]
    with quiet():
        return runner.train(overrides, [Path(d) for d in conf_dirs])


def sweep(overrides: Sequence[str] = (), *, conf_dirs: Sequence[str | Path] = ()) -> Result:
    """Search for the best configuration, as `dlcli sweep` does; the result has its `trials` and the `best` of them.

    Args:
        overrides: Hydra overrides; those with several values are the space: `model.hidden=64,128`. `sweep.trials=50`
            says how many.
        conf_dirs: the user's own configuration folders (`-C`).

    Raises:
        dlcli.errors.DlcliError: with what is wrong, where, and what to do.
    """
    from dlcli import runner
    from dlcli.process.quiet import quiet

    if isinstance(overrides, str):
        overrides = [overrides]
    with quiet():
        return runner.sweep(overrides, [Path(d) for d in conf_dirs])


def resume(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> Result:
    """Go on with a run that was stopped, or extend one that has finished, as `dlcli resume` does.

    Args:
        run: a run ID or prefix, a name, a folder, or `last`.
        overrides: what may change: how long, where and how it is trained.
        conf_dirs: the user's own configuration folders (`-C`).
        runs_dir: where runs lie; default as on the command line.
        trust: run what the folder names, whoever has made it.

    Raises:
        dlcli.errors.DlcliError: with what is wrong, where, and what to do.
    """
    from dlcli import runner
    from dlcli.process.quiet import quiet

    folders = [Path(d) for d in conf_dirs]
    with quiet():
        return runner.resume(str(run), overrides, folders, Path(runs_dir) if runs_dir else None, trust=trust)


def evaluate(
    run: str | Path,
    split: Literal["test", "val"] = "test",
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
    file: str | Path | None = None,
) -> Result:
    """Repeat a run's figures on its test or validation rows, as `dlcli eval` does.

    Args:
        run: a run ID or prefix, a name, a folder, or `last`.
        split: `test` or `val`.
        conf_dirs: the user's own configuration folders; model code that lies beside them may run.
        runs_dir: where runs lie; default as on the command line.
        trust: also run model code that lies in the run's folder alone.
        file: judge the model on this file's rows instead, whose targets are there.
    """
    from dlcli import runner
    from dlcli.process.quiet import quiet

    folders = [Path(d) for d in conf_dirs]
    with quiet():
        return runner.evaluate(
            str(run),
            split,
            conf_dirs=folders,
            runs_dir=Path(runs_dir) if runs_dir else None,
            trust=trust,
            file=Path(file) if file else None,
        )


def load_run(
    run: str | Path,
    *,
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> SavedModel:
    """A run's trained model, with its preprocessing: from raw rows to predictions.

    Args:
        run: a run ID or prefix, a name, a folder, or `last`.
        conf_dirs: the user's own configuration folders (`-C`): the code beside them may run where it is unchanged.
        runs_dir: where runs lie; default as on the command line.
        trust: also run the model code that the run keeps.
    """
    from dlcli import runner

    return runner.load_run(
        str(run),
        conf_dirs=[Path(d) for d in conf_dirs],
        runs_dir=Path(runs_dir) if runs_dir else None,
        trust=trust,
    )
