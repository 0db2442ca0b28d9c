"""From a command's words to an experiment that can run: composed, its rows read and split, every mistake found."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.errors import ConfigError, DlcliError, Problem

if TYPE_CHECKING:
    from dlcli.config.compose import Composed, Draft
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.datasets.data import Data
    from dlcli.splits.split import Split
    from dlcli.training.rehearsal import Rehearsal

# What prepares each kind of rows; a model may name its own.
_PREPROCESSING = {"table": "table", "image": "image", "tokens": "text", "sequence": "sequences"}

# Rows of a quick rehearsal: enough for layers that look at a whole batch.
_FEW_ROWS = 8


@dataclass(frozen=True)
class Experiment:
    """An experiment that has passed every check.

    Attributes:
        composed: what was asked for and what came of it.
        config: the configuration, its paths absolute.
        folders: the user's own conf folders.
        estimation: the raw rows, and what is trained on which of them.
    """

    composed: Composed
    config: dict[str, Any]
    folders: tuple[Path, ...]
    estimation: Estimation

    @property
    def data(self) -> Data:
        """The raw rows."""
        return self.estimation.data

    @property
    def splits(self) -> Sequence[Split]:
        """One for each fold."""
        return self.estimation.splits

    def rehearse(self, *, quick: bool = False) -> Rehearsal:
        """Train some batches of the first split and throw the network away; torch's random state stays as it was.

        With `quick` a few rows are sent through: that shows what fails, and the figures mean nothing.

        Raises:
            ConfigError: model, loss or optimizer fail, or memory or disk do not suffice.
        """
        from pytorch_lightning.utilities.seed import isolate_rng

        from dlcli.assembly.feature_cache import rehearsed
        from dlcli.assembly.optimization import make_recipe
        from dlcli.assembly.parts import assemble
        from dlcli.formatting import amount
        from dlcli.splits.split import Split
        from dlcli.tasks.facts import target_facts
        from dlcli.training.rehearsal import rehearse

        config, split = self.config, self.splits[0]
        if quick:
            split = Split(split.train, split.val[:0], split.test[:0])

        with isolate_rng():
            targets = target_facts(self.data, split.train) if quick else None  # of few rows, all classes
            parts = assemble(config, self.data, split, config["seed"], targets, _FEW_ROWS if quick else None)
            parts, features = (parts, {}) if quick else rehearsed(config, parts, self.data, split)
            recipe = make_recipe(config, parts.train, config["seed"])
            rehearsal = rehearse(parts.network, parts.task, parts.train, parts.val, recipe)
        free = free_space(Path(config["runs_dir"]))
        if rehearsal.disk_peak > free:
            raise ConfigError(
                f"the checkpoints need {amount(rehearsal.disk_peak)} at a time, {amount(free)} are free",
                where="runs_dir",
                hint="Make room, or record on another disk: --runs-dir DIR.",
            )
        return replace(rehearsal, **features)


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder that need not be there yet."""
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def plan_experiment(
    overrides: Sequence[str],
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    *,
    thorough: bool = False,
    sweeping: bool = False,
    objectives: Sequence[tuple[str, str]] = (),
) -> Experiment:
    """Compose, read the rows, split them, and check all of it.

    A mistake in the configuration is told before the rows are read, which may take long. With `thorough` they are
    read nevertheless, and whatever does not depend on the mistakes is checked too. With `sweeping` the
    section `sweep` stays; `objectives` are the metrics and modes that it names.

    Raises:
        ConfigError: with all that was found.
    """
    from dlcli.assembly.starting_weights import check_weights
    from dlcli.checks.compatibility import find_mistakes
    from dlcli.checks.task_fit import check_monitored
    from dlcli.config.compose import draft
    from dlcli.config.folders import extend_path, user_folders
    from dlcli.config.overrides import quoted
    from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
    from dlcli.config.target_types import with_type_problems

    folders = user_folders(conf_dirs)
    extend_path(folders)
    flags = [f"runs_dir={quoted(str(runs_dir))}"] if runs_dir else []
    asked = [*overrides, *flags]
    found = with_type_problems(draft(asked, folders, SUPPLIED, BY_DATA))
    problems: list[Problem] = list(found.problems)
    if (problems and not thorough) or _unreadable(found):
        raise ConfigError([*problems, *_known_now(found)])
    config = settled(found.composed.config, found.unsound)
    try:
        estimation = plan_estimation(config, folders)
    except DlcliError as error:
        others = [*problems, *_known_now(found)]
        if not others:
            raise
        raise ConfigError([*others, *error.problems]) from error
    if decided := decided_by_data(found.composed, estimation.data):
        # Now that the rows are known, so are task and preprocessing: what was said of them can be judged.
        found = with_type_problems(draft([*asked, *decided], folders, SUPPLIED))
        problems = list(found.problems)
        config = settled(found.composed.config, found.unsound)
        estimation = replace(estimation, config=config)
    judged = (
        estimation.for_choosing() if sweeping else estimation
    )  # a sweep's folds validate by what they hold out
    problems += find_mistakes(config, estimation.data, judged.splits[0], found.unsound, objectives)
    if "model" not in found.unsound:
        problems += check_weights(config, estimation.data, estimation.splits)
    if problems:
        raise ConfigError(problems)
    check_monitored(config, estimation.data, judged.splits)
    if not sweeping:
        del config["sweep"]  # one training's record says nothing of a search
    return Experiment(found.composed, config, folders, estimation)


def _unreadable(found: Draft) -> bool:
    """Whether rows could not be read and split: not for the size of a batch, which comes later."""
    sections = {"dataset", "cv"} & found.unsound
    keys = {problem.where for problem in found.problems if problem.where.split(".")[0] in sections}
    limits = any(problem.where.startswith("trainer.limit_") for problem in found.problems)
    return limits or (bool(sections) and keys != {"dataset.batch_size"})


def _known_now(found: Draft) -> list[Problem]:
    """Mistakes beyond the composed ones that show without any rows."""
    from dlcli.checks.endings import find_endings

    if found.unsound & {"trainer", "callbacks"}:
        return []
    config = found.composed.config
    return list(find_endings({**config, "trainer": _limited(config["trainer"])}))


def decided_by_data(composed: Composed, data: Data) -> list[str]:
    """Overrides for the groups that were left to the data: its task, and the preprocessing that fits rows and model."""
    from dlcli.config.build import TARGET, locate
    from dlcli.config.reserved_keys import BY_DATA

    fitting = {"task": data.target_kind, "preprocessing": _PREPROCESSING[data.kind]}
    if data.target_kind == "forecast":
        fitting["preprocessing"] = "series"
    with suppress(ConfigError):  # a model that cannot be found is reported as that
        model = locate(composed.config["model"].get(TARGET, ""))
        fitting["preprocessing"] = getattr(model, "preprocessing", fitting["preprocessing"])
    return [
        f"{group}={fitting[group]}"
        for group, option in BY_DATA.items()
        if composed.choices.get(group) == option
    ]


def settled(config: dict[str, Any], unsound: Collection[str] = ()) -> dict[str, Any]:
    """The configuration as the run records it: files by their full paths. Sections that are `unsound` stay."""
    from dlcli.assembly.starting_weights import settle_weights
    from dlcli.runs.folder import absolute_paths

    config = absolute_paths(config)
    if "trainer" not in unsound:
        config = {**config, "trainer": _limited(config["trainer"])}
    return config if "model" in unsound else settle_weights(config)


def _limited(trainer: dict[str, Any]) -> dict[str, Any]:
    """The trainer with no more epochs than `limit_epochs`, of which an experiment's own max_epochs knows nothing."""
    most, epochs = trainer.get("limit_epochs"), trainer.get("max_epochs")
    if most is None or (epochs is not None and 0 <= epochs <= most):
        return trainer
    return {**trainer, "max_epochs": most}


def plan_estimation(config: dict[str, Any], folders: Sequence[Path]) -> Estimation:
    """Read the rows, and say what is trained on which of them.

    Raises:
        DlcliError: they cannot be read, or not be split like this.
    """
    from dlcli.checks.compatibility import check_refit
    from dlcli.config.build import build
    from dlcli.cross_validation.estimation import Estimation
    from dlcli.datasets.raw_rows import load_current
    from dlcli.splits.split import check_overlap, limit_splits, thin

    data, strategy = load_current(config["dataset"]), build(config["cv"], where="cv")
    if not hasattr(strategy, "splits") or not hasattr(strategy, "final_test"):
        raise ConfigError(
            f"{config['cv']['_target_']} splits no rows: it has no splits() and final_test()",
            "cv._target_",
            "Choose an option: dlcli list cv.",
        )
    splits, final_test = strategy.splits(data), strategy.final_test(data)
    check_overlap(data, splits)
    rows, folds = (config["trainer"].get(f"limit_{what}") for what in ("rows", "folds"))
    splits, final_test = limit_splits(splits, rows, folds), thin(final_test, rows)
    check_refit(config, splits, final_test)
    return Estimation(config, data, splits, final_test, tuple(str(folder.parent) for folder in folders))
