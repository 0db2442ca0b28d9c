"""`dlcli list`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, Json, session


def list(  # the command's name
    group: Annotated[str | None, typer.Argument(metavar="GROUP", help="One group, such as model.")] = None,
    conf_dir: ConfDirs = None,
    json: Json = False,
) -> None:
    """List the groups and their options, your own included."""
    with session(json) as terminal:
        from dlcli.config.catalog import list_options
        from dlcli.config.folders import groups, user_folders
        from dlcli.config.yamlfile import display

        folders = user_folders(conf_dir or ())
        found = {name: list_options(name, folders) for name in ([group] if group else groups(folders))}
        if json:
            terminal.document(
                {
                    "status": "OK",
                    "groups": {
                        name: [{"name": o.name, "summary": o.summary, "file": str(o.file)} for o in options]
                        for name, options in found.items()
                    },
                }
            )
            return
        width = max((len(o.name) for options in found.values() for o in options), default=0)
        for name, options in found.items():
            terminal.note(name)
            for option in options:
                mine = any(option.file.is_relative_to(folder) for folder in folders)
                place = f"  ({display(option.file)})" if mine else ""
                terminal.note(f"  {option.name:<{width}}  {option.summary}{place}".rstrip())
        terminal.note("Choose with GROUP=OPTION; dlcli show GROUP/OPTION explains its keys.")
