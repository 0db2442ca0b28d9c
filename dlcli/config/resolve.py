"""Resolve interpolations to plain types, and report every one that fails."""

from __future__ import annotations

from typing import Any

from dlcli.config.environment import missing_variables, reads_environment, unset
from dlcli.errors import Problem, first_line

_DEEPEST = 50


def resolve(config: Any) -> tuple[dict[str, Any], list[Problem]]:
    """Return a DictConfig in plain types that JSON can hold, and the problems: `???` or a broken interpolation."""
    problems: list[Problem] = []
    return _container(config, "", 0, problems), problems


def _container(node: Any, where: str, depth: int, problems: list[Problem]) -> Any:
    from omegaconf import DictConfig, OmegaConf

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
    from omegaconf import DictConfig, ListConfig

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
