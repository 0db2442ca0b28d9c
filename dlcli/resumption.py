"""Resume runs: which ones can continue, and what may change when they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli.checks.extension import find_length_problems
from dlcli.checks.trainer import find_refused
from dlcli.config.environment import check_set, reads_environment
from dlcli.config.next_command import resume_command
from dlcli.config.overrides import parse
from dlcli.config.pasted import quoted
from dlcli.config.plain_secrets import move_secrets, words_text
from dlcli.config.recorded_config import check_values
from dlcli.config.validate import validate
from dlcli.cross_validation.children import descendants, families
from dlcli.cross_validation.chosen_settings import searches_in_folds
from dlcli.datasets.raw_rows import DATA_PATHS
from dlcli.errors import ConfigError, CorruptRun, InputError, NotSet, Problem
from dlcli.files.paths import resolved, typed
from dlcli.formatting import counted, number
from dlcli.gate.documents import read_text
from dlcli.gate.seal import seal_change
from dlcli.gate.vouching import CODE, CONF_DIRS_FILE, CONFIG_FILE, OVERRIDES_FILE
from dlcli.runs.code_changes import CODE_TAG, listings
from dlcli.runs.divergence import divergence, way_out
from dlcli.runs.folder import OpenedRun, absolute_paths, config_text, open_run, recorded_epochs
from dlcli.runs.recorded import check_subfolders, read_split, read_words
from dlcli.tracking.amend import locked_ledger
from dlcli.tracking.digests import check_recorded, replace_recorded
from dlcli.tracking.history import HISTORY_FILE, is_recorded
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_inputs import Shown
from dlcli.tracking.mlflow_tags import CHANGED_TAG
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.resume_target import check_places
from dlcli.training.restoration import check_checkpoints

NOTHING_LEFT = "The run is finished: there is nothing to do."

# Keys that may change when a run is resumed: the location of the data, the length of training, hardware and executor,
# and the baseline of trees, which may be left out.
_MAY_CHANGE = (
    *(f"dataset.{key}" for key in DATA_PATHS),
    *(f"trainer.{key}" for key in ("max_epochs", "max_steps", "max_time", "accelerator", "devices")),
    *(f"executor.{key}" for key in ("jobs", "stack", "recycle", "job_timeout", "silence")),
    "tracking.checkpoint_minutes",
    "tracking.keep",
    "tracking.system_metrics",
    "baseline",
)

# In a search, the length of training may not change, because trials would not be comparable.
_MAY_CHANGE_IN_SEARCH = tuple(
    key
    for key in _MAY_CHANGE
    if key not in ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "baseline")
)

# In a sweep, the number of trials and the time limits may change as well.
_MAY_CHANGE_IN_SWEEP = (
    *(f"sweep.{key}" for key in ("trials", "timeout", "trial_timeout", "max_failures", "ensemble")),
    *_MAY_CHANGE_IN_SEARCH,
)


@dataclass(frozen=True)
class Resumption:
    """The plan to resume a run, with changed settings.

    Attributes:
        opened: the recorded run.
        config: the configuration with which it continues.
        words: recorded and new overrides, from which a search is planned again.
        code: path and content of files of the user's code that have changed.
    """

    opened: OpenedRun
    config: dict[str, Any]
    words: tuple[str, ...]
    code: Mapping[str, bytes] = field(default_factory=dict)

    def record(self) -> None:
        """Record the changes in the run's folder, so that they remain in effect.

        Raises:
            InputError: another process records the run; nothing was changed.
        """
        folder, tags = self.opened.folder, self._tags()
        is_same = self.config == self.opened.config and tags.items() <= self.opened.ledger.tags.items()
        if is_same and not self.code:
            return
        with locked_ledger(folder) as ledger:
            # The status is changed first and the configuration last: after a kill in between, the run has the state
            # of a stopped run, and can be resumed.
            recorded = self.opened.claim.recorded()
            files = {
                **({CONF_DIRS_FILE: "".join(f"{path}\n" for path in recorded)} if recorded else {}),
                OVERRIDES_FILE: words_text(self.words),
                CONFIG_FILE: config_text(self.config),
            }
            for name, content in files.items():
                seal_change(folder, name, read_text(folder / name), content)
            if self.code:
                seal_change(folder, CODE, *listings(folder, self.code))
                tags[CODE_TAG] = ", ".join(sorted(self.code))
            code = {f"{CODE}/{name}": content for name, content in self.code.items()}
            for name in code:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace_recorded(ledger, {**code, **files}, status="KILLED", tags={**ledger.tags, **tags})

    def _tags(self) -> dict[str, str]:
        """Return tags with the changed settings, since MLflow's params cannot be changed.

        Settings that already have such a tag get it again, since a kill may have separated a tag from its setting.
        """
        before, after = (Shown.of(config, ()).params for config in (self.opened.config, self.config))
        tags = {f"{CHANGED_TAG}.{key}": (before.get(key), value) for key, value in after.items()}
        tagged = self.opened.ledger.tags
        return {tag: now for tag, (then, now) in tags.items() if now != then or tag in tagged}


def open_whole(
    run: str,
    runs_dir: Path,
    conf_dirs: Sequence[Path] = (),
    *,
    trust: bool = False,
    overrides: Sequence[str] = (),
) -> OpenedRun:
    """Open a run's outermost parent, or the run itself, after recording the end of runs whose process has ended.

    Raises:
        RunNotFound: there is no such run.
    """
    opened = open_run(run, runs_dir)
    seen = {opened.ledger.run_id}
    while opened.ledger.parent_id is not None:
        if opened.ledger.parent_id in seen:
            raise CorruptRun("the run is a child run of itself", str(opened.folder), "Copy the folder again.")
        seen.add(opened.ledger.parent_id)
        opened = open_run(str(opened.ledger.sibling(opened.ledger.parent_id)), runs_dir)
    check_places([opened.ledger, *descendants(opened.ledger)])
    status = opened.ledger.status
    reconcile(opened.ledger.runs_dir)  # this run is probably one of them
    settled = open_run(str(opened.folder), runs_dir, conf_dirs, trust=trust, overrides=overrides)
    return replace(
        settled, notes=opened.notes, was_cut_off=status == "RUNNING" and settled.ledger.status == "KILLED"
    )


def how_far(opened: OpenedRun) -> str:
    """Return a message on how a run ended and on its progress (for a sweep, its own messages report the trials)."""
    ledger, config = opened.ledger, opened.config
    ends = {"FINISHED": "had finished", "FAILED": "had failed", "KILLED": "had been stopped"}
    end = "had been killed" if opened.was_cut_off else ends.get(ledger.status, "had not ended")
    ending = f"{ledger.run_name} {end}."
    if ledger.kind == "sweep":
        return ending
    if ledger.kind == "cv":
        known = families(ledger).get(ledger.run_id, {})
        folds = [Ledger.load(folder) for place, folder in known.items() if place.startswith("fold")]
        done = sum(fold.status == "FINISHED" for fold in folds)
        return f"{ending} {done} of {counted(len(folds), 'fold')} {'is' if done == 1 else 'are'} done."
    epochs, monitor = recorded_epochs(opened.folder), config["monitor"]
    values = [epoch[monitor] for epoch in epochs if monitor in epoch]
    best = (
        f", the best {monitor} {number((min if config['mode'] == 'min' else max)(values))}" if values else ""
    )
    return f"{ending} {counted(len(epochs), 'epoch')} {'is' if len(epochs) == 1 else 'are'} recorded{best}."


def plan_resumption(opened: OpenedRun, overrides: Sequence[str]) -> Resumption | None:
    """Return the plan to resume a run, or None if nothing is left to do. Nothing is written.

    Raises:
        ConfigError: an override would make it another experiment.
        InputError: it is an unfinished ensemble or one to be changed, or the run would diverge again.
    """
    check_subfolders(opened.folder)
    if opened.ledger.kind == "ensemble":
        if opened.ledger.status == "FINISHED" and not overrides:
            return None
        hint = f"Select again: {resume_command(opened.ledger)}"
        raise InputError("is an ensemble, which is not trained further", opened.ledger.run_name, hint)
    is_sweep = opened.ledger.kind == "sweep"
    is_nested = not is_sweep and searches_in_folds(opened.config)
    may_change = _MAY_CHANGE_IN_SWEEP if is_sweep else _MAY_CHANGE_IN_SEARCH if is_nested else _MAY_CHANGE
    config = _with_changes(opened.config, overrides, may_change, opened.folder / CONFIG_FILE)
    is_short = is_sweep and opened.ledger.result.get("out_of_time", False)
    if opened.ledger.status == "FINISHED" and config == opened.config and not is_short:
        return None
    _check_divergence(opened, config)
    is_open = opened.ledger.kind == "run" and opened.ledger.status != "FINISHED"
    done = _epochs_done(opened.ledger)
    run = opened.ledger.run_id
    problems = list(find_length_problems(opened.config, config, done, is_open=is_open, run=run))
    baseline = config.get("baseline")
    if baseline not in (opened.config.get("baseline"), "none"):
        # Finished folds are not changed, and have no trees.
        message = f"would make it another experiment: {baseline} is grown from the start of a run"
        problems.append(Problem(message, "baseline", "When a run is resumed, it can become baseline=none."))
    if problems := [*problems, *find_refused(config)]:
        raise ConfigError(problems)
    _check_files(opened.ledger)
    words = relocated_words(read_words(opened.ledger), opened.config["dataset"])
    return Resumption(opened, config, (*words, *overrides))


def _check_divergence(opened: OpenedRun, config: Mapping[str, Any]) -> None:
    """Refuse to resume a run that diverged if neither the trainer, the data nor the executor changes.

    Raises:
        InputError: it would diverge again at the same step.
    """
    is_same = all(
        _without_ends(config[section]) == _without_ends(opened.config[section])
        for section in ("trainer", "dataset", "executor")
    )
    if is_same and (diverged := divergence(opened.ledger)):
        message = f"its {diverged}, and the same steps would probably end there again"
        raise InputError(message, opened.ledger.run_name, way_out(opened.ledger, opened.config))


def _without_ends(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section without the keys that only decide when training ends, after the same steps."""
    return {
        key: value for key, value in section.items() if key not in ("max_epochs", "max_time", "max_steps")
    }


def _epochs_done(ledger: Ledger) -> int:
    """Return the number of epochs that a run, or any of its folds, has completed."""
    return max(len(recorded_epochs(member.run_dir)) for member in (ledger, *descendants(ledger)))


def relocated_words(words: Sequence[str], dataset: Mapping[str, Any]) -> Iterator[str]:
    """Yield the recorded overrides, with the current location of the data."""
    for word in words:
        settings, _ = parse([word])
        section, _, key = settings[0].key.partition(".") if settings else ("", "", "")
        now = dataset.get(key) if section == "dataset" and key in DATA_PATHS else None
        is_there = now is None or str(resolved(typed(str(settings[0].value)))) == now
        yield word if is_there else f"{word.partition('=')[0]}={quoted(str(now))}"


def _check_files(ledger: Ledger) -> None:
    """Check the files that training continues from; folds check theirs when they start.

    Raises:
        CorruptRun: a file differs from what was recorded.
    """
    if ledger.kind == "run" and not is_recorded(ledger.run_dir):
        read_split(ledger)
        check_recorded(ledger, HISTORY_FILE)
        check_checkpoints(ledger)


def _with_changes(
    config: dict[str, Any], overrides: Sequence[str], may_change: Sequence[str], file: Path
) -> dict[str, Any]:
    settings, problems = parse(overrides)
    # Values from the environment are not recorded; they may be given again, also by another variable.
    from_outside = {s.key for s in settings if reads_environment(_at(config, s.key))}
    if not any(key.startswith("sweep.") for key in may_change):
        of_sweeps = [setting for setting in settings if setting.key.startswith("sweep.")]
        settings = [setting for setting in settings if setting not in of_sweeps]
        hint = "Leave it out: only a sweep has trials."
        problems += [Problem("the run is not a sweep", setting.key, hint) for setting in of_sweeps]
    problems += [
        Problem(
            "would make it another experiment",
            setting.key,
            f"When a run is resumed, these can change: {', '.join(may_change)}.",
        )
        for setting in settings
        if setting.key not in may_change and setting.key not in from_outside
    ]
    if problems:
        raise ConfigError(problems)
    check_values(config, file)
    merged = OmegaConf.create(config)
    for setting in settings:
        OmegaConf.update(merged, setting.key, setting.value, force_add=True)
    most, epochs = (merged.trainer.get(key) for key in ("limit_epochs", "max_epochs"))
    if isinstance(most, int) and isinstance(epochs, int) and not 0 <= epochs <= most:
        merged.trainer.limit_epochs = epochs if epochs > 0 else None  # the limit of trainer=debug is lifted
    changed: Any = move_secrets(OmegaConf.to_container(merged))  # type: ignore[arg-type]
    if unset := check_set(changed):
        raise NotSet(unset)
    mistakes = [p for p in validate(changed, set(changed), {}) if p.where in {s.key for s in settings}]
    if mistakes:
        raise ConfigError(mistakes)
    return absolute_paths(changed)


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config
