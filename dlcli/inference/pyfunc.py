"""Load a model folder with MLflow: `mlflow.pyfunc.load_model("runs:/RUN_ID/model")`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from dlcli.inference.mlflow_rows import from_mlflow
from dlcli.inference.saved_model import SavedModel, load_model
from dlcli.tracking.digests import UNCHECKED
from dlcli.tracking.manifest import Manifest


class PythonModel:
    """A saved model with the interface of an MLflow pyfunc model."""

    def __init__(self, model: SavedModel) -> None:
        self._model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return the predictions for raw rows, one line per row."""
        return self._model.predict(from_mlflow(self._model, data))


def _load_pyfunc(path: str) -> PythonModel:
    """Load a model folder; MLflow calls this function."""
    folder = Path(path)
    if Manifest.load(folder) is None:
        warnings.warn(f"{folder}: {UNCHECKED}", stacklevel=2)
    return PythonModel(load_model(folder))
