"""Refit a hold-out: choose the epochs on the validation rows, train on these as well, and test once."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from dlcli.assembly.tuned_model import tuned_facts
from dlcli.config.build import build
from dlcli.config.solver_names import solves_only_head
from dlcli.cross_validation.children import Children
from dlcli.cross_validation.estimation import Estimation
from dlcli.cross_validation.fold_tuning import coverage_of_holdout_refit
from dlcli.cross_validation.parent_record import record_parent
from dlcli.cross_validation.refit import PLACE, refit, replanned
from dlcli.datasets.notices import of_runs, sentences
from dlcli.events import JobsPlanned, Listener
from dlcli.executors.executor import execute
from dlcli.files.disk import disk_errors
from dlcli.result import Result
from dlcli.runs.folder import read_result
from dlcli.splits.split import Split
from dlcli.tracking.best_epoch import BEST_EPOCH, best_epoch
from dlcli.tracking.digests import forget_results
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import CHECKPOINT_TAG
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store

_PLACE = "fold 0"


def refit_holdout(estimation: Estimation, run_dir: Path, store: Store, listen: Listener) -> Result:
    """Train on the training rows, then train the final model on training and validation rows, and test it.

    The first model is a child run without test rows. The parent records its validation metrics, and the test metrics
    of the refitted model.
    """
    started, config = time.monotonic(), estimation.config
    (fold,) = estimation.folds
    unseen = replace(fold, split=Split(fold.split.train, fold.split.val, fold.split.test[:0]))
    tracking = build(config["tracking"], where="tracking")
    with Recorder(run_dir, system_metrics=tracking.system_metrics) as recorder, disk_errors(run_dir):
        children = Children.of(store, recorder.ledger)
        tags = {
            "dlcli.fold": "0",
            "dlcli.seed": str(fold.seed),
            "dlcli.data_fingerprint": estimation.data.fingerprint,
        }
        folder = children.run_dir(_PLACE, "fold", config, unseen.split, {"fold": 0, "seed": fold.seed}, tags)
        settled = children.settled(_PLACE, config)
        if not children.is_done(_PLACE, settled):
            children.configure(_PLACE, settled)
            listen(JobsPlanned([_PLACE], 1))
            execute([estimation.job(folder, unseen, settled)], config, estimation.data, listen)
        first = read_result(folder)
        forget_results(recorder.ledger)
        tuned = tuned_facts(folder / "model")
        final, baselines = refit(
            replace(estimation, config=settled), children, run_dir, [folder], listen, tuned=tuned
        )
        measured, coverage_sentences = coverage_of_holdout_refit(folder, children.known[PLACE])
        ledger = Ledger.load(folder)
        epoch = best_epoch(ledger.metrics) or 1
        rows, parts = len(unseen.split.train) + len(unseen.split.val), len(estimation.whole.train)
        between = f" and {parts - rows:,} rows between them" if parts > rows else ""
        refitted = read_result(children.known[PLACE])
        notices = of_runs({"before the refit": first.notices, "refit": refitted.notices})
        judged, all_rows = len(unseen.split.val), f"{rows:,} train and val rows{between}"
        done = (
            f"The best epoch on the {judged:,} val rows was {epoch}. The final model was trained on the {all_rows} for "
            "as many epochs,"
        )
        if solves_only_head(settled["finetune"]):
            done = (
                f"The head was solved on the train rows, with a penalty chosen on the {judged:,} val rows. That of the "
                f"final model was solved on the {all_rows}, with a penalty chosen on a fifth of them,"
            )
        messages = [
            f"{done} and tested once on {len(fold.split.test):,} final test rows.{replanned(settled, epoch)}",
            *coverage_sentences,
            *sentences(notices, estimation.data.told),
            *filter(None, [ledger.tags.get(CHECKPOINT_TAG)]),
        ]
        val = {name: value for name, value in first.values.items() if name.startswith("val/")}
        baselines = {k: v for k, v in first.baselines.items() if k.startswith("val/")} | baselines
        record_parent(
            recorder,
            config,
            started,
            {**val, **final, **measured},
            baselines,
            messages=messages,
            notices=notices,
            unlisted={BEST_EPOCH: epoch},
            result={
                "folds": [first.run_id],
                "over": first.over | refitted.over,
                "refit_run_id": Ledger.load(children.known[PLACE]).run_id,
            },
        )
    return read_result(run_dir)
