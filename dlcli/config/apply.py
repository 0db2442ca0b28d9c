"""Merge the groups with Hydra, then set the values whose keys exist and report the keys that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli.config.build import TARGET
from dlcli.config.folders import options
from dlcli.config.group_choices import Picks
from dlcli.config.hydra_compose import Composition, merge
from dlcli.config.hydra_problems import problem_of
from dlcli.config.keys import Keys
from dlcli.config.metric_section import GROUP
from dlcli.config.overrides import Setting, leaves
from dlcli.config.yaml_file import read
from dlcli.errors import Problem

# A function that returns the keys of a configuration, given the groups and the arguments that dlcli supplies.
KeysOf = Callable[[Mapping[str, Any]], Keys]


def apply(
    composition: Composition,
    project: Picks,
    asked: Picks,
    keys_of: KeysOf,
    files: Sequence[Path],
    problems: list[Problem],
    by_data: Mapping[str, str],
) -> tuple[Composition, Any, dict[str, str], list[Setting]]:
    """Merge the groups, then set the values whose keys exist; unknown keys are added to `problems`.

    Args:
        composition: What Hydra composes.
        project: Settings of the folders' `dlcli.yaml` files.
        asked: Settings of the command line.
        keys_of: Returns the keys of a configuration.
        files: YAML files of the chosen options; a mistake in one of them is reported with its line.
        problems: The list that mistakes are appended to.
        by_data: Group to the option whose section is determined by the data. Keys of these sections are skipped.

    Returns:
        The composition as Hydra accepted it, the configuration, the chosen options and the settings that were applied.
    """
    composition, config, choices = merge(composition, files)
    folders = composition.folders
    used: list[Setting] = []
    _fill_metrics(config, [*project.values, *asked.values], folders)
    undecided = {group for group, option in by_data.items() if choices.get(group) == option}
    if project.values:
        good = _existing(project, config, keys_of, problems, undecided)
        composition = replace(composition, project_values={setting.key: setting.value for setting in good})
        composition, config, choices = merge(composition, files)
        _fill_metrics(config, [*project.values, *asked.values], folders)
        used += good
    good = _existing(asked, config, keys_of, problems, project.unsure | undecided)
    set_values(config, good, problems)
    return composition, config, choices, used + [setting for setting in good if setting.kind != "delete"]


def fill_sections(
    config: Any,
    sections: Mapping[str, Mapping[str, Any]],
    asked: Picks,
    keys_of: KeysOf,
    problems: list[Problem],
) -> list[Setting]:
    """Fill the sections that the data has decided (`task: auto`), and set the values of the command line in them.

    What other files have set for a section takes precedence over `sections`. Unknown keys are added to `problems`.

    Returns:
        The settings that were applied.
    """
    for group, content in sections.items():
        config[group] = OmegaConf.merge(content, config.get(group) or {})
    values = [setting for setting in asked.values if setting.key.split(".")[0] in sections]
    good = _existing(replace(asked, values=values), config, keys_of, problems)
    set_values(config, good, problems)
    return [setting for setting in good if setting.kind != "delete"]


def set_values(config: Any, settings: Sequence[Setting], problems: list[Problem]) -> None:
    """Set the values of settings whose keys exist, then delete the keys that settings delete."""
    for setting in settings:
        if setting.kind == "delete":
            continue
        try:
            # As Hydra does for ++key=value.
            OmegaConf.update(config, setting.key, setting.value, merge=True, force_add=True)
        except Exception as error:  # a broken ${...}, or a value in place of a mapping
            problems.append(problem_of(error, setting.key))
    for setting in settings:
        if setting.kind == "delete":
            parent, _, last = setting.key.rpartition(".")
            node = OmegaConf.select(config, parent) if parent else config
            if node is not None and last in node:
                del node[last]


def _existing(
    picks: Picks,
    config: Any,
    keys_of: KeysOf,
    problems: list[Problem],
    also_unsure: set[str] | frozenset[str] = frozenset(),
) -> list[Setting]:
    """Return the settings whose keys exist in the configuration or in a target's signature."""
    wanted = [leaf for setting in picks.values for leaf in leaves(setting)]
    # Targets come first, because a replaced target determines which other keys exist.
    wanted.sort(key=lambda setting: setting.key.rpartition(".")[2] != TARGET)
    unsure = picks.unsure | also_unsure
    draft: Any = OmegaConf.to_container(config, resolve=False)
    keys = keys_of(draft)
    good: list[Setting] = []
    for setting in wanted:
        if setting.key.split(".")[0] in unsure or "experiment" in unsure:
            continue
        if problem := keys.check(setting):
            problems.append(problem)
            continue
        good.append(setting)
        if setting.key.rpartition(".")[2] == TARGET:
            _put(draft, setting.key, setting.value)
    return good


def _put(node: Any, key: str, value: Any) -> None:
    """Set a dotted key; parents that are absent or null are created."""
    *parents, last = key.split(".")
    for part in parents:
        name = int(part) if isinstance(node, list) else part
        if isinstance(node, dict) and node.get(name) is None:
            node[name] = {}
        node = node[name]
    node[last] = value


def _fill_metrics(config: Any, settings: Sequence[Setting], folders: Sequence[Path]) -> None:
    """Fill the sections of metrics that settings or files name with the keys of their options.

    What files have set for a metric takes precedence.
    """
    files = options(GROUP, folders)
    named = dict.fromkeys(config.get(GROUP) or {})
    for setting in settings:
        if setting.key.startswith(f"{GROUP}."):
            named[setting.key.split(".")[1]] = None
        elif setting.key == "task.metrics" and isinstance(setting.value, list):
            named |= dict.fromkeys(name for name in setting.value if isinstance(name, str))
    for name in named:
        if name in files:
            merged = OmegaConf.merge(
                OmegaConf.create(read(files[name])), (config.get(GROUP) or {}).get(name) or {}
            )
            OmegaConf.update(config, f"{GROUP}.{name}", merged, force_add=True)
