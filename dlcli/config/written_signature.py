"""Read the arguments of a `_target_` from its source code, without importing it: imports of torch take seconds."""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dlcli.config.signature import UNKNOWN, Argument, Signature

_DEEPEST = 10  # imports and base classes that are followed


def written_signature(target: Any) -> Signature | None:
    """Return the arguments of a class or function from its source code; None if they cannot be determined.

    Types and defaults are UNKNOWN. A class without an `__init__` has its fields as arguments if it is a dataclass, else
    the arguments of its first base class with an `__init__`.
    """
    return _read(target, _DEEPEST) if isinstance(target, str) else None


@lru_cache(maxsize=256)
def _read(dotted: str, depth: int) -> Signature | None:
    module, names = _split(dotted)
    if module is None or len(names) != 1 or depth == 0:
        return None
    tree = _tree(module)
    found = _definition(tree, names[0])
    if isinstance(found, ast.FunctionDef):
        return _of_function(found, module, depth, skip=0)
    if isinstance(found, ast.ClassDef):
        return _of_class(found, module, depth)
    source = _imported_from(tree, names[0], module)
    return _read(source, depth - 1) if source else None


def _split(dotted: str) -> tuple[Path | None, list[str]]:
    """Return the file of the longest module that a dotted name begins with, and the remaining names."""
    top, *rest = dotted.split(".")
    spec = find_spec(top)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None, rest
    file = Path(spec.origin)
    while rest and file.name == "__init__.py":
        module, package = file.with_name(f"{rest[0]}.py"), file.parent / rest[0] / "__init__.py"
        found = package if package.is_file() else module if module.is_file() else None
        if found is None:
            break
        file, rest = found, rest[1:]
    return file, rest


@lru_cache(maxsize=256)
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ast.Module([], [])


def _definition(tree: ast.Module, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [node for node in tree.body if isinstance(node, kinds) and node.name == name]
    return found[-1] if found else None


def _imported_from(tree: ast.Module, name: str, file: Path) -> str:
    """Return the dotted name from which a module imports a name; empty if it does not import it."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    package = ".".join(_package(file)[: -node.level + 1 or None]) if node.level else ""
                    return ".".join(filter(None, [package, node.module, alias.name]))
    return ""


def _package(file: Path) -> list[str]:
    """Return the names of the package that a file belongs to."""
    names: list[str] = []
    folder = file.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _of_class(node: ast.ClassDef, file: Path, depth: int) -> Signature | None:
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    if "__new__" in methods or node.keywords:
        return None
    if "__init__" in methods:
        return _of_function(methods["__init__"], file, depth, skip=1)
    if _dataclass(node):
        return _of_fields(node, file, depth)
    # Of several bases the first one decides, if it can be read.
    return _of_name(_last_name(node.bases[0]), file, depth) if node.bases else None


def _of_name(name: str, file: Path, depth: int) -> Signature | None:
    """Return the arguments of a class that a module defines or imports."""
    found = _class(name, file, depth)
    return found and _of_class(*found)


def _class(name: str, file: Path, depth: int) -> tuple[ast.ClassDef, Path, int] | None:
    """Return a class that a module defines or imports, its file, and the remaining depth of the search."""
    if depth == 0:
        return None
    local = _definition(_tree(file), name)
    if isinstance(local, ast.ClassDef):
        return local, file, depth - 1
    if not (source := _imported_from(_tree(file), name, file)):
        return None
    module, names = _split(source)
    return _class(names[0], module, depth - 1) if module and len(names) == 1 else None


def _last_name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _of_fields(node: ast.ClassDef, file: Path, depth: int) -> Signature | None:
    """Return the arguments of a dataclass: its fields, then its keyword-only fields."""
    fields = _fields(node, file, depth)
    if fields is None:
        return None
    arguments = {
        name: Argument(UNKNOWN, UNKNOWN, field.value is None)
        for by_name in (False, True)
        for name, (field, named) in fields.items()
        if named == by_name
    }
    return Signature(arguments, False)


def _fields(node: ast.ClassDef, file: Path, depth: int) -> dict[str, tuple[ast.AnnAssign, bool]] | None:
    """Return the fields of a class and its bases, and whether they are keyword-only; None if unreadable."""
    found: dict[str, tuple[ast.AnnAssign, bool]] = {}
    for name in map(_last_name, reversed(node.bases)):
        if _imported_from(_tree(file), name, file) == "abc.ABC":
            continue  # its source is compiled into Python
        at = _class(name, file, depth)
        inherited = at and _fields(*at)
        if inherited is None:
            return None
        found |= inherited
    if decorator := _dataclass(node):
        options = decorator.keywords if isinstance(decorator, ast.Call) else []
        named = any(option.arg == "kw_only" for option in options)
        found |= {
            field.target.id: (field, named)
            for field in node.body
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        }
    return found


def _dataclass(node: ast.ClassDef) -> ast.expr | None:
    """Return the decorator that makes a class a dataclass."""
    return next((found for found in node.decorator_list if _last_name(found) == "dataclass"), None)


def _of_function(node: ast.FunctionDef, file: Path, depth: int, skip: int) -> Signature | None:
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    needed = len(positional) - len(given.defaults)
    arguments = {
        argument.arg: Argument(UNKNOWN, UNKNOWN, required=index < needed)
        for index, argument in enumerate(positional)
        if index >= max(skip, len(given.posonlyargs))
    }
    arguments |= {
        argument.arg: Argument(UNKNOWN, UNKNOWN, required=default is None)
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    }
    if given.kwarg is None or (options := _options(given.kwarg.annotation)) is None:
        return Signature(arguments, is_open=given.kwarg is not None)
    found = _of_name(options, file, depth)
    return found and Signature({**arguments, **found.arguments}, found.is_open)


def _options(annotation: ast.expr | None) -> str | None:
    """Return the name of the dataclass in `Annotated[Any, Options]`."""
    if not isinstance(annotation, ast.Subscript) or _last_name(annotation.value) != "Annotated":
        return None
    inside = annotation.slice
    last = inside.elts[-1] if isinstance(inside, ast.Tuple) else None
    return last.id if isinstance(last, ast.Name) else None
