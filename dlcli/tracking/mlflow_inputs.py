"""Params and dataset inputs of a run in MLflow, with a copy in the run's folder.

The copy, `mlflow.json`, is written once, before the run's first ledger; a new store is filled from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.gate.documents import read_json, read_yaml
from dlcli.sanitize.escapes import visible, visible_name
from dlcli.sanitize.redact import redact, redact_value
from dlcli.tracking.mlflow_tags import TAG_LENGTH

SHOWN_FILE = "mlflow.json"
CONTEXT_TAG = "mlflow.data.context"  # tag of an input: train, val or final test

# Characters that MLflow does not accept in a param's name, but that a column's name may contain.
_NO_NAME = re.compile(r"[^/\w.\- :]")
_PARAM_LENGTH = 6000  # characters: MLflow's limit
_CUT = " ... (cut)"


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset for MLflow, which identifies it by name and digest, so each part of a split needs its own digest."""

    name: str
    digest: str
    source: str
    context: str = "training"
    schema: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """A dataset input within MLflow's limits, without secrets; `schema` and `profile` are JSON."""

    name: str
    digest: str
    source: str
    context: str
    schema: str
    profile: str

    source_type = "dlcli"

    @classmethod
    def of(cls, data: DatasetRecord) -> Input:
        """Return the input for a dataset."""
        return cls(
            name=visible_name(redact(data.name))[:500],
            digest=data.digest[:36],
            source=visible_name(redact(data.source))[:65535],
            context=data.context,
            schema=json.dumps(data.schema, default=str),
            profile=json.dumps(data.profile, default=str),
        )


@dataclass(frozen=True)
class Shown:
    """Params and inputs of a run in the form that MLflow stores."""

    params: Mapping[str, str]
    inputs: Sequence[Input]

    @classmethod
    def of(cls, params: Mapping[str, Any], datasets: Sequence[DatasetRecord]) -> Shown:
        """Convert params, which may be nested, and datasets; secrets are masked, and long values are truncated."""
        flat = {
            _NO_NAME.sub("_", redact(key)): _shortened(visible(redact_value(key, text)))
            for key, text in flatten(params)
        }
        return cls(flat, [Input.of(data) for data in datasets])

    @classmethod
    def read(cls, run_dir: Path) -> Shown:
        """Read them from a run's folder; for earlier versions without this file, use the configuration."""
        with suppress(CorruptRun, KeyError, TypeError, AttributeError):
            document = read_json(run_dir / SHOWN_FILE)
            params = {str(key): str(value) for key, value in document["params"].items()}
            inputs = [{key: str(value) for key, value in data.items()} for data in document["inputs"]]
            return cls(params, [Input(**data) for data in inputs])
        with suppress(CorruptRun):
            return cls.of(read_yaml(run_dir / "config.yaml"), ())
        return cls({}, ())

    def to_json(self) -> str:
        """Return the content of `mlflow.json`."""
        inputs = [vars(data) for data in self.inputs]
        return json.dumps({"params": dict(self.params), "inputs": inputs}, indent=1) + "\n"


def tag_value(text: str) -> str:
    """Return a tag's value in the form that MLflow stores."""
    return visible(redact(text))[:TAG_LENGTH]


def flatten(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as pairs of dotted key and text."""
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _PARAM_LENGTH else text[: _PARAM_LENGTH - len(_CUT)] + _CUT
