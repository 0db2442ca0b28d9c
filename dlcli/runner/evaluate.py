"""`dlcli eval`: recompute a run's metrics with its saved model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.checks.leaks import are_comparable, trained_before
from dlcli.datasets.data import Data, take
from dlcli.datasets.notices import Notice, as_plain
from dlcli.datasets.raw_rows import load_current
from dlcli.errors import DlcliError
from dlcli.inference.evaluation import choose_device, evaluate_rows, figures, notices_on_loss
from dlcli.inference.partial_means import means_over, notices_on_means
from dlcli.prediction.coverage import with_coverage
from dlcli.prediction.evaluation_file import labelled_rows, notices_on_file
from dlcli.result import Result
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import OpenedModel, Use, open_model
from dlcli.runs.folder import with_overrides
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_split
from dlcli.splits.split import Part
from dlcli.statistics.conformal_methods import ConformalMethod
from dlcli.tracking.ledger import Ledger


def evaluate(
    run: str,
    part: Part = "test",
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    overrides: Sequence[str] = (),
    file: Path | None = None,
    use: Use | None = None,
    coverage: float | None = None,
    conformal: ConformalMethod | None = None,
) -> Result:
    """Evaluate a run's saved model on the raw rows of one part of its split, or on those of a file.

    With a `coverage`, sets or intervals are also evaluated: the share of rows that they cover, and their mean size.
    """
    started = time.monotonic()
    chosen = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides, use=use)
    found = with_coverage(chosen, coverage, conformal)
    opened, model = found.run, found.model
    config = with_overrides(opened.config, overrides)
    if file is None:
        data, rows = opened.part_of(config["dataset"], part)
        found.check_unseen(data, rows)
        found.check_not_calibrated(rows)
    else:
        with opened.gate.closed():
            data = labelled_rows(config["dataset"], file, model, opened.config["dataset"])
        part, rows = "test", np.arange(len(data))
    counts: Counter[str] = Counter()
    device = choose_device(config["trainer"].get("accelerator", "auto"))
    with model_errors(opened.folder):
        evaluation = evaluate_rows(model, data, rows, device, counts=counts)
    notices = [*model.notices(counts)]
    if file is not None:
        notices = [*notices_on_file(data, model, file), *_trained_before(data, found, config, file), *notices]
    notices += [
        *notices_on_loss(model.task, {part: evaluation}),
        *notices_on_means(model.task, {part: evaluation}),
    ]
    metrics, baselines = figures({part: evaluation})
    if model.conformal is not None:
        judged = model.task.judged(evaluation.outputs, evaluation.y)
        members = (
            model.members_predictions(take(data.x, rows), device) if model.conformal.needs_members else []
        )
        measured = model.conformal.measure(judged, members)
        metrics |= {f"{part}/{name}": value for name, value in measured.items()}
    return Result.of(
        opened.ledger,
        opened.folder,
        status="FINISHED",
        values=metrics,
        baselines=baselines,
        over=means_over({part: evaluation}),
        duration_s=round(time.monotonic() - started, 3),
        members=tuple(member.ledger.run_id for member in found.members),
        notices=tuple(as_plain(notices)),
        messages=(*found.notes, *(f"{notice.text}." for notice in notices if notice.warns)),
    )


def _trained_before(new: Data, found: OpenedModel, config: Mapping[str, Any], file: Path) -> list[Notice]:
    """Return the notice on new rows that a model was trained on, if the run's data is still there and unchanged."""
    if not are_comparable(new):
        return []
    runs = found.members or (found.run,)
    try:
        with found.run.gate.closed():
            data = load_current(config["dataset"])
        for run in runs:
            run.check_rows(data)
        splits = [read_split(_trained(run.ledger), len(data)) for run in runs]
    except DlcliError:  # such as a model that was brought here without its data
        return []
    return trained_before(new, data, np.unique(np.concatenate([split.train for split in splits])), str(file))


def _trained(ledger: Ledger) -> Ledger:
    """Return the ledger of the run that trained a run's model: for a sweep, its refitted best trial."""
    refitted = ledger.result.get("refit_run_id")
    return Ledger.load(ledger.sibling(refitted)) if refitted else ledger
