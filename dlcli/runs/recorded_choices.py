"""Settings of series that the rows choose if the configuration has `auto`: the lookback, and whether steps are business
days. The choices are recorded; for runs of earlier versions, the lookback is read from a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.datasets.data import Data
from dlcli.errors import DlcliError
from dlcli.inference.model_description import read_description
from dlcli.tracking.ledger import Ledger

_AUTO = "auto"
_SERIES = "dlcli.datasets.series.load"

# Keys and their values in runs that lack them.
_FORMER = {"lookback": _AUTO, "business_days": False}


def is_open(dataset: Mapping[str, Any]) -> bool:
    """Return whether the lookback in a section `dataset` of series is `auto`."""
    return dataset.get(TARGET) == _SERIES and "lookback" not in choices_in(dataset)


def choices_in(dataset: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values in a section `dataset` of series that are not `auto`; none for other sections and for None."""
    if dataset is None or dataset.get(TARGET) != _SERIES:
        return {}
    found = {key: dataset.get(key, former) for key, former in _FORMER.items()}
    return {key: value for key, value in found.items() if value != _AUTO}


def choices_for(data: Data) -> dict[str, Any]:
    """Return the values that the rows of series have."""
    return {"lookback": data.x.lookback, "business_days": data.x.business_days}


def section_with(dataset: dict[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section `dataset` in which `auto` is replaced by the choices; unchanged if it is not of series."""
    if dataset.get(TARGET) != _SERIES:
        return dataset
    given = choices_in(dataset)
    return {**dataset, **{key: value for key, value in choices.items() if key not in given}}


def with_chosen(config: dict[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the choices in its section `dataset`."""
    return {**config, "dataset": section_with(config["dataset"], choices)}


def lookback_of_model(ledger: Ledger) -> dict[str, int]:
    """Return the lookback of the model of a run or of one of its child runs; empty if there is none."""
    found = next(filter(None, map(_lookback, _folders(ledger))), None)
    return {} if found is None else {"lookback": found}


def _folders(ledger: Ledger) -> Iterator[Path]:
    yield ledger.run_dir
    trials = [trial.get("run_id") for trial in ledger.result.get("trials", ())]
    named = (ledger.result.get("refit_run_id"), ledger.result.get("best_run_id"))
    for run_id in (*named, *ledger.result.get("folds", ()), *trials):
        if isinstance(run_id, str):
            yield ledger.sibling(run_id)


def _lookback(run_dir: Path) -> int | None:
    with suppress(DlcliError, OSError):
        found = read_description(run_dir / "model")["model_facts"].get("lookback")
        return found if isinstance(found, int) and found > 0 else None
    return None
