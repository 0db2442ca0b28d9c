"""Command lines by seed: options of groups, keys of the configuration with any value, appended, deleted, misspelt."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from dlcli.config.folders import groups, options

# Keys that no default configuration has.
_MORE_KEYS = [
    "cv.folds", "cv.test_size", "cv.repeats", "cv.refit", "scheduler.step_size", "sweep.trials", "finder.lr",
    "dataset.path", "dataset.target", "dataset.types", "dataset.positive", "model.weights", "model.dropout",
    "trainer.limit_train_batches", "trainer.gradient_clip_val", "trainer.callbacks", "trainer.logger",
    "trainer.limit_rows", "trainer.limit_folds", "trainer.limit_epochs", "trainer.max_time", "trainer.devices",
    "trainer.strategy", "trainer.profiler", "hydra.run.dir", "defaults", "experiment", "optimizer.betas",
    "optimizer.weight_decay_on", "task.loss", "task.loss.smoothing", "callbacks.x", "callbacks.x._target_",
    "callbacks.early_stopping._target_", "callbacks.early_stopping.patience", "task._target_", "model._target_",
    "optimizer._target_", "dataset._target_", "cv._target_", "trainer._target_", "tracking._target_",
    "executor._target_", "preprocessing._target_", "scheduler._target_", "model.x._target_", "task.loss._target_",
]  # fmt: skip
_VALUES = [
    "0", "1", "-1", "2", "3", "1e309", "-0.0", "nan", "inf", "-inf", "null", "''", "[]", "{}", "{a:1}", "{a:{b:1}}",
    "[1,[2,{b:3}]]", "[null]", "{null:1}", "${x}", "${optimizer.lr}", "${seed}", "${model}", "${oc.env:HOME}", "???",
    "true", "false", "'a b'", '"q\\""', "ü漢🎉", "a" * 300, "a=b", "interval(1,2)", "1,2", "choice(1,2)", "range(1,3)",
    "1" + "0" * 31, "99999999999", "-99999999", "4294967295", "4294967296", "0.5", "1.5", "1e-320", "1_000", "0x10",
    "1e5", "$", "{", "[", "(", "]", "\\", "%", "None", "~", "*", "../..", "/dev/null", "/", "os.system", "os.getcwd",
    "builtins.dict", "builtins.print", "dlcli.models.mlp.MLP", "torch.nn.ReLU", "torch.nn.Linear", "torch.optim.SGD",
    "torch.nn.CrossEntropyLoss", "pytorch_lightning.Trainer", "pytorch_lightning.callbacks.Timer",
    "dlcli.datasets.bundled.load", "val/loss", "train/loss", "test/accuracy", "auto", "${", "${a:b}", "${eval:1}",
    "{_target_: torch.nn.ReLU}", "{_target_: 3}", "{_target_: null}", "{_target_: os.getcwd}", "[a,b,c]",
    "shuffle(1,2)", "glob(*)", "int(3)", "str(3)", "'\\n'", "\t", "\x00", "\x1b[31m", " ", "1:30", "2h", "-", "--",
    "b'x'", "last", "best", "warm.csv",
]  # fmt: skip
_DATASETS = ["iris", "iris", "iris", "wine", "diabetes", "breast_cancer", "digits", "table"]
_MODELS = ["mlp", "mlp", "mlp", "linear", "cnn", "transformer"]
_PREFIXES = ["", "", "", "", "+", "++", "~"]


def override_case(seed: int) -> list[str]:
    """The words of one command line."""
    chance = random.Random(seed)
    words = []
    if chance.random() < 0.85:
        words.append(f"dataset={chance.choice(_DATASETS)}")
    if chance.random() < 0.85:
        words.append(f"model={chance.choice(_MODELS)}")
    for _ in range(chance.randint(1, 4)):
        word = _option(chance) if chance.random() < 0.2 else _setting(chance)
        words.append(_mutated(chance, word) if chance.random() < 0.06 else word)
    return words


def _option(chance: random.Random) -> str:
    group = chance.choice([group for group in groups() if group not in ("dataset", "executor")])
    return f"{group}={chance.choice([*options(group), 'nothing', 'null'])}"


def _setting(chance: random.Random) -> str:
    key = chance.choice(_keys())
    if chance.random() < 0.1:
        key = _mutated(chance, key)
    if chance.random() < 0.15:
        return f"~{key}"
    prefix = chance.choice(_PREFIXES)
    return f"{prefix}{key}={chance.choice(_VALUES)}" if chance.random() < 0.97 else f"{prefix}{key}"


def _mutated(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text) + 1)
    return chance.choice(
        [
            text[:at] + text[at + 1 :],
            text[:at] + chance.choice("abz.@/_-0 ={}[]") + text[at:],
            text.upper(),
            f"{text}.{text}",
            text[:at],
        ]
    )


@cache
def _keys() -> list[str]:
    from dlcli.config.compose import compose
    from dlcli.config.reserved_keys import BY_DATA, SUPPLIED

    config = compose(["dataset=iris", "model=mlp"], supplied=SUPPLIED, by_data=BY_DATA).config
    return [*_dotted(config), *_MORE_KEYS]


def _dotted(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield above + key
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
