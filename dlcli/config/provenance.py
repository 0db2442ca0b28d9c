"""The origin of each value: a file and line, or the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlcli.config.hydra_compose import Composition, merged_files
from dlcli.config.overrides import Setting
from dlcli.config.yaml_file import lines
from dlcli.files.paths import display

COMMAND_LINE = "command line"


def origins(composition: Composition, settings: Iterable[Setting]) -> dict[str, str]:
    """Return the origin of each dotted key: the `FILE:LINE` that set it last, or COMMAND_LINE."""
    settings = list(settings)
    found: dict[str, str] = {}
    for source in merged_files(composition):
        if source.file is None:
            found |= {setting.key: setting.source for setting in settings if setting.source}
            continue
        prefix = f"{source.package}." if source.package else ""
        for key, line in lines(source.file).items():
            if key.split(".")[0] != "defaults":
                found[prefix + key] = f"{display(source.file)}:{line}"
    # Of the settings with a source, those that are not the project's are defaults that dlcli has added.
    last = [one for one in settings if not one.source or one.key not in composition.project_values]
    return found | {setting.key: setting.source or COMMAND_LINE for setting in last}


def nearest(key: str, known: Mapping[str, str]) -> str:
    """Return the key's origin, else that of the nearest section that contains it, else an empty text."""
    while key and key not in known:
        key = key.rpartition(".")[0]
    return known.get(key, "")
