"""Read the section of an option from its own files, without Hydra, if they set no other section."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli.config.folders import options
from dlcli.config.hydra_compose import default_options
from dlcli.config.yaml_file import read
from dlcli.files.file_state import file_state


@dataclass(frozen=True)
class OwnSection:
    """The content of a section (a DictConfig), and the options of the groups below it that its file chooses.

    The content is shared by all calls and must not be changed.
    """

    content: Any
    choices: Mapping[str, str]

    def fills(self, group: str, config: Mapping[str, Any], choices: Mapping[str, str]) -> bool:
        """Return whether merging the content below the section of a configuration gives what Hydra composes.

        Hydra composes where the section is no mapping, where keys are merged into an interpolation (`${...}`), whose
        value Hydra replaces by them, and where another file has chosen an option of a group below.

        Args:
            group: The group of the section.
            config: The configuration in plain types, with unresolved interpolations.
            choices: Its chosen options.
        """
        section = config.get(group, {})
        if not isinstance(section, dict) or (section and "${" in OmegaConf.to_yaml(self.content)):
            return False
        below = {name.partition("@")[0] for name in choices} - {group}
        return not below & set(self.choices)


def own_section(group: str, option: str, folders: Sequence[Path]) -> OwnSection | None:
    """Return the content that Hydra merges into a group's section for an option.

    It is read from the option's file and the files in its defaults list.

    Returns:
        None if the file cannot be read alone: it names another package, overrides another group, or has a defaults
        list without `_self_` or with entries other than `GROUP: OPTION` for a group below its own.
    """
    file = options(group, folders).get(option)
    written = None if file is None else _written(file, file_state(file))
    if written is None:
        return None
    content, entries = written
    choices = {group: option}
    if entries == ["_self_"]:
        return OwnSection(content, choices)
    merged: Any = OmegaConf.create({})
    for entry in entries:
        if entry == "_self_":
            merged = OmegaConf.merge(merged, content)
            continue
        below = _below(entry, group, folders)
        if below is None:
            return None
        ((name, _),) = entry.items()
        merged = OmegaConf.merge(merged, {name: below.content})
        choices |= below.choices
    return OwnSection(merged, choices)


@lru_cache(maxsize=256)
def _written(file: Path, state: tuple[int, ...] | None) -> tuple[Any, list[Any]] | None:
    """Return the keys of a file, and its defaults list, if it can be read alone; `state` changes with the file."""
    if "@package" in file.read_text("utf-8"):
        return None
    content = read(file)
    entries = content.pop("defaults", ["_self_"])
    if not isinstance(entries, list) or "_self_" not in entries:
        return None
    return OmegaConf.create(content), entries


def _below(entry: Any, group: str, folders: Sequence[Path]) -> OwnSection | None:
    if not isinstance(entry, dict) or len(entry) != 1:
        return None
    ((name, option),) = entry.items()
    if not isinstance(option, str) or not re.fullmatch(r"\w+", str(name)):
        return None
    return own_section(f"{group}/{name}", option, folders)


def with_sections(config: Mapping[str, Any], sections: Collection[str]) -> dict[str, Any]:
    """Return a configuration with the given sections, in the order of config.yaml's defaults list."""
    places = list(default_options())
    keys = [key for key in config if key not in sections]
    for section in sorted(sections, key=places.index, reverse=True):
        later = places[places.index(section) :]
        keys.insert(next((i for i, key in enumerate(keys) if key in later), len(keys)), section)
    return {key: config.get(key, {}) for key in keys}
