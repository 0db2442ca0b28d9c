"""Which options of dlcli.yaml files apply where files of datasets and models choose options of other groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcli.config.group_choices import Picks
from dlcli.config.hydra_compose import Composition, choosing_files, default_options, group_override
from dlcli.config.model_preprocessing import PREPROCESSING, preprocessing_of_model
from dlcli.config.pasted import pasted
from dlcli.config.project import project_settings
from dlcli.config.replaced_option import leave_out_of_project
from dlcli.errors import Problem

# Groups whose options decide what other files choose.
_CHOOSING = ("dataset", "experiment", "effort")


@dataclass(frozen=True)
class ProjectChoices:
    """The settings of dlcli.yaml files that apply.

    Attributes:
        picks: the settings.
        replaced: group to the option that a file would choose without the project's, which applies.
        left_out: warnings of the settings that do not apply.
    """

    picks: Picks
    replaced: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[Problem, ...] = ()


def project_choices(project: Picks, asked: Picks, folders: Sequence[Path]) -> ProjectChoices:
    """Return the settings of dlcli.yaml files that apply.

    An option of dlcli.yaml takes precedence over one that the file of a dataset suggests, and over one that belongs to
    a model, unless the command line or an experiment names this model: then the model comes with its own optimizer, for
    example, without which some cannot be trained.

    Args:
        project: settings of the folders' dlcli.yaml files.
        asked: settings of the command line.
        folders: the user's conf folders.
    """
    instead, replaced = _decided(project, asked, folders)
    above = {**instead, **asked.options}
    options = {group: option for group, option in project.options.items() if group not in above}
    chosen = {group: option for group, (option, _) in instead.items()}
    kept, left_out = leave_out_of_project(project, {**chosen, **asked.options}, folders)
    warnings = [
        _warning(group, project.options[group], option, file, folders)
        for group, (option, file) in instead.items()
        if project.options[group] != option and not file.startswith("experiment/")
    ]
    return ProjectChoices(replace(kept, options=options), replaced, (*warnings, *left_out))


def _decided(
    project: Picks, asked: Picks, folders: Sequence[Path]
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Return the options that files choose: those that apply, with their files, and those that the project replaces."""
    known = default_options()
    # Sections below a group do not choose; Hydra requires them to be in a defaults list.
    named = tuple(group_override(group, option) for group, option in asked.options.items() if group in known)
    deciding = {group: project.options[group] for group in _CHOOSING if group in project.options}
    wanted = [
        group for group in project.options if group in known and group not in (*asked.options, *_CHOOSING)
    ]
    if not wanted:
        return {}, {}
    try:
        options, files = choosing_files(Composition(tuple(folders), deciding, {}, named))
    except Exception:  # composing reports it
        return {}, {}
    if fitting := preprocessing_of_model(options, folders):
        options, files = (
            {**options, PREPROCESSING: fitting},
            {**files, PREPROCESSING: f"model/{options['model']}"},
        )
    instead: dict[str, tuple[str, str]] = {}
    replaced: dict[str, str] = {}
    for group in wanted:
        by = files.get(group, "").partition("/")[0]
        if not by:
            continue
        if by == "experiment" or (by != "dataset" and _is_named(by, files)):
            instead[group] = options[group], files[group]
        elif options[group] != project.options[group]:
            replaced[group] = options[group]
    return instead, replaced


def _is_named(group: str, files: Mapping[str, str]) -> bool:
    """Return whether the command line or an experiment names a group's option."""
    if group not in files:
        return False
    by = files[group].partition("/")[0]
    return by in ("", "experiment") or (by != "dataset" and _is_named(by, files))


def _warning(group: str, mine: Any, option: str, file: str, folders: Sequence[Path]) -> Problem:
    source = next(one.source for one in project_settings(folders) if one.key == group)
    by = "=".join(file.rsplit("/", 1))
    return Problem(
        f"is not used: {by} comes with {pasted(group, option)} ({source})",
        pasted(group, mine),
        f"To use it, add {pasted(group, mine)} to the command.",
    )
