"""The defaults that a run was trained with and that are others today, as overrides for a run that is like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.assembly.finder_run import FOUND_KEYS
from dlcli.config.compose import draft
from dlcli.config.former_settings import DEPENDENT_GROUPS, completed, former_options, former_settings
from dlcli.config.model_by_kind import follows_from_rows
from dlcli.config.overrides import parse
from dlcli.config.pasted import override
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.experiment import settled

# What a refit changes in its configuration.
_OF_REFIT = ("callbacks", "trainer")


def former_words(
    words: Sequence[str],
    overrides: Sequence[str],
    folders: Sequence[Path],
    was: Mapping[str, Any],
    *,
    is_refit: bool = False,
) -> list[str]:
    """Return overrides of the recorded options and values that shipped files, or a project, choose otherwise today.

    Nothing is returned if the new overrides choose another dataset or model, from which the others follow, or if the
    recorded ones are no longer valid.

    Args:
        words: the recorded overrides.
        overrides: the new ones.
        folders: the user's conf folders.
        was: the recorded configuration.
        is_refit: whether it is that of a refit, which has other limits and callbacks than the overrides say.
    """
    if {"dataset", "model"} & {setting.key for setting in parse(overrides)[0]}:
        return []
    today = draft(words, folders, SUPPLIED, BY_DATA)
    if today.problems:  # reported when the new run is composed
        return []
    options = former_options(today.composed, was)
    if is_refit:
        options = {group: option for group, option in options.items() if group not in _OF_REFIT}
    if follows_from_rows(today.composed, words):  # of a run from before the rows decided
        options = {"model": today.composed.choices["model"], **options}
    found = [override(group, option) for group, option in options.items()]
    composed = draft([*found, *words], folders, SUPPLIED, BY_DATA).composed
    config = settled(composed.config, composed)
    now = {name: config[name] for name in DEPENDENT_GROUPS if not (is_refit and name in _OF_REFIT)}
    then = completed({name: was.get(name) for name in now}, now)
    left_out = ("finder", *FOUND_KEYS) if now["finder"] else ()
    for key, value in former_settings(composed, now, then).items():
        # A value of today that follows from the rows is determined again, unless the run is older than the key.
        follows = _value(now, key) in ("auto", None) and _has(was, key)
        if not follows and not key.startswith(left_out):
            found.append(override(key, value))
    return found


def _value(config: Mapping[str, Any], key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config


def _has(config: Mapping[str, Any], key: str) -> bool:
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True
