"""`dlcli ensemble`: select the members of an ensemble from trials or runs, and record it as a run."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.datasets.raw_rows import load_current
from dlcli.errors import DataError, InputError
from dlcli.events import Listener, Note, ignore
from dlcli.formatting import counted, number
from dlcli.inference.ensemble_model import EnsembleMember, ensemble_of
from dlcli.inference.evaluation import choose_device, evaluate_rows, figures, predictions_table
from dlcli.inference.greedy import Selection, select_greedily
from dlcli.inference.partial_means import means_over, notices_on_means
from dlcli.inference.predictions_file import write_predictions
from dlcli.inference.saved_model import SavedModel
from dlcli.result import Result
from dlcli.runner import runs_directory
from dlcli.runner.member_tuning import told_of_tuning, tune_members
from dlcli.runner.recording import recording
from dlcli.runs.creation import contents
from dlcli.runs.ensembles import OpenedModel
from dlcli.runs.folder import OpenedRun, open_run, read_result, recorded_baselines, with_overrides
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_final_test, read_split
from dlcli.splits.split import Split
from dlcli.sweeps.ensemble_candidates import EnsembleCandidate, find_candidates
from dlcli.tasks.base import Task
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.run_provenance import provenance
from dlcli.tracking.store import make_run_name, open_store
from dlcli.training.fields import as_fields
from dlcli.training.scores import Scores


def ensemble(
    runs: Sequence[str],
    *,
    metric: str | None = None,
    size: int = 25,
    name: str | None = None,
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    listen: Listener = ignore,
) -> Result:
    """Select members by their predictions of rows that they were not trained on, record the ensemble, and test it.

    The ensemble is tested once, on the final test rows.

    Raises:
        InputError: There are fewer than two candidates, they are incompatible, or they lack the metric.
        DataError: The candidates were trained on different data, or evaluated on different rows.
    """
    started = time.monotonic()
    folder = runs_directory(runs_dir)

    def opened(ref: str) -> OpenedRun:
        return open_run(ref, folder, conf_dirs, trust=trust, overrides=overrides)

    if not runs:
        raise InputError("there is no run to select from", "RUN", "Name a sweep, or two runs or more.")
    given = [opened(ref) for ref in runs]
    first = given[0]
    config = with_overrides(first.config, overrides)
    candidates, notes = find_candidates(given, opened)
    models = [[part.load_model() for part in one.parts] for one in candidates]
    every = [
        EnsembleMember(part.ledger.run_name, model)
        for one, own in zip(candidates, models, strict=True)
        for part, model in zip(one.parts, own, strict=True)
    ]
    gate = candidates[0].parts[0].gate  # it has admitted the classes of the models
    with gate.closed():
        task = ensemble_of(every, same_data=True).task
        data = load_current(config["dataset"])
    first.check_rows(data)
    device = choose_device(config["trainer"].get("accelerator", "auto"))
    with model_errors(first.folder):
        models, facts = tune_members(candidates, models, data, device)
        rows, outputs = _outputs(candidates, models, data, task, device)
        judged, maximize = _judged_by(
            task, metric or config["monitor"], config["mode"] if not metric else None
        )
        score = _score(task, data, rows, judged)
        found = select_greedily(outputs, task.combined, score, maximize=maximize, size=size)
    if math.isnan(found.score):
        hint = "Choose another metric: --metric loss."
        raise DataError(f"{judged} is undefined on the {len(rows):,} rows for every model", "--metric", hint)
    chosen = [(one, count) for one, count in zip(candidates, found.counts, strict=True) if count]
    members = [(part, count, one.run.ledger.run_id) for one, count in chosen for part in one.parts]
    loaded = dict(zip((one.run.ledger.run_id for one in candidates), models, strict=True))
    tuned = dict(zip((one.run.ledger.run_id for one in candidates), facts, strict=True))
    with gate.closed():
        model = ensemble_of(
            [
                EnsembleMember(part.ledger.run_name, own, count)
                for one, count in chosen
                for part, own in zip(one.parts, loaded[one.run.ledger.run_id], strict=True)
            ],
            same_data=True,
        )
    tested = read_final_test(first.ledger, len(data))
    hint = "Name runs with the same final test rows: the same cv, cv.test_size and cv.seed."
    OpenedModel(first, model, tuple(part for part, *_ in members)).check_unseen(data, tested, hint)
    trained = np.unique(np.concatenate([read_split(part.ledger, len(data)).train for part, *_ in members]))
    split = Split(np.setdiff1d(trained, np.concatenate([rows, tested])), rows, tested)
    messages = [*notes, *_told(candidates, found, judged, len(rows), len(tested))]
    messages += told_of_tuning(
        [(one, loaded[one.run.ledger.run_id], tuned[one.run.ledger.run_id]) for one, _ in chosen]
    )
    words = [
        *(one.ledger.run_id for one in given),
        *(["--metric", metric] if metric else []),
        "--size",
        str(size),
        *overrides,
    ]
    made = {**config, "run_name": name}
    with open_store(first.ledger.runs_dir) as store:
        for note in [
            *(note for one in given for note in one.notes),
            *store.notes,
            *reconcile(store.runs_dir, store),
        ]:
            listen(Note(note))
        tags = {key: first.ledger.tags[key] for key in _COPIED if key in first.ledger.tags}
        run_dir = store.create_run(
            experiment=first.ledger.experiment,
            run_name=name or make_run_name("ensemble"),
            kind="ensemble",
            params={"candidates": len(candidates), "size": size, "metric": judged},
            tags={**provenance(config["tracking"]["tags"]), **tags},
            files=contents(made, (), split, conf_dirs),
            about={"panel": {"model": f"ensemble of {counted(len(members), 'model')}"}, "words": words},
        )
        with recording(run_dir, store, listen), Recorder(run_dir, system_metrics=False) as recorder:
            figured: dict[str, float] = {}
            over: dict[str, int] = {}
            baselines: dict[str, float] = {}
            if len(tested):
                with model_errors(first.folder):
                    evaluation = evaluate_rows(model, data, tested, device)
                figured, baselines = figures({"test": evaluation})
                over = means_over({"test": evaluation})
                messages += [f"{one.text}." for one in notices_on_means(model.task, {"test": evaluation})]
                write_predictions(run_dir, predictions_table(model, {"test": evaluation}, is_fold=False))
            recorder.tag("mlflow.note.content", "\n".join(messages))
            recorder.finish(
                {**figured, **recorded_baselines(baselines)},
                result={
                    "metrics": list(figured),
                    "over": over,
                    "messages": messages,
                    "members": [
                        {
                            "run_id": part.ledger.run_id,
                            "run_name": part.ledger.run_name,
                            "count": count,
                            **({"tuned": tuned[of_candidate]} if tuned[of_candidate] else {}),
                        }
                        for part, count, of_candidate in members
                    ],
                    "selection": {
                        "metric": judged,
                        "rows": len(rows),
                        "candidates": len(candidates),
                        "ensemble": found.score,
                        "best_single": found.single,
                        "best_run": candidates[found.best].name,
                    },
                    "duration_s": round(time.monotonic() - started, 3),
                },
            )
    return read_result(run_dir)


# Tags that identify the rows on which a run is evaluated.
_COPIED = ("dlcli.data_fingerprint", "dlcli.split_fingerprint", "dlcli.seed")


def _outputs(
    candidates: Sequence[EnsembleCandidate],
    models: Sequence[Sequence[SavedModel]],
    data: Data,
    task: Task,
    device: torch.device,
) -> tuple[np.ndarray, list[Tensor]]:
    """Return row numbers `(N,)`, and each candidate's outputs `(N, ...)`, by models that were not trained on the rows.

    Raises:
        DataError: A candidate has no such rows, or its rows differ from the first candidate's.
    """
    rows: np.ndarray | None = None
    found = []
    for one, own in zip(candidates, models, strict=True):
        places = one.held_out(len(data))
        numbers = np.concatenate(places)
        if not len(numbers):
            hint = "A refitted model has none: name the cross-validation or the trials."
            raise DataError("has no rows to be evaluated on", one.name, hint)
        outputs = torch.cat(
            [
                task.converted(model.outputs(take(data.x, place), device), model.task)
                for model, place in zip(own, places, strict=True)
                if len(place)
            ]
        )
        order = np.argsort(numbers, kind="stable")
        unique, counts = np.unique(numbers, return_counts=True)
        if (counts != counts[0]).any() or (rows is not None and not np.array_equal(rows, unique)):
            raise DataError(
                f"is evaluated on other rows than {candidates[0].name}",
                one.name,
                "Name runs with the same cv, folds and cv.seed.",
            )
        rows = unique
        several = outputs[torch.from_numpy(order)].reshape(len(unique), int(counts[0]), *outputs.shape[1:])
        found.append(task.combined(several))
    assert rows is not None
    return rows, found


def _judged_by(task: Task, metric: str, mode: str | None) -> tuple[str, bool]:
    """Return the metric of the selection, and whether higher values are better."""
    name = metric.rpartition("/")[2]
    names = ("loss", *task.metric_names)
    if name not in names:
        raise InputError(
            f"{name} is not a metric of the task", "--metric", f"Choose one of {', '.join(names)}."
        )
    better = task.scales()[name]["better"] if mode is None else {"min": "lower", "max": "higher"}[mode]
    if better is None:
        raise InputError(f"neither more nor less of {name} is better", "--metric", "Choose another metric.")
    return name, better == "higher"


def _score(task: Task, data: Data, rows: np.ndarray, metric: str) -> Any:
    encoded = as_fields({"y": task.encode(data.y[rows])})["y"][:]
    scores = Scores(task, [] if metric == "loss" else [metric])

    def score(outputs: Tensor) -> float:
        scores.add(outputs, encoded)
        return float(scores.compute()[metric])

    return score


def _told(
    candidates: Sequence[EnsembleCandidate], found: Selection, metric: str, rows: int, tested: int
) -> list[str]:
    counts = ", ".join(
        one.name + (f" ({count} times)" if count > 1 else "")
        for one, count in zip(candidates, found.counts, strict=True)
        if count
    )
    said = [
        f"Of {len(candidates)} candidates, selected on {rows:,} rows that each was not trained on: {counts}.",
        f"On these rows {metric} is {number(found.score)}, and {number(found.single)} for the best single model, "
        f"{candidates[found.best].name}. Both were selected on these rows, so both values are optimistic.",
    ]
    if sum(count > 0 for count in found.counts) == 1:
        said.append("No ensemble was better than this single run.")
    if not tested:
        said.append("There are no final test rows (cv.test_size) to evaluate the ensemble on.")
    return said
