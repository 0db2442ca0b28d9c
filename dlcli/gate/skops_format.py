"""The file format of skops, for the kinds of objects that a fitted preprocessing of dlcli consists of.

Importing skops takes longer than most commands, since it lists all estimators of scikit-learn and the modules of all
functions of scipy. The files have skops' format, so that skops can read and write them as well.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import json
from functools import cache
from typing import Any
from zipfile import ZipFile

import numpy as np

from dlcli.gate.arrays import Arrays

_PROTOCOL = 2
_MOST_OBJECTS = 10_000_000


class UnsupportedObject(TypeError):
    """The object is of a kind that only skops itself can write."""


def dump_fitted(fitted: object) -> bytes:
    """Return the contents of a skops file with the object.

    Raises:
        UnsupportedObject: The object contains anything other than numbers, texts, containers, arrays, types, and
            objects whose state is their `__dict__`.
    """
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        schema = _Written(archive).node(fitted)
        schema |= {"protocol": _PROTOCOL, "_skops_version": _skops_version()}
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


@cache
def _skops_version() -> str:
    return importlib.metadata.version("skops")


class _Written:
    """Describes objects as nodes of a schema, and writes their arrays to an archive."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._known: list[Any] = []  # keeps them alive, since nodes are identified by `id`

    def node(self, value: Any) -> dict[str, Any]:
        """Return the node that describes an object."""
        self._known.append(value)
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            node = _head(str, "JsonNode") | {"content": json.dumps(value), "is_json": True}
        elif kind is dict:
            node = self._dict(value)
        elif kind in (list, tuple, set):
            loader = f"{kind.__name__.title()}Node"
            node = _head(kind, loader) | {"content": [self.node(item) for item in value]}
        elif kind is slice:
            ends = {"start": value.start, "stop": value.stop, "step": value.step}
            node = _head(kind, "SliceNode") | {"content": ends}
        elif isinstance(value, np.ndarray | np.generic):
            node = self._array(value)
        elif isinstance(value, np.dtype):
            node = _head(np.dtype, "DTypeNode") | {"content": self.node(np.empty(0, dtype=value))}
        elif isinstance(value, type):
            node = _head(value, "TypeNode")
        else:
            node = self._object(value)
        return node | {"__id__": id(value)}

    def _dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        if not all(isinstance(key, str | int | float) and not isinstance(key, bool) for key in value):
            raise UnsupportedObject("a key of another type")
        types = [type(key) for key in value]
        content = {str(key): self.node(item) for key, item in value.items()}
        if len(content) < len(value):
            raise UnsupportedObject("two keys of one text")
        return _head(dict, "DictNode") | {"content": content, "key_types": self.node(types)}

    def _array(self, value: Any) -> dict[str, Any]:
        head = _head(type(value), "NdArrayNode")
        if type(value) is not np.ndarray and not isinstance(value, np.generic):
            raise UnsupportedObject(f"an array of type {type(value).__name__}")
        if value.dtype == object and not value.shape:
            raise UnsupportedObject("an array of one object")
        if value.dtype == object:
            items = [self.node(item) for item in value.tolist()]
            return head | {"content": items, "type": "json", "shape": self.node(value.shape)}
        file = f"{id(value)}.npy"
        if file not in self._archive.namelist():
            stream = io.BytesIO()
            np.save(stream, value, allow_pickle=False)
            self._archive.writestr(file, stream.getvalue())
        return head | {"type": "numpy", "file": file}

    def _object(self, value: Any) -> dict[str, Any]:
        kind = type(value)
        try:
            make, arguments, state, *contents = value.__reduce_ex__(2)[:5]
        except (TypeError, ValueError):
            make = arguments = state = None
            contents = []
        if (
            callable(value)
            or getattr(make, "__name__", "") != "__newobj__"
            or arguments != (kind,)
            or any(items is not None for items in contents)  # of a subclass of list or dict
            or not isinstance(state, dict | None)
        ):
            raise UnsupportedObject(f"an object of type {kind.__name__}")
        return _head(kind, "ObjectNode") | {"content": self.node(state)}


def _head(kind: type, loader: str) -> dict[str, Any]:
    return {"__class__": kind.__name__, "__module__": kind.__module__, "__loader__": loader}


class Rebuilt:
    """Builds the objects of a checked schema, as skops does."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._known: dict[Any, Any] = {}

    def object(self, node: dict[str, Any]) -> Any:
        """Return the object that a node describes; nodes with the same `__id__` are the same object."""
        key = node.get("__id__")
        if node["__loader__"] == "CachedNode":
            return self._known[key]
        if key is None or key not in self._known:
            built = self._build(node)
            if key is None:
                return built
            self._known[key] = built
        return self._known[key]

    def _build(self, node: dict[str, Any]) -> Any:
        kind, content = node["__loader__"], node.get("content")
        if kind == "JsonNode":
            return json.loads(node["content"])
        if kind == "DictNode":
            types = self.object(node["key_types"])
            keys = [of_key(key) for of_key, key in zip(types, node["content"], strict=True)]
            return _class(node)(zip(keys, map(self.object, node["content"].values()), strict=True))
        if kind in ("ListNode", "TupleNode", "SetNode"):
            return _class(node)(map(self.object, node["content"]))
        if kind == "SliceNode":
            return slice(*(node["content"][key] for key in ("start", "stop", "step")))
        if kind == "BytesNode":
            return self._archive.read(node["file"])
        if kind == "DTypeNode":
            return self.object(node["content"]).dtype
        if kind == "TypeNode":
            return _class(node)
        if kind == "NdArrayNode":
            return self._array(node)
        instance = _class(node).__new__(_class(node))
        state = self.object(content) if content else None
        if hasattr(instance, "__setstate__") and state is not None:
            instance.__setstate__(state)
        elif state is not None:
            vars(instance).update(state)
        return instance

    def _array(self, node: dict[str, Any]) -> Any:
        if node["type"] == "numpy":
            array = Arrays(self._archive).read(node["file"].removesuffix(".npy"))
            return array if node["__class__"] == "ndarray" else _class(node)(array)
        shape = self.object(node["shape"])
        items = [self.object(item) for item in node["content"]]
        for rows in shape[1:]:  # nested lists
            if any(len(item) != rows for item in items) or len(items) * rows > _MOST_OBJECTS:
                raise ValueError("the shape of an array of objects is not that of its contents")
            items = [part for item in items for part in item]
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(shape)


def _class(node: dict[str, Any]) -> Any:
    """Return the class that a checked node names."""
    if node["__class__"] == "NoneType":
        return type(None)
    return getattr(importlib.import_module(node["__module__"]), node["__class__"])
