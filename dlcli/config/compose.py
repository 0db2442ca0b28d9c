"""Compose a configuration from the shipped and the user's folders and check all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.folders import conflicts, extend_path, groups, options
from dlcli.config.keys import Keys
from dlcli.config.mistakes import explain
from dlcli.config.overrides import Setting, leaves, parse
from dlcli.config.picks import Picks, sort
from dlcli.config.primary import Plan, default_options, group_override, merge
from dlcli.config.project import project_settings
from dlcli.config.provenance import COMMAND_LINE, nearest, origins
from dlcli.config.resolve import resolve
from dlcli.config.validate import Supplied, validate
from dlcli.errors import ConfigError, Problem


@dataclass(frozen=True)
class Composed:
    """A configuration that has passed every check.

    `config` is resolved, in plain JSON-able types. `choices` tells the option of each group (nested groups
    with a slash), `overrides` what was asked for.
    """

    config: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]
    plan: Plan
    settings: tuple[Setting, ...]

    def origins(self) -> dict[str, str]:
        """Dotted key to the place that its value came from: `FILE:LINE`, or `command line`."""
        return origins(self.plan, self.settings)


def compose(
    overrides: Sequence[str], folders: Sequence[Path] = (), supplied: Supplied | None = None
) -> Composed:
    """Compose and check. `folders` are the user's own (`user_folders`).

    `supplied` names the arguments that dlcli passes itself: section to argument to a hint for who tries to
    set it. Precedence: command line, experiment, a folder's dlcli.yaml, dataset, config.yaml. Raises one
    ConfigError with every mistake that can be found.
    """
    folders = tuple(folders)
    if problems := conflicts(folders):
        raise ConfigError(problems)  # which file is meant decides about everything that follows
    extend_path(folders)
    settings, problems = parse(overrides)
    defaults = default_options()
    project = sort(project_settings(folders), folders, defaults)
    asked = sort(settings, folders, defaults)
    problems += [*project.problems, *asked.problems]
    plan = Plan(folders, project.options, {}, _group_overrides(asked))
    chosen = {**defaults, **project.options, **asked.options}
    files = [
        file
        for group, option in chosen.items()
        for name, file in options(group, folders).items()
        if name == option
    ]
    try:
        plan, config, choices, used = _apply(plan, project, asked, groups(folders), files, problems)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    for group, option in defaults.items():
        if option is not None and group not in config:
            config[group] = {}  # an option whose file holds nothing but comments
    values, open_ends = resolve(config)
    reported = {problem.where for problem in (*problems, *open_ends)}
    unsure = project.unsure | asked.unsure
    sections = {group.split("/")[0] for group in groups(folders)}
    found = [
        problem
        for problem in (*open_ends, *validate(values, sections, supplied or {}))
        if (problem in open_ends or problem.where not in reported)
        and problem.where.split(".")[0] not in unsure
    ]
    if found:
        known = origins(plan, used)
        problems += [_placed(problem, known) for problem in found]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Composed(values, choices, tuple(overrides), plan, tuple(used))


def _group_overrides(asked: Picks) -> tuple[str, ...]:
    return tuple(group_override(group, option) for group, option in asked.options.items())


def _apply(
    plan: Plan,
    project: Picks,
    asked: Picks,
    group_names: Sequence[str],
    files: Sequence[Path],
    problems: list[Problem],
) -> tuple[Plan, Any, dict[str, str], list[Setting]]:
    """Merge the groups, then those values whose keys exist; the other keys are added to the problems."""
    from omegaconf import OmegaConf

    plan, config, choices = _merge(plan, files)
    used: list[Setting] = []
    if project.values:
        good = _existing(project, config, group_names, problems)
        plan = replace(plan, project_values={setting.key: setting.value for setting in good})
        plan, config, choices = _merge(plan, files)
        used += good
    good = _existing(asked, config, group_names, problems, project.unsure)
    for setting in good:
        if setting.kind == "delete":
            continue
        try:
            # What Hydra itself does for ++key=value.
            OmegaConf.update(config, setting.key, setting.value, merge=True, force_add=True)
        except Exception as error:  # a broken ${...}, a value where a mapping is
            problems.append(explain(error, setting.key))
    for setting in good:
        if setting.kind == "delete":
            parent, _, last = setting.key.rpartition(".")
            node = OmegaConf.select(config, parent) if parent else config
            if node is not None and last in node:
                del node[last]
    return plan, config, choices, used + [setting for setting in good if setting.kind != "delete"]


def _merge(plan: Plan, files: Sequence[Path]) -> tuple[Plan, Any, dict[str, str]]:
    """Compose; a group that no defaults list has is appended, which Hydra wants to be told."""
    appended: set[str] = set()
    while True:
        try:
            return plan, *merge(plan)
        except Exception as error:  # Hydra, OmegaConf and PyYAML each raise their own
            fresh = [
                text
                for text in plan.group_overrides
                if f"Could not override '{text.partition('=')[0]}'. No match in the defaults list"
                in str(error)
            ]
            if not fresh or fresh[0] in appended:
                raise ConfigError(explain(error, files=files)) from error
            appended.update(fresh)
            texts = tuple(f"+{text}" if text in fresh else text for text in plan.group_overrides)
            plan = replace(plan, group_overrides=texts)


def _existing(
    picks: Picks,
    config: Any,
    group_names: Sequence[str],
    problems: list[Problem],
    also_unsure: set[str] | frozenset[str] = frozenset(),
) -> list[Setting]:
    """The settings whose keys exist in the configuration or in a target's signature."""
    from omegaconf import OmegaConf

    wanted = [leaf for setting in picks.values for leaf in leaves(setting)]
    # A replaced target decides which other keys there are.
    wanted.sort(key=lambda setting: setting.key.rpartition(".")[2] != TARGET)
    unsure = picks.unsure | also_unsure
    draft = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    good: list[Setting] = []
    for setting in wanted:
        section = setting.key.split(".")[0]
        if section in unsure or "experiment" in unsure:
            continue
        plain: Any = OmegaConf.to_container(draft, resolve=False)
        keys = Keys(plain, group_names)
        if problem := keys.check(setting):
            problems.append(problem)
            continue
        good.append(setting)
        if setting.key.rpartition(".")[2] == TARGET:
            OmegaConf.update(draft, setting.key, setting.value, merge=True, force_add=True)
    return good


def _placed(problem: Problem, known: dict[str, str]) -> Problem:
    origin = nearest(problem.where, known)
    if origin and origin != COMMAND_LINE:
        return replace(problem, message=f"{problem.message} ({origin})")
    return problem
