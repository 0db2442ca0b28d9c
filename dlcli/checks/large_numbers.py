"""Find columns whose numbers are too large for a finite loss or a finite step of the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlcli.config.pasted import pasted
from dlcli.datasets.data import Data, take
from dlcli.datasets.tables.typed_frames import kind_of
from dlcli.errors import ConfigError, Diverged

# Smaller numbers are no problem for 32-bit arithmetic.
_LARGE = 1e4

# Maximum number of columns that a message names.
_NAMED = 3


def name_large_columns(
    error: Diverged, data: Data, rows: np.ndarray, config: Mapping[str, Any]
) -> ConfigError:
    """Return the error of a rehearsal, extended by the columns with the largest numbers and what to do about them.

    Args:
        error: the error that the rehearsal raised.
        data: the raw rows.
        rows: numbers of the training rows.
        config: the configuration.
    """
    (problem,) = error.problems
    found = sorted(_largest(data, rows), reverse=True)[:_NAMED] if data.kind == "table" else []
    if not found:
        return ConfigError(problem.message, problem.where, problem.hint)
    columns = [name for _, name in found]
    sizes = ", ".join(f"{name} up to {size:.3g}" for size, name in found)
    is_scaled = config["preprocessing"].get("scaling", "none") != "none"
    scale = "" if is_scaled else "Scale them: preprocessing.scaling=standard. "
    return ConfigError(
        f"{problem.message}; the largest numbers of the training rows are those of {sizes}",
        "preprocessing.scaling",
        f"{scale}Correct wrong values, or leave columns out: {pasted('dataset.drop', columns)}. Or train by steps: "
        "optimizer=adam callbacks=default",
    )


def _largest(data: Data, rows: np.ndarray) -> Iterator[tuple[float, str]]:
    """Yield the largest absolute value of each column of large numbers, and its name."""
    frame = take(data.x, rows)
    for name in frame.columns:
        if kind_of(frame[name]) == "numeric":
            values = np.abs(frame[name].to_numpy(dtype=np.float64, na_value=np.nan))
            largest = float(np.nanmax(values, initial=0.0))
            if largest > _LARGE:
                yield largest, str(name)
