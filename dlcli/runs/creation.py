"""A run as its driver makes it: name, tags, files, and what MLflow shows of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dlcli.runs.contents import contents
from dlcli.tracking.mlflow_inputs import DatasetRecord
from dlcli.tracking.provenance import provenance
from dlcli.tracking.store import Store, make_run_name

if TYPE_CHECKING:
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.datasets.data import Data
    from dlcli.splits.split import Split
    from dlcli.tracking.ledger import Kind


def make_run(
    store: Store,
    kind: Kind,
    estimation: Estimation,
    whole: Split,
    *,
    name: str,
    overrides: Sequence[str],
    folders: Sequence[Path],
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Make the run of an experiment or of a sweep; its folder.

    Args:
        store: where.
        kind: of run.
        estimation: its configuration, rows and splits.
        whole: all rows that its trainings are made of, and the final test rows.
        name: of the run, made unique, where the configuration names none.
        overrides: the words that it was started with.
        folders: the user's own conf folders.
        params: what MLflow shows instead of the configuration.
        tags: beside those that every run has.
    """
    config, data = estimation.config, estimation.data
    return store.create_run(
        experiment=config["experiment_name"] or data.name,
        run_name=config["run_name"] or make_run_name(name),
        kind=kind,
        params=config if params is None else params,
        tags={
            **provenance(config["tracking"]["tags"]),
            **tags,
            "dlcli.seed": str(config["seed"]),
            "dlcli.data_fingerprint": data.fingerprint,
            "dlcli.split_fingerprint": estimation.fingerprint,
        },
        datasets=_records(data, whole),
        files=contents(config, overrides, whole, folders),
    )


def _records(data: Data, split: Split) -> list[DatasetRecord]:
    """The data as MLflow shows it: which rows of it train, and which test."""
    targets = {"classes": list(data.classes)} if data.classes else {"targets": list(data.targets)}
    profile = {"rows": len(data), **targets, **split.sizes}
    schema = {"kind": data.kind, "row_shape": list(data.x.shape[1:])}
    contexts = {"training": split.train, "validation": split.val, "testing": split.test}
    return [
        DatasetRecord(
            data.name, f"{data.fingerprint[:16]}-{context[:5]}", data.source, context, schema, profile
        )
        for context, rows in contexts.items()
        if len(rows)
    ]
