"""The name of a program in front of a command, as in `dlcli yolo train` or `dlcli python train.py`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import PurePath

from dlcli.config.foreign_words import FOREIGN_COMMANDS

PROGRAMS = frozenset(
    {"accelerate", "dlcli", "keras", "lightning", "ludwig", "python", "python3", "torchrun", "uv", "yolo"}
)

# Words that follow these names: launchers, and the tasks of yolo.
_BEFORE_COMMANDS = frozenset({"launch", "run", "detect", "segment", "classify", "pose", "obb"})


def without_program(arguments: Sequence[str], commands: Collection[str]) -> list[str] | None:
    """Return the arguments without the names of programs in front, the command first; None if there are none.

    A script is the command of its name, such as `train.py`; other scripts, and no command, are `train`.

    Args:
        arguments: of the program.
        commands: names of dlcli's commands.
    """
    words, named = list(arguments), False
    known = {*commands, *FOREIGN_COMMANDS}
    while words and (words[0] in PROGRAMS or words[0].endswith(".py")) and words[0] not in commands:
        word, named = words.pop(0), True
        if word.endswith(".py"):
            stem = PurePath(word).stem
            return [stem if stem in known else "train", *words]
        if words and words[0] == "-m":  # python -m MODULE
            words.pop(0)
            if words and words[0].partition(".")[0] not in PROGRAMS:
                words.pop(0)
        while (
            len(words) > 1
            and words[0] in _BEFORE_COMMANDS
            and (words[1] in known or words[1].endswith(".py"))
        ):
            words.pop(0)
    if not named:
        return None
    return words if words and words[0] in known else ["train", *words]
