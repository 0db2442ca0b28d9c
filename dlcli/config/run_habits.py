"""Commands that take a trained model, in the syntax of other tools, and their equivalents in dlcli."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlcli.config.data_words import is_data
from dlcli.config.foreign_settings import plain_name, settings_meant
from dlcli.config.foreign_words import FORMATS, NEW_ROWS, RUNS, WRITTEN
from dlcli.config.pasted import dlcli_line
from dlcli.errors import Problem

# Commands whose first word is a run.
RUN_COMMANDS = ("predict", "eval", "serve", "export", "explain", "label", "report", "reproduce", "resume")

# Parts of a split that `eval` takes.
_PARTS = ("train", "val", "test")

# Options that say where `export` writes, of which a command has one.
_PLACES = ("--output", "-o", "--to", "--bundle")

_WEIGHTS = (".ckpt", ".pt", ".pth", ".safetensors", ".onnx")


@dataclass
class _Meant:
    """A command under translation: the typed words, the run, its other words, and what dlcli does not understand."""

    typed: Sequence[str]
    run: str = ""
    words: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, option: str, value: str, told: str = "") -> None:
        """Add an option with its value, unless the command has it or one that excludes it; then say so."""
        same = _PLACES if option in _PLACES else (option,)
        there = (name for word in (*self.typed, *self.words) if (name := word.partition("=")[0]) in same)
        if found := next(there, None):
            self.notes.append(f"{told or value} is left out, because {found} is given.")
        else:
            self.words += [option, value]


def translate_run_habits(arguments: Sequence[str], known: Mapping[str, bool]) -> Problem | None:
    """Return a problem with the equivalent dlcli command if a run or its files are named as in another tool, else None.

    Args:
        arguments: of the program, the command first.
        known: option of the command to whether it takes a value.
    """
    command, *left = arguments
    if command not in RUN_COMMANDS:
        return None
    meant = _Meant(left)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in known:
            meant.words.append(word)
            if known[name] and not equals and left:
                meant.words.append(left.pop(0))
        elif name.startswith("-") and name != "-":
            value = value if equals else left.pop(0) if left and not left[0].startswith("--") else ""
            if value and _set(command, name.lstrip("-"), value, meant):
                meant.strange.append(name)
            else:
                meant.unknown.append(word if equals or not value else f"{word} {value}")
        elif not meant.run and _is_run(word, arguments):
            meant.run = word
        elif equals and _set(command, name, value, meant):
            meant.strange.append(word)
        elif not meant.run and Path(word).suffix in _WEIGHTS and not Path(word).is_dir():
            meant.run = "last"  # dlcli names runs, not files of weights
            meant.strange.append(word)
        elif not meant.run and command == "predict" and is_data(word):
            meant.words.append(word)  # the run is missing
            meant.strange.append(word)
        elif command == "eval" and meant.run and (word in _PARTS or (is_data(word) and not equals)):
            meant.add("--split" if word in _PARTS else "--file", word)
            meant.strange.append(word)
        elif command == "export" and meant.run and Path(word).suffix[1:] in FORMATS:
            meant.add("--output", word)
            meant.strange.append(word)
        elif command == "export" and meant.run and word in FORMATS:
            meant.add("--output", f"model.{FORMATS[word]}", word)
            meant.strange.append(word)
        else:
            _place(word, meant)
    if not meant.strange:
        return None
    names = [*meant.strange, *meant.unknown]
    is_are = "is not an argument" if len(names) == 1 else "are not arguments"
    message = f"{', '.join(names)} {is_are} of dlcli {command}"
    if not meant.run:
        message = f"a run is expected, but got {', '.join(names)}"
    words, replaced = last_of_each(meant.words, known)
    line = f"Write: {dlcli_line(command, meant.run or 'last', *words)}"
    notes = [*meant.notes, *replaced, *without_equivalent(meant.unknown)]
    return Problem(message, hint=" ".join([*notes, line]))


def last_of_each(words: Sequence[str], known: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Return the words of a command without overrides that a later one replaces, and a sentence on each of those.

    Args:
        words: options, their values and overrides.
        known: option of the command to whether it takes a value.
    """
    before = ["", *words]
    keys = [
        ""
        if word.startswith(("-", "+", "~")) or "=" not in word or known.get(option)
        else word.partition("=")[0]
        for option, word in zip(before, words, strict=False)
    ]
    last = {key: at for at, key in enumerate(keys) if key}
    kept = [word for at, word in enumerate(words) if last.get(keys[at], at) == at]
    gone = [word for word in dict.fromkeys(words) if word not in kept]
    return kept, [f"{word} is left out, because a later word sets it, too." for word in gone]


def _place(word: str, meant: _Meant) -> None:
    if meant.run or "=" in word:
        meant.words.append(word)
    else:
        meant.run = word


def _set(command: str, name: str, value: str, meant: _Meant) -> bool:
    """Translate an option or a key with its value; return whether it is known."""
    plain = plain_name(name)
    if plain in RUNS and not meant.run:
        meant.run = "last" if Path(value).suffix in _WEIGHTS else value
    elif plain in NEW_ROWS and command in ("predict", "eval"):
        if command == "predict":
            meant.words.append(value)
        else:
            meant.add("--file", value)
    elif plain in ("part", "split", "subset", "on") and command == "eval" and value in _PARTS:
        meant.add("--split", value)
    elif plain in WRITTEN and command in ("predict", "export"):
        meant.add("--output", value)
    elif plain == "format" and command == "export" and value in FORMATS:
        meant.add("--output", f"model.{FORMATS[value]}", value)
    elif command == "resume" and (found := settings_meant(name, value)):
        if name in (one.partition("=")[0] for one in found):
            return False
        meant.words += found
    else:
        return False
    return True


def _is_run(word: str, arguments: Sequence[str]) -> bool:
    """Return whether a run has this name, which may be like a setting or a file."""
    if "=" not in word and not is_data(word) and Path(word).suffix not in _WEIGHTS:
        return False
    if {"-C", "--conf-dir"} & {one.partition("=")[0] for one in arguments} or Path(
        "conf", "dlcli.yaml"
    ).exists():
        return True  # the runs may be in another folder
    named = [
        after if one == "--runs-dir" else one.partition("=")[2]
        for one, after in zip(arguments, [*arguments[1:], ""], strict=True)
        if one.partition("=")[0] == "--runs-dir"
    ]
    runs = Path((named or [os.environ.get("DLCLI_RUNS_DIR") or "runs"])[0])
    return Path(word).is_dir() or os.path.lexists(runs / "by-name" / word)


def without_equivalent(words: Sequence[str]) -> list[str]:
    """Return the sentence on words without an equivalent, as a list of at most one item."""
    has = "has no equivalent, and is" if len(words) == 1 else "have no equivalent, and are"
    return [f"{', '.join(words)} {has} left out."] if words else []


def plain_command(arguments: Sequence[str], known: Mapping[str, bool]) -> Problem:
    """Return the problem with a command of which the options that it lacks are left out."""
    kept: list[str] = []
    unknown: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, _ = word.partition("=")
        has_value = (
            known.get(name, name.startswith("--")) and not equals and left and not left[0].startswith("-")
        )
        whole = [word, left.pop(0)] if has_value else [word]
        if name in known or not word.startswith("-"):
            kept += whole
        else:
            unknown.append(" ".join(whole))
    return Problem("", hint=" ".join([*without_equivalent(unknown), f"Write: {dlcli_line(*kept)}"]))
