"""The final model: trained on all rows that folds are made of, for as long as folds took, tested once."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.cross_validation.children import Children
from dlcli.cross_validation.estimation import Estimation
from dlcli.executors.base import execute
from dlcli.gate.vouching import CONF_DIRS_FILE, recorded_folders
from dlcli.job import Job
from dlcli.runs.contents import contents
from dlcli.runs.folder import read_result
from dlcli.runs.recorded import read_words
from dlcli.splits.split import Split
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.training.observer import Watcher

PLACE = "refit"


def refit(
    estimation: Estimation,
    children: Children,
    run_dir: Path,
    folds: Sequence[Path],
    watcher: Watcher,
    place: str = PLACE,
    words: Sequence[str] | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Train the final model in a child run and give it to the parent; its figures on the final test rows, and what
    baselines are worth there.

    It is the model that one wants to look at most, and has all that a run has: pictures, and the `words` that it is
    configured by; the parent's, where these are not given.
    """
    config = refit_config(estimation.config, folds)
    whole = estimation.whole
    split = Split(np.sort(np.concatenate([whole.train, whole.val])), whole.val[:0], estimation.final_test)
    seed = estimation.config["seed"]
    tags = {"dlcli.seed": str(seed), "dlcli.data_fingerprint": estimation.data.fingerprint}
    files = _files(run_dir, config, split, words)
    child = children.run_dir(place, "refit", config, split, {"seed": seed}, tags, files)
    if not children.is_done(place, config):
        children.configure(place, config)
        watcher.planned([place], 1)
        job = Job(config, str(child), seed, estimation.code, keep_last=True)
        execute([job], config, estimation.data, watcher)
    check_recorded(Ledger.load(child), MODEL_MANIFEST)
    shutil.rmtree(run_dir / "model", ignore_errors=True)
    shutil.copytree(child / "model", run_dir / "model", copy_function=_link)
    result = read_result(child)
    return {k: v for k, v in result.metrics.items() if k.startswith("test/")}, result.baselines


def refit_config(config: dict[str, Any], folds: Sequence[Path]) -> dict[str, Any]:
    """The configuration without validation rows: the median of the folds' best epochs, and nothing that watches val."""
    epochs = round(statistics.median(Ledger.load(fold).metrics["best_epoch"] for fold in folds)) + 1
    callbacks = {
        name: node
        for name, node in config["callbacks"].items()
        if not (node and str(node.get("monitor", "")).startswith("val/"))
    }
    trainer = {**config["trainer"], "max_epochs": epochs}
    return {**config, "trainer": trainer, "callbacks": callbacks, "monitor": "train/loss", "mode": "min"}


def _files(
    parent: Path, config: dict[str, Any], split: Split, words: Sequence[str] | None
) -> dict[str, str | bytes]:
    """What a run's folder has before its job; the conf folders are the parent's."""
    ledger = Ledger.load(parent)
    check_recorded(ledger, CONF_DIRS_FILE)
    folders = recorded_folders(parent, Path(config["runs_dir"]), parent.parents[2])
    return contents(config, read_words(ledger) if words is None else words, split, folders)


def _link(source: str, target: str) -> None:
    """One copy on the disk under two names; a real copy where the disk knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
