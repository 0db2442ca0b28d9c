"""Plan a resumed search from its recorded overrides, and compare the plan with the record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.compose import draft
from dlcli.config.folders import user_folders
from dlcli.config.former_settings import completed, former_options, former_settings
from dlcli.config.pasted import override, pasted
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.cross_validation.children import families, what_is_trained
from dlcli.cross_validation.estimation import Estimation
from dlcli.errors import ConfigError, Problem
from dlcli.events import Listener, Note
from dlcli.experiment import Experiment, plan_experiment
from dlcli.formatting import counted
from dlcli.resumption import Resumption
from dlcli.runs.folder import OpenedRun
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.records import recorded
from dlcli.sweeps.search_in_folds import NestedSearch, plan_nested, shared_in_folds
from dlcli.sweeps.space_parser import separate
from dlcli.sweeps.todays_models import settings_of_today

# Keys of the section `sweep` that must not change. The number of trials and time limits may; the sampler is recorded.
_SAME = ("space", "objectives", "pruner")


def plan_again(resumption: Resumption, conf_dirs: Sequence[Path], listen: Listener) -> SweepPlan:
    """Return the plan of a sweep that was started before.

    Shipped defaults that have changed since keep their former values, with a notice. If models are searched, those of
    each model are today's, with a notice.

    Raises:
        ConfigError: the space or the shared configuration has changed (configuration files were edited), or
            `sweep.trials` is less than the number of recorded trials.
        DataError: the rows have changed.
    """
    opened = resumption.opened
    _refuse_fewer(resumption)
    runs_dir = opened.ledger.runs_dir
    before = _former_options(opened, opened.config["sweep"]["space"], resumption.words, conf_dirs)
    words = [*before, *resumption.words]
    plan = plan_sweep(words, conf_dirs, runs_dir, earlier=opened.config)
    kept, changed = _kept(plan.experiment, opened, plan.space.first, words, before, listen)
    if kept:
        plan = plan_sweep([*kept, *words], conf_dirs, runs_dir, earlier=opened.config)
    _check_same(plan.estimation, opened, "sweep", _SAME, changed)
    _tell_models(plan, opened, listen)
    return plan


def _refuse_fewer(resumption: Resumption) -> None:
    """Raise a ConfigError if `sweep.trials` is less than the number of recorded trials."""
    before, asked = (c["sweep"]["trials"] for c in (resumption.opened.config, resumption.config))
    if asked is None or asked == before:
        return
    there = len(recorded(families(resumption.opened.ledger).get(resumption.opened.ledger.run_id, {})))
    if asked < there:
        raise ConfigError(
            f"{asked} is less than the {counted(there, 'trial')} that the sweep has already",
            "sweep.trials",
            f"It counts all trials: more than {there} extend the sweep. Without it the sweep continues as it is.",
        )


def plan_nested_again(resumption: Resumption, conf_dirs: Sequence[Path], listen: Listener) -> NestedSearch:
    """Return the searches of a cross-validation that was started before.

    Raises:
        ConfigError: the configuration that folds share has changed: configuration files were edited.
        DataError: the rows have changed.
    """
    opened = resumption.opened
    before = _former_options(opened, opened.config["cv"]["space"], resumption.words, conf_dirs)
    words, runs_dir = (*before, *resumption.words), opened.ledger.runs_dir
    experiment = plan_experiment(words, conf_dirs, runs_dir, earlier=opened.config)
    if shared := shared_in_folds(experiment, words, opened.config):
        words = (*shared, *words)
        experiment = plan_experiment(words, conf_dirs, runs_dir, earlier=opened.config)
    kept, changed = _kept(experiment, opened, experiment.config["cv"]["space"], words, before, listen)
    if kept:
        words = (*kept, *words)
        experiment = plan_experiment(words, conf_dirs, runs_dir, earlier=opened.config)
    _check_same(experiment.estimation, opened, "cv", tuple(experiment.config["cv"]), changed)
    search = plan_nested(experiment, words, listen)
    assert search is not None  # the section is the same
    _tell_models(search.plan, opened, listen)
    return search


def _tell_models(plan: SweepPlan, opened: OpenedRun, listen: Listener) -> None:
    """Announce the settings of other models than the first point's that differ from those of their earlier trials."""
    for model, settings in settings_of_today(plan, opened.ledger).items():
        which = f"New trials with {pasted('model', model)} differ from its earlier ones by today's defaults"
        listen(Note(f"{which}: {', '.join(settings)}"))


def _former_options(
    opened: OpenedRun, space: Mapping[str, Any], words: Sequence[str], conf_dirs: Sequence[Path]
) -> list[str]:
    """Return overrides of the options that shipped files chose when the search was started, and do not choose today.

    If models are searched, each chooses its own, and nothing is returned.
    """
    fixed, varied = separate(words)
    if "model" in {*varied, *space}:
        return []
    found = draft(fixed, user_folders(conf_dirs), SUPPLIED, BY_DATA)
    former = former_options(found.composed, opened.config)
    return [override(group, option) for group, option in former.items() if group not in {*varied, *space}]


def _kept(
    experiment: Experiment,
    opened: OpenedRun,
    searched: Collection[str],
    given: Sequence[str],
    before: Sequence[str],
    listen: Listener,
) -> tuple[list[str], set[str]]:
    """Return overrides with the former values of shipped defaults that have changed, and announce them.

    If options of a group are searched, its keys depend on the option: such defaults are announced and stay changed.
    The names of these sections are returned too. `before` are the options that are kept.
    """
    now, was = what_is_trained(experiment.estimation.config), what_is_trained(opened.config)
    former = former_settings(experiment.composed, now, completed(was, now))
    words = {key: override(key, former[key]) for key in sorted(former)}
    changed = {key: key.split(".")[0] for key in words if key.split(".")[0] in searched}
    kept = [word for key, word in words.items() if key not in changed]
    if "stack" in experiment.config["executor"] and "stack" not in opened.config["executor"]:
        kept.append("executor.stack=false")
    sweep = experiment.config.get("sweep") or {}
    is_given = any(word.startswith("sweep.ensemble=") for word in given)
    if sweep.get("ensemble") and "ensemble" not in opened.config["sweep"] and not is_given:
        kept.append("sweep.ensemble=0")
    if told := [*before, *kept]:
        listen(Note(f"The search keeps the defaults that it was started with: {', '.join(told)}"))
    if changed:
        listen(Note(f"New trials have today's defaults of searched options: {', '.join(changed)}"))
    return kept, set(changed.values())


def _check_same(
    estimation: Estimation, opened: OpenedRun, section: str, keys: Sequence[str], changed: Collection[str]
) -> None:
    found = _differences(estimation.config, opened.config, section, keys)
    if problems := [problem for problem in found if problem.where not in changed]:
        raise ConfigError(problems)
    opened.check_rows(estimation.data, estimation.fingerprint)


def _differences(
    new: Mapping[str, Any], old: Mapping[str, Any], section: str, keys: Sequence[str]
) -> Iterator[Problem]:
    hint = "Undo the change, or start a new one: points of two spaces could not be distinguished later."
    for key in keys:
        if new[section][key] != old[section].get(key):
            was = old[section].get(key)
            yield Problem(
                f"differs from the value that the run was started with: {was}", f"{section}.{key}", hint
            )
    was, now = what_is_trained(old), what_is_trained(new)
    was = completed(was, now)
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            yield Problem(f"differs from the value that the run was started with: {was.get(key)}", key, hint)
