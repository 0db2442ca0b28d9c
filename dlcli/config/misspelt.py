"""Report misspelt groups, options and keys from files only, before heavy libraries are imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dlcli.config.build import TARGET
from dlcli.config.folders import groups, user_folders
from dlcli.config.group_choices import Picks, sort
from dlcli.config.hydra_compose import Composition, default_options, group_override, merge
from dlcli.config.keys import Keys
from dlcli.config.overrides import parse
from dlcli.config.own_keys import Root
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.signature import Signature, signature
from dlcli.config.typecheck import mismatch
from dlcli.config.written_signature import written_signature
from dlcli.errors import ConfigError, Problem


class _NotWritten(Exception):
    """The check requires importing the code that the configuration names."""


def refuse_misspelt(overrides: Sequence[str], conf_dirs: Sequence[Path] = ()) -> None:
    """Raise an error with the mistakes of a command line, if all can be found without importing its targets.

    Otherwise return; `dlcli.config.compose.draft` then finds all mistakes. This is the case if the user has
    configuration files, if no name is misspelt, or if the command line also sets values that only imported code can
    check.

    Raises:
        ConfigError: with the problems that `draft` would report.
    """
    if user_folders(conf_dirs):
        return
    settings, problems = parse(overrides)
    if problems:
        return
    asked = sort(settings, (), default_options())
    try:
        problems = [*asked.problems, *_unknown_keys(asked)]
    except _NotWritten:
        return
    if problems:
        raise ConfigError(problems)


def _unknown_keys(asked: Picks) -> list[Problem]:
    root = signature(Root).arguments
    dotted = [setting for setting in asked.values if setting.key not in root]
    if any(mismatch(s.value, root[s.key]) or s.kind != "set" for s in asked.values if s.key in root):
        raise _NotWritten
    if not dotted:
        return []
    config, undecided = _composed(asked)
    keys = Keys(config, groups(), SUPPLIED, _written)
    problems = []
    for setting in dotted:
        section = setting.key.split(".")[0]
        if setting.key.rpartition(".")[2] == TARGET or isinstance(setting.value, Mapping):
            raise _NotWritten
        if section in asked.unsure | undecided or "experiment" in asked.unsure:
            continue
        if not (problem := keys.check(setting)):
            raise _NotWritten  # the key exists, and its value has to be checked
        problems.append(problem)
    return problems


def _composed(asked: Picks) -> tuple[dict[str, Any], set[str]]:
    """Return the configuration of the chosen options, and the sections that the data will decide."""
    chosen = tuple(group_override(group, option) for group, option in asked.options.items())
    try:
        _, config, choices = merge(Composition((), {}, {}, chosen))
    except ConfigError as error:
        raise _NotWritten from error
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return plain, {group for group, option in BY_DATA.items() if choices.get(group) == option}


def _written(target: Any) -> Signature:
    if (found := written_signature(target)) is None:
        raise _NotWritten
    return found
