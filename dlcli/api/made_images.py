"""The function of the Python API that generates images with a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlcli.api.session import command_session, path_list, path_or_none

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def generate(
    run: str | Path,
    samples: int,
    *,
    seed: int = 0,
    classes: Sequence[str] = (),
    files_dir: str | Path | None = None,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[str | Path] = (),
    runs_dir: str | Path | None = None,
    trust: bool = False,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Generate images with a run of `task=generate`, as `dlcli predict RUN --samples N` does.

    Args:
        run: a run ID or its beginning, a name, a folder, `last` or `best`.
        samples: number of images.
        seed: seed of their noise. The same seed gives the same images; a larger number only adds images.
        classes: names of the classes, in turn; all of them by default.
        files_dir: a new folder for the images as PNG files, and `grid.png` with all of them; None writes none.
        device: `auto` uses an accelerator if there is one.
        conf_dirs: the user's own configuration folders; model code next to them may run.
        runs_dir: the folder of all runs; None uses the project's, by default `runs`.
        trust: also run model code that is only in the run's folder.

    Returns:
        The images as bytes, `(samples, H, W)` or `(samples, H, W, 3)`, and a table with a line for each: `sample`,
        `class`, `recognized_as` (the class predicted by the judge), and `file` with a `files_dir`.

    Raises:
        dlcli.errors.RunNotFound: there is no such run.
        dlcli.errors.InputError: its model does not generate images, the class does not exist, or the folder has files.
    """
    with command_session():
        from dlcli.runner import generate as runner

        return runner.generate(
            str(run),
            samples,
            seed,
            classes,
            path_or_none(files_dir),
            device=device,
            conf_dirs=path_list(conf_dirs),
            runs_dir=path_or_none(runs_dir),
            trust=trust,
        )
