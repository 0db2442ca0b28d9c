"""The files by which MLflow loads a model folder, with the signature of a table's model and an input example."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd
import torch
import yaml

from dlcli import __version__
from dlcli.datasets.reading.columns import Columns
from dlcli.inference.example import usual_numbers, usual_value

# What `dlcli.inference.pyfunc` imports, besides torch and what these need themselves.
_NEEDED = (
    "annotated-types",
    "mlflow",
    "numpy",
    "packaging",
    "pandas",
    "pillow",
    "psutil",
    "pyarrow",
    "pyyaml",
    "rich",
    "safetensors",
    "scikit-learn",
    "tokenizers",
    "torchmetrics",
)


def mlflow_files(
    run_id: str, requires: Sequence[str], about_rows: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the files of an MLflow pyfunc model whose loader is `dlcli.inference.pyfunc`.

    They contain no code and nothing pickled. They are written without `mlflow.pyfunc`, because importing it takes
    longer than writing the rest of the folder.

    Args:
        run_id: ID of the run.
        requires: Packages that the model needs in addition to dlcli and torch.
        about_rows: Sections of `MLmodel` about the rows that the model reads.
    """
    python = platform.python_version()
    flavor = {
        "data": ".",
        "env": {"virtualenv": "python_env.yaml"},
        "loader_module": "dlcli.inference.pyfunc",
        "python_version": python,
    }
    description = {
        "flavors": {"python_function": flavor},
        "mlflow_version": _pinned("mlflow").partition("==")[2],
        "run_id": run_id,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    description |= about_rows or {}
    environment = {"python": python, "build_dependencies": [], "dependencies": ["-r requirements.txt"]}
    torch_version = torch.__version__.partition("+")[0]
    requirements = [
        f"# Runs with dlcli {__version__} (distribution dlcli-experiments), which is installed from its source.",
        f"torch=={torch_version}",
        *map(_pinned, (*_NEEDED, *requires)),
    ]
    return {
        "MLmodel": _dump(description),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "python_env.yaml": _dump(environment),
    }


def _dump(document: Mapping[str, Any]) -> str:
    """Return a document as YAML; PyYAML's dumper in C writes the same text in a sixth of the time."""
    return yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


@cache
def _pinned(package: str) -> str:
    """Return the requirement `package==version`, or the name alone if the package is not installed."""
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        return package


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
