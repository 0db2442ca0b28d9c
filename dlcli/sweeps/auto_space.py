"""The search space of `sweep=auto`: the ranges that a model declares, and ranges around its optimizer's values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from dlcli.assembly.batch_rows import takes_all_rows
from dlcli.config.build import TARGET, locate
from dlcli.config.signature import signature
from dlcli.config.solver_names import solves_only_head
from dlcli.sweeps.dimension import Choice, Dimension, Range, plain_text
from dlcli.sweeps.space import Space

# Maximum number of values of a stepped range that is converted to a list in order to include a default between them.
_LISTED = 100

# Name of a model's class attribute: argument, or dotted key of any section, to its values in Hydra's grammar.
DECLARED = "search_space"

# Such mappings for configurations whose preprocessing and task are of some classes, by a tuple of their names.
DECLARED_WITH = "search_space_with"

# Keys of the optimizer that are searched between their value divided and multiplied by the factor, unless it is 0.
_OF_OPTIMIZER, _FACTOR = ("lr", "weight_decay"), 5.0


def declared_ranges(config: Mapping[str, Any]) -> dict[str, str]:
    """Return key to values, in Hydra's grammar, for the model and the optimizer; empty if nothing can be searched."""
    kind = locate(config["model"][TARGET])
    named = {str(config[name].get(TARGET)).rpartition(".")[2] for name in ("preprocessing", "task")}
    own: dict[str, str] = dict(getattr(kind, DECLARED, {}))
    for classes, ranges in getattr(kind, DECLARED_WITH, {}).items():
        own |= ranges if named.issuperset(classes) else {}
    found = {key if "." in key else f"model.{key}": str(values) for key, values in own.items()}
    return {**(_around(config["optimizer"]) if _takes_steps(config) else {}), **found}


def _takes_steps(config: Mapping[str, Any]) -> bool:
    """Return whether the optimizer takes gradient steps on batches, unlike a solver or the growing of trees."""
    return str(config["optimizer"][TARGET]).startswith("torch.optim.") and not str(
        config["optimizer"][TARGET]
    ).endswith(".LBFGS")


def _around(optimizer: Mapping[str, Any]) -> dict[str, str]:
    values = {key: optimizer.get(key) for key in _OF_OPTIMIZER}
    return {
        f"optimizer.{key}": f"tag(log,interval({value / _FACTOR:.6g},{value * _FACTOR:.6g}))"
        for key, value in values.items()
        if isinstance(value, int | float) and value > 0
    }


def defaults_of(config: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the values of keys in a configuration, or their defaults in the signature of its model."""
    arguments = signature(cast("Any", locate(config["model"][TARGET]))).arguments
    found: dict[str, Any] = {}
    for key in keys:
        section, _, name = key.rpartition(".")
        node: Any = config
        for part in section.split(".") if section else []:
            node = node.get(part, {}) if isinstance(node, Mapping) else {}
        if isinstance(node, Mapping) and name in node:
            found[key] = node[name]
        elif section == "model" and name in arguments:
            found[key] = arguments[name].default
    return found


def with_starts(
    space: Space, configs: Mapping[str, Mapping[str, Any]], own: Mapping[str, Mapping[str, str]]
) -> Space:
    """Return a space whose first points are the defaults of each model; the models' ranges are extended by them.

    Args:
        space: the space.
        configs: option of the group `model` to the configuration with its defaults.
        own: option to the ranges that the model declares; values from the user are not extended.
    """
    dimensions = tuple(
        _including(dimension, defaults_of(configs[model], [dimension.key]).get(dimension.key))
        if (model := _model_of(dimension, configs)) and dimension.key in own[model]
        else dimension
        for dimension in space.dimensions
    )
    wider = Space(dimensions)
    starts, apart = [], dict[str, None]()
    for model, config in configs.items():
        known = defaults_of(config, [dimension.key for dimension in dimensions]) | {"model": model}
        point = wider.walk(lambda dimension, known=known: _start(dimension, known))  # type: ignore[misc]
        apart |= {key: None for key, value in point.items() if key not in known or known[key] != value}
        starts.append(point)
    different = [point for index, point in enumerate(starts) if point not in starts[:index]]
    quick = frozenset(
        model
        for model, config in configs.items()
        if takes_all_rows(config) or solves_only_head(config["finetune"])
    )
    return replace(wider, starts=tuple(different), apart=tuple(apart), quick=quick)


def starts_in_order(space: Space, trials: int) -> list[dict[str, Any]]:
    """Return the points that a number of trials begin with.

    If all of them are tried, models without gradient steps come first: they take seconds, so that a search whose time
    is too short for a network has a result.
    """
    if trials < len(space.starts):
        return list(space.starts[:trials])
    return sorted(space.starts, key=lambda point: point.get("model") not in space.quick)


def what_starts_have(space: Space, model: str = "") -> str:
    """Describe the points that are tried first: `the defaults of mlp but for model.hidden`."""
    of = f" of {model}" if model else ""
    return f"the defaults{of} but for {', '.join(space.apart)}" if space.apart else f"the defaults{of}"


def _model_of(dimension: Dimension, configs: Mapping[str, Any]) -> str | None:
    given = dict(dimension.given).get("model")
    return given if given is not None else next(iter(configs)) if len(configs) == 1 else None


def _start(dimension: Dimension, known: Mapping[str, Any]) -> Any:
    """Return the default of a dimension if it is among the values, else the first value."""
    values = dimension.domain.values_in_order()
    if dimension.key not in known or not _contains(dimension.domain, known[dimension.key]):
        return values[0]
    return known[dimension.key]


def _contains(domain: Choice | Range, value: Any) -> bool:
    if isinstance(domain, Choice):
        return plain_text(value) in map(plain_text, domain.values)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return domain.low <= value <= domain.high and (domain.step is None or value in domain.values_in_order())


def _including(dimension: Dimension, value: Any) -> Dimension:
    """Return the dimension, extended by a default if it is not among the values."""
    domain = dimension.domain
    if value is None or _contains(domain, value):
        return dimension
    if isinstance(domain, Choice):
        return replace(dimension, domain=Choice((value, *domain.values)))
    if isinstance(value, bool) or not isinstance(value, int | float) or (domain.log and value <= 0):
        return dimension
    if domain.is_whole and not isinstance(value, int):
        return dimension
    if domain.step is not None and not math.isclose(
        (value - domain.low) / domain.step, round((value - domain.low) / domain.step), abs_tol=1e-6
    ):
        # Extending the bounds would shift all values of a stepped range, such as 8, 16, 24 for 10.
        if (domain.points or 0) > _LISTED:
            return dimension
        return replace(dimension, domain=Choice(tuple(sorted((value, *domain.values_in_order())))))
    return replace(
        dimension, domain=replace(domain, low=min(domain.low, value), high=max(domain.high, value))
    )
