"""The gate: decides which classes and functions may be imported because a run's folder names them.

`locate` and `build` (`dlcli.config.build`) consult the active gate (`Gate.closed`). Without one, names come from the
user (the command line or a conf folder), and any name is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.gate.arguments import refused, refused_fact
from dlcli.gate.names import find_object, find_own
from dlcli.gate.roles import NOTHING, ROLES, role_at

TARGET = "_target_"

RUNS_CODE = (
    "Loading the run would execute that code. If you trust it, give its folder with -C DIR, or use --trust."
)
_OURS = ("dlcli.", "torch.", "pytorch_lightning.", "optuna.")


@dataclass(frozen=True)
class Gate:
    """The classes and functions that a run's folder may name.

    Attributes:
        place: the folder, for messages.
        is_open: whether the user trusts everything in it (--trust).
        sealed: whether its seal proves that the configuration was written by the user.
        own: top-level modules of the user's code that are trusted.
        names: names in a sealed configuration, which are trusted.
        written: folders given by the user, into which data may be downloaded.
        variables: environment variables that a sealed configuration reads.
        fetches: whether models and datasets that a sealed configuration names may be downloaded.
        hint: advice for a user who trusts the code.
    """

    place: str = ""
    is_open: bool = False
    sealed: bool = False
    own: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    written: frozenset[Path] = frozenset()
    variables: frozenset[str] = frozenset()
    fetches: bool = False
    hint: str = RUNS_CODE

    @contextmanager
    def closed(self) -> Iterator[Gate]:
        """Make this the active gate within the context."""
        before = _closed.set(self)
        try:
            yield self
        finally:
            _closed.reset(before)

    def passes(self, name: Any) -> bool:
        """Return whether a name is trusted without a check, since the user wrote it."""
        return self.is_open or (isinstance(name, str) and name in self.names)

    def find(self, name: Any, where: str | None = None) -> Any:
        """Return the object for a name at a place of the configuration; without a place, in any role.

        Raises:
            CorruptRun: The name is not accepted.
        """
        roles = [role_at(where)] if where is not None else [role for _, role in ROLES]
        if isinstance(name, str):
            by = find_own if name.partition(".")[0] in self.own else find_object
            found = next((object_ for role in roles if (object_ := by(name, role)) is not None), None)
            if found is not None:
                return found
        raise self._refusal(name, where)

    def admit(self, node: Mapping[str, Any], where: str) -> None:
        """Check the name and the arguments of one node.

        Raises:
            CorruptRun: The name or an argument is not accepted.
        """
        name = node[TARGET]
        if isinstance(name, str) and self.passes(name):
            return
        self.find(name, where)
        if key := refused(where, name, node):
            raise CorruptRun(
                f"{where}.{key} is not accepted from a run's folder: it could write files or execute code",
                self.place,
                "If you trust the run, use --trust.",
            )

    def admit_facts(self, node: Mapping[str, Any], section: str, facts: Mapping[str, Any]) -> None:
        """Check the facts that a saved model is built with, besides its node's own arguments.

        Raises:
            CorruptRun: one of them is not accepted.
        """
        if not self.passes(node[TARGET]) and (name := refused_fact(section, facts)):
            raise CorruptRun(
                f"{section}_facts.{name} is not accepted from a run's folder: dlcli does not record such a fact",
                self.place,
                "If you know the run, give --trust.",
            )

    def admit_all(self, tree: Any, where: str = "") -> None:
        """Check every node of a configuration before any of it is built.

        Raises:
            CorruptRun: A node is not accepted.
        """
        for place, node in _nodes(tree, where):
            if not self.is_open:
                self.admit(node, place)

    def may_write(self, folder: Path) -> bool:
        """Return whether data may be downloaded into a folder that a configuration names."""
        place = folder.resolve()
        return self.is_open or any(place.is_relative_to(named) for named in self.written)

    @property
    def may_download(self) -> bool:
        """Whether models and datasets of a hub may be downloaded: only if the user has named them."""
        return self.is_open or self.sealed or self.fetches

    def may_read(self, variables: set[str]) -> bool:
        """Return whether these environment variables may be read; others might disclose secrets to the run's author."""
        return self.is_open or self.sealed or variables <= self.variables

    def _refusal(self, name: Any, where: str | None) -> CorruptRun:
        place = f"{where}.{TARGET}" if where else "the run"
        if not isinstance(name, str):
            return CorruptRun(f"{place} is not a name", self.place, "Copy the folder again.")
        if not name.startswith(_OURS):
            return CorruptRun(f"{place} names code outside dlcli: {name}", self.place, self.hint)
        role = role_at(where) if where else NOTHING
        return CorruptRun(f"{place} names {name}, which is not {role.words}", self.place, self.hint)


_closed: ContextVar[Gate | None] = ContextVar("gate", default=None)


def current() -> Gate | None:
    """Return the active gate; None if names come from the user."""
    return _closed.get()


def may_download() -> bool:
    """Return whether what a configuration names on a hub may be downloaded."""
    gate = current()
    return gate is None or gate.may_download


def targets(node: Any) -> list[str]:
    """Return all `_target_`s in nested dicts and lists, such as a configuration."""
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
