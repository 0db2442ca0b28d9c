"""Validate a composed configuration against the signatures of its targets and report every mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from dlcli.config.build import PARTIAL, TARGET, locate
from dlcli.config.keys import own_keys, read_signature
from dlcli.config.made_objects import has_object, mismatch_of_objects
from dlcli.config.metric_section import AUTO
from dlcli.config.own_keys import Root
from dlcli.config.reserved_keys import BY_DATA, Supplied, supplied_to
from dlcli.config.signature import Signature, signature
from dlcli.config.suggest import choices, did_you_mean, hint, near, question
from dlcli.config.typecheck import mismatch
from dlcli.errors import ConfigError, Problem

# Sections that every experiment needs.
NEEDED = ("dataset", "model", "task", "cv", "optimizer", "trainer", "tracking", "executor")

# Sections that may be empty. If they are not, all but `callbacks`, which has a section per callback, need a target.
OPTIONAL = (
    "preprocessing",
    "scheduler",
    "augmentation",
    "weight_averaging",
    "finetune",
    "finder",
    "callbacks",
)


def validate(config: Mapping[str, Any], sections: Collection[str], supplied: Supplied) -> Iterator[Problem]:
    """Yield all mistakes of types, ranges, choices, arguments and targets, in the order of the keys."""
    root = signature(Root).arguments
    for key in config:
        if key not in root and key not in sections:
            yield Problem("there is no such key", str(key), did_you_mean(str(key), [*root, *sections]))
    for key, argument in root.items():
        if key not in config:
            if argument.required:
                yield Problem("is missing", key, f"Add {key}=...")
        elif found := mismatch(config[key], argument, key):
            yield Problem(found[0], key, found[1])
    for section in NEEDED:
        if section in sections and section not in config:
            yield Problem("is missing", section, f"Choose an option: {section}=...")
    for section in config:
        if section in sections and section not in root:
            if section == "callbacks" and TARGET in (config[section] or ()):
                yield Problem(
                    "has to be in a section of its own",
                    f"{section}.{TARGET}",
                    "Each callback has a section with a name: callbacks: {NAME: {_target_: PACKAGE.MODULE.NAME}}",
                )
            elif isinstance(config[section], Mapping):
                yield from _nameless(config[section], section)
                yield from _node(config[section], section, supplied)
            elif config[section] is not None:
                yield Problem("is a section with keys, not a value", section, f"Write {section}.KEY=...")


def _nameless(node: Mapping[str, Any], section: str) -> Iterator[Problem]:
    """Yield a problem for each section or callback that has no target and needs one."""
    if section == "callbacks":
        for name, callback in node.items():
            place = f"{section}.{name}"
            if callback is not None and not isinstance(callback, Mapping):
                yield Problem("is a section with keys, not a value", place, f"Remove it with ~{place}.")
            elif callback and TARGET not in callback:
                yield Problem(
                    "is missing", f"{place}.{TARGET}", f"Add it, or remove the section with ~{place}."
                )
    elif TARGET not in node and section in (*NEEDED, *OPTIONAL):
        if not node and (section in OPTIONAL or section in BY_DATA):
            return
        bare = {str(key).strip("_").lower(): key for key in node}
        like = [bare[key] for key in get_close_matches(TARGET.strip("_"), bare, 1, cutoff=0.8)]
        hint = (
            f"{like[0]} is probably meant to be {TARGET}: write {TARGET}: PACKAGE.MODULE.NAME"
            if like
            else f"Name the class in the option's file: {TARGET}: PACKAGE.MODULE.NAME"
            if node
            else f"Choose an option: {section}=..."
        )
        yield Problem("is missing", f"{section}.{like[0] if like else TARGET}", hint)


def _node(node: Any, where: str, supplied: Supplied) -> Iterator[Problem]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _node(item, f"{where}.{index}", supplied)
    elif isinstance(node, Mapping):
        if TARGET in node:
            yield from _target(node, where, supplied)
        for key, value in node.items():
            yield from _node(value, f"{where}.{key}", supplied)


def _target(node: Mapping[str, Any], where: str, supplied: Supplied) -> Iterator[Problem]:
    takes = read_signature(node[TARGET])
    if takes is None:
        yield _broken(node[TARGET], where)
        return
    given = supplied_to(where, supplied)
    # If the target has an argument of the same name, the key belongs to the target.
    own = {key: argument for key, argument in own_keys(where).items() if key not in takes.arguments}
    for key, argument in own.items():
        if argument.required and key not in node:
            yield Problem("is missing", f"{where}.{key}", f"Add {where}.{key}=...")
        elif key in node and (found := mismatch(node[key], argument, f"{where}.{key}")):
            yield Problem(found[0], f"{where}.{key}", found[1])
    for key, value in node.items():
        place = f"{where}.{key}"
        if key in given:
            yield Problem("is set by dlcli itself", place, given[key])
        elif key == PARTIAL:
            if not isinstance(value, bool):
                yield Problem("should be true or false", place)
        elif str(key).startswith("_") and key != TARGET and key not in takes.arguments:
            yield Problem("is not a special key", place, f"The special keys are {TARGET} and {PARTIAL}.")
        elif value == AUTO and (key == "mode" or place == "trainer.precision"):
            pass  # determined by the monitored metric (`with_modes`), or by measured steps (`Automatic`)
        elif key in takes.arguments:
            if has_object(value):
                if text := mismatch_of_objects(value, takes.arguments[key], place):
                    yield Problem(text, place)
            elif found := mismatch(value, takes.arguments[key], place):
                yield Problem(found[0], place, found[1])
        elif key != TARGET and key not in own and not takes.is_open:
            yield _no_argument(node[TARGET], str(key), where, takes, given)
    if not node.get(PARTIAL):
        for key, argument in takes.arguments.items():
            if argument.required and key not in node and key not in given:
                yield Problem(f"is required by {node[TARGET]}", f"{where}.{key}", f"Add {where}.{key}=...")
    # A target may define `mistakes` for checks that involve several arguments or names that no type can list.
    mistakes = getattr(locate(node[TARGET], where), "mistakes", None)
    if mistakes is not None:
        for problem in mistakes({key: value for key, value in node.items() if key in takes.arguments}):
            yield replace(problem, where=f"{where}.{problem.where}")


def _no_argument(target: str, key: str, where: str, takes: Signature, given: Mapping[str, str]) -> Problem:
    names = [name for name in takes.arguments if name not in given]
    close = question(f"{where}.{name}" for name in near(key, names))
    # The target may have been replaced while keys of the previous target remained.
    remove = f"Or remove it with ~{where}.{key}" if close else f"Remove it with ~{where}.{key}"
    few = "" if close else choices(names)
    return Problem(f"{target} has no argument {key}", f"{where}.{key}", hint(close, few, f"{remove}."))


def _broken(target: Any, where: str) -> Problem:
    try:
        locate(target, where)
    except ConfigError as error:
        problem = error.problems[0]
        return Problem(problem.message, f"{where}.{TARGET}", problem.hint)
    return Problem("cannot be read", f"{where}.{TARGET}")
