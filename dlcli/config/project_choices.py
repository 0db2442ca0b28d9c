"""Which options of dlcli.yaml files apply where files of datasets and models choose options of other groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcli.config.folders import PROJECT_FILE, folder_above
from dlcli.config.group_choices import Picks
from dlcli.config.hydra_compose import Composition, choosing_files, default_options, group_override
from dlcli.config.model_preprocessing import PREPROCESSING, preprocessing_of_model
from dlcli.config.pasted import pasted
from dlcli.config.project import project_settings
from dlcli.config.replaced_option import leave_out_of_project
from dlcli.config.solver_names import is_solver, why_without_steps
from dlcli.errors import Problem
from dlcli.formatting import shell_line

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
    unused = () if folders or (place := folder_above()) is None else (_unused(place),)
    instead, replaced = _decided(project, asked, folders)
    above = {**instead, **asked.options}
    options = {group: option for group, option in project.options.items() if group not in above}
    chosen = {group: option for group, (option, _) in instead.items()}
    of_others = _chosen_by_others(options, asked, folders) if project.options or project.values else {}
    kept, left_out = leave_out_of_project(project, {**of_others, **chosen, **asked.options}, folders)
    if is_solver(solver := of_others.get("optimizer", ""), folders):
        options, kept, without = _without_steps(solver, options, kept, asked, folders)
        left_out += without
    warnings = [
        _warning(group, project.options[group], option, file, folders)
        for group, (option, file) in instead.items()
        if project.options[group] != option and not file.startswith("experiment/")
    ]
    return ProjectChoices(replace(kept, options=options), replaced, (*unused, *warnings, *left_out))


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


def _unused(folder: Path) -> Problem:
    return Problem(
        "is not used: the current folder lies below that of the project",
        str(folder / PROJECT_FILE),
        f"Run the command in {folder.parent}, where its runs are too, or add {shell_line('-C', str(folder))}.",
    )


def _chosen_by_others(options: Mapping[str, Any], asked: Picks, folders: Sequence[Path]) -> dict[str, str]:
    """Return the options that the command line chooses, itself or by the files of its options.

    Args:
        options: options of the project that apply.
        asked: settings of the command line.
        folders: the user's conf folders.
    """
    known = default_options()
    named = tuple(group_override(group, option) for group, option in asked.options.items() if group in known)
    mine = {group: option for group, option in options.items() if group in known}
    try:
        chosen, files = choosing_files(Composition(tuple(folders), mine, {}, named))
    except Exception:  # composing reports it
        return {}
    ours = {group for group, option in mine.items() if chosen.get(group) == option}

    def is_by_others(group: str) -> bool:
        by = files.get(group)
        if by is None:  # by config.yaml, or by the file of the group above, as for task/loss
            return "/" in group and is_by_others(group.rpartition("/")[0])
        return not by or (group not in ours and is_by_others(by.partition("/")[0]))

    return {group: option for group, option in chosen.items() if is_by_others(group)}


def _without_steps(
    solver: str, options: Mapping[str, Any], kept: Picks, asked: Picks, folders: Sequence[Path]
) -> tuple[dict[str, Any], Picks, tuple[Problem, ...]]:
    """Return options and settings without those that only concern the steps of an optimizer, with their warnings."""
    typed = {*asked.options, *(setting.key.split(".")[0] for setting in asked.values)} - {"trainer"}
    settings = {one.key: one for one in project_settings(folders)}
    reasons = {
        key: why
        for key, value in {**options, **{one.key: one.value for one in kept.values}}.items()
        if key.split(".")[0] not in typed and (why := why_without_steps(key, value))
    }
    warnings = tuple(
        Problem(
            f"is left out: {pasted('optimizer', solver)} solves on all rows and {why} ({settings[key].source})",
            pasted(key, settings[key].value) if key in options else key,
            "It is used by models that are trained by steps, such as model=mlp.",
        )
        for key, why in reasons.items()
    )
    left = {group: option for group, option in options.items() if group not in reasons}
    return left, replace(kept, values=[one for one in kept.values if one.key not in reasons]), warnings


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
