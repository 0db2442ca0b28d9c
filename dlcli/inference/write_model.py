"""Write a run's `model/` folder; `dlcli.inference.saved_model` describes its files and reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.datasets.reading.columns import Columns
from dlcli.gate.fitted_objects import LastFitted, fitted_bytes
from dlcli.inference.columns_file import COLUMNS
from dlcli.inference.mlflow_files import mlflow_files
from dlcli.inference.model_description import DESCRIPTION, LABELS, read_description
from dlcli.preprocessing.protocols import HasVocabulary, Preprocessing
from dlcli.sanitize.escapes import visible_json
from dlcli.tracking.manifest import Manifest

PREPROCESSING_FILE, WEIGHTS_FILE = "preprocessing.skops", "weights.safetensors"

_SCHEMA_VERSION = 1


def save_model(
    folder: Path,
    *,
    weights: Path,
    preprocessing: Preprocessing,
    model: Mapping[str, Any],
    task: Mapping[str, Any],
    metric: Mapping[str, Any] | None,
    kind: str,
    image_kinds: Mapping[str, int],
    model_facts: Mapping[str, Any],
    task_facts: Mapping[str, Any],
    run_id: str,
    columns: Columns | None = None,
    durable: bool = True,
    last_fitted: LastFitted | None = None,
) -> None:
    """Write a model folder.

    Args:
        folder: The folder to write.
        weights: File of the weights, which is moved to the folder.
        preprocessing: The fitted preprocessing.
        model: The configuration's section `model`.
        task: The configuration's section `task`.
        metric: The configuration's section `metric`.
        kind: Kind of the data.
        image_kinds: For images in files, the number of each kind of pixels.
        model_facts: Arguments that the model received from the data.
        task_facts: Arguments that the task received from the targets.
        run_id: ID of the run.
        columns: The columns of tables.
        last_fitted: Writes the preprocessing, if several models of this process share it.
        durable: Whether the files are synchronised with the disk. Without that, a power failure (not a kill) within the
            next seconds may lose them; their digests tell.
    """
    files: dict[str, str | bytes | Path] = {
        PREPROCESSING_FILE: (last_fitted.to_bytes if last_fitted else fitted_bytes)(preprocessing)
    }
    if isinstance(preprocessing, HasVocabulary):
        files["vocabulary.json"] = visible_json(
            json.dumps(preprocessing.vocabulary(), ensure_ascii=False, indent=0)
        )
    files[LABELS] = visible_json(json.dumps(task_facts.get("classes", []), ensure_ascii=False, indent=2))
    if columns is not None:
        files[COLUMNS] = visible_json(json.dumps(columns.to_json(), ensure_ascii=False, indent=1))
    description = {
        "schema_version": _SCHEMA_VERSION,
        "kind": kind,
        "image_kinds": dict(image_kinds),
        "model": dict(model),
        "task": dict(task),
        "metric": dict(metric or {}),
        "model_facts": dict(model_facts),
        "task_facts": {name: fact for name, fact in task_facts.items() if name != "classes"},
    }
    files[DESCRIPTION] = json.dumps(description, indent=2)
    files |= mlflow_files(run_id, getattr(locate(model[TARGET]), "requires", ()))
    files[WEIGHTS_FILE] = weights
    folder.mkdir(exist_ok=True)
    Manifest.for_writing(folder, run_id).replace(files, durable=durable)


def add_task_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add arguments of the task, such as a tuned threshold, to a folder that has been written."""
    description = read_description(folder)
    description["task_facts"] |= facts
    manifest = Manifest.load(folder)
    assert manifest is not None  # written by `save_model`
    manifest.replace({DESCRIPTION: json.dumps(description, indent=2)})
