"""Words that precede a command, as in `dlcli yolo train` or `dlcli python train.py`, and omitted commands."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from dlcli.config.data_words import is_data
from dlcli.config.folders import options
from dlcli.config.foreign_commands import FOREIGN_COMMANDS, MODES, PROGRAMS
from dlcli.config.suggest import near

# Words that may follow these names: launchers, and the tasks of yolo.
_BEFORE_COMMANDS = frozenset(
    {"launch", "run", "exp", "model", "models", "detect", "segment", "classify", "pose", "obb"}
)


def without_program(arguments: Sequence[str], commands: Mapping[str, object]) -> tuple[list[str], str] | None:
    """Return the arguments with the command first, and an error message; None if they begin with a command.

    A script stands for the command of its name, such as `train.py`; other scripts, or no command, stand for `train`.

    Args:
        arguments: of the program.
        commands: dlcli's commands by name.
    """
    known = {*commands, *FOREIGN_COMMANDS}
    if not arguments or arguments[0] in known:
        return None
    first = arguments[0]
    if words := _after_program(arguments, known):
        return _with_mode(words), f"{first} is not a dlcli command"
    if first in PROGRAMS and len(arguments) > 1:
        return ["help"], f"{first} {arguments[1]} has no equivalent in dlcli"
    message = f"a command is expected, but got {first}"
    if first in ("--help", "-h", "--version"):
        return None
    if first.startswith("-") and (place := _place(arguments, known)) is not None:
        return [arguments[place], *arguments[:place], *arguments[place + 1 :]], message
    is_setting = re.match(r"[+~]{0,2}[A-Za-z_][\w./@]*=", first)
    is_option = first.startswith("--") and first.partition("=")[0] not in ("--version", "--help")
    is_part = any(first in options(group, ()) for group in ("dataset", "model"))
    if is_setting or is_option or is_part or first in ("-d", "-c", "-m") or is_data(first):
        return _with_mode(["train", *arguments]), message
    return None


def _after_program(arguments: Sequence[str], known: Collection[str]) -> list[str]:
    """Return the command and its arguments that follow the names of programs; empty if there are none in front."""
    words, named = list(arguments), False
    while (
        words
        and words[0] not in known
        and (words[0] in PROGRAMS or words[0].endswith(".py") or (not named and _is_program(words, known)))
    ):
        word, named = words.pop(0), True
        if word.endswith(".py"):
            stem = PurePath(word).stem
            return [stem if stem in known else "train", *words]
        if words and words[0] == "-m":  # python -m MODULE
            words.pop(0)
            module = words.pop(0) if words else ""
            if module.partition(".")[0] == "dlcli":
                last = module.rpartition(".")[2]
                return [last, *words] if last in known else _after_program([_DLCLI, *words], known)
        follows = {*known, *PROGRAMS, *_BEFORE_COMMANDS}
        while (
            len(words) > 1
            and words[0] in _BEFORE_COMMANDS
            and (words[1] in follows or words[1].endswith(".py") or words[1].startswith("-"))
        ):
            words.pop(0)
        if (script := next((i for i, word in enumerate(words) if word.endswith(".py")), None)) and _launches(
            words
        ):
            return _after_program([words[script], *_processes(words[:script]), *words[script + 1 :]], known)
    if not named:
        return []
    if words and words[0] not in known and _is_bare(words[0]):
        return []
    return words if words and words[0] in known else ["train", *words]


def _is_bare(word: str) -> bool:
    """Return whether a word is in the place of a command, neither a setting nor an option nor data."""
    is_part = any(word in options(group, ()) for group in ("dataset", "model"))
    return bool(re.fullmatch(r"[A-Za-z][\w-]*", word)) and not is_part


_DLCLI = "dlcli"


def _is_program(words: Sequence[str], known: Collection[str]) -> bool:
    """Return whether the first word is a program: it is no misspelt command, and arguments of a command follow."""
    name, *others = words
    if not _is_bare(name.replace(".", "")) or is_data(name) or near(name, known, cutoff=0.8):
        return False
    return any(
        word in known
        or word.endswith(".py")
        or (word.startswith("--") and word not in ("--json", "--help"))
        or re.match(r"[\w./]+=", word)
        or is_data(word)
        for word in others
    )


def _launches(words: Sequence[str]) -> bool:
    return words[0].startswith("-")


def _processes(options: Sequence[str]) -> list[str]:
    """Return the option of a launcher that tells the number of processes; others have no meaning for dlcli."""
    text = " ".join(options)
    found = re.search(r"--(?:nproc[-_]per[-_]node|num[-_]processes)[= ](\d+)", text)
    return ["trainer=ddp", f"--devices={found[1]}"] if found else []


def _with_mode(words: list[str]) -> list[str]:
    """Return the words with yolo's `mode=predict` as the command."""
    command, *others = words
    if command != "train":
        return words
    modes = [word for word in others if word.startswith("mode=") and word.partition("=")[2] in MODES]
    others = [word for word in others if word not in modes]
    return [MODES[modes[-1].partition("=")[2]] if modes else command, *others]


def _place(arguments: Sequence[str], known: Collection[str]) -> int | None:
    """Return the place of the first word that is a command."""
    return next((place for place, word in enumerate(arguments) if word in known), None)
