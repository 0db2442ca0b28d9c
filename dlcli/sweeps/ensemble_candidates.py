"""The candidates for an ensemble: the trials of a sweep, or several runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlcli.config.next_command import next_command
from dlcli.cross_validation.children import families
from dlcli.errors import DataError, InputError
from dlcli.formatting import counted
from dlcli.runs.folder import OpenedRun
from dlcli.runs.recorded import read_final_test, read_split
from dlcli.splits.split import shares_rows
from dlcli.tracking.ledger import Ledger

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class EnsembleCandidate:
    """A run whose models (one, or those of its folds) may become members of an ensemble.

    Attributes:
        run: The run.
        parts: The runs of its models.
    """

    run: OpenedRun
    parts: tuple[OpenedRun, ...]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.ledger.run_name

    def held_out(self, rows: int) -> list[np.ndarray]:
        """Return for each of its models the numbers of rows that the model was not trained on.

        For a fold of a cross-validation these are its held-out rows, unless they are the final test rows (as for the
        seeds of a hold-out); otherwise its validation rows. `rows` is the number of rows of the data.
        """
        found = []
        for part in self.parts:
            split = read_split(part.ledger, rows)
            held_out = split.test[:0]
            if part.ledger.kind == "fold" and not shares_rows(split.test, read_final_test(part.ledger, rows)):
                held_out = split.test
            found.append(held_out if len(held_out) else split.val)
        return found


def find_candidates(
    runs: Sequence[OpenedRun], opened: Callable[[str], OpenedRun]
) -> tuple[list[EnsembleCandidate], list[str]]:
    """Return the candidates of some runs, and notes on those that are left out.

    Args:
        runs: A sweep, whose finished trials are candidates, or runs and cross-validations.
        opened: Opens the run of a folder.

    Raises:
        InputError: There are fewer than two candidates with weights.
        DataError: A run was trained on other data than the first run.
    """
    listed: list[OpenedRun] = []
    for run in runs:
        if run.ledger.kind == "sweep":
            finished = [one for one in run.ledger.result.get("trials", ()) if one["status"] == "FINISHED"]
            folders = [run.ledger.sibling(one["run_id"]) for one in finished]
            listed += [opened(str(folder)) for folder in folders if folder.is_dir()]
        else:
            listed.append(run)
    found, without = [], 0
    for run in listed:
        folds = _folds_of(run.ledger)
        parts = tuple(opened(str(fold.run_dir)) for fold in folds) or (run,)
        if all((part.folder / "model" / "weights.safetensors").is_file() for part in parts):
            found.append(EnsembleCandidate(run, parts))
        else:
            without += 1
    notes = [f"{counted(without, 'run')} without weights left out (tracking.keep)."] if without else []
    if len(found) < 2:
        line = next_command("sweep", "...", "tracking.keep=all", runs_dir=runs[0].ledger.runs_dir)
        raise InputError(
            f"{len(found)} of {counted(len(listed), 'run')} have kept their weights, and two are needed",
            ", ".join(run.ledger.run_name for run in runs),
            f"Name several runs, or keep the weights of all trials: {line}",
        )
    prints = [one.run.ledger.tags.get("dlcli.data_fingerprint") for one in found]
    for one, fingerprint in zip(found, prints, strict=True):
        if fingerprint != prints[0]:
            raise DataError(
                f"was trained on other data than {found[0].name}", one.name, "Name runs on the same data."
            )
    return found, notes


def _folds_of(ledger: Ledger) -> list[Ledger]:
    """Return the ledgers of the folds of a cross-validation or of a trial with folds."""
    listed = ledger.result.get("folds", ())
    if listed:
        return [Ledger.load(ledger.sibling(run_id)) for run_id in listed]
    if ledger.kind == "trial":
        known = families(ledger).get(ledger.run_id, {})
        return [Ledger.load(folder) for place, folder in sorted(known.items()) if place.startswith("fold")]
    return []
