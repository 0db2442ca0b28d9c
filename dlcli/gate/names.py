"""Resolution of a name in a run's folder to an object, if its role accepts it.

A module is imported only if its name shows that it belongs to a package of the role, and only a class or function that
is defined in it under that name is returned: `dlcli.tracking.ledger.os.system` is rejected without an import.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from types import FunctionType
from typing import Any

from dlcli.errors import ConfigError
from dlcli.gate.roles import NEVER, NOTHING, Role, shipped

_NAME = re.compile(r"[a-zA-Z]\w*(\.[a-zA-Z]\w*)+", re.ASCII)  # public in all its parts


def find_object(name: str, role: Role) -> Any:
    """Return the object for a name; None if the role does not accept it."""
    if role is NOTHING or name in NEVER or not _NAME.fullmatch(name):
        return None
    module, _, last = name.rpartition(".")
    for offering, package, only in role.offered:
        if module == offering and (not only or last in only):
            found = _attribute(offering, last)
            if found is None and offering.partition(".")[0] == "torchmetrics" and last[0].isupper():
                # Its classes are imported when they are used.
                found = getattr(sys.modules[offering], last, None)
            home = getattr(found, "__module__", None)
            if (
                isinstance(home, str)
                and f"{home}.".startswith(f"{package}.")
                and _fits(found, home, last, role)
            ):
                return found
    if name in shipped(role.group):  # listed there, so it has the role by definition
        found = _attribute(module, last)
        return found if _is_defined_as(found, module, last) else None
    if any(f"{module}.".startswith(f"{package}.") for package in role.packages):
        found = _attribute(module, last)
        return found if _fits(found, module, last, role) else None
    return None


def find_own(name: str, role: Role) -> Any:
    """Return the object for a name in a trusted module; None unless it is defined there and fits the role."""
    if role is NOTHING or not _NAME.fullmatch(name):
        return None
    module, _, last = name.rpartition(".")
    found = _attribute(module, last)
    return found if _fits(found, module, last, role) else None


def _attribute(module: str, name: str) -> Any:
    """Return an attribute of a module, without calling the module's `__getattr__`; None if there is none."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            return None
        raise ConfigError(f"{module} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise ConfigError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    return vars(sys.modules[module]).get(name)


def _fits(found: Any, module: str, name: str, role: Role) -> bool:
    """Return whether an object is a class or function defined under that name, and has the role's type."""
    return _is_defined_as(found, module, name) and role.fits(found)


def _is_defined_as(found: Any, module: str, name: str) -> bool:
    """Return whether an object is a class or function defined under that name in that module."""
    if not isinstance(found, type | FunctionType):
        return False
    return (found.__module__, found.__qualname__) == (module, name)
