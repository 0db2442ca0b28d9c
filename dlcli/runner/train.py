"""`dlcli train`: train an experiment and record it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from dlcli.assembly.automatic import automatic_tags
from dlcli.assembly.starting_weights import weights_tags
from dlcli.checks.recorded_profile import about_data
from dlcli.checks.settings import warn
from dlcli.checks.sweep_settings import asks_for_search, effort_of_files
from dlcli.config.pasted import override
from dlcli.cross_validation.chosen_settings import searches_in_folds
from dlcli.cross_validation.cross_validate import cross_validate
from dlcli.distributed.ranks import leading
from dlcli.events import Listener, Note, ignore
from dlcli.job import take_part
from dlcli.result import Result
from dlcli.runner.model_by_rows import plan_for_rows
from dlcli.runner.recording import recording
from dlcli.runner.sweep import sweep
from dlcli.runs.creation import make_run
from dlcli.runs.shown_settings import shown_settings
from dlcli.sweeps.search_in_folds import plan_nested, shared_in_folds
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import open_store


def train(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
    tags: Mapping[str, str] = MappingProxyType({}),
    *,
    files_may_search: bool = True,
) -> Result:
    """Train one experiment: compose, check, create the run, and run its jobs.

    `listen` receives the events; without it, settings and data are not checked for warnings. `tags` are added to those
    of the run. With `effort=best`, a search is run, as by `dlcli sweep`; also if a dlcli.yaml or an experiment has it,
    and `files_may_search`.
    """
    if asks_for_search(overrides):
        return sweep(overrides, conf_dirs, runs_dir, listen)
    if files_may_search and (option := effort_of_files(overrides, conf_dirs)):
        listen(
            Note(
                f"A file chooses {override('effort', option)}: dlcli train searches. To train once, add effort=null."
            )
        )
        return sweep(overrides, conf_dirs, runs_dir, listen)
    with leading(take_part):
        experiment = plan_for_rows(overrides, conf_dirs, runs_dir)
        nested = searches_in_folds(experiment.config)
        if nested and (shared := shared_in_folds(experiment, overrides)):
            listen(Note(f"All models of the search have {', '.join(shared)}, for several series."))
            overrides = [*overrides, *shared]
            experiment = plan_for_rows(overrides, conf_dirs, runs_dir)
        search = plan_nested(experiment, overrides, listen) if nested else None
        estimation = experiment.estimation
        experiment.rehearse(quick=True)
        warnings = [] if listen is ignore else warn(experiment, lambda text: listen(Note(text)))

        with open_store(Path(experiment.config["runs_dir"])) as store:
            for note in [*store.notes, *reconcile(store.runs_dir, store)]:
                listen(Note(note))
            run_dir = make_run(
                store,
                "run" if estimation.is_single else "cv",
                estimation,
                estimation.whole,
                name=f"{experiment.composed.choices['model']}-{experiment.data.name}",
                overrides=overrides,  # as typed, without what the data decided
                folders=experiment.folders,
                params=shown_settings(experiment.config, experiment.composed.choices, experiment.folders),
                tags={**weights_tags(experiment.config), **automatic_tags(experiment.choices), **tags},
                about=about_data(experiment.data, warnings),
            )
            with recording(run_dir, store, listen):
                return cross_validate(estimation, run_dir, store, listen, search)
