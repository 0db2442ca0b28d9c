"""The lookback of series whose configuration has `auto`; for runs of earlier versions it is read from a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.errors import DlcliError
from dlcli.inference.model_description import read_description
from dlcli.tracking.ledger import Ledger

_KEY, _AUTO = "lookback", "auto"
_SERIES = "dlcli.datasets.series.load"


def is_open(dataset: Mapping[str, Any]) -> bool:
    """Return whether the lookback in a section `dataset` of series is `auto`."""
    return dataset.get(TARGET) == _SERIES and dataset.get(_KEY, _AUTO) == _AUTO


def with_lookback(config: dict[str, Any], lookback: int | None) -> dict[str, Any]:
    """Return the configuration with `auto` replaced by a lookback; unchanged if it has a number, or for None."""
    if lookback is None or not is_open(config["dataset"]):
        return config
    return {**config, "dataset": {**config["dataset"], _KEY: lookback}}


def lookback_of_model(ledger: Ledger) -> int | None:
    """Return the lookback of the model of a run or of one of its child runs; None if there is none."""
    return next(filter(None, map(_lookback, _folders(ledger))), None)


def _folders(ledger: Ledger) -> Iterator[Path]:
    yield ledger.run_dir
    trials = [trial.get("run_id") for trial in ledger.result.get("trials", ())]
    named = (ledger.result.get("refit_run_id"), ledger.result.get("best_run_id"))
    for run_id in (*named, *ledger.result.get("folds", ()), *trials):
        if isinstance(run_id, str):
            yield ledger.sibling(run_id)


def _lookback(run_dir: Path) -> int | None:
    with suppress(DlcliError, OSError):
        found = read_description(run_dir / "model")["model_facts"].get(_KEY)
        return found if isinstance(found, int) and found > 0 else None
    return None
