"""Train the final model on all rows of the folds, for the median of their best epochs, and test it once."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.assembly.automatic import recorded_choices
from dlcli.checks.extension import planned_part
from dlcli.config.solver_names import solves_only_head
from dlcli.cross_validation.children import Children
from dlcli.cross_validation.estimation import Estimation
from dlcli.events import JobsPlanned, Listener
from dlcli.executors.executor import execute
from dlcli.formatting import counted
from dlcli.gate.vouching import CONF_DIRS_FILE, recorded_folders
from dlcli.job import Job
from dlcli.runs.creation import contents
from dlcli.runs.folder import read_result
from dlcli.runs.recorded import read_words
from dlcli.splits.split import Split, shares_rows
from dlcli.tasks.base import Task
from dlcli.tracking.best_epoch import best_epoch
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import Ledger

PLACE = "refit"


def refit(
    estimation: Estimation,
    children: Children,
    run_dir: Path,
    folds: Sequence[Path],
    listen: Listener,
    place: str = PLACE,
    words: Sequence[str] | None = None,
    tuned: Mapping[str, Any] | None = None,
    run: Callable[[Job], object] | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Train the final model in a child run and link its model folder into the parent's folder.

    The child is a complete run, with plots and recorded overrides.

    Args:
        estimation: Configuration, data and splits.
        children: The child runs of the parent.
        run_dir: Folder of the parent run.
        folds: Folders of the folds' runs.
        listen: Receives the progress.
        place: Place of the child run.
        words: Overrides to record for the child; those of the parent if None.
        tuned: Facts that the task has tuned on rows of the final model, predicted by models not trained on them.
        run: Runs the job; None runs it with the configured executor.

    Returns:
        The metrics on the final test rows, and the baselines' metrics.
    """
    config = refit_config(estimation.config, folds)
    whole = estimation.whole
    split = Split(np.sort(np.concatenate([whole.train, whole.val])), whole.val[:0], estimation.final_test)
    seed = estimation.config["seed"]
    tags = {
        **recorded_choices(Ledger.load(folds[0]).tags, config),
        "dlcli.seed": str(seed),
        "dlcli.data_fingerprint": estimation.data.fingerprint,
    }
    files = _files(run_dir, config, split, words)
    if place in children.known:
        config = children.settled(place, config)
        if not children.continues(place, config):
            children.retire(place)
    child = children.run_dir(place, "refit", config, split, {"seed": seed}, tags, files)
    if not children.is_done(place, config):
        children.configure(place, config)
        listen(JobsPlanned([place], 1))
        job = Job(config, str(child), seed, estimation.code, keep_last=True, tuned=dict(tuned or {}) or None)
        if run is None:
            execute([job], config, estimation.data, listen)
        else:
            run(job)
    check_recorded(Ledger.load(child), MODEL_MANIFEST)
    shutil.rmtree(run_dir / "model", ignore_errors=True)
    shutil.copytree(child / "model", run_dir / "model", copy_function=_link)
    result = read_result(child)
    return {k: v for k, v in result.values.items() if k.startswith("test/")}, result.baselines


def refit_config(config: dict[str, Any], folds: Sequence[Path]) -> dict[str, Any]:
    """Return the configuration for training without validation rows.

    It trains for the median of the folds' best epochs and has no callbacks that monitor validation metrics.
    """
    # From 0, by which 2.5 is rounded to 2: the refitted models of earlier versions have as many epochs.
    epochs = round(statistics.median((best_epoch(Ledger.load(fold).metrics) or 1) - 1 for fold in folds)) + 1
    callbacks = {
        name: node
        for name, node in config["callbacks"].items()
        if not (node and str(node.get("monitor", "")).startswith("val/"))
    }
    trainer = {**config["trainer"], "max_epochs": epochs}
    return {**config, "trainer": trainer, "callbacks": callbacks, "monitor": "train/loss", "mode": "min"}


def final_model_sentence(estimation: Estimation, folds: Sequence[Path], task: Task) -> str:
    """Return sentences on the final model's training and test, or on unused final test rows; may be empty."""
    tests = len(estimation.final_test)
    if not estimation.config["cv"]["refit"]:
        if not tests or any(shares_rows(split.test, estimation.final_test) for split in estimation.splits):
            return ""
        mean = "dlcli eval of this run tests the mean of its models on them, " if task.keeps_outputs else ""
        return f"The {tests:,} final test rows were not used: {mean}cv.refit=true trains a final model and tests it."
    whole = estimation.whole
    epochs = refit_config(estimation.config, folds)["trainer"]["max_epochs"]
    tested = (
        f"tested once on {tests:,} final test rows" if tests else "there are no final test rows to test it on"
    )
    rows = len(whole.train) + len(whole.val)
    how = f"for {counted(epochs, 'epoch')}, the median of the folds' best epochs"
    if solves_only_head(estimation.config["finetune"]):
        how = "by solving its head, with a penalty chosen on a fifth of them"
    return (
        f"The final model was trained on all {rows:,} rows of the folds {how}; {tested}."
        f"{replanned(estimation.config, epochs)}"
    )


def replanned(config: Mapping[str, Any], epochs: int) -> str:
    """Return a sentence if a schedule or an average is planned for the final model's epochs, not for those before."""
    part, planned = planned_part(config), config["trainer"].get("max_epochs")
    if not part or planned in (None, -1, epochs):
        return ""
    return f" There, {part} is planned for {counted(epochs, 'epoch')}; it was planned for {planned:,}."


def _files(
    parent: Path, config: dict[str, Any], split: Split, words: Sequence[str] | None
) -> dict[str, str | bytes]:
    """Return the files of a run's folder before its job starts; the conf folders are those of the parent."""
    ledger = Ledger.load(parent)
    check_recorded(ledger, CONF_DIRS_FILE)
    folders = recorded_folders(parent, Path(config["runs_dir"]), parent.parents[2])
    return contents(config, read_words(ledger) if words is None else words, split, folders)


def _link(source: str, target: str) -> None:
    """Create a hard link, or a copy if the file system does not support hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
