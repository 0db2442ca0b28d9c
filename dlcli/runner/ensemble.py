"""`dlcli ensemble`: select the members of an ensemble from trials or runs, and record it as a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dlcli.datasets.raw_rows import load_current
from dlcli.errors import InputError
from dlcli.events import Listener, Note, ignore
from dlcli.formatting import counted
from dlcli.inference.evaluation import choose_device
from dlcli.result import Result
from dlcli.runner import runs_directory
from dlcli.runner.recording import recording
from dlcli.runs.creation import contents
from dlcli.runs.folder import OpenedRun, open_run, read_result, recorded_baselines, with_overrides
from dlcli.runs.recorded import read_final_test
from dlcli.sweeps.ensemble_candidates import find_candidates
from dlcli.sweeps.ensemble_selection import USUAL_SIZE, select_ensemble
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.run_provenance import provenance
from dlcli.tracking.store import make_run_name, open_store


def ensemble(
    runs: Sequence[str],
    *,
    metric: str | None = None,
    size: int = USUAL_SIZE,
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
    with candidates[0].parts[0].gate.closed():
        data = load_current(config["dataset"])
    first.check_rows(data)
    device = choose_device(config["trainer"].get("accelerator", "auto"))
    selected = select_ensemble(
        candidates,
        data,
        read_final_test(first.ledger, len(data)),
        device,
        metric=metric or config["monitor"],
        mode=config["mode"] if not metric else None,
        size=size,
    )
    messages = [*notes, *selected.messages]
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
            params={
                "candidates": len(candidates),
                "size": size,
                "metric": selected.result["selection"]["metric"],
            },
            tags={**provenance(config["tracking"]["tags"]), **tags},
            files=contents(made, (), selected.split, conf_dirs),
            about={
                "panel": {"model": f"ensemble of {counted(len(selected.members), 'model')}"},
                "words": words,
            },
        )
        with recording(run_dir, store, listen), Recorder(run_dir, system_metrics=False) as recorder:
            figured, baselines, over, told = selected.evaluate(data, run_dir, device)
            messages += told
            recorder.tag("mlflow.note.content", "\n".join(messages))
            recorder.finish(
                {**figured, **recorded_baselines(baselines)},
                result={
                    "metrics": list(figured),
                    "over": over,
                    "messages": messages,
                    **selected.result,
                    "duration_s": round(time.monotonic() - started, 3),
                },
            )
    return read_result(run_dir)


# Tags that identify the rows on which a run is evaluated.
_COPIED = ("dlcli.data_fingerprint", "dlcli.split_fingerprint", "dlcli.seed")
