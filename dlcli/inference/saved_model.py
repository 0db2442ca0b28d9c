"""A run's `model/` folder: written after training, and the only way in which a trained model is loaded.

::

    MLmodel, requirements.txt, python_env.yaml   what MLflow reads
    model.json            classes to build and their plain arguments
    weights.safetensors   the best weights
    preprocessing.skops   what was fitted on the training rows
    vocabulary.json       the tokens, in the order of their numbers, where rows are texts (for people; not read)
    labels.json           names of the classes or labels, in the order of their codes
    digests.json          SHA-256 of the files above, compared before they are read

Nothing in it is unpickled, and only dlcli's and torch's own classes are built, unless the caller vouches for others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dlcli.config.build import TARGET, build, locate
from dlcli.datasets.data import Kind
from dlcli.datasets.images.files import ImageFiles
from dlcli.errors import CorruptRun, DataError, NotSet, first_line
from dlcli.gate.documents import JSON_BYTES, read_json, read_text
from dlcli.gate.fitted import load_fitted
from dlcli.gate.gate import Gate, current
from dlcli.preprocessing.base import HasVocabulary, Preprocessing
from dlcli.tasks.base import Task
from dlcli.tracking.manifest import Manifest, check_model
from dlcli.training.fields import Fields, as_fields
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network

SCHEMA_VERSION = 1

_DESCRIPTION, _LABELS = "model.json", "labels.json"
_PREPROCESSING, _WEIGHTS = "preprocessing.skops", "weights.safetensors"
_KINDS = get_args(Kind)

_DAMAGED = "The folder is incomplete or damaged: copy it anew, or train again."

# Rows that go through the network at a time. Fixed, so that figures repeat.
_ROWS = 512


@dataclass(frozen=True)
class SavedModel:
    """A trained network with its fitted preprocessing: from raw rows to predictions.

    `input_shape` is that of a row's `x`, 0 where it differs from row to row.
    """

    network: Network
    preprocessing: Preprocessing
    task: Task
    kind: str
    input_shape: tuple[int, ...] = ()

    def outputs(self, x: Any, device: torch.device | str = "cpu") -> Tensor:
        """The network's outputs for raw rows, `(N, ...)`, on the CPU."""
        return self.outputs_of(as_fields(self.preprocessing.transform(x)), device)

    @torch.inference_mode()
    def outputs_of(self, fields: Fields, device: torch.device | str = "cpu") -> Tensor:
        """The same for what the preprocessing made of raw rows, or the backbone of that (`features`)."""
        network = self.network.to(device).eval()
        loader = BatchLoader(fields, _ROWS)
        parts = [
            network({name: values.to(device) for name, values in batch.items()}).float().cpu()
            for batch in loader
        ]
        if not parts:
            return torch.empty(0, self.task.num_outputs)
        order, outputs = loader.order(), torch.cat(parts)
        return outputs if order is None else outputs[order.argsort()]

    def predict(self, x: Any, device: torch.device | str = "cpu") -> pd.DataFrame:
        """Predictions for raw rows (a table, an array, or texts), one row each, in the user's own labels or unit."""
        return self.task.predictions(self.outputs(as_rows(x, self.kind), device))


def save_model(
    folder: Path,
    *,
    weights: Path,
    preprocessing: Preprocessing,
    model: Mapping[str, Any],
    task: Mapping[str, Any],
    kind: str,
    model_facts: Mapping[str, Any],
    task_facts: Mapping[str, Any],
    run_id: str,
) -> None:
    """Write the folder. `weights` is moved there; `model` and `task` are config nodes, the facts what they got."""
    import skops.io

    files: dict[str, str | bytes | Path] = {_PREPROCESSING: skops.io.dumps(preprocessing)}
    if isinstance(preprocessing, HasVocabulary):
        files["vocabulary.json"] = json.dumps(preprocessing.vocabulary(), ensure_ascii=False, indent=0)
    files[_LABELS] = json.dumps(task_facts.get("classes", []), ensure_ascii=False, indent=2)
    description = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "model": dict(model),
        "task": dict(task),
        "model_facts": dict(model_facts),
        "task_facts": {name: fact for name, fact in task_facts.items() if name != "classes"},
    }
    files[_DESCRIPTION] = json.dumps(description, indent=2)
    files |= _mlflow_files(run_id, getattr(locate(model[TARGET]), "requires", ()))
    files[_WEIGHTS] = weights
    folder.mkdir(exist_ok=True)
    Manifest.for_writing(folder, run_id).replace(files)


def add_task_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Let the task of a folder that is written know more, such as a tuned threshold."""
    description = _description(folder)
    description["task_facts"] |= facts
    manifest = Manifest.load(folder)
    assert manifest is not None  # written by `save_model`
    manifest.replace({_DESCRIPTION: json.dumps(description, indent=2)})


def load_model(folder: Path, *, trust: bool = False) -> SavedModel:
    """Load a model folder.

    Args:
        folder: a run's `model/`.
        trust: also build classes that are neither dlcli's nor torch's, where no gate is closed around the caller;
            running them runs their author's code.

    Raises:
        CorruptRun: a file is missing or damaged, or names a class that nobody vouched for.
    """
    from safetensors.torch import load_model as load_weights

    gate = _gate(folder, trust)
    with gate.closed(), _damage_told(folder):
        check_model(folder, _DESCRIPTION, _LABELS, _PREPROCESSING, _WEIGHTS)
        description = _description(folder)
        gate.admit_all({"model": description["model"], "task": description["task"]})
        preprocessing = load_fitted(folder / _PREPROCESSING, gate)
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced at once
            facts = _as_tuples(description["model_facts"])
            model: nn.Module = build(description["model"], where="model", **facts, restored=True)
        load_weights(model, str(folder / _WEIGHTS))
        task = _build_task(folder, description)
    network = Network(model, preprocessing.on_device())
    return SavedModel(network, preprocessing, task, description["kind"], facts["input_shape"])


def load_task(folder: Path, *, trust: bool = False) -> Task:
    """The task of a model folder, whose weights need not be there any more; otherwise as `load_model`."""
    with _gate(folder, trust).closed(), _damage_told(folder):
        check_model(folder, _DESCRIPTION, _LABELS)
        return _build_task(folder, _description(folder))


def _gate(folder: Path, trust: bool) -> Gate:
    """The gate that is closed already, else one for this folder."""
    return current() or Gate(str(folder), is_open=trust)


def read_task_facts(folder: Path) -> dict[str, Any]:
    """What the task of a folder was told of the targets: classes, means and deviations, thresholds; plain types."""
    description = _description(folder)
    return {**description["task_facts"], "classes": _labels(folder)}


def _description(folder: Path) -> dict[str, Any]:
    """`model.json`, as far as its shape goes."""
    file = folder / _DESCRIPTION
    found = read_json(file, "the model's description")
    sections = ("model", "task", "model_facts", "task_facts")
    if not all(isinstance(found.get(name), dict) for name in sections) or found.get("kind") not in _KINDS:
        raise CorruptRun("the model's description lacks what it must have", str(file), _DAMAGED)
    return found


def _labels(folder: Path) -> list[str]:
    """`labels.json`: names, in the order of their codes."""
    file = folder / _LABELS
    try:
        labels = json.loads(read_text(file, JSON_BYTES, "the file of labels"))
    except (ValueError, RecursionError) as error:
        raise CorruptRun("the file of labels cannot be read", str(file), _DAMAGED) from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CorruptRun("the file of labels holds no list of names", str(file), _DAMAGED)
    return labels


def _build_task(folder: Path, description: Mapping[str, Any]) -> Task:
    task: Task = build(description["task"], where="task", **read_task_facts(folder))
    return task


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except (CorruptRun, NotSet):
        raise
    except Exception as error:
        raise CorruptRun(
            f"the model cannot be loaded: {first_line(error)}",
            where=str(folder),
            hint=_DAMAGED,
        ) from error


def _as_tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}


def _mlflow_files(run_id: str, requires: Sequence[str]) -> dict[str, str]:
    """A pyfunc flavour whose loader is ours: no copy of the code, nothing pickled.

    `requires` names packages that the model is made of, beside dlcli and torch.
    Written by hand, for importing `mlflow.pyfunc` takes longer than all the rest of the folder.
    """
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import version

    import yaml

    from dlcli import __version__

    python = platform.python_version()
    flavor = {
        "data": ".",
        "env": {"virtualenv": "python_env.yaml"},
        "loader_module": "dlcli.inference.pyfunc",
        "python_version": python,
    }
    description = {
        "flavors": {"python_function": flavor},
        "mlflow_version": version("mlflow"),
        "run_id": run_id,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    environment = {"python": python, "build_dependencies": [], "dependencies": ["-r requirements.txt"]}
    torch_version = torch.__version__.partition("+")[0]
    requirements = [f"dlcli=={__version__}", f"torch=={torch_version}", *map(_pinned, requires)]
    return {
        "MLmodel": yaml.safe_dump(description),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "python_env.yaml": yaml.safe_dump(environment),
    }


def _pinned(package: str) -> str:
    """With its version, where it is one that pip has installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        return package


def as_rows(x: Any, kind: str) -> Any:
    """Raw rows as callers from outside hand them over: a table for `table`, an array or a table for `sequence`.

    Texts are taken as they are; the rest are arrays.

    Raises:
        DataError: it is a file's name, or nothing that a table can be made of.
    """
    if isinstance(x, Path) or (isinstance(x, str) and (kind != "tokens" or _is_file(x))):
        raise DataError(
            f"{x} is a file's name, and predict takes the rows themselves",
            "new data",
            "Give an array of images." if kind == "image" else f"Read it: pandas.read_csv({str(x)!r})",
        )
    if kind == "sequence":
        return x if isinstance(x, pd.DataFrame) else np.asarray(x)
    if kind == "table":
        return x if isinstance(x, pd.DataFrame) else _as_table(x)
    if kind == "tokens":
        return x
    if isinstance(x, ImageFiles):  # which are decoded a batch at a time
        return x
    return x.to_numpy() if isinstance(x, pd.DataFrame) else np.asarray(x)


def _as_table(x: Any) -> pd.DataFrame:
    try:
        return pd.DataFrame(x)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"no table can be made of this: {first_line(error)}", "new data", "Give a pandas.DataFrame."
        ) from error


def _is_file(text: str) -> bool:
    """Whether a text names a file; most are too long to be a name."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
