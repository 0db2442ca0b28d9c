"""Interpolations resolved, plain types out; every one that fails is reported, not only the first."""

from __future__ import annotations

from typing import Any

from dlcli.config.environment import missing_variables, reads_environment, unset
from dlcli.errors import Problem, first_line

_DEEPEST = 50


def resolve(config: Any) -> tuple[dict[str, Any], list[Problem]]:
    """A DictConfig as plain, JSON-able types, and what is left open (`???`) or points nowhere."""
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
        # What is already reported is left out: its type is nobody's second mistake.
        if len(problems) == before or value is not None:
            found[key] = value
    return found if is_mapping else list(found.values())


def _value(node: Any, key: Any, raw: Any, where: str, depth: int, problems: list[Problem]) -> Any:
    from omegaconf import DictConfig, ListConfig

    if raw == "???":
        problems.append(Problem("has to be given", where, f"Add {where}=..."))
        return None
    if isinstance(raw, str) and "${hydra:" in raw:
        problems.append(
            Problem(
                "${hydra:...} cannot be used: dlcli owns the run's folder and Hydra's settings",
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
