"""Which runs can go on, and what may change when they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError, Problem
from dlcli.run_folder import DATA_PATHS, OpenedRun, absolute_paths, config_text, open_run
from dlcli.tracking.ledger import atomic_write

# What may differ from the run as it was started: where the data lies, how long, where and how it is trained.
_MAY_CHANGE = (
    *(f"dataset.{key}" for key in DATA_PATHS),
    *(f"trainer.{key}" for key in ("max_epochs", "max_steps", "max_time", "accelerator", "devices")),
    *(f"executor.{key}" for key in ("jobs", "recycle")),
    "tracking.checkpoint_minutes",
    "tracking.keep",
    "tracking.system_metrics",
)

# Where there is a search: not for how long. Trials that were trained for longer than others do not compare.
_MAY_CHANGE_IN_SEARCH = tuple(
    key for key in _MAY_CHANGE if key not in ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
)

# Of a sweep: how many trials, too.
_MAY_CHANGE_IN_SWEEP = ("sweep.trials", "sweep.timeout", "sweep.max_failures", *_MAY_CHANGE_IN_SEARCH)


def searches_in_folds(config: Mapping[str, Any]) -> bool:
    """Whether each fold of a run chooses its own settings: it is planned anew from its words when it goes on."""
    from dlcli.config.build import locate
    from dlcli.splits.nested import Nested

    strategy = locate(config["cv"]["_target_"])
    return isinstance(strategy, type) and issubclass(strategy, Nested)


def open_unfinished(
    run: str, runs_dir: Path, overrides: Sequence[str]
) -> tuple[OpenedRun, dict[str, Any] | None]:
    """The run, or the one that it is a part of, and its configuration; None where nothing is left to do.

    New settings are written into its folder, so that the next resumption knows them too.

    Raises:
        RunNotFound: there is no such run.
        ConfigError: an override would make it another experiment.
    """
    from dlcli.tracking.reconcile import reconcile

    opened = open_run(run, runs_dir)
    while opened.ledger.parent_id is not None:
        opened = open_run(str(opened.folder.parents[1] / opened.ledger.parent_id), runs_dir)
    # Runs whose process is gone get their true end first: it is probably one of them.
    reconcile(Path(opened.ledger.runs_dir))
    opened = open_run(str(opened.folder), runs_dir)
    is_sweep = opened.ledger.kind == "sweep"
    is_nested = not is_sweep and searches_in_folds(opened.config)
    may_change = _MAY_CHANGE_IN_SWEEP if is_sweep else _MAY_CHANGE_IN_SEARCH if is_nested else _MAY_CHANGE
    config = _with_changes(opened.config, overrides, may_change)
    is_short = is_sweep and opened.ledger.result.get("out_of_time", False)
    if opened.ledger.status == "FINISHED" and config == opened.config and not is_short:
        return opened, None
    if config != opened.config:
        # Unfinished before the configuration says more: a kill in between must not leave a run that looks complete.
        opened.ledger.update(status="KILLED")
        atomic_write(opened.folder / "config.yaml", config_text(config))
        if is_sweep or is_nested:  # planned anew from these words, for each of its trials
            words = opened.folder / "overrides.txt"
            atomic_write(words, words.read_text() + "".join(f"{override}\n" for override in overrides))
    return opened, config


def _with_changes(
    config: dict[str, Any], overrides: Sequence[str], may_change: Sequence[str]
) -> dict[str, Any]:
    from omegaconf import OmegaConf

    from dlcli.config.overrides import parse
    from dlcli.config.validate import validate

    settings, problems = parse(overrides)
    problems += [
        Problem(
            "would make it another experiment",
            setting.key,
            f"A run that goes on can change: {', '.join(may_change)}.",
        )
        for setting in settings
        if setting.key not in may_change
    ]
    if problems:
        raise ConfigError(problems)
    merged = OmegaConf.create(config)
    for setting in settings:
        OmegaConf.update(merged, setting.key, setting.value, force_add=True)
    changed: Any = OmegaConf.to_container(merged)
    mistakes = [p for p in validate(changed, set(changed), {}) if p.where in {s.key for s in settings}]
    if mistakes:
        raise ConfigError(mistakes)
    _refuse_beyond_the_schedule(config, changed)
    return absolute_paths(changed)


def _refuse_beyond_the_schedule(config: dict[str, Any], changed: dict[str, Any]) -> None:
    """torch's own schedules of a fixed length keep that length in their state, and fail behind it."""
    from dlcli.config.build import locate
    from dlcli.config.signature import signature

    target = config["scheduler"].get("_target_", "")
    if not target.startswith("torch.") or "total_steps" not in signature(locate(target)).arguments:
        return
    for key in ("max_epochs", "max_steps"):
        before, after = (c["trainer"].get(key) or -1 for c in (config, changed))
        if after > before > 0:
            raise ConfigError(
                f"the schedule ({target.rpartition('.')[2]}) was laid out for {before}, and has no rates behind that",
                f"trainer.{key}",
                f"Train anew with trainer.{key}={after}; model.weights=RUN starts from this run's weights.",
            )
