"""Which keys of a space exist with which options of the groups that it varies; names that do not exist at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from dlcli.config.compose import draft
from dlcli.config.folders import groups
from dlcli.config.keys import Keys
from dlcli.config.overrides import Setting
from dlcli.config.picks import sort
from dlcli.config.primary import default_options
from dlcli.config.supplied import BY_DATA, SUPPLIED
from dlcli.errors import Problem
from dlcli.sweeps.dimension import Choice, Dimension, as_override, plain_text


def existing_options(
    dimensions: Sequence[Dimension], folders: Sequence[Path]
) -> tuple[list[Dimension], list[Problem]]:
    """The dimensions without options that no group has, and without what depends on those; what is wrong with them."""
    known, defaults = groups(folders), default_options()
    problems: list[Problem] = []
    gone: set[tuple[str, str]] = set()
    left: list[Dimension] = []
    for dimension in dimensions:
        if dimension.key in known and isinstance(dimension.domain, Choice):
            good = []
            for value in dimension.domain.values:
                if wrong := sort([Setting(dimension.key, value)], folders, defaults).problems:
                    problems += wrong
                    gone.add((dimension.key, plain_text(value)))
                else:
                    good.append(value)
            dimension = replace(dimension, domain=Choice(tuple(good)))
        left.append(dimension)
    empty = {d.key for d in left if isinstance(d.domain, Choice) and not d.domain.values}
    return [
        d for d in left if d.key not in empty and not gone & set(d.given) and _group_of(d.key, empty) is None
    ], problems


def with_conditions(
    dimensions: Sequence[Dimension], fixed: Sequence[str], folders: Sequence[Path]
) -> tuple[list[Dimension], list[Problem]]:
    """A key that only some options of a varied group have depends on these; one that none has is a mistake.

    So `model=mlp,linear model.hidden=8,16` searches `model.hidden` where the model is an MLP.
    """
    known = groups(folders)
    varied = {
        d.key: d.domain.values
        for d in dimensions
        if d.key in known and not d.given and isinstance(d.domain, Choice)
    }

    @cache
    def keys_with(option: str) -> Keys | None:
        """None where the data has to decide which keys there are."""
        composed = draft([*fixed, option], folders, SUPPLIED, BY_DATA).composed
        group = option.partition("=")[0]
        undecided = group in BY_DATA and composed.choices.get(group) == BY_DATA[group]
        return None if undecided else Keys(composed.config, known, SUPPLIED)

    found: list[Dimension] = []
    problems: list[Problem] = []
    for dimension in dimensions:
        group = _group_of(dimension.key, varied)
        if group is None or group in dict(dimension.given):
            found.append(dimension)
            continue
        setting = Setting(dimension.key, dimension.domain.values_in_order()[0])
        wrong = {
            plain_text(value): keys.check(setting) if (keys := keys_with(as_override(group, value))) else None
            for value in varied[group]
        }
        having = [value for value, problem in wrong.items() if problem is None]
        if not having:
            told = [problem for problem in wrong.values() if problem]
            problems.append(next((p for p in told if p.hint.startswith("Did you mean")), told[0]))
        elif len(having) == len(wrong):
            found.append(dimension)
        else:
            found += [replace(dimension, given=(*dimension.given, (group, value))) for value in having]
    return found, problems


def _group_of(key: str, among: Iterable[str]) -> str | None:
    """The group whose option decides whether there is such a key: the innermost."""
    above = [group for group in among if key.startswith(f"{group.replace('/', '.')}.")]
    return max(above, key=len, default=None)
