"""Commands in the syntax of Hydra, LightningCLI, Keras, scikit-learn or yolo, and their equivalents in dlcli.

Nothing heavy is imported: the answer comes before the command's own imports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlcli.config.folders import groups, options
from dlcli.config.pasted import assignment, dlcli_line
from dlcli.errors import Problem

# Commands that compose a configuration.
COMMANDS = ("train", "sweep", "check", "show")

# What other tools call the commands.
FOREIGN_COMMANDS = {
    "fit": "train",
    "run": "train",
    "tune": "sweep",
    "search": "sweep",
    "optimize": "sweep",
    "hpo": "sweep",
    "test": "eval",
    "evaluate": "eval",
    "score": "eval",
    "validate": "eval",
    "val": "eval",
    "infer": "predict",
    "inference": "predict",
}

# Names that other tools give to keys; `-` and `_` are the same.
_KEYS = {
    "epochs": "trainer.max_epochs",
    "max_epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "nepochs": "trainer.max_epochs",
    "num_train_epochs": "trainer.max_epochs",
    "max_steps": "trainer.max_steps",
    "devices": "trainer.devices",
    "gpus": "trainer.devices",
    "trainer.gpus": "trainer.devices",
    "precision": "trainer.precision",
    "accelerator": "trainer.accelerator",
    "grad_clip": "trainer.gradient_clip_val",
    "gradient_clip_val": "trainer.gradient_clip_val",
    "accumulate_grad_batches": "trainer.accumulate_grad_batches",
    "lr": "optimizer.lr",
    "lr0": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "momentum": "optimizer.momentum",
    "batch": "dataset.batch_size",
    "batch_size": "dataset.batch_size",
    "bs": "dataset.batch_size",
    "target": "dataset.target",
    "label": "dataset.target",
    "imgsz": "dataset.size",
    "image_size": "dataset.size",
    "img_size": "dataset.size",
    "hidden": "model.hidden",
    "layers": "model.layers",
    "dropout": "model.dropout",
    "folds": "cv.folds",
    "n_splits": "cv.folds",
    "test_size": "cv.test_size",
    "val_size": "cv.val_size",
    "patience": "callbacks.early_stopping.patience",
    "seed": "seed",
    "random_state": "seed",
    "monitor": "monitor",
    "experiment_name": "experiment_name",
    "run_name": "run_name",
    "output_dir": "runs_dir",
    "save_dir": "runs_dir",
    "project": "runs_dir",
    "n_trials": "sweep.trials",
    "num_trials": "sweep.trials",
}

_DATA = ("data", "dataset", "data_path", "train_file", "data_file", "file", "input", "csv")
_METRICS = ("metric", "metrics", "eval_metric", "objective")
_EXPERIMENTS = ("config", "config_name", "config_file", "cfg", "cn")
_DEVICES = ("device", "cuda_device", "gpu", "gpu_id")
_WORKERS = ("workers", "num_workers", "dataloader_num_workers", "dataset.num_workers", "data.num_workers")

_TABLES = (
    ".csv",
    ".tsv",
    ".parquet",
    ".feather",
    ".arrow",
    ".json",
    ".jsonl",
    ".ndjson",
    ".xlsx",
    ".xls",
    ".txt",
    ".gz",
)


@dataclass
class _Meant:
    """The words of the command that was meant, and what was not understood as it was typed."""

    command: str
    words: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    target_follows: bool = False


def translate_habits(arguments: Sequence[str], known: Mapping[str, bool]) -> Problem | None:
    """Return what to type instead, if the arguments are those of another tool; None if they are dlcli's own.

    For a command of another tool (`fit`) there is always an answer.

    Args:
        arguments: of the program, the command first.
        known: the options of the command, and whether each takes a value.
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
    """Return the command that was meant by that of another tool, with its words as far as they are understood."""
    name, *words = arguments
    command = FOREIGN_COMMANDS[name]
    message = f"{name} is no command of dlcli"
    if command in COMMANDS:
        meant = translate_habits([command, *words], known)
        hint = meant.hint if meant else f"Write: {dlcli_line(command, *words)}"
        return Problem(message, hint=hint)
    split = ["--split", "val"] if name in ("val", "validate") else []
    plain = words[: next((place for place, word in enumerate(words) if word.startswith("-")), len(words))]
    files = [word for word in plain if _is_data(word)]
    run = next((word for word in plain if "=" not in word and word not in files), "last")
    line = dlcli_line(command, run, *(files or ["new.csv"]) if command == "predict" else split)
    return Problem(message, hint=f"For the newest run or the one that is named: {line}")


def _option(word: str, left: list[str], meant: _Meant, known: Mapping[str, bool]) -> bool:
    """Take an option, and its value from the words that are left; return whether it is understood."""
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
        run = value or (
            left.pop(0) if left and "=" not in left[0] and not left[0].startswith("-") else "last"
        )
        meant.command = "resume"
        meant.words.insert(0, run)
        meant.strange.append(name)
        return True
    if not name.startswith("--") and name != "-cn":
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


def _noted(name: str, value: str, meant: _Meant) -> list[str] | None:
    """Return the overrides for an option or a key of another tool, and add what is to be known; None if unknown."""
    plain = _plain(name)
    if plain in _WORKERS:
        meant.notes.append("Batches are read from memory, without worker processes.")
        return []
    found = _setting(name, value)
    if plain in _EXPERIMENTS and found and (file := Path(value)).suffix in (".yaml", ".yml"):
        meant.notes.append(f"Settings of a file are an option of experiment, in conf/experiment/{file.name}.")
    return found or None


def _word(word: str, left: list[str], meant: _Meant) -> bool:
    """Take an override, or a word without a key and perhaps its value; return whether it is understood."""
    key, equals, value = word.partition("=")
    known = groups(())
    if equals and not ("/" in key and key not in known and _is_data(word)):  # a file's name may have a =
        is_group_of_file = key == "dataset" and _is_data(value) and value not in options("dataset", ())
        if is_group_of_file or (
            key not in known and not key.startswith(("+", "~")) and _is_foreign(key, value)
        ):
            meant.words += _noted(key, value, meant) or []
            meant.strange.append(word)
        else:
            meant.words.append(word)
        return True
    if word.startswith("~"):
        meant.words.append(word)
        return True
    if left and left[0][:1] != "-" and "=" not in left[0] and (found := _noted(word, left[0], meant)):
        meant.words += found
        word = f"{word} {left.pop(0)}"
    elif _is_data(word):
        meant.words += _data(word)
        meant.target_follows = True
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
    """Return whether a key of an override is one of other tools, and none of dlcli."""
    plain = _plain(key)
    if plain in _WORKERS or ("." in key and plain in _KEYS):
        return True
    return "." not in key and plain not in _OWN and bool(_setting(key, value))


# Keys of dlcli's own that have the same names.
_OWN = frozenset({"seed", "monitor", "experiment_name", "run_name"})


def _setting(name: str, value: str) -> list[str]:
    """Return the overrides for an option or a key of another tool; empty if it is unknown."""
    plain = _plain(name)
    if plain in _DATA:
        return (
            _data(value)
            if _is_data(value)
            else [f"dataset={value}"]
            if value in options("dataset", ())
            else []
        )
    if plain in _METRICS:
        return [f"monitor=val/{value}"]
    if plain in _EXPERIMENTS:
        file = Path(value)
        if file.suffix in (".yaml", ".yml"):
            return [assignment("experiment", file.stem)]
        return [f"experiment={value}"] if value in options("experiment", ()) else []
    if plain in _DEVICES:
        return _device(value)
    if plain in ("folds", "n_splits"):
        return ["cv=kfold", f"cv.folds={value}"]
    if plain in _KEYS:
        return [f"{_KEYS[plain]}={value}" if _is_value(value) else assignment(_KEYS[plain], value)]
    if plain in groups(()):
        return [f"{plain}={value}"] if value in options(plain, ()) else []
    if "." in name and name.split(".")[0] in groups(()):  # LightningCLI: --trainer.max_epochs
        return [f"{name}={value}" if _is_value(value) else assignment(name, value)]
    return []


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


def _is_data(value: str) -> bool:
    """Return whether a word names a file or a folder of data."""
    if value.lower().endswith(_TABLES):
        return True
    return os.sep in value and Path(value).exists() and not _is_run(Path(value))


def _is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, which `dlcli show` takes."""
    return any((folder / place / "ledger.json").is_file() for place in (".", "artifacts"))


def _data(value: str) -> list[str]:
    folder = Path(value).is_dir()
    return ["dataset=image_folder" if folder else "dataset=table", assignment("dataset.path", value)]
