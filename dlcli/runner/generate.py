"""Images in memory and as files, from a run's saved model: the Python API of `dlcli predict RUN --samples N`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dlcli.prediction.make_samples import Wanted, samples_in_memory
from dlcli.prediction.output import check_folder
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import open_model


def generate(
    run: str,
    samples: int,
    seed: int,
    classes: Sequence[str],
    files: Path | None,
    *,
    device: Literal["auto", "cpu"],
    conf_dirs: Sequence[Path],
    runs_dir: Path | None,
    trust: bool,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return images and a table with a row for each; also write them to a folder, if one is given."""
    if files is not None:
        check_folder(files, ())
    model = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust).model
    return samples_in_memory(model, Wanted(samples, seed, classes), files, device=device)
