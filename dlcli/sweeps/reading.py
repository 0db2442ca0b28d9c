"""From a section's words to a space; all that is wrong with it is told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.compose import draft
from dlcli.config.supplied import BY_DATA, SUPPLIED
from dlcli.errors import ConfigError, Problem
from dlcli.sweeps.checks import of_value
from dlcli.sweeps.conditions import existing_options, with_conditions
from dlcli.sweeps.space import Space, arranged, read_dimensions
from dlcli.sweeps.words import as_overrides, group_options


def searched_space(
    section: Mapping[str, Any], fixed: Sequence[str], folders: Sequence[Path], where: str = "sweep.space"
) -> Space:
    """The space of the section `where`, beside what all trials share.

    Raises:
        ConfigError: with all that cannot be read, or does not exist.
    """
    dimensions, unreadable = read_dimensions(section, lambda group: group_options(group, folders), where)
    dimensions, unknown = existing_options(dimensions, folders)
    dimensions, missing = with_conditions(dimensions, fixed, folders)
    if unknown:  # an option that is meant, and not known here, may have what the others lack
        missing = [problem for problem in missing if problem.hint.startswith("Did you mean")]
    space = arranged(dimensions, where)
    problems = [*unreadable, *unknown, *missing]
    if problems or not dimensions:
        problems += find_unsound(space, fixed, folders)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return space


def find_unsound(space: Space, fixed: Sequence[str], folders: Sequence[Path]) -> Iterator[Problem]:
    """What composing says of each value of each dimension, before any rows are read."""

    def composed(params: Mapping[str, Any]) -> tuple[Problem, ...]:
        return draft([*fixed, *as_overrides(params)], folders, SUPPLIED, BY_DATA).problems

    first = space.first
    told = set()
    domains = space.domains_at(first)
    for problem in composed(first):
        told.add(problem)
        key = problem.where
        yield of_value(key, domains[key], first, problem) if key in domains else problem
    for dimension, params in space.neighbours():
        for problem in composed(params):
            if problem not in told:
                told.add(problem)
                yield of_value(dimension.key, dimension.domain, params, problem)
