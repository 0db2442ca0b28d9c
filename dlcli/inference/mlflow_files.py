"""The files by which MLflow loads a model folder; `dlcli.inference.mlflow_rows` adds a signature and an example."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import torch
import yaml

from dlcli import __version__
from dlcli.process.installed import version_of

ML_MODEL = "MLmodel"

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


def mlflow_files(run_id: str, requires: Sequence[str]) -> dict[str, str]:
    """Return the files of an MLflow pyfunc model whose loader is `dlcli.inference.pyfunc`.

    They contain no code and nothing pickled. They are written without `mlflow.pyfunc`, because importing it takes
    longer than writing the rest of the folder.

    Args:
        run_id: ID of the run.
        requires: Packages that the model needs in addition to dlcli and torch.
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
    environment = {"python": python, "build_dependencies": [], "dependencies": ["-r requirements.txt"]}
    torch_version = torch.__version__.partition("+")[0]
    requirements = [
        f"# Runs with dlcli {__version__} (distribution dlcli-experiments), which is installed from its source.",
        f"torch=={torch_version}",
        *map(_pinned, (*_NEEDED, *requires)),
    ]
    return {
        ML_MODEL: dump(description),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "python_env.yaml": dump(environment),
    }


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as YAML; PyYAML's dumper in C writes the same text in a sixth of the time."""
    return yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


@cache
def _pinned(package: str) -> str:
    """Return the requirement `package==version`, or the name alone if the package is not installed."""
    found = version_of(package)
    return f"{package}=={found}" if found else package
