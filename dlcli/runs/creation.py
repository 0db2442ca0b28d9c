"""Create a run: its name, tags, files, and the datasets that MLflow shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dlcli.config.plain_secrets import words_text
from dlcli.errors import ConfigError
from dlcli.formatting import amount
from dlcli.gate.vouching import (
    CODE,
    CONF_DIRS_FILE,
    CONFIG_FILE,
    OVERRIDES_BYTES,
    OVERRIDES_FILE,
    listing,
    new_seal,
)
from dlcli.inference.code import own_code
from dlcli.runs.folder import config_text
from dlcli.splits.split import Split
from dlcli.tracking.mlflow_inputs import DatasetRecord
from dlcli.tracking.run_provenance import environment_txt, provenance
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
    params: Mapping[str, Any],
    tags: Mapping[str, str] = MappingProxyType({}),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Create the run of an experiment or of a sweep, and return its folder.

    Args:
        store: the store to create it in.
        kind: kind of run.
        estimation: its configuration, data and splits.
        whole: all rows that its training runs use, and the final test rows.
        name: stem of the run's name if the configuration has no `run_name`; it is made unique.
        overrides: the command-line overrides.
        folders: the user's conf folders.
        params: params for MLflow.
        tags: tags in addition to those of every run.
        about: description of the data for users (`Ledger.about`).
    """
    config, data = estimation.config, estimation.data
    return store.create_run(
        experiment=config["experiment_name"] or data.name,
        run_name=config["run_name"] or make_run_name(name),
        kind=kind,
        params=params,
        tags={
            **provenance(config["tracking"]["tags"]),
            **tags,
            "dlcli.seed": str(config["seed"]),
            "dlcli.data_fingerprint": data.fingerprint,
            "dlcli.split_fingerprint": estimation.fingerprint,
        },
        datasets=_records(data, whole),
        files=contents(config, overrides, whole, folders),
        about=about,
    )


def _records(data: Data, split: Split) -> list[DatasetRecord]:
    """Return MLflow's dataset inputs: one for each part of the split that has rows."""
    targets = {"classes": list(data.classes)} if data.classes else {"targets": list(data.targets)}
    profile = {"rows": len(data), **targets, **split.sizes}
    schema = {"kind": data.kind, "row_shape": list(data.x.shape[1:])}
    contexts = {"train": split.train, "val": split.val, "final test": split.test}
    return [
        DatasetRecord(
            data.name, f"{data.fingerprint[:16]}-{context[:5]}", data.source, context, schema, profile
        )
        for context, rows in contexts.items()
        if len(rows)
    ]


def contents(
    config: Mapping[str, Any], overrides: Sequence[str], split: Split, folders: Sequence[Path]
) -> dict[str, str | bytes]:
    """Return the files that are known before the job: configuration, overrides, environment, split and user code."""
    code = own_code(config, [folder.parent for folder in folders])
    words = words_text(overrides)
    if len(words.encode()) > OVERRIDES_BYTES:
        hint = "Write them to a file: conf/experiment/NAME.yaml, and choose experiment=NAME."
        raise ConfigError(f"are longer than {amount(OVERRIDES_BYTES)}", "overrides", hint)
    sealed: dict[str, str | bytes] = {
        CONFIG_FILE: config_text(config),
        OVERRIDES_FILE: words,
        **({CONF_DIRS_FILE: "".join(f"{folder}\n" for folder in folders)} if folders else {}),
    }
    return {
        **sealed,
        **new_seal({**sealed, CODE: listing(code)}),
        "environment.txt": environment_txt(),
        "split.npz": split.to_bytes(),
        **{f"{CODE}/{name}": content for name, content in code.items()},
    }
