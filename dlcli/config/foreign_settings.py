"""The settings of dlcli for a key or an option of another tool and its value."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from dlcli.config.data_words import data_meant, described_images, is_data
from dlcli.config.folders import groups, options
from dlcli.config.foreign_options import OBJECTIVES, OPTIONS
from dlcli.config.foreign_words import (
    BY_DEFAULT,
    DATA,
    DEVICES,
    EXPERIMENTS,
    FOLDS,
    GPUS,
    GROUPS,
    KEYS,
    METRICS,
    SHARES,
)
from dlcli.config.metric_words import DEFAULT, metric_called
from dlcli.config.pasted import assignment, override
from dlcli.config.suggest import near


def settings_meant(name: str, value: str) -> list[str]:
    """Return the overrides for an option or a key of another tool; empty if it is unknown."""
    plain = plain_name(name)
    if plain in DATA:
        if value.lower().endswith((".yaml", ".yml")):
            return described_images(value)
        if is_data(value):
            return data_meant(value)
        if known := same_option("dataset", value):
            return [override("dataset", known)]
        return ["dataset=table", assignment("dataset.path", value)] if value else []
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
    if plain in GPUS:
        return _gpus(value)
    if plain in DEVICES:
        return _device(value)
    if plain in ("presets", "preset"):  # AutoGluon
        return ["effort=best"]
    if plain in SHARES:
        rest = round(1 - float(value), 6) if re.fullmatch(r"0?\.\d+", value) else 1
        return [override("cv.test_size", rest)] if 0 < rest < 1 else []
    if plain in FOLDS or (plain == "cv" and value.isdigit()):
        return ["cv=kfold", f"cv.folds={value}"]
    if plain in GROUPS:
        return _option_called(GROUPS[plain], value, guesses=True)
    if plain in ("debug", "fast_dev_run") and value.lower() not in ("false", "0", "null"):
        return ["trainer=profile" if value == "profiler" else "trainer=debug"]
    if plain in KEYS:
        return [_set(KEYS[plain], value)]
    if plain in groups(()):
        return _option_called(plain, value, guesses=plain in ("model", "optimizer", "scheduler"))
    section, _, last = name.partition(".")
    name = f"dataset.{last}" if section == "data" and last else name
    if last and name.split(".")[0] in groups(()):  # LightningCLI: --trainer.max_epochs
        meant = KEYS.get(plain_name(last), "")
        name = of_optimizer(name) or (meant if meant.startswith(f"{name.split('.')[0]}.") else name)
        return [_set(name, value)] if re.fullmatch(r"[\w.]+", name) else []
    return []


def _set(key: str, value: str) -> str:
    """Return the override that sets a key to a value as it is typed."""
    if key == "dataset.drop":
        return override(key, _listed(value))
    if key == "trainer.max_time" and value.isdigit():  # seconds
        minutes, seconds = divmod(int(value), 60)
        return assignment(key, f"{minutes // 1440:02}:{minutes // 60 % 24:02}:{minutes % 60:02}:{seconds:02}")
    return f"{key}={value}" if _is_value(value) else assignment(key, value)


def of_optimizer(key: str) -> str:
    """Return the optimizer's or the batches' key that `model.lr` and the like mean; empty for other keys."""
    section, _, last = key.partition(".")
    meant = KEYS.get(plain_name(last), "")
    if last == "learning_rate":  # a key of boosted trees
        return ""
    return meant if section == "model" and meant.startswith(("optimizer.", "dataset.batch_size")) else ""


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
    plain = plain_name(value)
    if plain in OBJECTIVES:
        return list(OBJECTIVES[plain])
    return (
        _option_called("task/loss", value)
        or _option_called("task", value)
        or (_metrics(value, is_list=False) if re.match(r"val_|val/", plain) else [])  # Keras Tuner
    )


def _option_called(group: str, value: str, *, guesses: bool = False) -> list[str]:
    """Return the override for the option that is named so here or in other tools; empty if none or several are.

    With `guesses`, the nearest name is meant, such as `cross_entropy` by `CrossEntropyLoss`.
    """
    there = options(group, ())
    words = [name for name in OPTIONS.get(group, {}).get(plain_name(value), ()) if name in there]
    meant = options_meant(group, value, there)[: 2 if words else 1] if guesses else words
    option = same_option(group, value) or (meant[0] if len(meant) == 1 else "")
    return [f"{group}={option}"] if option else []


def options_meant(group: str, name: str, there: Collection[str]) -> list[str]:
    """Return the options that a word may mean: of other tools, misspelt, shortened or with more letters."""
    last = name.rpartition(".")[2]  # of torch.optim.Adam
    plain = plain_name(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last))
    known = OPTIONS.get(group, {})
    if words := [one for one in known.get(plain, known.get(plain_name(name), ())) if one in there]:
        return words
    if close := near(last, there):
        return close
    pairs = [(option, *sorted((option, plain), key=len)) for option in there]
    return [option for option, short, long in pairs if len(short) > 2 and long.startswith(short)][:3]


def same_option(group: str, value: str) -> str:
    """Return the option of a group with this name, ignoring case and the difference of - and _; empty if none."""
    return (
        value
        if value in options(group, ())
        else plain_name(value)
        if plain_name(value) in options(group, ())
        else ""
    )


def _device(value: str) -> list[str]:
    """Return the overrides for a device as torch and yolo name it: `cuda:1`, `0`, `0,1`, `cpu`, `mps`."""
    kind, _, number = value.rpartition(":") if ":" in value or value[:1].isdigit() else (value, "", "")
    if kind not in ("", "cuda", "gpu", "cpu", "mps") or not re.fullmatch(r"(\d+(,\d+)*)?", number):
        return []
    accelerator = {"": "gpu", "cuda": "gpu"}.get(kind, kind)
    return [
        f"trainer.accelerator={accelerator}",
        *([f"trainer.devices=[{number}]"] if number and accelerator != "cpu" else []),
    ]


def _gpus(value: str) -> list[str]:
    """Return the overrides for a number of GPUs, -1 for all, or a list of those to use."""
    if value in ("0", "[]", "null"):
        return ["trainer.accelerator=cpu"]
    if re.fullmatch(r"\[?\d+(,\d+)+,?\]?|\[\d+\]", value):
        value = f"[{value.strip('[],')}]"
    elif not re.fullmatch(r"-1|all|auto|\d+", value):
        return []
    value = "-1" if value == "all" else value
    return ["trainer.accelerator=gpu", f"trainer.devices={value}"]


def _is_value(text: str) -> bool:
    """Return whether a text is a number, a list or a choice of values, rather than a name."""
    return re.fullmatch(r"[\d.,eE+\-\[\]]+|true|false|null", text) is not None


def plain_name(name: str) -> str:
    """Return an option's or key's name with underscores and in lower case."""
    return name.replace("-", "_").lower()
