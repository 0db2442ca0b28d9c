"""Compose a configuration from the shipped and the user's folders and validate all of it in one pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli.config.apply import apply, fill_sections
from dlcli.config.as_written import as_written
from dlcli.config.folders import conflicts, extend_path, groups, options
from dlcli.config.group_choices import Picks, sort
from dlcli.config.hydra_compose import Composition, default_options, group_override
from dlcli.config.keys import Keys
from dlcli.config.model_preprocessing import PREPROCESSING, preprocessing_of_model
from dlcli.config.overrides import Setting, parse
from dlcli.config.own_section import own_section, with_sections
from dlcli.config.plain_secrets import masked_values, move_secrets
from dlcli.config.project import project_settings
from dlcli.config.project_choices import project_choices
from dlcli.config.provenance import COMMAND_LINE, nearest, origins
from dlcli.config.replaced_option import leave_out_replaced
from dlcli.config.reserved_keys import Supplied
from dlcli.config.resolve import resolve, without_copies
from dlcli.config.several_series import NONE_ADDED, SeriesDefaults, lacks_typed_keys, of_several_series
from dlcli.config.validate import validate
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError, Problem


@dataclass(frozen=True)
class Composed:
    """A configuration that has passed every check.

    Attributes:
        config: The resolved configuration, in plain types that JSON can hold.
        choices: Group to chosen option; nested groups are written with a slash.
        overrides: The overrides of the command line.
        composition: What Hydra composed.
        settings: The settings that were applied.
        left_out: Warnings of the settings of files that others replace.
        of_series: The defaults by which several series differ from one.
        replaced: Group to the option that a dataset's or model's file chooses, and a dlcli.yaml replaces.
    """

    config: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]
    composition: Composition
    settings: tuple[Setting, ...]
    left_out: tuple[Problem, ...] = ()
    of_series: SeriesDefaults = NONE_ADDED
    replaced: Mapping[str, str] = field(default_factory=dict)

    def origins(self) -> dict[str, str]:
        """Return the origin of each dotted key's value: `FILE:LINE` or `command line`."""
        return origins(self.composition, self.settings)


@dataclass(frozen=True)
class Merged:
    """A merged configuration, before its values are resolved and validated.

    Attributes:
        composition: What Hydra composed.
        config: A DictConfig with the settings whose keys exist.
        choices: Group to chosen option.
        used: The settings that were applied.
        project: The settings of the folders' `dlcli.yaml` files.
        asked: The settings of the command line.
        overrides: The overrides of the command line.
        supplied: The arguments that dlcli passes itself.
        left_out: Warnings of the settings of files that others replace.
        of_series: The defaults by which several series differ from one.
        replaced: Group to the option that a dataset's or model's file chooses, and a dlcli.yaml replaces.
    """

    composition: Composition
    config: Any
    choices: dict[str, str]
    used: tuple[Setting, ...]
    project: Picks
    asked: Picks
    overrides: tuple[str, ...]
    supplied: Supplied
    left_out: tuple[Problem, ...] = ()
    of_series: SeriesDefaults = NONE_ADDED
    replaced: Mapping[str, str] = field(default_factory=dict)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The user's conf folders."""
        return self.composition.folders

    def keys(self, config: Mapping[str, Any]) -> Keys:
        """Return the keys that a configuration has or may have."""
        return Keys(config, sections=groups(self.folders), supplied=self.supplied)

    def is_left_alone(self, group: str) -> bool:
        """Return whether the keys of a group's section can only come from later files or from the command line."""
        chosen = (*self.project.options, *self.asked.options)
        if any(f"{name}/".startswith(f"{group}/") for name in chosen):
            return False
        if any(setting.key.split(".")[0] == group for setting in self.project.values):
            return False
        places = list(default_options())
        earlier = [place for place in places[: places.index(group)] if place in self.choices]
        return all(own_section(place, self.choices[place], self.folders) for place in earlier)


@dataclass(frozen=True)
class Draft:
    """A configuration as far as it could be composed, together with its mistakes.

    Settings whose keys do not exist are left out. `unsound` holds the names of the sections with a wrong value or
    an option that was guessed; further checks skip them.
    """

    composed: Composed
    problems: tuple[Problem, ...]
    unsound: frozenset[str]
    merged: Merged

    def with_warnings(self, warnings: Sequence[Problem]) -> Draft:
        """Return the draft with further warnings (`left_out`)."""
        told = tuple(dict.fromkeys((*warnings, *self.merged.left_out)))
        composed, merged = replace(self.composed, left_out=told), replace(self.merged, left_out=told)
        return replace(self, composed=composed, merged=merged)


def compose(
    overrides: Sequence[str],
    folders: Sequence[Path] = (),
    supplied: Supplied | None = None,
    by_data: Mapping[str, str] | None = None,
) -> Composed:
    """Compose and validate a configuration.

    Precedence, highest first: command line, experiment, a folder's dlcli.yaml, dataset, model, config.yaml. The
    choices of a model's file rank with the model: above dlcli.yaml if an experiment or the command line names it.

    Args:
        overrides: Overrides in Hydra's grammar.
        folders: The user's conf folders (`user_folders`).
        supplied: The arguments that dlcli passes itself: section to argument to the hint for a user who sets it.
        by_data: Group to the option by which the data decides its section (`task: auto`). While that option is
            chosen, the section is not validated and its keys are not set.

    Raises:
        ConfigError: The configuration is invalid; the error lists every mistake that can be found.
    """
    found = draft(overrides, folders, supplied, by_data)
    if found.problems:
        raise ConfigError(found.problems)
    return found.composed


def draft(
    overrides: Sequence[str],
    folders: Sequence[Path] = (),
    supplied: Supplied | None = None,
    by_data: Mapping[str, str] | None = None,
) -> Draft:
    """Compose and validate as `compose` does, but return the mistakes together with what could be composed.

    Raises:
        ConfigError: Nothing could be composed: a file cannot be read, or two folders hold the same option.
    """
    folders = tuple(folders)
    if problems := conflicts(folders):
        raise ConfigError(problems)  # all further checks depend on which of the files is used
    extend_path(folders)
    return _draft(overrides, folders, supplied, by_data or {}, None)


def _draft(
    overrides: Sequence[str],
    folders: tuple[Path, ...],
    supplied: Supplied | None,
    by_data: Mapping[str, str],
    of_series: SeriesDefaults | None,
) -> Draft:
    """Return what `draft` returns; `of_series` is None until the defaults of several series are known."""
    settings, problems = parse(overrides)
    settings += of_series.settings(folders) if of_series and of_series.words else []
    # Keys whose values cannot be read exist: do not report them as missing.
    unread = {problem.where.partition("=")[0].lstrip("+") for problem in problems}
    defaults = default_options()
    project = sort(project_settings(folders), folders, defaults)
    asked = sort(settings, folders, defaults)
    choosing = project_choices(project, asked, folders)
    project = choosing.picks
    problems += [*project.problems, *asked.problems]
    named = tuple(group_override(group, option) for group, option in asked.options.items())
    composition = Composition(folders, project.options, {}, named)
    chosen = {**defaults, **project.options, **asked.options}
    files = [
        file
        for group, option in chosen.items()
        for name, file in options(group, folders).items()
        if name == option
    ]
    try:
        keys_of = partial(Keys, sections=groups(folders), supplied=supplied or {})
        composition, config, choices, used = apply(
            composition, project, asked, keys_of, files, problems, by_data
        )
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    if (fitting := preprocessing_of_model(choices, folders)) and PREPROCESSING not in {
        **project.options,
        **asked.options,
    }:
        found = _draft([*overrides, f"{PREPROCESSING}={fitting}"], folders, supplied, by_data, of_series)
        return found.with_warnings(choosing.left_out)
    if of_series is None and (more := of_several_series(config, choices, (project, asked))):
        again = partial(_draft, overrides, folders, supplied, by_data)
        found = again(SeriesDefaults(more))
        typed = [setting.key for picks in (project, asked) for setting in picks.values]
        before = {problem.where for problem in problems}
        kept_for = lacks_typed_keys((problem.where for problem in found.problems), before, typed)
        if not kept_for or "model" in {*project.options, *asked.options}:
            return found
        kept = of_several_series(config, choices, (project, asked), keep_model=True)
        return again(SeriesDefaults(kept, kept_for))
    merged = Merged(
        *(composition, config, choices, tuple(used), project, asked, tuple(overrides), supplied or {}),
        of_series=of_series or NONE_ADDED,
        replaced=choosing.replaced,
    )
    merged = replace(merged, left_out=(*choosing.left_out, *_left_out(merged)))
    return _validated(merged, problems, by_data, unread)


def with_decided(found: Draft, decided: Mapping[str, str]) -> Draft:
    """Return a draft with the options that the data has decided (`task: auto`).

    Their sections are filled from the options' files. The configuration is composed again only if the result could
    differ: if there are mistakes, if the user chooses options of these groups or sets their keys in dlcli.yaml, if an
    option's file sets other sections too, or if its content cannot be merged below that of other files
    (`OwnSection.fills`).

    Args:
        found: A draft that was composed with `by_data`.
        decided: Group to option.
    """
    merged, sections, choices = found.merged, {}, {**found.merged.choices}
    plain: Any = OmegaConf.to_container(merged.config, resolve=False)
    for group, option in decided.items():
        own = own_section(group, option, merged.folders)
        fills = own is not None and own.fills(group, plain, merged.choices)
        if own is not None and fills and not found.problems and merged.is_left_alone(group):
            sections[group] = own.content
            choices |= own.choices
    if len(sections) < len(decided):
        texts = (f"{group}={option}" for group, option in decided.items())
        again = draft([*merged.overrides, *texts], merged.folders, merged.supplied)
        return again.with_warnings(merged.left_out)
    config, problems = OmegaConf.create(with_sections(plain, decided)), list[Problem]()
    used = fill_sections(config, sections, merged.asked, merged.keys, problems)
    chosen = tuple(group_override(group, option) for group, option in decided.items())
    done = replace(
        merged,
        composition=replace(
            merged.composition, group_overrides=(*merged.composition.group_overrides, *chosen)
        ),
        config=config,
        choices=choices,
        used=(*merged.used, *used),
        overrides=(*merged.overrides, *(f"{group}={option}" for group, option in decided.items())),
    )
    return _validated(done, problems, {}, set())


def _validated(
    merged: Merged, problems: list[Problem], by_data: Mapping[str, str], unread: Collection[str]
) -> Draft:
    """Resolve and validate a configuration. `problems` are those found so far; keys in `unread` are not missing."""
    config, choices, used, project, asked = (
        merged.config,
        merged.choices,
        merged.used,
        merged.project,
        merged.asked,
    )
    folders, supplied = merged.folders, merged.supplied
    for group, option in default_options().items():
        if option is not None and "/" not in group and group not in config:
            config[group] = {}  # an option whose file holds only comments
    for group, option in asked.options.items():
        if group in config and _leaves_out(group, option, asked, folders):
            config[group] = {}  # drops the keys that an experiment sets for its own option
    values, open_ends = resolve(config)
    reported = {problem.where for problem in (*problems, *open_ends)}
    unsure = project.unsure | asked.unsure
    unsure |= {group for group, option in by_data.items() if choices.get(group) == option}
    sections = {group.split("/")[0] for group in groups(folders)}
    invalid = list(validate(values, sections, supplied))
    found = [
        problem
        for problem in (*open_ends, *invalid)
        if (problem in open_ends or problem.where not in reported)
        and problem.where.split(".")[0] not in unsure
        and problem.where not in unread
    ]
    found = without_copies(config, found) if len(found) > 1 else found
    values = move_secrets(as_written(config, values))
    problems += masked_values(values)
    typed = {setting.key for setting in used if not setting.source}
    # A mapping counts as typed if one of its keys was: dataset.types.zip.
    typed |= {problem.where for problem in found if any(key.startswith(f"{problem.where}.") for key in typed)}
    known = origins(merged.composition, used) if any(problem.where not in typed for problem in found) else {}
    problems += [problem if problem.where in typed else _placed(problem, known) for problem in found]
    return Draft(
        Composed(
            *(values, choices, merged.overrides, merged.composition, used, merged.left_out, merged.of_series),
            merged.replaced,
        ),
        tuple(dict.fromkeys(problems)),
        # Including problems that are not shown because another problem of the same key is.
        frozenset(unsure | {problem.where.split(".")[0] for problem in (*found, *invalid)}),
        merged,
    )


def _left_out(merged: Merged) -> tuple[Problem, ...]:
    """Remove an experiment's keys for options that the command line replaces; return their warnings."""
    if merged.choices.get("experiment") is None:
        return ()  # saves reading the origins
    typed = [setting.key for setting in merged.asked.values]
    known = origins(merged.composition, merged.used)
    return leave_out_replaced(merged.config, merged.asked.options, typed, known, merged.folders)


def _leaves_out(group: str, option: Any, asked: Picks, folders: Sequence[Path]) -> bool:
    """Return whether the command line sets `group=none` and none of the group's keys."""
    file = options(group, folders).get(option) if isinstance(option, str) else None
    keys = {setting.key.split(".")[0] for setting in asked.values}
    return file is not None and not read(file) and group not in keys


def _placed(problem: Problem, known: dict[str, str]) -> Problem:
    origin = nearest(problem.where, known)
    if origin and origin != COMMAND_LINE:
        return replace(problem, message=f"{problem.message} ({origin})")
    return problem
