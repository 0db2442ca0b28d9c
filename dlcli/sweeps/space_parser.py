"""Make the keys of a space depend on the varied options that have them, and find names that do not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from dlcli.config.compose import draft
from dlcli.config.folders import groups, options
from dlcli.config.group_choices import sort
from dlcli.config.hydra_compose import default_options
from dlcli.config.keys import Keys
from dlcli.config.overrides import Setting
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.errors import ConfigError, Problem
from dlcli.sweeps.dimension import Choice, Dimension, Range, as_override, plain_text
from dlcli.sweeps.space import Space, arranged, read_dimensions, read_domain
from dlcli.sweeps.validation import of_value


def existing_options(
    dimensions: Sequence[Dimension], folders: Sequence[Path]
) -> tuple[list[Dimension], list[Problem]]:
    """Return the dimensions without unknown options and without dimensions that depend on them, and the problems."""
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
    """Return the dimensions with conditions on varied groups, and a problem for each key that no option has.

    For example, with `model=mlp,linear model.hidden=8,16` the key `model.hidden` is searched for the MLP only.
    """
    known = groups(folders)
    varied = {
        d.key: d.domain.values
        for d in dimensions
        if d.key in known and not d.given and isinstance(d.domain, Choice)
    }

    @cache
    def keys_with(option: str) -> Keys | None:
        """Return the keys of the configuration with an option; None if they depend on the data."""
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
            mistakes = [problem for problem in wrong.values() if problem]
            problems.append(next((p for p in mistakes if p.hint.startswith("Did you mean")), mistakes[0]))
        elif len(having) == len(wrong):
            found.append(dimension)
        else:
            found += [replace(dimension, given=(*dimension.given, (group, value))) for value in having]
    return found, problems


def _group_of(key: str, among: Iterable[str]) -> str | None:
    """Return the innermost group whose option determines whether a key exists."""
    above = [group for group in among if key.startswith(f"{group.replace('/', '.')}.")]
    return max(above, key=len, default=None)


def separate(overrides: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the overrides with one value, and key to text for those with several values (the last one counts)."""
    parser = OverridesParser.create()
    fixed: list[str] = []
    varied: dict[str, str] = {}
    for text in overrides:
        try:
            parsed: Any = parser.parse_override(text)
        except Exception:  # reported when the configuration is composed
            fixed.append(text)
            continue
        key = parsed.key_or_group
        varied.pop(key, None)
        if parsed.is_sweep_override():
            fixed = [earlier for earlier in fixed if earlier.partition("=")[0] != key]
            varied[key] = text.partition("=")[2]
        else:
            fixed.append(text)
    return fixed, varied


def domains_of(varied: Mapping[str, str], folders: Sequence[Path]) -> dict[str, Choice | Range]:
    """Return key to values for the keys that the command line varies; unreadable ones are reported later."""
    found: dict[str, Choice | Range] = {}
    for key, text in varied.items():
        with suppress(ConfigError):
            found[key] = read_domain(key, text, lambda group: group_options(group, folders))
    return found


def combined_space(
    section: Mapping[str, Any],
    varied: Mapping[str, str],
    domains: Mapping[str, Choice | Range],
    fixed: Sequence[str],
) -> dict[str, Any]:
    """Return the space of the configuration, updated by the command line.

    Conditions on keys that the command line sets are resolved: dimensions whose condition holds are kept without it,
    others are removed.
    """
    settled = {key: value for key, _, value in (text.lstrip("+").partition("=") for text in fixed)}
    possible = {key: [*map(plain_text, d.values)] for key, d in domains.items() if isinstance(d, Choice)}

    def without(node: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.items():
            above, _, text = str(key).partition("=")
            if key in settled or key in varied:
                continue
            if not isinstance(value, Mapping):
                found[key] = value
            elif above in settled:
                found |= without(value) if text == settled[above] else {}
            elif text in possible.get(above, [text]):
                found[key] = without(value)
        return found

    return {**without(section), **varied}


def group_options(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the options of a group, for `model=glob(*)`."""
    return list(options(group, folders))


def as_overrides(params: Mapping[str, Any]) -> list[str]:
    """Return a point as overrides."""
    return [as_override(key, value) for key, value in params.items()]


def with_task(fixed: Sequence[str], task: str) -> tuple[str, ...]:
    """Return the shared overrides with the task, which is determined from the data once for all trials."""
    return (*fixed, *([] if any(text.startswith("task=") for text in fixed) else [f"task={task}"]))


def searched_space(
    section: Mapping[str, Any], fixed: Sequence[str], folders: Sequence[Path], where: str = "sweep.space"
) -> Space:
    """Read the space of the section `where`, with conditions on varied groups, given the shared overrides.

    Raises:
        ConfigError: with all values that cannot be read and all names that do not exist.
    """
    dimensions, unreadable = read_dimensions(section, lambda group: group_options(group, folders), where)
    dimensions, unknown = existing_options(dimensions, folders)
    dimensions, missing = with_conditions(dimensions, fixed, folders)
    if unknown:  # the intended option may have keys that the others lack
        missing = [problem for problem in missing if problem.hint.startswith("Did you mean")]
    space = arranged(dimensions, where)
    problems = [*unreadable, *unknown, *missing]
    if problems or not dimensions:
        problems += find_unsound(space, fixed, folders)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return space


def find_unsound(space: Space, fixed: Sequence[str], folders: Sequence[Path]) -> Iterator[Problem]:
    """Yield the mistakes of each value of each dimension that can be found before rows are read."""

    def composed(params: Mapping[str, Any]) -> tuple[Problem, ...]:
        return draft([*fixed, *as_overrides(params)], folders, SUPPLIED, BY_DATA).problems

    first = space.first
    reported = set()
    domains = space.domains_at(first)
    for problem in composed(first):
        reported.add(problem)
        key = problem.where
        yield of_value(key, domains[key], first, problem) if key in domains else problem
    for dimension, params in space.neighbours():
        for problem in composed(params):
            if problem not in reported:
                reported.add(problem)
                yield of_value(dimension.key, dimension.domain, params, problem)


def left_out_of_options(space: Space, fixed: Sequence[str], folders: Sequence[Path]) -> list[Problem]:
    """Return the warnings of keys that files set for other options than the ones that the space chooses from."""
    known = groups(folders)
    points = [params for dimension, params in space.neighbours() if dimension.key in known]
    drafts = (draft([*fixed, *as_overrides(params)], folders, SUPPLIED, BY_DATA) for params in points)
    return list(dict.fromkeys(problem for found in drafts for problem in found.composed.left_out))
