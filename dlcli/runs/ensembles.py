"""Open the model of a user's reference: a single model, or an ensemble of folds or of several runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlcli.config.next_command import next_command
from dlcli.errors import CorruptRun, DataError, InputError, RunNotFound
from dlcli.formatting import counted
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.find import find_run
from dlcli.runs.folder import OpenedRun, open_run
from dlcli.runs.recorded import read_split

if TYPE_CHECKING:
    import numpy as np

    from dlcli.datasets.data import Data
    from dlcli.inference.saved_model import SavedModel

# Which models of a cross-validation, or of a sweep's best trial, predict: those of all folds, or the refitted one.
Use = Literal["folds", "refit"]


@dataclass(frozen=True)
class OpenedModel:
    """A model that a command has opened, and the runs that it comes from.

    Attributes:
        run: The run; for several references, the first one under the names of all.
        model: Its model, or an ensemble.
        members: The runs of an ensemble's models; empty for a single model.
        notes: Notes for the user on how runs were found and which models predict.
    """

    run: OpenedRun
    model: SavedModel
    members: tuple[OpenedRun, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def check_unseen(
        self, data: Data, rows: np.ndarray, hint: str = "Evaluate the ensemble on new rows: --file FILE"
    ) -> None:
        """Check that no member of an ensemble was trained on given rows, or chosen by them.

        Args:
                    data: The rows of the first run.
        rows: Row numbers.
        hint: Hint for the error.

        Raises:
            DataError: A member was trained on the rows or chosen by them, or was trained on other data.
        """
        for member in self.members:
            member.check_rows(data)
            split = read_split(member.ledger, len(data))
            known = len({*split.train.tolist(), *split.val.tolist()} & set(rows.tolist()))
            if known:
                raise DataError(
                    f"was trained on {known:,} of the {len(rows):,} rows, or chosen by them",
                    member.ledger.run_name,
                    hint,
                )


def open_model(
    run: str,
    runs_dir: Path,
    conf_dirs: Sequence[Path] = (),
    *,
    trust: bool = False,
    overrides: Sequence[str] = (),
    use: Use | None = None,
    averages: bool = True,
) -> OpenedModel:
    """Find the runs that a user refers to, and load their model or ensemble.

    Args:
        run: A reference to a run, or several that are separated by commas.
        runs_dir: The runs folder in use.
        conf_dirs: Conf folders given by the user.
        trust: Whether the user trusts everything in the runs' folders.
        overrides: The user's overrides, which may name folders for the data.
        use: Which models of a cross-validation predict; None for the refitted one if there is one.
        averages: Whether predictions of the models are averaged. If not, folds whose predictions cannot be averaged,
            such as masks or texts, are also accepted: `model` is that of the first, and `members` are all of them.

    Raises:
        RunNotFound: There is no such run.
        CorruptRun: A run cannot be read, or has no model.
        InputError: The models of several runs are incompatible, or the models that `use` names do not exist.
    """

    def opened(ref: str) -> OpenedRun:
        return open_run(ref, runs_dir, conf_dirs, trust=trust, overrides=overrides)

    refs = _references(run, runs_dir)
    runs = [opened(ref) for ref in refs]
    if len(runs) > 1:
        _check_different(refs, runs)
    notes = [note for one in runs for note in one.notes]
    groups: list[list[tuple[OpenedRun, int]]] = []
    for one in runs:
        parts, told = _parts(one, use)
        notes += told
        tuned = one.ledger.result.get("tuned", {}) if one.ledger.kind == "cv" else {}
        by_run = {member.run_id: member.tuned for member in members_in(one.ledger)}
        own = [
            (replace(part, tuned=by_run.get(part.ledger.run_id, tuned)), count)
            for part, count in ((opened(str(folder)), count) for folder, count in parts)
        ]
        groups.append(own or [(one, 1)])
        if own and tuned.get("calibrated_by", "none") != "none":
            notes.append("Its probabilities are calibrated on the rows that the folds held out.")
    if len(runs) == 1 and groups[0][0][0] is runs[0]:
        return OpenedModel(runs[0], runs[0].load_model(), (), tuple(notes))
    chosen = _weighted(groups)
    if len(runs) > 1:
        notes.append(f"The mean of the models of {len(runs)} runs predicts.")
    # From here on, the ledger is only read.
    ledger = replace(runs[0].ledger, run_name=",".join(one.ledger.run_name for one in runs))
    whole = replace(runs[0], ledger=ledger)
    members = tuple(member for member, _ in chosen)
    if not averages and len(runs) == 1:
        first = members[0].load_model()
        if not first.task.keeps_outputs:
            return OpenedModel(whole, first, members, tuple(dict.fromkeys(runs[0].notes)))
    return OpenedModel(whole, _ensemble(chosen), members, tuple(dict.fromkeys(notes)))


def _references(run: str, runs_dir: Path) -> list[str]:
    """Split a text into references at its commas, unless the whole text is the name of a run."""
    parts = [part.strip() for part in run.split(",") if part.strip()]
    if len(parts) < 2 or _is_known(run, runs_dir):
        return [run]
    # If none of the parts is a run, the text is the name of a run that no longer exists, such as one in the trash.
    return parts if any(_is_known(part, runs_dir) for part in parts) else [run]


def _is_known(ref: str, runs_dir: Path) -> bool:
    try:
        find_run(ref, runs_dir, fetch=False)
    except RunNotFound:
        return False
    return True


def _check_different(refs: Sequence[str], runs: Sequence[OpenedRun]) -> None:
    ids = [one.ledger.run_id for one in runs]
    for place, (ref, run_id) in enumerate(zip(refs, ids, strict=True)):
        if run_id in ids[:place]:
            raise InputError(f"{ref} is the same run as {refs[ids.index(run_id)]}", "RUN", "Name it once.")


def _parts(run: OpenedRun, use: Use | None) -> tuple[list[tuple[Path, int]], list[str]]:
    """Return the folders and counts of the members of an ensemble, and notes; no members for a single model."""
    ledger = run.ledger
    is_sweep, is_done = ledger.kind == "sweep", ledger.status == "FINISHED"
    if is_done and (ledger.kind == "ensemble" or (use is None and members_in(ledger))):
        members = members_of(run)
        return members, [f"The mean of the models of {counted(len(members), 'member')} predicts."]
    folds = [
        ledger.sibling(run_id) for run_id in ledger.result.get("best_folds" if is_sweep else "folds", ())
    ]
    if not folds or not is_done:
        if use is not None:
            raise InputError(
                "is not a finished cross-validation, or a sweep with folds, whose folds have models",
                ledger.run_name,
                "Leave out --use.",
            )
        return [], []
    has_refit = (run.folder / "model").is_dir()
    key = "sweep.refit=true" if is_sweep else "cv.refit=true"
    if use == "refit" and not has_refit:
        hint = f"Leave out --use, or train with a final model: cv.test_size=0.2 {key}"
        if members_in(ledger):
            line = next_command("resume", ledger.run_name, "sweep.ensemble=0", runs_dir=ledger.runs_dir)
            hint = f"Leave out --use, or train the best trial on all rows: {line}"
        raise InputError("has no refitted model", ledger.run_name, hint)
    kept = [folder for folder in folds if (folder / "model" / "weights.safetensors").is_file()]
    if has_refit and use != "folds":
        other = (
            f"; --use folds selects the mean of the models of {counted(len(kept), 'fold')}" if kept else ""
        )
        return [], [f"The refitted model ({key}) predicts{other}."]
    if not kept:
        raise CorruptRun(
            "no fold has kept its weights",
            str(run.folder),
            f"Train again with tracking.keep=all, or with a final model: cv.test_size=0.2 {key}",
        )
    shown = (
        counted(len(kept), "fold")
        if len(kept) == len(folds)
        else f"the {len(kept)} of {len(folds)} folds whose weights were kept (tracking.keep)"
    )
    other = f"; --use refit selects the refitted model ({key})" if has_refit else ""
    return [(folder, 1) for folder in kept], [f"The mean of the models of {shown} predicts{other}."]


def members_of(run: OpenedRun) -> list[tuple[Path, int]]:
    """Return the folders of the members of an ensemble that was selected, with their counts.

    Raises:
        CorruptRun: A member is missing.
    """
    found = []
    for one in members_in(run.ledger):
        try:
            folder = find_run(one.run_id, run.ledger.runs_dir, fetch=False).run_dir
        except RunNotFound as error:
            line = f"dlcli runs export {run.ledger.run_id[:8]} ensemble.zip"
            hint = (
                "An ensemble predicts with the models of its members: bring the run back, or select again. An archive "
                f"includes members: {line}"
            )
            raise CorruptRun(f"its member {one.run_name} is missing", str(run.folder), hint) from error
        found.append((folder, one.times))
    return found


def _weighted(groups: Sequence[Sequence[tuple[OpenedRun, int]]]) -> list[tuple[OpenedRun, int]]:
    """Return the members of all groups, with counts that give each group the same weight."""
    totals = [sum(count for _, count in group) for group in groups]
    whole = math.lcm(*totals)
    return [
        (member, count * whole // total)
        for group, total in zip(groups, totals, strict=True)
        for member, count in group
    ]


def _ensemble(chosen: Sequence[tuple[OpenedRun, int]]) -> SavedModel:
    # Imported late, since it loads torch.
    from dlcli.inference.ensemble_model import EnsembleMember, ensemble_of

    counts: Counter[Path] = Counter()
    for run, count in chosen:
        counts[run.folder] += count
    runs = {run.folder: run for run, _ in chosen}
    least = math.gcd(*counts.values())
    members = [
        EnsembleMember(run.ledger.run_name, run.load_model(), counts[folder] // least)
        for folder, run in runs.items()
    ]
    prints = {run.ledger.tags.get("dlcli.data_fingerprint") for run in runs.values()}
    first = next(iter(runs.values()))
    with first.gate.closed():
        return ensemble_of(members, same_data=len(prints) == 1)
