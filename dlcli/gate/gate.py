"""The one gate for names that a run's folder gives: what may be built of them, and whose word counts.

`locate` and `build` (`dlcli.config.build`) ask the gate that is closed around them (`Gate.closed`); without one, names
are the user's own words, from the command line or a conf folder, and anything may be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.gate.arguments import refused
from dlcli.gate.names import find, find_own
from dlcli.gate.roles import NOTHING, ROLES, role_at

TARGET = "_target_"

RUNS_CODE = "Loading it would run that code. If you know it, name its folder with -C DIR, or give --trust."
_OURS = ("dlcli.", "torch.", "pytorch_lightning.", "optuna.")


@dataclass(frozen=True)
class Gate:
    """What the folder of a run may name.

    Attributes:
        place: the folder, for messages.
        is_open: the user has vouched for all of it (--trust).
        sealed: its configuration is the user's own, as its seal proves.
        own: top-level modules of the user's own code that were vouched for.
        names: those that a sealed configuration has: the user's own words.
        written: folders that the user has named, into which data may be downloaded.
        variables: of the environment, that a sealed configuration reads.
        hint: what the user can do who knows the code.
    """

    place: str = ""
    is_open: bool = False
    sealed: bool = False
    own: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    written: frozenset[Path] = frozenset()
    variables: frozenset[str] = frozenset()
    hint: str = RUNS_CODE

    @contextmanager
    def closed(self) -> Iterator[Gate]:
        """Judge all names by this gate in the block; jobs that are made in it were judged before."""
        before = _closed.set(self)
        try:
            yield self
        finally:
            _closed.reset(before)

    def passes(self, name: Any) -> bool:
        """Whether a name needs no judgement: it is the user's own word."""
        return self.is_open or (isinstance(name, str) and name in self.names)

    def find(self, name: Any, where: str | None = None) -> Any:
        """What a name stands for at a place of the configuration; without a place, in any role.

        Raises:
            CorruptRun: it is not accepted.
        """
        roles = [role_at(where)] if where is not None else [role for _, role in ROLES]
        if isinstance(name, str):
            by = find_own if name.partition(".")[0] in self.own else find
            found = next((object_ for role in roles if (object_ := by(name, role)) is not None), None)
            if found is not None:
                return found
        raise self._refusal(name, where)

    def admit(self, node: Mapping[str, Any], where: str) -> None:
        """Judge one node: its name, and the arguments that it may not have.

        Raises:
            CorruptRun: it is not accepted.
        """
        name = node[TARGET]
        if isinstance(name, str) and self.passes(name):
            return
        self.find(name, where)
        if key := refused(where, name, node):
            raise CorruptRun(
                f"{where}.{key} is not taken from a run's folder: it could write files or run code",
                self.place,
                "If you know the run, give --trust.",
            )

    def admit_all(self, tree: Any, where: str = "") -> None:
        """Judge every node of a configuration, before anything is built of it.

        Raises:
            CorruptRun: one is not accepted.
        """
        for place, node in _nodes(tree, where):
            if not self.is_open:
                self.admit(node, place)

    def may_write(self, folder: Path) -> bool:
        """Whether data may be downloaded into a folder that a configuration names."""
        place = folder.resolve()
        return self.is_open or any(place.is_relative_to(named) for named in self.written)

    def may_read(self, variables: set[str]) -> bool:
        """Whether these variables of the environment may be read: others could tell the folder's author a secret."""
        return self.is_open or self.sealed or variables <= self.variables

    def _refusal(self, name: Any, where: str | None) -> CorruptRun:
        place = f"{where}.{TARGET}" if where else "the run"
        if not isinstance(name, str):
            return CorruptRun(f"{place} is no name", self.place, "Copy the folder anew.")
        if not name.startswith(_OURS):
            return CorruptRun(f"{place} names code that is not dlcli's: {name}", self.place, self.hint)
        role = role_at(where) if where else NOTHING
        return CorruptRun(f"{place} names {name}, which is not {role.words}", self.place, self.hint)


_closed: ContextVar[Gate | None] = ContextVar("gate", default=None)


def current() -> Gate | None:
    """The gate that a run was opened behind; None where names are the user's own words."""
    return _closed.get()


def targets(node: Any) -> list[str]:
    """All `_target_` in a tree of dicts and lists, such as a configuration."""
    return [inner[TARGET] for _, inner in _nodes(node, "") if isinstance(inner[TARGET], str)]


def _nodes(node: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if TARGET in node:
            yield where, node
        for key, value in node.items():
            yield from _nodes(value, f"{where}.{key}".lstrip("."))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{where}.{index}")
