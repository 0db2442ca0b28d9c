"""Build the objects that a configuration describes: import `_target_`, and call it with the node's keys and facts."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any

from dlcli.config.environment import from_environment, reads_environment
from dlcli.config.own_keys import own_type
from dlcli.config.signature import signature
from dlcli.config.suggest import did_you_mean, near, question
from dlcli.errors import ConfigError, DlcliError
from dlcli.gate.gate import current
from dlcli.process.own_frame import own_frame

TARGET, PARTIAL = "_target_", "_partial_"


def locate(target: str, where: str | None = None) -> Any:
    """Import and return the class or function that `package.module.name` names.

    A name that comes from a run's folder has to pass the active gate, in the role of the place `where` it stands.

    Raises:
        ConfigError: The name cannot be imported; the message says which part of it is wrong.
    """
    gate = current()
    if gate is not None and not gate.passes(target):
        return gate.find(target, where)
    if not isinstance(target, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", target):
        raise ConfigError(f"{target!r} is not an import path", hint="Write package.module.Name.")
    parts = target.split(".")
    loaded = sys.modules.get(target.rpartition(".")[0])
    if loaded is not None and callable(ready := getattr(loaded, parts[-1], None)):
        return ready
    found, used = _import_longest(parts)
    for index, name in enumerate(parts[used:], start=used):
        if not hasattr(found, name):
            owner = ".".join(parts[:index])
            raise ConfigError(
                f"{owner} has no {name}", hint=question(f"{owner}.{n}" for n in near(name, _names(found)))
            )
        found = getattr(found, name)
    if not callable(found):
        raise ConfigError(f"{target} is not callable", hint="Name a class or a function.")
    return found


def build(node: Mapping[str, Any], /, where: str = "", **facts: Any) -> Any:
    """Build the object that a node with `_target_` describes, including the nodes nested in it.

    Each target is called with the node's keys, plus those `facts` that its signature names and that no key sets.
    `**kwargs` receives no facts. With `_partial_: true` the result is a `functools.partial`. Keys of the section
    `where` that belong to dlcli itself (`dataset.batch_size`) are not passed on.

    Raises:
        ConfigError: The target cannot be imported or called, with the constructor's error in the message; or a whole
            section has `_partial_`.
    """
    if TARGET not in node:
        raise ConfigError("has no _target_: there is nothing to build", where=where)
    if node.get(PARTIAL) and where and "." not in where:
        raise ConfigError(
            "a section describes an object, not a function that is called later",
            f"{where}.{PARTIAL}",
            f"Leave out {where}.{PARTIAL}.",
        )
    if gate := current():
        gate.admit(node, where)
    try:
        target = locate(node[TARGET], where)
    except ConfigError as error:
        problem = error.problems[0]
        raise ConfigError(problem.message, f"{where}.{TARGET}".lstrip("."), problem.hint) from error
    takes = signature(target).arguments
    own = getattr(own_type(where), "__dataclass_fields__", {})
    arguments = {
        key: _nested(value, f"{where}.{key}".lstrip("."), facts)
        for key, value in node.items()
        if key not in (TARGET, PARTIAL) and (key in takes or key not in own)
    }
    arguments = {name: fact for name, fact in facts.items() if name in takes} | arguments
    if node.get(PARTIAL):
        return partial(target, **arguments)
    try:
        return target(**arguments)
    except DlcliError:
        raise
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        line = f" ({frame.filename}:{frame.lineno})" if (frame := own_frame(error)) else ""
        raise ConfigError(
            f"{node[TARGET]} cannot be built from these keys: {text}{line}", where=where
        ) from error


def _nested(value: Any, where: str, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return build(value, where=where, **facts)
        return {key: _nested(item, f"{where}.{key}", facts) for key, item in value.items()}
    if isinstance(value, list):
        return [_nested(item, f"{where}.{index}", facts) for index, item in enumerate(value)]
    return from_environment(value, where) if reads_environment(value) else value


def _import_longest(parts: list[str]) -> tuple[Any, int]:
    """Import the longest leading part that is a module, and distinguish a missing module from a broken one."""
    module: Any = None
    for used in range(1, len(parts) + 1):
        name = ".".join(parts[:used])
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name and not (error.name and name.startswith(f"{error.name}.")):
                raise ConfigError(f"{name} cannot be imported: {_last_line(error)}") from error
            if module is None or (not hasattr(module, parts[used - 1]) and used < len(parts)):
                raise ConfigError(f"there is no module {name}", hint=_near_module(name, module)) from error
            return module, used - 1
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{name} cannot be imported: {_last_line(error)}") from error
    return module, len(parts)


def _last_line(error: BaseException) -> str:
    """Return the last line of Python's traceback, with the file and line of the user's code."""
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 else ""
    text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    return f"{text} ({place})" if place else text


def _near_module(name: str, parent: Any) -> str:
    if parent is None:
        return did_you_mean(name, _top_modules())
    prefix = parent.__name__
    siblings = (module.name for module in pkgutil.iter_modules(getattr(parent, "__path__", [])))
    return question(f"{prefix}.{n}" for n in near(name.rpartition(".")[2], siblings))


def _top_modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules()]


def _names(found: Any) -> list[str]:
    below = (module.name for module in pkgutil.iter_modules(getattr(found, "__path__", [])))
    return [name for name in (*dir(found), *below) if not name.startswith("_")]
