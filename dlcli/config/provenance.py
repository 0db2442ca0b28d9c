"""Where each value came from: a file and its line, or the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlcli.config.hydra_compose import Plan, sources
from dlcli.config.overrides import Setting
from dlcli.config.yaml_file import lines
from dlcli.files.paths import display

COMMAND_LINE = "command line"


def origins(plan: Plan, settings: Iterable[Setting]) -> dict[str, str]:
    """Dotted key to `FILE:LINE` or COMMAND_LINE, the last writer winning; dlcli.yaml's settings too."""
    settings = list(settings)
    found: dict[str, str] = {}
    for source in sources(plan):
        if source.file is None:
            found |= {setting.key: setting.source for setting in settings if setting.source}
            continue
        prefix = f"{source.package}." if source.package else ""
        for key, line in lines(source.file).items():
            if key.split(".")[0] != "defaults":
                found[prefix + key] = f"{display(source.file)}:{line}"
    return found | {setting.key: COMMAND_LINE for setting in settings if not setting.source}


def nearest(key: str, known: Mapping[str, str]) -> str:
    """The key's own origin, else that of the section around it, else nothing."""
    while key and key not in known:
        key = key.rpartition(".")[0]
    return known.get(key, "")
