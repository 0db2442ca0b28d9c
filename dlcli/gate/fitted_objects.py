"""Loading of fitted scikit-learn objects from a run's folder (`preprocessing.skops`).

skops trusts names, and its list of trusted names applies to classes, functions, methods and operators alike. Therefore
the file's schema is checked first: it may contain only plain containers, arrays, and objects of the classes below. An
object that passes is rebuilt without skops, which takes longer to import than a prediction takes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from dlcli.errors import CorruptRun
from dlcli.files.damaged_archives import DAMAGED_ZIP
from dlcli.files.regular import os_reason
from dlcli.gate.arrays import check_stored
from dlcli.gate.documents import JSON_BYTES
from dlcli.gate.gate import Gate
from dlcli.gate.skops_format import Rebuilt, UnsupportedObject, dump_fitted

_DAMAGED = "The folder is incomplete or damaged: copy it again, or train again."

# The classes that dlcli's own preprocessing uses.
_SKLEARN = frozenset(
    {
        "sklearn.pipeline.Pipeline",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.impute._base.MissingIndicator",
        *(
            f"sklearn.preprocessing._data.{name}"
            for name in ("StandardScaler", "MinMaxScaler", "RobustScaler", "QuantileTransformer")
        ),
        *(f"sklearn.preprocessing._encoders.{name}" for name in ("OneHotEncoder", "OrdinalEncoder")),
    }
)

# skops' kinds of nodes that hold plain values, with the types that each may have.
_PLAIN = {
    "DictNode": {"builtins.dict", "collections.OrderedDict"},
    "ListNode": {"builtins.list"},
    "TupleNode": {"builtins.tuple"},
    "SetNode": {"builtins.set"},
    "JsonNode": {"builtins.str"},
    "SliceNode": {"builtins.slice"},
    "BytesNode": {"builtins.bytes"},
    "DTypeNode": {"numpy.dtype"},
}
_TYPES = frozenset(f"builtins.{name}" for name in ("int", "float", "str", "bool", "NoneType"))
_OBJECT, _ARRAY, _TYPE, _CACHED = "ObjectNode", "NdArrayNode", "TypeNode", "CachedNode"


def load_fitted(file: Path, gate: Gate) -> Any:
    """Load the object in a skops file, if the gate accepts its contents.

    Raises:
        CorruptRun: The file has contents that are not accepted, or cannot be read.
    """
    schema = _schema(file)
    if gate.is_open and not {node["__loader__"] for node in _nodes(schema)} <= {
        *_PLAIN,
        _OBJECT,
        _ARRAY,
        _TYPE,
    }:
        import skops.io

        return skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    if not gate.is_open:
        checked = _Checked(gate, str(file))
        checked.root(schema)
        for node in _nodes(schema):
            checked.node(node)
    try:
        with ZipFile(file) as archive:
            return Rebuilt(archive).object(schema)
    except (
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        ValueError,
        MemoryError,
        *DAMAGED_ZIP,
    ) as error:
        raise CorruptRun(
            f"the fitted preprocessing cannot be rebuilt: {error}", str(file), _DAMAGED
        ) from error


class _Checked:
    """Checks the nodes of a schema, and collects the classes of its objects in `classes`."""

    def __init__(self, gate: Gate, place: str) -> None:
        self._gate = gate
        self._place = place
        self._scalars = frozenset(f"numpy.{scalar.__name__}" for scalar in np.sctypeDict.values())
        self.classes: set[str] = set()

    def root(self, node: Any) -> None:
        """Check that the file's root object is a preprocessing."""
        name = _name(node)
        if node.get("__loader__") != _OBJECT or not self._gate.passes(name):
            self._gate.find(name, "preprocessing")

    def node(self, node: dict[str, Any]) -> None:
        """Check one node."""
        kind, name = node["__loader__"], _name(node)
        if kind == _CACHED:
            return
        if kind == _OBJECT:
            if name not in self.classes and not self._is_known(name):
                raise self._refusal(kind, name)
            self.classes.add(name)
        elif kind == _ARRAY:
            if name != "numpy.ndarray" and name not in self._scalars:
                raise self._refusal(kind, name)
        elif kind == _TYPE:
            if name not in _TYPES and name not in self._scalars:
                raise self._refusal(kind, name)
        elif not isinstance(kind, str) or name not in _PLAIN.get(kind, ()):
            raise self._refusal(kind, name)

    def _is_known(self, name: str) -> bool:
        if name in _SKLEARN or self._gate.passes(name):
            return True
        if name.startswith("sklearn."):  # a user-defined preprocessing may use any estimator
            return bool(self._gate.own) and _is_estimator(name)
        self._gate.find(name, "preprocessing")
        return True

    def _refusal(self, kind: Any, name: str) -> CorruptRun:
        return CorruptRun(f"the fitted preprocessing contains {name} ({kind})", self._place, self._gate.hint)


def _is_estimator(name: str) -> bool:
    from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES

    return name in SKLEARN_ESTIMATOR_TYPE_NAMES


def _name(node: Any) -> str:
    if not isinstance(node, dict):
        return ""
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all nodes of a schema."""
    found, pending = [], [schema]
    while pending:
        node: Any = pending.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                found.append(node)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return found


def _schema(file: Path) -> dict[str, Any]:
    """Read the file's schema. Compressed members are rejected, so the contents are not larger than the file."""
    try:
        check_stored(file)
        with ZipFile(file) as archive:
            if archive.getinfo("schema.json").file_size > JSON_BYTES:
                raise CorruptRun("the schema of the fitted preprocessing is too large", str(file), _DAMAGED)
            schema = json.loads(archive.read("schema.json"))
    except OSError as error:
        raise CorruptRun(f"the fitted preprocessing {os_reason(error)}", str(file), _DAMAGED) from error
    except (ValueError, KeyError, *DAMAGED_ZIP) as error:
        reason = "it nests too deeply" if isinstance(error, RecursionError) else str(error)
        raise CorruptRun(f"the fitted preprocessing cannot be read: {reason}", str(file), _DAMAGED) from error
    if not isinstance(schema, dict):
        raise CorruptRun("the fitted preprocessing contains no object", str(file), _DAMAGED)
    return schema


def fitted_bytes(preprocessing: object) -> bytes:
    """Return the file of a fitted preprocessing, which `load_fitted` reads."""
    try:
        return dump_fitted(preprocessing)
    except UnsupportedObject:  # a user's own may contain anything that skops writes
        import skops.io

        return skops.io.dumps(preprocessing)


class LastFitted:
    """Writes and reads the same fitted preprocessing once, for the trials of a sweep that share it.

    Its objects must not be changed: they are those of the last call.
    """

    def __init__(self) -> None:
        self._written: tuple[object, bytes] | None = None
        self._read: tuple[bytes, Any] | None = None

    def to_bytes(self, preprocessing: object) -> bytes:
        """Return `fitted_bytes`."""
        written = self._written
        if written is None or written[0] is not preprocessing:
            self._written = written = preprocessing, fitted_bytes(preprocessing)
        return written[1]

    def load(self, file: Path, gate: Gate) -> Any:
        """Return `load_fitted` of a file that is trusted."""
        if not gate.is_open:
            return load_fitted(file, gate)
        content, read = file.read_bytes(), self._read
        if read is None or read[0] != content:
            self._read = read = content, load_fitted(file, gate)
        return read[1]
