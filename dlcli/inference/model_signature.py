"""The MLflow signature of a table's model, and a synthetic row as its input example."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from dlcli.datasets.reading.columns import Columns
from dlcli.inference.example import usual_numbers, usual_value

EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"

# MLflow's types of the columns of predictions, by the kind of their NumPy type.
_TYPES = {"b": "boolean", "i": "long", "u": "long", "f": "double"}


def model_signature(columns: Columns, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the section `signature` of `MLmodel`.

    The inputs have MLflow's type `any`: with another type MLflow refuses rows that dlcli reads by `columns.json`, such
    as whole numbers in a column of decimal ones, timestamps, or `5,000`.

    Args:
        columns: the columns of the model.
        predictions: predictions of any rows.
    """
    inputs = [{"type": "any", "name": column.name, "required": True} for column in columns.features()]
    outputs = [
        {"type": _TYPES.get(getattr(kind, "kind", ""), "string"), "name": str(name), "required": True}
        for name, kind in predictions.dtypes.items()
    ]
    return {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}


def example_files(columns: Columns, preprocessing: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the files with a synthetic row, and the section `saved_input_example_info` of `MLmodel`."""
    usual = usual_numbers(preprocessing)
    row = {column.name: usual_value(column, usual) for column in columns.features()}
    split = {"columns": list(row), "data": [list(row.values())]}
    files = {EXAMPLE: json.dumps(split), SERVED_EXAMPLE: json.dumps({"dataframe_split": split}, indent=1)}
    about = {
        "artifact_path": EXAMPLE,
        "pandas_orient": "split",
        "serving_input_path": SERVED_EXAMPLE,
        "type": "dataframe",
    }
    return files, about
