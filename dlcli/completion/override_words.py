"""Complete overrides: groups, options, keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.comments import comments
from dlcli.config.folders import PROJECT_FILE, groups, options, shipped_folder
from dlcli.config.yaml_file import read
from dlcli.errors import DlcliError


def overrides(words: Sequence[str], current: str, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield pairs of an override (or its beginning) and its explanation."""
    prefix = current[: len(current) - len(current.lstrip("+~"))]
    key, equals, _ = current.removeprefix(prefix).partition("=")
    known = groups(folders)
    found: Iterator[tuple[str, str]]
    if key == "task.metrics" and equals:
        found = ((f"[default,{name}]", text) for name, text in options_of("metric", folders))
    elif equals and key in known:
        found = options_of(key, folders)
    elif equals:
        found = _values(key, _keys(words, key.partition(".")[0], folders))
    elif "." in key:
        found = _below(key.rpartition(".")[0], _keys(words, key.partition(".")[0], folders))
    else:
        found = _top(known)
    if equals:
        found = ((f"{key}={value}", text) for value, text in found)
    return ((f"{prefix}{word}", text) for word, text in found)


def options_of(group: str, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the names and summaries of a group's options."""
    for name, file in options(group, folders).items():
        try:
            yield name, comments(file).summary
        except DlcliError:
            yield name, "cannot be read"


def _top(known: Sequence[str]) -> Iterator[tuple[str, str]]:
    for group in known:
        if group != "metric":  # several metrics are chosen, by task.metrics
            yield f"{group}=", "choose an option"
        if "/" not in group:
            yield f"{group}.", "set a key"
    config = shipped_folder() / "config.yaml"
    explanations = comments(config).keys
    yield from ((f"{key}=", explanations[key]) for key in read(config) if key != "defaults")


_Keys = Mapping[str, tuple[Any, str]]


def _below(section: str, keys: _Keys) -> Iterator[tuple[str, str]]:
    """Yield the keys directly below a section; a key that contains others ends with a dot."""
    for key, (value, text) in keys.items():
        if key.rpartition(".")[0] == section:
            yield f"{key}." if isinstance(value, dict) else f"{key}=", text


def _values(key: str, keys: _Keys) -> Iterator[tuple[str, str]]:
    if key not in keys:
        return
    value, text = keys[key]
    if isinstance(value, bool):
        yield from (("true", text), ("false", text))
    elif isinstance(value, int | float | str) and value != "":
        yield str(value), text
    elif value is None:
        yield "null", text


def _keys(words: Sequence[str], section: str, folders: Sequence[Path]) -> dict[str, tuple[Any, str]]:
    """Return value and explanation of each dotted key, for the option that the words choose for a section."""
    found: dict[str, tuple[Any, str]] = {}

    def add(file: Path, prefix: str) -> None:
        explanations = comments(file).keys

        def walk(node: Mapping[str, Any], inside: str) -> None:
            for key, value in node.items():
                name = f"{inside}{key}"
                if key == "defaults" or str(key).startswith("_"):
                    continue
                found[f"{prefix}{name}"] = value, explanations.get(name, "")
                if isinstance(value, dict):
                    walk(value, f"{name}.")

        walk(read(file), "")

    chosen = _chosen(words, folders)

    def add_option(group: str, option: Any) -> None:
        if (file := options(group, folders).get(str(option))) is None:
            return
        add(file, f"{group.replace('/', '.')}.")
        for entry in read(file).get("defaults", ()):
            for name, below in entry.items() if isinstance(entry, dict) else ():
                if not name.startswith("override "):
                    add_option(f"{group}/{name}", chosen.get(f"{group}/{name}", below))

    add(shipped_folder() / "config.yaml", "")
    add_option(section, chosen.get(section))
    if experiment := options("experiment", folders).get(str(chosen.get("experiment"))):
        add(experiment, "")  # an experiment's keys are at the top level
    return found


def _chosen(words: Sequence[str], folders: Sequence[Path]) -> dict[str, Any]:
    """Return the chosen option of each group.

    Sources in ascending precedence: config.yaml, the dataset's defaults list, dlcli.yaml, that of the experiment, the
    command line.
    """
    known = groups(folders)
    config = read(shipped_folder() / "config.yaml")
    chosen = {
        group: option
        for entry in config["defaults"]
        if isinstance(entry, dict)
        for group, option in entry.items()
    }
    project: dict[str, Any] = {}
    for folder in folders:
        if (file := folder / PROJECT_FILE).is_file():
            project |= {key: value for key, value in read(file).items() if key in known}
    typed = {key: value for key, _, value in (word.partition("=") for word in words) if key in known}
    of_file = {}
    for group in ("dataset", "experiment"):
        own = options(group, folders).get(str((chosen | project | typed).get(group)))
        of_file[group] = _overridden(read(own).get("defaults", [])) if own is not None else {}
    return chosen | of_file["dataset"] | project | of_file["experiment"] | typed


def _overridden(defaults: Sequence[Any]) -> dict[str, Any]:
    """Return the options that a defaults list chooses for other groups: `override /GROUP@PLACE: OPTION`."""
    return {
        key.removeprefix("override ").strip().lstrip("/").partition("@")[0]: option
        for entry in defaults
        if isinstance(entry, dict)
        for key, option in entry.items()
        if key.startswith("override ")
    }
