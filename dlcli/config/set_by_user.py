"""What the user, or the chosen experiment, sets: defaults that follow from other settings do not replace it."""

from __future__ import annotations

from dlcli.config.compose import Composed
from dlcli.config.folders import options
from dlcli.config.overrides import named_by
from dlcli.config.yaml_file import lines, read


def set_by_user(composed: Composed) -> frozenset[str]:
    """Return the groups and keys that the command line, dlcli.yaml files and the experiment set."""
    composition = composed.composition
    named = {*composition.project_options, *map(named_by, composition.group_overrides)}
    named |= {setting.key for setting in composed.settings}
    name = composed.choices.get("experiment")
    if (file := options("experiment", composition.folders).get(name) if name else None) is not None:
        entries = (entry for entry in read(file).get("defaults", []) if isinstance(entry, dict))
        named |= {
            key.removeprefix("override ").strip(" /").partition("@")[0] for one in entries for key in one
        }
        named |= lines(file).keys()
    return frozenset(named)


def set_by_command(composed: Composed) -> frozenset[str]:
    """Return the groups and keys that the command line sets."""
    return frozenset(map(named_by, composed.overrides))
