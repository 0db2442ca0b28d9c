"""Plan an experiment from the overrides of a command: compose, read and split the rows, and find all mistakes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.seed import isolate_rng

from dlcli.assembly.automatic import PRECISION, Automatic, AutomaticChoice, with_choices
from dlcli.assembly.batch_rows import takes_all_rows
from dlcli.assembly.feature_cache import rehearsed
from dlcli.assembly.judge_training import judge_seconds
from dlcli.assembly.optimization import make_recipe
from dlcli.assembly.own_monitor import with_own_monitor
from dlcli.assembly.own_state import check_own_state
from dlcli.assembly.parts import assemble
from dlcli.assembly.precision_choice import choose_precision, without_measuring
from dlcli.assembly.run_judge import settle_judge
from dlcli.assembly.starting_weights import check_weights, settle_weights
from dlcli.assembly.windows_to_train import split_windows
from dlcli.checks.compatibility import check_refit, find_mistakes
from dlcli.checks.endings import find_endings
from dlcli.checks.idle_shares import find_idle_shares
from dlcli.checks.large_numbers import name_large_columns
from dlcli.checks.own_rows import check_own_data, check_own_splits
from dlcli.checks.readable_rows import are_unreadable, reads_fast
from dlcli.checks.refused_rows import find_refused_rows
from dlcli.checks.sweep_settings import find_sweep_settings
from dlcli.checks.target_column import with_columns
from dlcli.checks.task_fit import check_monitored, directions
from dlcli.config.build import TARGET, build, locate
from dlcli.config.compose import Composed, Draft, draft, with_decided
from dlcli.config.folders import user_folders
from dlcli.config.metric_section import with_chosen_metrics, with_modes
from dlcli.config.pasted import folder_options, quoted
from dlcli.config.project import naming_project_file
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.target_types import with_type_problems
from dlcli.cross_validation.chosen_settings import searches_in_folds
from dlcli.cross_validation.estimation import Estimation
from dlcli.datasets.data import Data
from dlcli.datasets.raw_rows import load_current
from dlcli.datasets.tables.types_file import given_types
from dlcli.errors import ConfigError, Diverged, DlcliError, Problem
from dlcli.files.disk import free_space
from dlcli.formatting import amount
from dlcli.reports.summary import unseen_in_evaluation
from dlcli.runs.folder import absolute_paths
from dlcli.runs.recorded_choices import choices_in, with_chosen
from dlcli.splits.holdout import Holdout
from dlcli.splits.learning_curve import first_of_each_share, share_of_splits
from dlcli.splits.predefined import Predefined
from dlcli.splits.split import Split, check_overlap, limit_splits, thin_rows
from dlcli.tasks.facts import target_facts
from dlcli.training.rehearsal import Rehearsal, rehearse

# Kind of data to its default preprocessing; a model may choose another.
_PREPROCESSING = {
    "table": "table",
    "image": "image",
    "tokens": "text",
    "sequence": "sequences",
    "audio": "spectrogram",
    "questions": "pretrained_questions",
    "words": "words",
}

# The same for kinds of targets that need their own.
_OF_TARGETS = {"forecast": "series", "seq2seq": "pairs", "language_model": "language"}

_FEW_ROWS = 8  # rows of a quick rehearsal, enough for layers that normalize over a batch


@dataclass(frozen=True)
class Experiment:
    """An experiment that has passed every check.

    Attributes:
        composed: the overrides and the composed configuration.
        config: the configuration with absolute paths.
        folders: the user's own conf folders.
        estimation: the raw rows and their splits.
        automatic: resolves `auto`.
        choices: its choices for this configuration.
    """

    composed: Composed
    config: dict[str, Any]
    folders: tuple[Path, ...]
    estimation: Estimation
    automatic: Automatic
    choices: tuple[AutomaticChoice, ...] = ()

    @property
    def data(self) -> Data:
        """The raw rows."""
        return self.estimation.data

    @property
    def splits(self) -> Sequence[Split]:
        """The split of each fold."""
        return self.estimation.splits

    def rehearse(self, *, quick: bool = False) -> Rehearsal:
        """Train a copy of the network for a few batches of the first split; torch's random state is unchanged.

        With `quick`, only a few rows are used. This finds errors, but gives no useful estimates.

        Raises:
            ConfigError: the model, the loss or the optimizer fails, or there is too little memory or disk space.
        """
        config, split = self.config, self.splits[0]
        split = Split(split.train, split.val[:0], split.test[:0]) if quick else split
        with isolate_rng():
            targets = target_facts(self.data, split.train) if quick else None  # a few rows may lack classes
            few, on_demand = (_FEW_ROWS if quick else None), not takes_all_rows(config)
            parts = assemble(config, self.data, split, config["seed"], targets, few, on_demand)
            parts, features = (parts, {}) if quick else rehearsed(config, parts, self.data, split)
            recipe = make_recipe(config, parts.train, config["seed"])
            try:
                tried = rehearse(parts.network, parts.task, parts.train, parts.val, recipe, timed=not quick)
            except Diverged as error:
                raise name_large_columns(error, self.data, split.train, config) from error
            check_own_state(config, parts)
            judging = 0.0 if quick else judge_seconds(config, parts)
        free, runs = free_space(Path(config["runs_dir"])), len(self.splits) + bool(config["cv"].get("refit"))
        of_runs = f"the checkpoints of {runs} runs" if runs > 1 else "the checkpoints"
        if (needed := tried.room_for(runs)) > free:
            raise ConfigError(
                f"{of_runs} need {amount(needed)} at a time, {amount(free)} are free",
                where="runs_dir",
                hint="Free some space, or record on another disk: --runs-dir DIR.",
            )
        images = 0 if quick or parts.task.predicts_rows else len(split.val) + len(split.test)
        found = {**features, "images": images, "judge_seconds": judging, "runs": runs}
        found["automatic"] = {choice.key: choice.told for choice in self.choices}
        args = self.data, split, None, parts.preprocessing, parts.task
        notices = [*parts.notices, *(() if quick else unseen_in_evaluation(*args))]
        return replace(tried, **found, notices=tuple(notices))


@naming_project_file
def plan_experiment(
    overrides: Sequence[str],
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    *,
    thorough: bool = False,
    sweeping: bool = False,
    objectives: Sequence[tuple[str, str]] = (),
    earlier: Mapping[str, Any] | None = None,
    searched: Collection[str] = (),
) -> Experiment:
    """Compose the configuration, read and split the rows, and check everything.

    All mistakes are reported together. If there are any, rows that take long to read are only checked with `thorough`.

    Args:
        overrides: overrides of the command.
        conf_dirs: the user's conf folders, as they were given.
        runs_dir: the folder of all runs; None uses the configuration's.
        thorough: even if there are mistakes, read many rows and check what does not depend on the mistakes.
        sweeping: keep the section `sweep`.
        objectives: the metrics and modes that the section `sweep` names.
        earlier: the recorded configuration of a search that continues.
        searched: keys whose values differ between the trials of a sweep.

    Raises:
        ConfigError: with all mistakes.
    """
    folders = user_folders(conf_dirs)
    asked = [*overrides, *([f"runs_dir={quoted(str(runs_dir))}"] if runs_dir else [])]
    found = with_type_problems(draft(asked, folders, SUPPLIED, BY_DATA))
    idle: list[Problem] = []
    searches = sweeping or found.composed.choices.get("effort") is not None
    if not searches and "cv" not in found.unsound:
        in_folds = searches_in_folds(found.composed.config)
        command = ["check" if thorough else "train", *folder_options(conf_dirs, runs_dir)]
        idle += find_sweep_settings(overrides, in_folds=in_folds, command=command)
    problems: list[Problem] = [*found.problems, *idle]
    if (problems and not thorough and not reads_fast(found.composed.config)) or are_unreadable(found):
        told = with_columns(problems, found.composed.config.get("dataset", {}))
        raise ConfigError([*told, *_known_now(found)])
    # A search that continues keeps the recorded lookback, even if the rule for `auto` has changed.
    before = choices_in(None if earlier is None else earlier["dataset"])
    config = with_chosen(settled(found.composed.config, found.composed, found.unsound), before)
    try:
        estimation = plan_estimation(config, folders, is_new=earlier is None, searched=searched)
    except DlcliError as error:
        others = [*problems, *_known_now(found)]
        if not others:
            raise
        raise ConfigError([*others, *error.problems]) from error
    if earlier is None:
        before, config = choices_in(estimation.config["dataset"]), estimation.config
    if decided := decided_by_data(found.composed, estimation.data):
        # The rows determine task and preprocessing, whose keys can be checked now.
        found = with_type_problems(with_decided(found, decided))
        problems = [*found.problems, *idle]
        config = with_chosen(settled(found.composed.config, found.composed, found.unsound), before)
        estimation = replace(estimation, config=config)
    config, wrong, modes = settled_metrics(config, folders, estimation, found.unsound, earlier)
    problems += [*wrong, *modes]
    unsound = found.unsound | ({"task"} if wrong else set())
    estimation = replace(estimation, config=config)
    automatic = Automatic.of(estimation.data, estimation.splits, earlier)
    if not found.unsound:
        of_folds = config["cv"].get("space") or ()  # of cv=nested
        automatic = without_measuring(automatic, config, {*searched, *of_folds})
    asked_config = config
    choices = () if found.unsound else automatic.choices(config, found.composed)
    config = with_choices(config, choices)
    estimation = replace(estimation, config=config)
    checked = estimation.for_choosing() if sweeping else estimation  # on the rows that the folds hold out
    problems += find_mistakes(config, estimation.data, checked.splits[0], unsound, objectives)
    if "model" not in found.unsound:
        problems += check_weights(config, estimation.data, estimation.splits)
    problems += find_idle_shares(overrides, estimation.data, build(config["cv"], where="cv"))
    problems += [] if problems else find_refused_rows(config, estimation.data, checked.trained)
    if any(problem.message.startswith("all columns are left out") for problem in problems):
        problems += estimation.data.warnings  # such as a word that keeps a column from being numbers
    if problems:
        raise ConfigError(problems)
    check_monitored(config, estimation.data, checked.splits)
    is_open_choice = earlier is None and automatic.precision is None
    if is_open_choice and any(choice.key == PRECISION for choice in choices):
        automatic = replace(automatic, precision=choose_precision(automatic, config))
        choices = automatic.choices(asked_config, found.composed)
        config = with_choices(config, choices)
        estimation = replace(estimation, config=config)
    if of_series := found.composed.of_series.told(config):
        choices = (AutomaticChoice(*of_series), *choices)
    if not sweeping:
        del config["sweep"]  # a single run has no search to record
    return Experiment(found.composed, config, folders, estimation, automatic, choices)


def settled_metrics(
    config: dict[str, Any],
    folders: Sequence[Path],
    estimation: Estimation,
    unsound: Collection[str] = (),
    earlier: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Problem], list[Problem]]:
    """Return the configuration with the task's metrics and their directions, and the problems of both.

    Args:
        config: the configuration.
        folders: the user's conf folders.
        estimation: the rows and their splits.
        unsound: sections that already failed validation.
        earlier: the recorded configuration of a search that continues.
    """
    if "task" in unsound:
        return with_modes(config, {})[0], [], []
    config, problems = with_chosen_metrics(config, folders)
    better = {} if problems else directions(config, estimation.data, estimation.splits[0])
    config, modes = with_modes(config, better, earlier)
    return config, problems, modes


def _known_now(found: Draft) -> list[Problem]:
    """Return further mistakes that can be found without the rows."""
    if found.unsound & {"trainer", "callbacks"}:
        return []
    config = found.composed.config
    return list(find_endings({**config, "trainer": _limited(config["trainer"])}))


def decided_by_data(composed: Composed, data: Data) -> dict[str, str]:
    """Return the options that the data decides: the task, and the preprocessing for its rows and the model."""
    fitting = {"task": data.target_kind, "preprocessing": _PREPROCESSING[data.kind]}
    fitting["preprocessing"] = _OF_TARGETS.get(data.target_kind, fitting["preprocessing"])
    with suppress(ConfigError):  # reported by validation
        model = locate(composed.config["model"].get(TARGET, ""))
        if data.kind == "tokens" and data.target_kind not in _OF_TARGETS:
            fitting["preprocessing"] = getattr(model, "text_preprocessing", fitting["preprocessing"])
        own = getattr(model, "preprocessing", fitting["preprocessing"])
        fitting["preprocessing"] = (
            own.get(data.target_kind, own.get(data.kind, fitting["preprocessing"]))
            if isinstance(own, Mapping)
            else own
        )
        fitting["task"] = getattr(model, "task", fitting["task"])
    return {
        group: fitting[group] for group, option in BY_DATA.items() if composed.choices.get(group) == option
    }


def settled(config: dict[str, Any], composed: Composed, unsound: Collection[str] = ()) -> dict[str, Any]:
    """Return the configuration as the run records it, with absolute paths; `unsound` sections are unchanged."""
    config = absolute_paths(config)
    if "dataset" not in unsound and isinstance(config["dataset"].get("types"), str):
        # The file may change later, or be missing where the run's folder is moved to.
        config = {
            **config,
            "dataset": {**config["dataset"], "types": given_types(config["dataset"]["types"])},
        }
    if "trainer" not in unsound:
        config = {**config, "trainer": _limited(config["trainer"])}
    if "task" not in unsound:
        config = settle_judge(config)
    return config if "model" in unsound else with_own_monitor(settle_weights(config), composed)


def _limited(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return the trainer section with `max_epochs` reduced to `limit_epochs`."""
    most, epochs = trainer.get("limit_epochs"), trainer.get("max_epochs")
    if most is None or (epochs is not None and 0 <= epochs <= most):
        return trainer
    return {**trainer, "max_epochs": most}


def plan_estimation(
    config: dict[str, Any], folders: Sequence[Path], *, is_new: bool = False, searched: Collection[str] = ()
) -> Estimation:
    """Read the rows and split them; a new experiment has one lookback for all values of the keys that are `searched`.

    Raises:
        DlcliError: they cannot be read or split.
    """
    data, strategy = load_current(config["dataset"]), build(config["cv"], where="cv")
    if not hasattr(strategy, "splits") or not hasattr(strategy, "final_test"):
        raise ConfigError(
            f"{config['cv']['_target_']} splits no rows: it has no splits() and final_test()",
            "cv._target_",
            "Choose an option: dlcli list cv.",
        )
    if data.parts is not None and data.parts.dtype.kind in "iuf" and not isinstance(strategy, Predefined):
        raise ConfigError(
            "the column has fold numbers, which only cv=predefined uses",
            "dataset.split",
            "Add cv=predefined, or leave out dataset.split.",
        )
    check_own_data(data, config["dataset"])
    config, data, whole = split_windows(config, data, strategy, is_new=is_new, searched=searched)
    # Computing the splits of millions of rows again would take seconds.
    final_test = whole[0].test if isinstance(strategy, Holdout) else strategy.final_test(data)
    check_own_splits(whole, final_test, len(data), config["cv"])
    check_overlap(data, whole, searches=searches_in_folds(config))
    rows, folds = (config["trainer"].get(f"limit_{what}") for what in ("rows", "folds"))
    first, shares = first_of_each_share(whole, share_of_splits(strategy, whole), folds)
    splits, final_test = limit_splits(first, rows, None), thin_rows(final_test, rows)
    check_refit(config, splits, final_test)
    code = tuple(str(folder.parent) for folder in folders)
    return Estimation(config, data, splits, final_test, code, shares)
