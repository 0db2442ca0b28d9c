"""Check that a section's target has the base class that its role requires: a callback, an optimizer, a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlcli.config.build import PARTIAL, TARGET, locate
from dlcli.errors import ConfigError, Problem
from dlcli.gate.roles import base_class, role_at
from dlcli.process.own_frame import own_place

if TYPE_CHECKING:
    from dlcli.config.compose import Draft


def with_type_problems(draft: Draft) -> Draft:
    """Return the draft with a problem for each target of the wrong class; these replace the problems of its keys."""
    problems = list(_type_problems(draft.composed.config))
    places = tuple(problem.where.removesuffix(TARGET) for problem in problems)
    others = [problem for problem in draft.problems if not problem.where.startswith(places)]
    unsound = draft.unsound | {problem.where.split(".")[0] for problem in problems}
    return replace(draft, problems=(*others, *problems), unsound=unsound) if problems else draft


def _type_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each class of the wrong kind. The results of functions are checked by `check_type`."""
    for where, node in _nodes(config):
        with suppress(ConfigError):  # validation reports names that cannot be imported
            found, role = locate(node[TARGET], where), role_at(where)
            if role.base and not node.get(PARTIAL) and isinstance(found, type) and not role.fits(found):
                place = own_place(found)
                yield _problem(f"{node[TARGET]} is not of type {_name(role.base)}{place}", where, role.base)


def check_type(made: Any, where: str, target: str) -> Any:
    """Return the object that was built for a section, after checking its type.

    Raises:
        ConfigError: The object is not an instance of the base class that the section's role requires.
    """
    base = role_at(where).base
    if not isinstance(made, base_class(base)):
        raise ConfigError(
            _problem(f"{target} returns {type_in_words(made)}, not a {_name(base)}", where, base)
        )
    return made


def type_in_words(made: Any) -> str:
    """Return what an object is, in words for a message."""
    return "nothing" if made is None else f"a {type(made).__name__}"


def _problem(message: str, where: str, base: str) -> Problem:
    return Problem(message, f"{where}.{TARGET}", f"Name a class that is derived from {base}.")


def _name(base: str) -> str:
    return base.rpartition(".")[2]


def _nodes(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the nodes whose role has a base class. Of the arguments of a model or a task, only the loss has one."""
    places = [(section, node) for section, node in config.items() if section != "preprocessing"]
    for section, inner in (("callbacks", None), ("task", "loss"), ("sweep", "sampler"), ("sweep", "pruner")):
        node = config.get(section)
        if isinstance(node, Mapping):
            places += [(f"{section}.{k}", v) for k, v in node.items() if inner is None or k == inner]
    return ((where, node) for where, node in places if isinstance(node, Mapping) and TARGET in node)
