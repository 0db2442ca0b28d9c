"""`dlcli reproduce`: repeat a finished run, and compare the new run with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.assembly.automatic import recorded_choices
from dlcli.assembly.starting_weights import settle_weights, weights_tags
from dlcli.checks.recorded_profile import about_data
from dlcli.comparison.reproduction import (
    Change,
    Reproduction,
    code_changes,
    compare_repetition,
    environment_changes,
)
from dlcli.config.next_command import resume_command
from dlcli.config.pasted import override
from dlcli.config.recorded_config import check_values
from dlcli.cross_validation.chosen_settings import Search, searches_in_folds
from dlcli.cross_validation.cross_validate import cross_validate
from dlcli.cross_validation.estimation import Estimation
from dlcli.distributed.ranks import leading
from dlcli.errors import InputError
from dlcli.events import Listener, Note, ignore
from dlcli.experiment import plan_estimation
from dlcli.gate.vouching import CONFIG_FILE
from dlcli.inference.code import own_code
from dlcli.job import take_part
from dlcli.result import Result
from dlcli.resumption import Resumption, open_whole, relocated_words
from dlcli.runner import runs_directory
from dlcli.runner.recording import recording
from dlcli.runs.creation import make_run
from dlcli.runs.folder import OpenedRun, with_overrides
from dlcli.runs.recorded import read_words
from dlcli.runs.shown_settings import repeated_settings
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.replanning import plan_again, plan_nested_again
from dlcli.sweeps.run_sweep import run_sweep
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_inputs import Shown
from dlcli.tracking.mlflow_tags import REPRODUCES_TAG
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import Store, open_store


def reproduce(
    run: str,
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
    trust: bool = False,
    seeds: int = 0,
) -> tuple[Result, Reproduction]:
    """Train a finished run again from its recorded configuration, and compare the results.

    Args:
        run: the user's reference to it; for a child run, its whole run is repeated.
        overrides: current location of the data: `dataset.root=DIR`, `dataset.path=FILE`.
        conf_dirs: the user's conf folders.
        runs_dir: the folder of all runs.
        listen: receives the events.
        trust: whether the user trusts everything in the run's folder.
        seeds: number of other seeds with which it is trained as well if metrics differ, to show the variation between
            seeds.

    Raises:
        InputError: The run has not finished, or is an ensemble; or `seeds` is 1, which gives no variation, or is given
            for a search.
        DataError: The rows or their split are not those of the run.
    """
    if seeds == 1:
        raise InputError("one seed gives no variation", "--seeds 1", "Give 2 or more, such as --seeds 5.")
    with leading(take_part):
        opened = open_whole(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
        _check_kind(opened, seeds)
        gate, folders = opened.claim.to_resume(opened.config, "reproduce")
        with gate.closed():
            config = with_overrides(opened.config, overrides)
            gate.admit_all(config)  # before anything is read or built
            check_values(config, opened.folder / CONFIG_FILE)
            config = settle_weights(config)
            plan, estimation, search = _plan(opened, config, folders, overrides, listen)
            environment = environment_changes(opened.ledger)
            code = code_changes(opened.ledger, own_code(config, [folder.parent for folder in folders]))
            told = [*opened.notes, *_remarks(environment, code), *_of_weights(config, opened.ledger)]
            for note in [*told, *_of_search(plan)]:
                listen(Note(note))
            with open_store(opened.ledger.runs_dir) as store:
                for note in [*store.notes, *reconcile(store.runs_dir, store)]:
                    listen(Note(note))
                if plan is not None:
                    result = _search(plan, opened, folders, store, listen)
                else:
                    result = _train(estimation, opened, folders, store, listen, search=search)
                new = Ledger.load(result.run_dir)
                others: list[Ledger] = []
                found = compare_repetition(opened.ledger, new, environment, code, others)
                if found.differences and seeds:
                    for extra in range(1, seeds + 1):
                        other = {**estimation.config, "seed": estimation.config["seed"] + extra}
                        again = replace(estimation, config=other)
                        others.append(
                            Ledger.load(_train(again, opened, folders, store, listen, of_seeds=True).run_dir)
                        )
                    found = compare_repetition(opened.ledger, new, environment, code, others)
                return result, found


def _train(
    estimation: Estimation,
    opened: OpenedRun,
    folders: Sequence[Path],
    store: Store,
    listen: Listener,
    *,
    of_seeds: bool = False,
    search: Search | None = None,
) -> Result:
    words = [word for word in read_words(opened.ledger) if not word.startswith("run_name=")]
    if of_seeds:
        words = [word for word in words if not word.startswith("seed=")] + [
            f"seed={estimation.config['seed']}"
        ]
    run_dir = make_run(
        store,
        "run" if estimation.is_single else "cv",
        estimation,
        estimation.whole,
        name=opened.ledger.run_name,
        overrides=words,
        folders=folders,
        params=repeated_settings(Shown.read(opened.ledger.run_dir).params, estimation.config),
        about=about_data(estimation.data),
        tags={
            **recorded_choices(opened.ledger.tags, estimation.config),
            REPRODUCES_TAG: opened.ledger.run_id,
        },
    )
    with recording(run_dir, store, listen):
        return cross_validate(estimation, run_dir, store, listen, search)


def _plan(
    opened: OpenedRun,
    config: dict[str, Any],
    folders: Sequence[Path],
    overrides: Sequence[str],
    listen: Listener,
) -> tuple[SweepPlan | None, Estimation, Search | None]:
    """Return the plan of a sweep or None, the estimation, and the search of each fold or None.

    Raises:
        ConfigError: The space or the configuration of trials has changed, because configuration files were edited.
        DataError: The rows or their split are not those of the run.
    """
    ledger = opened.ledger
    recorded = relocated_words(read_words(ledger), config["dataset"])
    words = [word for word in recorded if not word.startswith("run_name=")]
    if ledger.kind != "sweep":
        estimation = plan_estimation(_as_new(config), folders)
        opened.check_rows(estimation.data, estimation.fingerprint)
        if not searches_in_folds(config):
            return None, estimation, None
        return (
            None,
            estimation,
            plan_nested_again(Resumption(opened, config, (*words, *overrides)), folders, listen),
        )
    trials = len(ledger.result.get("trials", ()))
    if ledger.result.get("out_of_time"):  # the same number of trials, however long they take
        words += [override("sweep.trials", trials), "sweep.timeout=null"]
    plan = plan_again(Resumption(opened, config, (*words, *overrides)), folders, listen)
    return plan, plan.estimation, None


def _search(
    plan: SweepPlan, opened: OpenedRun, folders: Sequence[Path], store: Store, listen: Listener
) -> Result:
    """Run a sweep again in a new run."""
    run_dir = make_run(
        store,
        "sweep",
        plan.estimation,
        plan.whole,
        name=opened.ledger.run_name,
        overrides=[word for word in read_words(opened.ledger) if not word.startswith("run_name=")],
        folders=folders,
        params=plan.recorded_params,
        about=about_data(plan.experiment.data),
        tags={**recorded_choices(opened.ledger.tags, plan.config), REPRODUCES_TAG: opened.ledger.run_id},
    )
    with recording(run_dir, store, listen):
        return run_sweep(plan, run_dir, store, listen)


def _of_search(plan: SweepPlan | None) -> list[str]:
    """Return a note if trials run in parallel, since the choice of points may then differ."""
    if plan is None or plan.is_grid or plan.slots < 2:
        return []
    text = f"{plan.slots} trials run at a time: a sampler that learns from those that have ended may choose others."
    return [f"{text} executor.jobs=1 makes a sweep repeatable."]


def _check_kind(opened: OpenedRun, seeds: int) -> None:
    ledger = opened.ledger
    if ledger.kind == "ensemble":
        hint = f"Select again: {resume_command(ledger)}"
        raise InputError("is an ensemble, which is not trained", ledger.run_name, hint)
    if ledger.status != "FINISHED":
        raise InputError(
            f"the run is {ledger.status}", ledger.run_name, "Only a finished run can be reproduced."
        )
    if not ledger.is_in_place:
        hint = "Move it into a runs folder, or give the archive to dlcli runs import."
        raise InputError("a run outside of a runs folder cannot be reproduced", str(ledger.run_dir), hint)
    if seeds and (ledger.kind == "sweep" or searches_in_folds(opened.config)):
        hint = "Leave it out: trial by trial is compared. A single trial can be trained with train --like."
        raise InputError("a search is not repeated with other seeds", "--seeds", hint)


def _as_new(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration for a new run in the same experiment, with a name of its own."""
    return {**config, "run_name": None}


def _of_weights(config: dict[str, Any], ledger: Ledger) -> list[str]:
    tag = "dlcli.weights_fingerprint"
    differs = tag in ledger.tags and weights_tags(config).get(tag) != ledger.tags[tag]
    return ["The file of model.weights is another one than that of the record."] if differs else []


def _remarks(environment: Sequence[Change], code: Sequence[Change] | None) -> list[str]:
    """Return notes on differences that are known before training."""
    lines = ["Data and split are those of the record."]
    if code is None:
        lines.append("Whether your code has changed is unknown: the run was recorded without digests.")
    lines += [f"Code has changed: {change.words()}." for change in code or ()]
    if not environment:
        lines.append("All packages have the versions of the record.")
    shown = [change.words() for change in environment]
    lines += [f"Package {words}." for words in shown[:20]]
    if len(shown) > 20:
        lines.append(f"... and {len(shown) - 20} more packages: --json lists them.")
    return lines
