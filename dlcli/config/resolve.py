"""Resolve interpolations to plain types, and report every one that fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.resolvers import oc

from dlcli.config.environment import check_may_read, missing_variables, reads_environment, unset
from dlcli.errors import CorruptRun, Problem, first_line

# The name of OmegaConf's resolver of environment variables.
ENVIRONMENT = "oc.env"

_DEEPEST = 50


def resolve(
    config: Any, environment: Callable[..., Any] | None = None
) -> tuple[dict[str, Any], list[Problem]]:
    """Return a DictConfig in plain types that JSON can hold, and the problems: `???` or a broken interpolation.

    Args:
        config: The configuration.
        environment: Returns the value of `${oc.env:NAME,DEFAULT}`, given its arguments; None reads the variable if the
            active gate allows it.

    Raises:
        CorruptRun: The active gate does not allow reading a variable.
    """
    problems: list[Problem] = []
    OmegaConf.register_new_resolver(ENVIRONMENT, environment or _allowed, replace=True)
    try:
        return _container(config, "", 0, problems), problems
    finally:
        OmegaConf.register_new_resolver(ENVIRONMENT, oc.env, replace=True)


def without_copies(config: Any, problems: Sequence[Problem]) -> list[Problem]:
    """Leave out the problem of a value that an interpolation takes from a key which has the same problem.

    Args:
        config: The configuration, as a DictConfig.
        problems: The problems of its resolved values.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)

    def is_copy(problem: Problem) -> bool:
        value = plain
        for key in problem.where.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return (
            isinstance(value, str)
            and "${" in value
            and any(
                other.message == problem.message and re.search(rf"\b{re.escape(other.where)}\b", value)
                for other in problems
                if other is not problem
            )
        )

    return [problem for problem in problems if not is_copy(problem)]


def _allowed(name: str, *default: Any) -> Any:
    check_may_read({name}, f"${{{ENVIRONMENT}:{name}}}")
    return oc.env(name, *default)


def _refusal(error: BaseException | None) -> CorruptRun | None:
    """Return the gate's error among the causes of an error, because OmegaConf wraps it; None if there is none."""
    while error is not None and not isinstance(error, CorruptRun):
        error = error.__cause__ or error.__context__
    return error


def _container(node: Any, where: str, depth: int, problems: list[Problem]) -> Any:
    if depth > _DEEPEST:
        problems.append(Problem("is nested too deeply, or refers to itself", where.split(".")[0]))
        return None
    is_mapping = isinstance(node, DictConfig)
    raw: Any = OmegaConf.to_container(node, resolve=False)
    found: dict[Any, Any] = {}
    for key in list(node.keys()) if is_mapping else range(len(node)):
        place = f"{where}.{key}" if where else str(key)
        before = len(problems)
        value = _value(node, key, raw[key], place, depth, problems)
        # A value that was reported is left out, so that its type is not reported as a second mistake.
        if len(problems) == before or value is not None:
            found[key] = value
    return found if is_mapping else list(found.values())


def _value(node: Any, key: Any, raw: Any, where: str, depth: int, problems: list[Problem]) -> Any:
    if raw == "???":
        problems.append(Problem("is required", where, f"Add {where}=..."))
        return None
    if isinstance(raw, str) and "${hydra:" in raw:
        problems.append(
            Problem(
                "${hydra:...} cannot be used: dlcli controls the run's folder and Hydra's settings",
                where,
                "Write the value itself, or refer to a key of the configuration.",
            )
        )
        return None
    try:
        value = node[key]
    except Exception as error:  # a resolver may raise anything
        if refusal := _refusal(error):
            raise refusal from None
        if reads_environment(raw) and (missing := missing_variables(raw)):
            problems.extend(unset(missing, where).problems)
            return None
        reason = first_line(error)
        problems.append(Problem(f"{raw} cannot be resolved: {reason}", where))
        return None
    if isinstance(value, DictConfig | ListConfig):
        return _container(value, where, depth + 1, problems)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = type(value).__name__
    problems.append(Problem(f"is of type {kind}: only text, numbers, lists and mappings can be used", where))
    return None
