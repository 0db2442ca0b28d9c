"""Functions of the Python API that explain a trained run and check its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.api.session import command_session, path_list, path_or_none, word_list

if TYPE_CHECKING:
    from dlcli.runner.explain import Explanation
    from dlcli.runner.label import Labelled


def explain(
    run: str | Path,
    *,
    rows: int = 1000,
    repeats: int = 10,
    examples: int = 6,
    overrides: str | Sequence[str] = (),
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> Explanation:
    """Return the importance of columns and the errors by groups of rows, as `dlcli explain` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`; `RUN1,RUN2` is an ensemble.
        rows: maximum number of rows for importance and partial dependence; slices use all rows.
        repeats: number of permutations of each column.
        examples: for images and texts, number of the worst and of typical rows whose pixels or words are explained.
        overrides: current location of the run's data: `dataset.path=FILE`.
        conf_dirs: the user's own configuration folders; model code next to them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code in the run's folder.

    Returns:
        `importances` of columns, with intervals, in units of the loss; `dependence` of the predictions on the most
        important columns; `slices`, groups of rows with their error and its difference from that of other rows; and
        `examples`, the worst and typical images or texts, with `pixels` and `regions`, or `words`.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.DataError: the run has no rows that were not used for training, or the data has changed.
    """
    with command_session():
        from dlcli.runner import explain as runner

        return runner.explain(
            str(run),
            rows=rows,
            repeats=repeats,
            examples=examples,
            overrides=word_list(overrides),
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
        )


def label(
    run: str | Path,
    output: str | Path | None = None,
    *,
    picture: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> Labelled:
    """Return the rows of a run whose label is probably wrong, as `dlcli label` does.

    Args:
        run: a run ID or its beginning, a name, a folder, or `last`; for a cross-validation, all rows of its folds are
            checked.
        output: a .csv file to write.
        picture: a .png file of the most likely errors to write, for a run on images.
        overrides: current location of the run's data: `dataset.path=FILE`; only a picture needs the data.
        conf_dirs: the user's own configuration folders; dataset code next to them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run code that is only in the run's folder.

    Returns:
        `errors`, a DataFrame with a row for each likely error, the most likely first: `row`, `label`, `suggested`,
        `p_label` and `p_suggested`; `rows`, the number of checked rows; and `expected`, the estimated number of errors.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: the run has no probabilities of classes, or a file cannot be written.
    """
    with command_session():
        from dlcli.runner import label as runner

        return runner.label(
            str(run),
            path_or_none(output),
            path_or_none(picture),
            word_list(overrides),
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
        )
