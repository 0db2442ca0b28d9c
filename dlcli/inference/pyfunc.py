"""How MLflow loads a model folder: `mlflow.pyfunc.load_model("runs:/RUN_ID/model")`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.inference.saved_model import SavedModel, load_model
from dlcli.tracking.digests import UNCHECKED
from dlcli.tracking.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd


class PythonModel:
    """What MLflow calls."""

    def __init__(self, model: SavedModel) -> None:
        self._model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Raw rows to predictions, one row each."""
        return self._model.predict(data)


def _load_pyfunc(path: str) -> PythonModel:
    """MLflow's entry point."""
    folder = Path(path)
    if Manifest.load(folder) is None:
        warnings.warn(f"{folder}: {UNCHECKED}", stacklevel=2)
    return PythonModel(load_model(folder))
