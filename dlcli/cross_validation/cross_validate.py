"""Run a cross-validation: train the folds as child runs and record their combined results on the parent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.assembly.tree_verdict import verdict_on_folds
from dlcli.config.build import build
from dlcli.cross_validation.children import Children
from dlcli.cross_validation.chosen_settings import FoldSettings, Search, chosen_by
from dlcli.cross_validation.estimation import Estimation, Fold
from dlcli.cross_validation.fold_summary import pooled_metrics
from dlcli.cross_validation.fold_tuning import coverage_of_refit, tuned_on_folds, tuning_sentence
from dlcli.cross_validation.holdout_refit import refit_holdout
from dlcli.cross_validation.parent_record import record_parent
from dlcli.cross_validation.parent_report import write_parent_report, write_size_curve
from dlcli.cross_validation.refit import PLACE, final_model_sentence, refit
from dlcli.cross_validation.size_curve import size_points, size_sentence
from dlcli.datasets.notices import of_runs, sentences
from dlcli.errors import DataError
from dlcli.events import JobsPlanned, Listener
from dlcli.executors.executor import execute
from dlcli.executors.stack_account import record_stacks
from dlcli.executors.stack_size import job_layout, unstacked
from dlcli.files.disk import disk_errors
from dlcli.inference.partial_means import partial_notice
from dlcli.inference.predictions_file import KeptPredictions
from dlcli.inference.saved_model import load_task
from dlcli.reports.missing_pictures import MissingPictures
from dlcli.result import Result, against_trees
from dlcli.runs.folder import read_result
from dlcli.runs.retention import keep_best, monitored_value
from dlcli.splits.split import HELD_OUT
from dlcli.tasks.calibration import calibration_figures
from dlcli.tracking.digests import (
    MODEL_MANIFEST,
    OUTPUTS_FILE,
    PREDICTIONS_FILE,
    check_recorded,
    forget_results,
)
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import CHECKPOINT_TAG, TEST_ROWS_TAG
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store
from dlcli.training.restoration import has_checkpoint


def cross_validate(
    estimation: Estimation,
    run_dir: Path,
    store: Store,
    listen: Listener,
    search: Search | None = None,
) -> Result:
    """Train every unfinished fold and record the combined results on the parent.

    A single split with a single seed is one job, which is recorded in `run_dir` itself.

    Args:
        estimation: Configuration, data and splits.
        run_dir: Folder of the parent run.
        store: Creates the child runs.
        listen: Receives the events.
        search: If given, each fold is trained with the settings that the search chooses on the fold's training rows.

    Raises:
        DlcliError: A fold failed; the parent has failed with it.
        Interrupted: The parent and the running folds were killed; they can be resumed.
    """
    started, config = time.monotonic(), estimation.config
    if estimation.is_single:
        listen(JobsPlanned([run_dir.parent.name], 1))
        (fold,) = estimation.folds
        return execute([estimation.job(run_dir, fold)], config, estimation.data, listen)[0]
    if estimation.refits_holdout:
        return refit_holdout(estimation, run_dir, store, listen)
    tracking = build(config["tracking"], where="tracking")
    with Recorder(run_dir, system_metrics=tracking.system_metrics) as recorder, disk_errors(run_dir):
        children = Children.of(store, recorder.ledger)
        folds = estimation.folds
        choices = search(children, folds) if search else [FoldSettings({}, config)] * len(folds)
        configs = [choice.config for choice in choices]
        places = [place_of(fold, estimation) for fold in folds]
        run_dirs = [
            children.run_dir(
                place,
                "fold",
                choice.config,
                fold.split,
                {"fold": fold.number, "seed": fold.seed, **choice.params},
                _tags(recorder.ledger.tags, fold),
            )
            for place, fold, choice in zip(places, folds, choices, strict=True)
        ]
        configs = [children.settled(place, own) for place, own in zip(places, configs, strict=True)]
        pending = [i for i, place in enumerate(places) if not children.is_done(place, configs[i])]
        for i in pending:
            children.configure(places[i], configs[i])
        resumed = any(has_checkpoint(run_dirs[i]) for i in pending)
        planned = unstacked(config) if resumed else config  # runs with a checkpoint are trained alone
        at_once = min(len(pending), job_layout(planned, len(pending), estimation.data).at_once)
        listen(JobsPlanned([places[i] for i in pending], at_once))
        jobs = [estimation.job(run_dirs[i], folds[i], configs[i]) for i in pending]
        execute(jobs, planned, estimation.data, listen, store.project)
        store.project(now=True)
        results = tuple(
            replace(read_result(folder), params=choice.params)
            for folder, choice in zip(run_dirs, choices, strict=True)
        )
        _check_results(results)
        forget_results(recorder.ledger)
        task = load_task(results[0].run_dir / "model", trust=True)
        points = size_points(folds, results, task)
        # The run's metrics are those of the folds with all training rows.
        whole = [i for i, fold in enumerate(folds) if fold.share == 1]
        every, folds, results = results, [folds[i] for i in whole], tuple(results[i] for i in whole)
        choices = [choices[i] for i in whole]
        kept = KeptPredictions()
        summary = replace(points[-1].summary, pooled=pooled_metrics(folds, results, task, kept))
        if not summary.intervals:
            raise DataError("no fold has held-out rows", where="cv", hint="Add test rows: cv.test_size=0.2.")
        own_dirs = [run_dirs[i] for i in whole]
        tuned = tuned_on_folds(folds, own_dirs, task, estimation.data, estimation.final_test)
        final, baselines = (
            refit(estimation, children, run_dir, run_dirs, listen, tuned=tuned)
            if config["cv"]["refit"]
            else ({}, {})
        )
        metric = headline(summary.intervals, config["monitor"])
        more = [summary.undefined_sentence(), summary.sources(metric), summary.caution()]
        messages = [summary.line(metric), *filter(None, more)]
        if summary.seeds > 1 and summary.folds == 1:
            messages.append(
                "There is a single split: the interval covers the training seed, not the choice of rows."
            )
        final_model = final_model_sentence(estimation, run_dirs, task)
        messages += filter(None, [final_model, *chosen_by(folds, choices)])
        if config["cv"]["refit"]:
            measured, sentences_of_coverage = coverage_of_refit(
                folds, own_dirs, estimation.data, estimation.final_test, children.known[PLACE]
            )
            final |= measured
            messages += sentences_of_coverage
        messages += tuning_sentence(config["task"], results[0].run_dir, tuned, refits=config["cv"]["refit"])
        trees = summary.trees(results)
        verdict = verdict_on_folds(task, results, [fold.split for fold in folds])
        messages += against_trees(summary.metrics, trees, verdict)
        missing = MissingPictures()
        if len(points) > 1:
            messages.append(size_sentence(points, metric))
            write_size_curve(run_dir, estimation, points, metric, missing)
            for point in points:
                means = {name: interval.mean for name, interval in point.summary.intervals.items()}
                recorder.log(
                    {f"by_rows/{name}": mean for name, mean in means.items()}, step=round(point.rows)
                )
        # The summary has told of the folds' held-out rows.
        told = {
            place: tuple(one for one in result.notices if one["key"] != partial_notice("test"))
            for place, result in zip(places, every, strict=True)
        }
        if config["cv"]["refit"]:
            told[PLACE] = read_result(children.known[PLACE]).notices
        write_parent_report(run_dir, estimation, folds, results, summary, metric, task, missing, kept)
        notices = [*of_runs(told), *missing.notices(run_dir)]
        messages += sentences(notices, estimation.data.told)
        messages += _checkpoint_messages(places, run_dirs)
        messages += record_stacks(recorder, config, estimation.data, run_dirs)
        monitored = {result.run_dir: monitored_value(result.run_dir, config["monitor"]) for result in every}
        keep_best(store, monitored, config["tracking"]["keep"], config["mode"])
        record_parent(
            recorder,
            config,
            started,
            {**summary.metrics, **final, **calibration_figures(tuned)},
            summary.baselines(results) | trees | baselines,
            messages=messages,
            notices=notices,
            result={
                "folds": [result.run_id for result in results],
                "chosen": [result.params for result in results],
                **({"tuned": tuned} if tuned else {}),
                "over": read_result(children.known[PLACE]).over if config["cv"]["refit"] else {},
            },
        )
        store.project(now=True)  # the final model, which may have been trained after the folds
    return read_result(run_dir)


def _check_results(results: Sequence[Result]) -> None:
    """Check that the folds' files, from which the report is written, are unchanged since the folds ended."""
    for result in results:
        check_recorded(Ledger.load(result.run_dir), MODEL_MANIFEST, PREDICTIONS_FILE, OUTPUTS_FILE)


def _checkpoint_messages(places: Sequence[str], run_dirs: Sequence[Path]) -> list[str]:
    """Return a message for each fold with a damaged checkpoint."""
    tags = [Ledger.load(folder).tags for folder in run_dirs]
    return [
        f"{place}: {tag[CHECKPOINT_TAG]}"
        for place, tag in zip(places, tags, strict=True)
        if CHECKPOINT_TAG in tag
    ]


def place_of(fold: Fold, estimation: Estimation) -> str:
    """Return a fold's place among the child runs."""
    seeds = f" seed {fold.repeat}" if estimation.config["cv"]["seeds"] > 1 else ""
    if fold.share == 1:
        return f"fold {fold.number}{seeds}"
    return f"fold {fold.number % estimation.shares.count(1.0)}{seeds} size {fold.share:g}"


def headline(metrics: Mapping[str, Any], monitor: str) -> str:
    """Return the main metric: the monitored one unless it is the loss, else the first other metric."""
    watched = monitor.partition("/")[2]
    named = [name for name in metrics if name != "loss"]
    return watched if watched in named else next(iter(named), "loss")


def _tags(parent: Mapping[str, str], fold: Fold) -> dict[str, str]:
    return {
        "dlcli.fold": str(fold.number),
        "dlcli.seed": str(fold.seed),
        TEST_ROWS_TAG: HELD_OUT,
        "dlcli.data_fingerprint": parent["dlcli.data_fingerprint"],
    }
