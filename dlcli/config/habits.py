"""Commands in the syntax of Hydra, LightningCLI, Keras, scikit-learn or yolo, and their equivalents in dlcli.

No heavy library is imported: the error is reported before the command's own imports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlcli.config.data_words import data_meant, is_data
from dlcli.config.folders import groups, options, user_folders
from dlcli.config.foreign_commands import FOREIGN_COMMANDS, MODES
from dlcli.config.foreign_options import OPTIONS, YOLO_TASKS
from dlcli.config.foreign_settings import of_optimizer, plain_name, same_option, settings_meant
from dlcli.config.foreign_words import (
    ACCELERATORS,
    EXPERIMENTS,
    FLAGS,
    GROUPS,
    KEYS,
    METRICS,
    RESUMED,
    SHORT,
    UNNEEDED,
)
from dlcli.config.pasted import assignment, dlcli_line, override
from dlcli.config.run_habits import (
    RUN_COMMANDS,
    last_of_each,
    plain_command,
    translate_run_habits,
    without_equivalent,
)
from dlcli.errors import ConfigError, Problem

# Commands that compose a configuration.
COMMANDS = ("train", "sweep", "check", "show")

# Commands without words of their own, or with those of `FOREIGN_COMMANDS`.
_WITHOUT_WORDS = ("doctor", "list", "ui")


@dataclass
class _Meant:
    """A dlcli command under translation: its words, the arguments that are understood though not as typed, and those
    that are not."""

    command: str
    words: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    target_follows: bool = False
    has_own_parts: bool = False

    def note(self, sentence: str) -> None:
        """Add a sentence in front of the line, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def translate_habits(
    arguments: Sequence[str], known: Mapping[str, bool], *, is_foreign: bool = False
) -> Problem | None:
    """Return a problem with the equivalent dlcli command if the arguments are in another tool's syntax, else None.

    What has no equivalent is left out of the command, and named. If all of it is unknown, the command itself reports
    it.

    Args:
        arguments: of the program, the command first.
        known: option of the command to whether it takes a value.
        is_foreign: whether the command is another tool's (`fit`), which is always answered.
    """
    if not arguments:
        return None
    if arguments[0] in FOREIGN_COMMANDS:
        return _command(arguments, known)
    if arguments[0] not in COMMANDS:
        return translate_run_habits(arguments, known) or (
            plain_command(arguments, known) if is_foreign else None
        )
    meant = _Meant(arguments[0], has_own_parts=_has_own_parts(arguments))
    left = list(arguments[1:])
    while left:
        word = left.pop(0)
        if word.startswith("-"):
            _option(word, left, meant, known)
        elif not _word(word, left, meant):
            meant.unknown.append(word)
    if not meant.strange and not is_foreign:
        return None
    if meant.command in ("train", "check") and any(word.startswith("sweep.") for word in meant.words):
        meant.words += ["--dry-run"] if meant.command == "check" else []
        meant.command = "sweep"
    words = meant.words
    if "dataset=detection" in words and "model=unet" in words:
        words[words.index("dataset=detection")] = "dataset=image_masks"
    if "dataset=detection" in words and not any(word.startswith("model=") for word in words):
        words.append("model=centernet")  # the default model is none of boxes
    if meant.command == "resume":  # only these may differ from the resumed run
        run, *others = meant.words
        meant.words = [run, *(word for word in others if word.startswith(("trainer.", "executor.", "-")))]
    names = ", ".join([*meant.strange, *meant.unknown])
    is_are = "is not an argument" if len(meant.strange) + len(meant.unknown) == 1 else "are not arguments"
    words, replaced = last_of_each(meant.words, known)
    line = f"Write: {dlcli_line(meant.command, *words)}"
    hint = " ".join([*meant.notes, *replaced, *without_equivalent(meant.unknown), line])
    return Problem(f"{names} {is_are} of dlcli {arguments[0]}", hint=hint)


def _command(arguments: Sequence[str], known: Mapping[str, bool]) -> Problem:
    """Translate the command of another tool, with those of its words that can be translated."""
    name, *words = arguments
    command, *begin = FOREIGN_COMMANDS[name].split()
    message = f"{name} is not a dlcli command"
    if command in COMMANDS:
        meant = translate_habits([command, *begin, *words], known, is_foreign=True)
        return Problem(message, hint=meant.hint if meant else "")
    split = words[words.index("--split") :][:2] if "--split" in words else []
    added = ["--split", "val"] if name in ("val", "validate") and not split else []
    if found := translate_run_habits([command, *words, *added], {**known, "--split": True}):
        return Problem(message, hint=found.hint)
    if command not in RUN_COMMANDS:
        if begin == ["project"] and not any(not word.startswith("-") for word in words):
            words.append("my_project")
        if command in _WITHOUT_WORDS:
            words = [word for word in words if word.startswith("-")]
        return Problem(message, hint=plain_command([command, *begin, *words], known).hint)
    plain = words[: next((place for place, word in enumerate(words) if word.startswith("-")), len(words))]
    files = [word for word in plain if is_data(word)]
    run = next((word for word in plain if "=" not in word and word not in files), "last")
    line = dlcli_line(command, run, *(files or ["new.csv"]) if command == "predict" else split or added)
    return Problem(message, hint=f"For the newest run or the one that is named: {line}")


def _option(word: str, left: list[str], meant: _Meant, known: Mapping[str, bool]) -> None:
    """Translate an option, whose value is taken from the remaining words."""
    name, equals, value = word.partition("=")
    if name in known:
        meant.words.append(word)
        if known[name] and not equals and left:
            meant.words.append(left.pop(0))
        return
    if name == "--multirun" or (name == "-m" and not (left and settings_meant("model", left[0]))):
        meant.command = "sweep"
        meant.strange.append(name)
        return
    if name.lstrip("-") in _SHOWS or (name == "-c" and left and left[0] in ("job", "hydra", "all")):
        if left and left[0] in ("job", "hydra", "all"):
            left.pop(0)
        meant.command = "show"
        meant.strange.append(name)
        return
    if name == "--dry-run" and meant.command == "train":
        meant.command = "check"
        meant.strange.append(name)
        return
    if plain_name(name.lstrip("-")) in RESUMED:
        _resume(
            value or (left.pop(0) if left and "=" not in left[0] and not left[0].startswith("-") else ""),
            meant,
        )
        meant.strange.append(name)
        return
    called = name[2:] if name.startswith("--") else SHORT.get(name[1:], "")
    plain = plain_name(called)
    is_value = bool(left) and (left[0].isdigit() or left[0].lower() in ("true", "false"))
    has_value = is_value or (bool(left) and plain in UNNEEDED and _is_word(left[0]))
    if (
        (plain in FLAGS or plain in UNNEEDED)
        and not equals
        and not (has_value and plain not in _NEVER_VALUED)
    ):
        meant.words += FLAGS.get(plain, ())
        if plain in UNNEEDED:
            meant.note(UNNEEDED[plain])
        meant.strange.append(name)
        return
    if not equals and left and not left[0].startswith("--") and (_is_word(left[0]) or called):
        value = left.pop(0)
        word = f"{word} {value}"
    found = _noted(called, value, meant) if called and value else None
    if found is None:
        meant.unknown.append(word)
        return
    meant.words += found
    meant.strange.append(name)


# Options that print the configuration.
_SHOWS = ("cfg", "print_config", "print-config", "show-config", "info")

# Options without a value, which a word may follow.
_NEVER_VALUED = ("verbose", "quiet", "silent", "overwrite", "force", "exist_ok", "no_save")


def _resume(run: str, meant: _Meant) -> None:
    """Let the command resume a run: the named one, or the last one for `true`, no name, or the file of a checkpoint."""
    is_run = (
        run and run.lower() not in ("true", "1", "yes") and Path(run).suffix not in (".ckpt", ".pt", ".pth")
    )
    meant.command = "resume"
    meant.words.insert(0, run if is_run else "last")


def _noted(name: str, value: str, meant: _Meant) -> list[str] | None:
    """Return the overrides for an option or a key of another tool, and add a note if necessary; None if unknown."""
    plain = plain_name(name)
    is_choice = plain in ("train", "test")  # of what a script does; otherwise they name files
    if plain in UNNEEDED and (not is_choice or value.lower() in ("true", "false")):
        meant.note(UNNEEDED[plain])
        return []
    if plain in ("train", "train_set") and is_data(value):
        meant.target_follows = True
        return data_meant(value)
    if plain in ("test", "test_set") and is_data(value):
        return [assignment("dataset.test_path", value)]
    if plain in FLAGS and value.lower() in ("true", "false"):
        return list(FLAGS[plain]) if value.lower() == "true" else []
    if GROUPS.get(plain, plain) == "task" and len(OPTIONS["task"].get(plain_name(value), ())) > 1:
        meant.note("The task follows from the target.")
        return []
    if plain in ("config_path", "config_dir"):
        return ["-C", value]
    if plain == "hparams_search":
        meant.command = "sweep"
        own = next((group for group in ("sweep", "experiment") if value in options(group, ())), "")
        if not own:
            meant.note("Keys with several values, or else the model's own ranges, are searched.")
        return [f"{own}={value}"] if own else []
    found = settings_meant(name, value)
    if not found and re.match(r"hydra\b", plain):
        meant.note("dlcli has no settings of Hydra's own (hydra.*).")
        return []
    if plain in EXPERIMENTS and found and (file := Path(value)).suffix in (".yaml", ".yml"):
        _explain_file(file, meant)
    return found or None


def _explain_file(file: Path, meant: _Meant) -> None:
    """Say where the settings of a file have to be, for the option of that name to exist."""
    place = Path("conf", "experiment", f"{file.stem}.yaml")
    if place.is_file():
        return
    meant.note(
        f"Settings of a file are an option of experiment: {dlcli_line('new', 'experiment', file.stem)} makes {place}, "
        f"to which those of {file.name} are copied with dlcli's keys."
    )


def _word(word: str, left: list[str], meant: _Meant) -> bool:
    """Translate an override, or a word without a key with its value if it has one; return whether it is known."""
    key, equals, value = word.partition("=")
    known = groups(())
    if equals and not ("/" in key and key not in known and is_data(word)):  # a file's name may contain a =
        if (
            meant.command == "train"
            and key not in known
            and plain_name(key) in RESUMED
            and value.lower() != "false"
        ):
            _resume(value, meant)
            meant.strange.append(word)
            return True
        is_group_of_file = key == "dataset" and is_data(value) and value not in options("dataset", ())
        is_number_of_folds = key == "cv" and value.isdigit()
        is_metric = key in METRICS and bool(settings_meant(key, value))
        is_learning_rate = bool(of_optimizer(key)) and not meant.has_own_parts
        may_be_own = key in known or key.startswith(("+", "~")) or (meant.has_own_parts and "." in key)
        if (is_group_of_file or is_number_of_folds or is_metric or is_learning_rate) or (
            not may_be_own and _is_foreign(key, value)
        ):
            meant.words += _noted(key, value, meant) or []
            meant.strange.append(word)
        elif key == "trainer" and value in ACCELERATORS and not meant.has_own_parts:
            meant.words.append(override("trainer.accelerator", ACCELERATORS[value]))
            meant.strange.append(word)
        elif key == "mode" and MODES.get(value) == "train":
            meant.strange.append(word)
        elif key == "model" and re.fullmatch(r"yolo[\w-]*\.(pt|yaml)", value.lower()):
            meant.words.append(override("model", _LIKE_YOLO.get(value[-7:-3], "centernet")))
            meant.strange.append(word)
        else:
            same = same_option(key, value) if key in known else ""
            same = same or YOLO_TASKS.get(value, "") if key == "task" else same
            meant.words.append(f"{key}={same}" if same else word)
        return True
    if word.startswith("~"):
        meant.words.append(word)
        return True
    if word == "resume" and meant.command == "train":
        _resume("", meant)
        meant.strange.append(word)
        return True
    if left and left[0][:1] != "-" and "=" not in left[0] and (found := _noted(word, left[0], meant)):
        meant.words += found
        word = f"{word} {left.pop(0)}"
    elif is_data(word) and "dataset=table" in meant.words:  # the second file
        meant.words.append(assignment("dataset.test_path", word))
    elif is_data(word):
        meant.words += data_meant(word)
        meant.target_follows = meant.words[-2] == "dataset=table"
    elif word.lower().endswith((".yaml", ".yml")) and (found := _noted("config", word, meant)):
        meant.words += found
    elif meant.target_follows:
        meant.words.append(assignment("dataset.target", word))
        meant.target_follows = False
    elif group := next((g for g in ("dataset", "model") if word in options(g, ())), None):
        meant.words.append(f"{group}={word}")
    else:
        return False
    meant.strange.append(word)
    return True


def _is_foreign(key: str, value: str) -> bool:
    """Return whether the key of an override belongs to another tool and not to dlcli."""
    plain = plain_name(key)
    if plain in FLAGS and value.lower() in ("true", "false"):
        return True
    if plain in UNNEEDED:
        return plain not in ("train", "test") or value.lower() in ("true", "false") or is_data(value)
    if ("." in key and plain in KEYS) or plain == "hparams_search" or re.match(r"hydra[./]", plain):
        return True
    return "." not in key and plain not in _OWN and bool(settings_meant(key, value))


# Models for what follows the name of one of yolo's.
_LIKE_YOLO = {"-seg": "unet", "-cls": "cnn"}

# Names of other tools' keys that dlcli has as well.
_OWN = frozenset({"seed", "monitor", "experiment_name", "run_name"})


def _has_own_parts(arguments: Sequence[str]) -> bool:
    """Return whether the command may have options and models of the user's own, whose names are unknown here."""
    if any(word.partition("=")[0] in ("-C", "--conf-dir") for word in arguments):
        return True
    try:
        return bool(user_folders())
    except ConfigError:
        return True


def _is_word(text: str) -> bool:
    return "=" not in text and not text.startswith("-")
