"""Find the words that may come next on the command line."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from dlcli import cli
from dlcli.completion.override_words import options_of, overrides
from dlcli.config.folders import groups, user_folders
from dlcli.files.regular import read_regular
from dlcli.runner import runs_directory

# Maximum number of runs that are offered, the newest first.
_RUNS = 100

# Maximum size in bytes of a ledger that is read; larger ones would delay the shell.
_LEDGER_BYTES = 4 << 20


class Candidate(NamedTuple):
    """A word that completes the command line, and its explanation."""

    value: str
    text: str = ""


@dataclass(frozen=True)
class _Parameter:
    """One parameter of a command: its flags (empty for a positional one), metavar, help text and choices."""

    name: str
    flags: tuple[str, ...]
    metavar: str
    text: str
    choices: tuple[str, ...]
    is_flag: bool
    is_many: bool


def candidates(words: Sequence[str], current: str) -> list[Candidate]:
    """Return the words that begin with `current` and may replace it; `words` precede it, without `dlcli`."""
    return [found for found in _all(words, current) if found.value.startswith(current)]


def _all(words: Sequence[str], current: str) -> Iterator[Candidate]:
    commands = dict(_commands())
    if not words:
        yield from (Candidate(name, _first_line(function)) for name, function in _in_group("", commands))
        yield from (Candidate("--help"), Candidate("--version"))
        return
    if len(words) > 1 and (member := f"{words[0]}_{words[1]}") in commands:  # dlcli GROUP NAME
        words = [member, *words[2:]]
    elif len(words) == 1 and not current.startswith("-"):
        yield from (
            Candidate(name, _first_line(function)) for name, function in _in_group(words[0], commands)
        )
    parameters = _parameters(words[0])
    flags = {flag: parameter for parameter in parameters for flag in parameter.flags}
    if (before := flags.get(words[-1])) and not before.is_flag:
        yield from map(Candidate, before.choices)
    elif current.startswith("-"):
        yield from (Candidate(flag, p.text) for flag, p in flags.items() if flag.startswith("--"))
        yield Candidate("--help")
    elif wanted := _positional(parameters, flags, words[1:]):
        yield from _values(wanted, words, current)


def _values(wanted: _Parameter, words: Sequence[str], current: str) -> Iterator[Candidate]:
    folders = user_folders([Path(folder) for folder in _given(words, "-C", "--conf-dir")])
    if wanted.choices:
        yield from map(Candidate, wanted.choices)
    elif wanted.metavar.split(" ")[0].rstrip(".") == "RUN":
        yield from _runs(words)
    elif wanted.metavar == "GROUP":
        yield from map(Candidate, groups(folders))
    elif wanted.metavar == "OVERRIDES":
        yield from (Candidate(*pair) for pair in overrides(words[1:], current, folders))
        if words[0] == "show" and "/" in current:
            group = current.rpartition("/")[0]
            yield from (Candidate(f"{group}/{name}", text) for name, text in options_of(group, folders))
        elif words[0] == "show":
            yield from (Candidate(f"{group}/") for group in groups(folders))
            yield from _runs(words) if len(words) == 1 else ()


def _commands() -> Iterator[tuple[str, Any]]:
    for found in pkgutil.iter_modules(cli.__path__):
        # The module app imports all commands and is not a command itself.
        module: ModuleType | None = (
            importlib.import_module(f"dlcli.cli.{found.name}") if found.name != "app" else None
        )
        if inspect.isfunction(function := getattr(module, found.name, None)):
            yield found.name, function


def _in_group(group: str, commands: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the commands `dlcli GROUP NAME` by NAME; without a group, the commands `dlcli NAME`."""
    for name, function in commands.items():
        above, _, own = name.rpartition("_")
        if above == group:
            yield own, function


def _parameters(command: str) -> list[_Parameter]:
    """Return a command's parameters, from the signature that typer uses."""
    function = dict(_commands()).get(command)
    if function is None:
        return []
    found = []
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        if typing.get_origin(hint) is not typing.Annotated:
            continue
        kind, info = typing.get_args(hint)[:2]
        is_option = type(info).__name__ == "OptionInfo"
        # Within Annotated, typer finds the first flag in the place of the default.
        named = [flag for flag in (info.default, *(info.param_decls or ())) if isinstance(flag, str)]
        flags = tuple(named or (f"--{name.replace('_', '-')}",)) if is_option else ()
        choices = tuple(map(str, typing.get_args(kind))) if typing.get_origin(kind) is Literal else ()
        is_many = any(typing.get_origin(part) is list for part in (kind, *typing.get_args(kind)))
        found.append(
            _Parameter(name, flags, info.metavar or "", info.help or "", choices, kind is bool, is_many)
        )
    return found


def _positional(parameters: Sequence[_Parameter], flags: dict[str, _Parameter], words: Sequence[str]) -> Any:
    """Return the positional parameter that the next word without a flag belongs to."""
    bare = 0
    takes_value = False
    for word in words:
        if takes_value:
            takes_value = False
        elif word.startswith("-"):
            takes_value = word in flags and not flags[word].is_flag
        else:
            bare += 1
    places = [parameter for parameter in parameters if not parameter.flags]
    if bare < len(places):
        return places[bare]
    return places[-1] if places and places[-1].is_many else None


def _given(words: Sequence[str], *flags: str) -> list[str]:
    return [value for flag, value in pairwise(words) if flag in flags]


def _runs(words: Sequence[str]) -> Iterator[Candidate]:
    """Yield the names of the newest runs, from their ledgers."""
    given = _given(words, "--runs-dir")
    ledgers = list(runs_directory(Path(given[0]) if given else None).glob("*/*/artifacts/ledger.json"))
    yield Candidate("last", "the newest run")
    for file in sorted(ledgers, key=lambda file: file.stat().st_mtime, reverse=True)[:_RUNS]:
        try:
            ledger = json.loads(read_regular(file, _LEDGER_BYTES))
            yield Candidate(ledger["run_name"], f"{ledger['status']} {ledger['created_at'][:16]}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # the ledger is being written or damaged, which completion does not report


def _first_line(function: Any) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
