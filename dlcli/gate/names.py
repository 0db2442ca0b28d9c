"""From a name that a run's folder gives to the object, where that is what the name says and the role asks for.

A module is imported only once its name shows that it belongs to a package of the role, and only what stands in it by
that name is looked at: `dlcli.tracking.ledger.os.system` gets no further than its first module.
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


def find(name: str, role: Role) -> Any:
    """What the name stands for; None where the role does not accept it."""
    if role is NOTHING or name in NEVER or not _NAME.fullmatch(name):
        return None
    module, _, last = name.rpartition(".")
    for offering, package, only in role.offered:
        if module == offering and (not only or last in only):
            found = _there(offering, last)
            home = getattr(found, "__module__", None)
            if (
                isinstance(home, str)
                and f"{home}.".startswith(f"{package}.")
                and _fits(found, home, last, role)
            ):
                return found
    if name in shipped(role.group):  # of which the list says that they are of the role
        found = _there(module, last)
        return found if _is_called(found, module, last) else None
    if any(f"{module}.".startswith(f"{package}.") for package in role.packages):
        found = _there(module, last)
        return found if _fits(found, module, last, role) else None
    return None


def find_own(name: str, role: Role) -> Any:
    """The same of a module that the user has vouched for: whatever fits the role and is defined there."""
    if role is NOTHING or not _NAME.fullmatch(name):
        return None
    module, _, last = name.rpartition(".")
    found = _there(module, last)
    return found if _fits(found, module, last, role) else None


def _there(module: str, name: str) -> Any:
    """What stands in a module by that name; no `__getattr__` of the module's is asked."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            return None
        raise ConfigError(f"{module} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        raise ConfigError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    return vars(sys.modules[module]).get(name)


def _fits(found: Any, module: str, name: str, role: Role) -> bool:
    """Whether a class or function is called so, and is of the role's type."""
    return _is_called(found, module, name) and role.fits(found)


def _is_called(found: Any, module: str, name: str) -> bool:
    """Whether it is a class or function, under its own name."""
    if not isinstance(found, type | FunctionType):
        return False
    return (found.__module__, found.__qualname__) == (module, name)
