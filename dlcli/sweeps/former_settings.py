"""Settings of shipped options whose defaults have changed since a search was started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.compose import Composed
from dlcli.config.folders import shipped_folder
from dlcli.config.keys import own_keys, read_signature
from dlcli.config.provenance import nearest, origins
from dlcli.files.paths import display


def completed(was: Mapping[str, Any], now: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Return a recorded configuration with the keys that did not exist when it was recorded.

    They get the default of their argument, which keeps the behaviour of that version; the shipped file may set another.
    """
    filled = dict(was)
    if was.get(TARGET) != now.get(TARGET):
        return filled
    read = read_signature(now[TARGET]) if TARGET in now else None
    known = {**(read.arguments if read else {}), **own_keys(section)}
    for name, value in now.items():
        if isinstance(value, Mapping) and isinstance(was.get(name), Mapping):
            filled[name] = completed(was[name], value, f"{section}.{name}" if section else name)
        elif name not in was and name in known and not known[name].required:
            filled[name] = known[name].default
    return filled


def former_settings(composed: Composed, now: Mapping[str, Any], was: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded value of each key that a shipped file sets to another value today.

    Args:
        composed: the configuration as it is composed today. Keys that the command line or the user's own files set are
            not returned.
        now: what is trained, in this configuration with all choices made.
        was: the same in the recorded configuration (`completed`).
    """
    shipped, known = f"{display(shipped_folder())}{os.sep}", origins(composed.composition, composed.settings)
    return {key: value for key, value in _changed(now, was) if nearest(key, known).startswith(shipped)}


def _changed(now: Mapping[str, Any], was: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name in now.keys() & was.keys() if now.get(TARGET) == was.get(TARGET) else ():
        if isinstance(now[name], Mapping) and isinstance(was[name], Mapping):
            yield from _changed(now[name], was[name], f"{section}{name}.")
        elif now[name] != was[name]:
            yield f"{section}{name}", was[name]
