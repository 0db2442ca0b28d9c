"""Commands in the syntax of Hydra, LightningCLI, Keras, scikit-learn or yolo, and their equivalents in dlcli.

Nothing heavy is imported: the answer comes before the command's own imports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlcli.config.data_words import data_meant, is_data
from dlcli.config.folders import groups, options
from dlcli.config.foreign_words import (
    BY_DEFAULT,
    DATA,
    DEVICES,
    EXPERIMENTS,
    FLAGS,
    FOLDS,
    FOREIGN_COMMANDS,
    GROUPS,
    KEYS,
    METRICS,
    OBJECTIVES,
    OPTIONS,
    RESUMED,
    SHARES,
    WORKERS,
)
from dlcli.config.metric_words import DEFAULT, metric_called
from dlcli.config.pasted import assignment, dlcli_line, override
from dlcli.errors import Problem

# Commands that compose a configuration.
COMMANDS = ("train", "sweep", "check", "show")


@dataclass
class _Meant:
    """A dlcli command under translation: its words, and the arguments that dlcli does not understand as typed."""

    command: str
    words: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    target_follows: bool = False


def translate_habits(arguments: Sequence[str], known: Mapping[str, bool]) -> Problem | None:
    """Return a problem with the equivalent dlcli command if the arguments are in another tool's syntax, else None.

    The command of another tool (`fit`) is always answered.

    Args:
        arguments: of the program, the command first.
        known: option of the command to whether it takes a value.
    """
    if not arguments:
        return None
    if arguments[0] in FOREIGN_COMMANDS:
        return _command(arguments, known)
    if arguments[0] not in COMMANDS:
        return None
    meant = _Meant(arguments[0])
    left = list(arguments[1:])
    while left:
        word = left.pop(0)
        understood = _option(word, left, meant, known) if word.startswith("-") else _word(word, left, meant)
        if not understood:
            return None
    if not meant.strange:
        return None
    if meant.command in ("train", "check") and any(word.startswith("sweep.") for word in meant.words):
        meant.words += ["--dry-run"] if meant.command == "check" else []
        meant.command = "sweep"
    if meant.command == "resume":  # only these may differ from the resumed run
        run, *others = meant.words
        meant.words = [run, *(word for word in others if word.startswith(("trainer.", "executor.", "-")))]
    names = ", ".join(meant.strange)
    is_are = "is no argument" if len(meant.strange) == 1 else "are no arguments"
    return Problem(
        f"{names} {is_are} of dlcli {arguments[0]}",
        hint=" ".join([*meant.notes, f"Write: {dlcli_line(meant.command, *meant.words)}"]),
    )


def _command(arguments: Sequence[str], known: Mapping[str, bool]) -> Problem:
    """Translate the command of another tool, with those of its words that can be translated."""
    name, *words = arguments
    command = FOREIGN_COMMANDS[name]
    message = f"{name} is no command of dlcli"
    if command in COMMANDS:
        meant = translate_habits([command, *words], known)
        hint = meant.hint if meant else f"Write: {dlcli_line(command, *words)}"
        return Problem(message, hint=hint)
    split = ["--split", "val"] if name in ("val", "validate") else []
    plain = words[: next((place for place, word in enumerate(words) if word.startswith("-")), len(words))]
    files = [word for word in plain if is_data(word)]
    run = next((word for word in plain if "=" not in word and word not in files), "last")
    line = dlcli_line(command, run, *(files or ["new.csv"]) if command == "predict" else split)
    return Problem(message, hint=f"For the newest run or the one that is named: {line}")


def _option(word: str, left: list[str], meant: _Meant, known: Mapping[str, bool]) -> bool:
    """Translate an option, whose value is taken from the remaining words; return whether it is known."""
    name, equals, value = word.partition("=")
    if name in known:
        meant.words.append(word)
        if known[name] and not equals and left:
            meant.words.append(left.pop(0))
        return True
    if name in ("-m", "--multirun"):
        meant.command = "sweep"
        meant.strange.append(name)
        return True
    if name == "--resume":
        _resume(
            value or (left.pop(0) if left and "=" not in left[0] and not left[0].startswith("-") else ""),
            meant,
        )
        meant.strange.append(name)
        return True
    flag = FLAGS.get(_plain(name.lstrip("-")))
    if flag and not equals and (not left or not left[0].isdigit()):
        meant.words += flag
        meant.strange.append(name)
        return True
    if not name.startswith("--") and name not in ("-cn", "-e", "-b", "-lr", "-bs"):
        return False
    if not equals:
        if not left or left[0].startswith("--"):
            return False
        value = left.pop(0)
    if (found := _noted(name.lstrip("-"), value, meant)) is None:
        return False
    meant.words += found
    meant.strange.append(name)
    return True


def _resume(run: str, meant: _Meant) -> None:
    """Let the command resume a run: the named one, or the last one for `true`, no name, or the file of a checkpoint."""
    is_run = (
        run and run.lower() not in ("true", "1", "yes") and Path(run).suffix not in (".ckpt", ".pt", ".pth")
    )
    meant.command = "resume"
    meant.words.insert(0, run if is_run else "last")


def _noted(name: str, value: str, meant: _Meant) -> list[str] | None:
    """Return the overrides for an option or a key of another tool, and add a note if necessary; None if unknown."""
    plain = _plain(name)
    if plain in WORKERS:
        meant.notes.append("Batches are read from memory, without worker processes.")
        return []
    found = _setting(name, value)
    if not found and re.match(r"hydra\b", plain):
        meant.notes.append("dlcli has no settings of Hydra's own (hydra.*).")
        return []
    if plain in EXPERIMENTS and found and (file := Path(value)).suffix in (".yaml", ".yml"):
        meant.notes.append(f"Settings of a file are an option of experiment, in conf/experiment/{file.name}.")
    return found or None


def _word(word: str, left: list[str], meant: _Meant) -> bool:
    """Translate an override, or a word without a key with its value if it has one; return whether it is known."""
    key, equals, value = word.partition("=")
    known = groups(())
    if equals and not ("/" in key and key not in known and is_data(word)):  # a file's name may contain a =
        if (
            meant.command == "train"
            and key not in known
            and _plain(key) in RESUMED
            and value.lower() != "false"
        ):
            _resume(value, meant)
            meant.strange.append(word)
            return True
        is_group_of_file = key == "dataset" and is_data(value) and value not in options("dataset", ())
        is_number_of_folds = key == "cv" and value.isdigit()
        if (
            is_group_of_file
            or is_number_of_folds
            or (key not in known and not key.startswith(("+", "~")) and _is_foreign(key, value))
        ):
            meant.words += _noted(key, value, meant) or []
            meant.strange.append(word)
        else:
            same = _same_option(key, value) if key in known else ""
            meant.words.append(f"{key}={same}" if same else word)
        return True
    if word.startswith("~"):
        meant.words.append(word)
        return True
    if left and left[0][:1] != "-" and "=" not in left[0] and (found := _noted(word, left[0], meant)):
        meant.words += found
        word = f"{word} {left.pop(0)}"
    elif is_data(word):
        meant.words += data_meant(word)
        meant.target_follows = meant.words[-2] == "dataset=table"
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
    plain = _plain(key)
    if plain in WORKERS or ("." in key and plain in KEYS) or re.match(r"hydra[./]", plain):
        return True
    return "." not in key and plain not in _OWN and bool(_setting(key, value))


# Names of other tools' keys that dlcli has as well.
_OWN = frozenset({"seed", "monitor", "experiment_name", "run_name"})


def _setting(name: str, value: str) -> list[str]:
    """Return the overrides for an option or a key of another tool; empty if it is unknown."""
    plain = _plain(name)
    if plain in DATA:
        return (
            data_meant(value)
            if is_data(value)
            else [f"dataset={value}"]
            if value in options("dataset", ())
            else ["dataset=table", assignment("dataset.path", value)]
            if value
            else []
        )
    if plain in METRICS:
        return _metrics(value, is_list=plain == "metrics")
    if plain == "objective":
        return _objective(value)
    if plain in EXPERIMENTS:
        file = Path(value)
        if file.suffix in (".yaml", ".yml"):
            return [assignment("experiment", file.stem)]
        if is_data(value):
            return data_meant(value)
        own = Path("conf", "experiment", f"{value}.yaml").is_file()
        return [f"experiment={value}"] if own or value in options("experiment", ()) else []
    if plain in DEVICES:
        return _device(value)
    if plain in SHARES:
        rest = round(1 - float(value), 6) if re.fullmatch(r"0?\.\d+", value) else 1
        return [override("cv.test_size", rest)] if 0 < rest < 1 else []
    if plain in FOLDS or (plain == "cv" and value.isdigit()):
        return ["cv=kfold", f"cv.folds={value}"]
    if plain in GROUPS:
        return _option_called(GROUPS[plain], value)
    if plain in KEYS:
        return [f"{KEYS[plain]}={value}" if _is_value(value) else assignment(KEYS[plain], value)]
    if plain in groups(()):
        option = _same_option(plain, value)
        return [f"{plain}={option}"] if option else []
    if "." in name and name.split(".")[0] in groups(()):  # LightningCLI: --trainer.max_epochs
        return [f"{name}={value}" if _is_value(value) else assignment(name, value)]
    return []


def _listed(value: str) -> list[str]:
    """Return the different words of a list as it is typed: `a`, `a,b` or `[a, b]`."""
    words = (word.strip(" '\"") for word in value.strip("[] ").split(","))
    return list(dict.fromkeys(word for word in words if word))


def _metrics(value: str, *, is_list: bool) -> list[str]:
    """Return the overrides that compute metrics, or monitor a single one; none if one of them is unknown."""
    known = options("metric", ())
    words = _listed(value)
    if len(words) == 1 and not is_list:
        everywhere = [f"{part}/{name}" for part in ("val", "train") for name in ("loss", *known)]
        monitored = metric_called(words[0], everywhere)
        name = monitored.rpartition("/")[2]
        computed = [] if name in BY_DEFAULT else [override("task.metrics", [DEFAULT, name])]
        return [*computed, override("monitor", monitored)] if monitored else []
    names = [DEFAULT if word == DEFAULT else metric_called(word, known) for word in words]
    return [override("task.metrics", list(dict.fromkeys([DEFAULT, *names])))] if names and all(names) else []


def _objective(value: str) -> list[str]:
    """Return the overrides for what XGBoost, LightGBM and CatBoost call the objective: a task, or its loss."""
    plain = _plain(value)
    if plain in OBJECTIVES:
        return list(OBJECTIVES[plain])
    return (
        _option_called("task/loss", value)
        or _option_called("task", value)
        or (_metrics(value, is_list=False) if re.match(r"val_|val/", plain) else [])  # Keras Tuner
    )


def _option_called(group: str, value: str) -> list[str]:
    """Return the override for the option that is named so here or in other tools; empty if none or several are."""
    there = options(group, ())
    meant = [name for name in OPTIONS.get(group, {}).get(_plain(value), ()) if name in there]
    option = _same_option(group, value) or (meant[0] if len(meant) == 1 else "")
    return [f"{group}={option}"] if option else []


def _same_option(group: str, value: str) -> str:
    """Return the option of a group with this name, ignoring case and the difference of - and _; empty if none."""
    return (
        value if value in options(group, ()) else _plain(value) if _plain(value) in options(group, ()) else ""
    )


def _device(value: str) -> list[str]:
    """Return the overrides for a device as torch and yolo name it: `cuda:1`, `0`, `cpu`, `mps`."""
    kind, _, number = value.rpartition(":") if ":" in value or value.isdigit() else (value, "", "")
    if kind not in ("", "cuda", "gpu", "cpu", "mps") or (number and not number.isdigit()):
        return []
    accelerator = {"": "gpu", "cuda": "gpu"}.get(kind, kind)
    return [
        f"trainer.accelerator={accelerator}",
        *([f"trainer.devices=[{number}]"] if number and accelerator != "cpu" else []),
    ]


def _is_value(text: str) -> bool:
    """Return whether a text is a number, a list or a choice of values, rather than a name."""
    return re.fullmatch(r"[\d.,eE+\-\[\]]+|true|false|null", text) is not None


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()
