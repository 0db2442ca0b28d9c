"""Check that a user's fitted preprocessing can be saved with the model, before anything is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError, first_line
from dlcli.gate.fitted_objects import fitted_bytes, load_fitted
from dlcli.gate.gate import Gate
from dlcli.process.own_frame import own_place


def check_saved(preprocessing: Any) -> None:
    """Raise a ConfigError if a user's fitted preprocessing cannot be saved and loaded, with the attribute at fault."""
    place = own_place(preprocessing, "fit")
    if not place or _is_saved(preprocessing) is None:
        return
    attributes = {name: value for name, value in vars(preprocessing).items() if name.endswith("_")}
    wrong = {name: why for name, value in attributes.items() if (why := _is_saved(value)) is not None}
    name, why = next(iter(wrong.items()), ("", _is_saved(preprocessing)))
    what = f"{type(preprocessing).__name__}.{name}" if name else type(preprocessing).__name__
    raise ConfigError(
        f"{what} cannot be saved with the model: {why}{place}",
        "preprocessing",
        "Keep plain values, arrays and scikit-learn estimators in attributes that end with an underscore.",
    )


def _is_saved(value: Any) -> str | None:
    """Return why a value cannot be saved and loaded; None if it can be."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fitted.skops"
        try:
            file.write_bytes(fitted_bytes(value))
            load_fitted(file, Gate(folder, is_open=True))
        except Exception as error:  # skops and the user's classes raise many types
            return first_line(error)
    return None
