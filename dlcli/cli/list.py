"""`dlcli list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.common import ConfDirs, Json, session
from dlcli.errors import InputError
from dlcli.terminal.console import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from dlcli.config.catalog import Option


def list(  # the command's name
    group: Annotated[
        str | None, typer.Argument(metavar="GROUP", help="One group, such as model, or pretrained.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", help="With pretrained: a part of the name, or 'resnet*'."),
    ] = None,
    conf_dir: ConfDirs = None,
    json: Json = False,
) -> None:
    """List the groups and their options, including your own; with GROUP, describe its options.

    `dlcli list pretrained` lists timm's models that come with weights.
    """
    with session(json) as terminal:
        if group == "pretrained":
            return _pretrained(terminal, pattern, json)
        if pattern is not None:
            raise InputError("only pretrained accepts a pattern", pattern, f"Try: dlcli list {group}")
        from dlcli.config.catalog import list_options
        from dlcli.config.folders import groups, user_folders
        from dlcli.config.yaml_file import display

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
        if group is None:
            return _groups(terminal, found, folders)
        width = max((len(o.name) for options in found.values() for o in options), default=0)
        for name, options in found.items():
            terminal.note(name)
            for option in options:
                mine = any(option.file.is_relative_to(folder) for folder in folders)
                place = f"  ({display(option.file)})" if mine else ""
                line = f"  {option.name:<{width}}  {option.summary}{place}"
                terminal.sentence(line.rstrip(), indent=width + 4)
        _tell_unused(terminal, folders)
        how = "'task.metrics=[default,OPTION]'" if group == "metric" else "GROUP=OPTION"
        terminal.sentence(f"Choose with {how}; dlcli show GROUP/OPTION explains its keys.")


def _groups(terminal: Terminal, found: Mapping[str, Sequence[Option]], folders: Sequence[Path]) -> None:
    """Print the names of all options, one line per group; the user's own are marked."""
    width = max(map(len, found), default=0) + 2
    own = {
        option.file
        for options in found.values()
        for option in options
        if any(option.file.is_relative_to(folder) for folder in folders)
    }
    for name, options in found.items():
        names = " ".join(f"{option.name}{'*' * (option.file in own)}" for option in options)
        terminal.sentence(f"{name:<{width}}{names}", indent=width)
    _tell_unused(terminal, folders)
    mark = " * is your own." if own else ""
    terminal.note(f"What they are: dlcli list GROUP. Choose with GROUP=OPTION.{mark}")


def _tell_unused(terminal: Terminal, folders: Sequence[Path]) -> None:
    """Tell that the options of a project are not listed if the current folder only lies below its folder."""
    from dlcli.config.folders import folder_above

    if not folders and (above := folder_above()) is not None:
        terminal.sentence(f"Without the options in {above}, which are used in {above.parent}, or with -C.")


def _pretrained(terminal: Terminal, pattern: str | None, json: bool) -> None:
    """Print timm's pretrained models with their parameters and image size."""
    from dataclasses import asdict

    from dlcli.models.timm_catalog import pretrained_models

    found = pretrained_models(pattern or "*")
    if not found:
        raise InputError(
            "no pretrained model has such a name", str(pattern), "Try a part of it: dlcli list pretrained net"
        )
    if json:
        return terminal.document({"status": "OK", "pretrained": [asdict(model) for model in found]})
    width = max(len(model.name) for model in found)
    for model in found:
        terminal.note(f"{model.name:<{width}}  {model.parameters / 1e6:>6.1f} M  {model.input_size:>3} px")
    terminal.sentence("Millions of parameters, and the side of the images that the weights were trained on.")
    terminal.note("Choose with model=pretrained_image model.architecture=NAME")
