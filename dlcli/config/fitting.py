"""Whether what a section names is of the type that its role asks for: a callback, an optimizer, a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dlcli.config.build import PARTIAL, TARGET, locate
from dlcli.config.compose import Draft
from dlcli.errors import ConfigError, Problem
from dlcli.gate.roles import base_class, role_at


def with_misfits(draft: Draft) -> Draft:
    """The draft with what its sections name and should not: nothing else is said of their keys then."""
    misfits = list(_misfits(draft.composed.config))
    places = tuple(problem.where.removesuffix(TARGET) for problem in misfits)
    others = [problem for problem in draft.problems if not problem.where.startswith(places)]
    unsound = draft.unsound | {problem.where.split(".")[0] for problem in misfits}
    return replace(draft, problems=(*others, *misfits), unsound=unsound) if misfits else draft


def _misfits(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Classes that stand where another kind is needed; what a function makes shows once it is called."""
    for where, node in _nodes(config):
        with suppress(ConfigError):  # a name that cannot be found is reported as that
            found, role = locate(node[TARGET], where), role_at(where)
            if role.base and not node.get(PARTIAL) and isinstance(found, type) and not role.fits(found):
                yield _problem(f"{node[TARGET]} is no {_name(role.base)}", where, role.base)


def fitting(made: Any, where: str, target: str) -> Any:
    """What was made for a section, if it is of the type that the role asks for.

    Raises:
        ConfigError: it is not.
    """
    base = role_at(where).base
    if not isinstance(made, base_class(base)):
        raise ConfigError(_problem(f"{target} returns {kind_of(made)}, not a {_name(base)}", where, base))
    return made


def kind_of(made: Any) -> str:
    """Return what an object is, in words for a message."""
    return "nothing" if made is None else f"a {type(made).__name__}"


def _problem(message: str, where: str, base: str) -> Problem:
    return Problem(message, f"{where}.{TARGET}", f"Name a class derived from {base}.")


def _name(base: str) -> str:
    return base.rpartition(".")[2]


def _nodes(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those whose role has a type. An argument of a model or a task is its own affair, but for the loss."""
    places = [(section, node) for section, node in config.items() if section != "preprocessing"]
    for section, inner in (("callbacks", None), ("task", "loss"), ("sweep", "sampler"), ("sweep", "pruner")):
        node = config.get(section)
        if isinstance(node, Mapping):
            places += [(f"{section}.{k}", v) for k, v in node.items() if inner is None or k == inner]
    return ((where, node) for where, node in places if isinstance(node, Mapping) and TARGET in node)
