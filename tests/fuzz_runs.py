"""Random folders of runs in which something is missing, damaged or of another type."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

_FILES = ["config.yaml", "overrides.txt", "ledger.json", "split.npz", "metrics.jsonl", "environment.txt",
          "predictions.parquet", "model/model.json", "model/labels.json", "model/weights.safetensors",
          "model/preprocessing.skops", "model/MLmodel", "checkpoints/last.ckpt", "model_summary.txt"]  # fmt: skip
_VALUES: list[Any] = [None, -1, 0, 1e400, float("nan"), "many", "", [], [1], {}, {"a": 1}, True, "torch.nn.ReLU",
                      "os.getcwd", 10**30, "${seed}", "x" * 999]  # fmt: skip


def make_base(folder: Path) -> Path:
    """A project with one run that has two epochs behind it."""
    import contextlib

    import dlcli
    from dlcli.process.quiet import quiet

    place = folder / "base"
    place.mkdir()
    words = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=2", "trainer.accelerator=cpu",
             "callbacks=none"]  # fmt: skip
    with contextlib.chdir(place), quiet():
        dlcli.train([*words, "runs_dir=runs"])
    return place


def damage(project: Path, chance: random.Random) -> str:
    """Damage the only run of a project; says how."""
    folder = next(project.glob("runs/*/*/artifacts"))
    if chance.random() < 0.6:
        forget_digests(folder)
    kind = chance.choices(["config", "split", "file", "place", "ledger"], [35, 15, 30, 10, 10])[0]
    damages: dict[str, Callable[[Path, random.Random], str]] = {
        "config": _config, "split": _split, "file": _file, "place": _place, "ledger": _ledger,
    }  # fmt: skip
    return f"{kind} {damages[kind](folder, chance)}"


def forget_digests(folder: Path) -> None:
    """Make a run one of before there were digests, which would refuse whatever is changed."""
    file = folder / "ledger.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "digests": None}))


def _config(folder: Path, chance: random.Random) -> str:
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    node, way = config, []
    while True:
        key = chance.choice(list(node))
        way.append(key)
        if not isinstance(node[key], dict) or not node[key] or chance.random() < 0.3:
            break
        node = node[key]
    if chance.random() < 0.4:
        del node[key]
        done = "deleted"
    else:
        node[key] = chance.choice(_VALUES)
        done = repr(node[key])[:30]
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return f"{'.'.join(map(str, way))} {done}"


def _ledger(folder: Path, chance: random.Random) -> str:
    file = folder / "ledger.json"
    ledger = {**json.loads(file.read_text()), "digests": None}
    node = (
        ledger[chance.choice(["result", "tags", "metrics", "projected"])] if chance.random() < 0.7 else ledger
    )
    key = chance.choice(list(node))
    if chance.random() < 0.3:
        del node[key]
    else:
        node[key] = chance.choice(_VALUES)
    file.write_text(json.dumps(ledger))
    return f"{key} {node.get(key, 'deleted')!r}"[:60]


def _split(folder: Path, chance: random.Random) -> str:
    file = folder / "split.npz"
    with np.load(file) as parts:
        split = {name: parts[name] for name in parts.files}
    part = chance.choice(list(split))
    change = chance.choice(
        ["gone", "float", "negative", "beyond", "objects", "square", "words", "twice", "empty"]
    )
    if change == "gone":
        del split[part]
    else:
        split[part] = {
            "float": split[part] + 0.5, "negative": split[part] - 999, "beyond": split[part] + 999,
            "objects": np.array([{"a": 1}, None], object), "square": split[part][:4].reshape(2, 2),
            "words": np.array(["a", "b"]), "twice": np.repeat(split[part], 2), "empty": split[part][:0],
        }[change]  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, **split)  # type: ignore[arg-type]
    file.write_bytes(buffer.getvalue())
    return f"{part} {change}"


def _file(folder: Path, chance: random.Random) -> str:
    name = chance.choice([name for name in _FILES if (folder / name).exists()])
    file = folder / name
    content = bytearray(file.read_bytes())
    change = chance.choice(
        [
            "gone",
            "torn",
            "random",
            "empty",
            "flipped",
            "folder",
            "dangling",
            "fifo",
            "device",
            "list",
            "nul",
            "other",
        ]
    )
    if change == "torn":
        file.write_bytes(content[: len(content) // 2])
    elif change == "random":
        file.write_bytes(chance.randbytes(len(content)))
    elif change == "flipped" and content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
    elif change == "other":
        shutil.copy(
            folder
            / chance.choice([other for other in _FILES if other != name and (folder / other).is_file()]),
            file,
        )
    elif change in ("empty", "list", "nul"):
        file.write_bytes({"empty": b"", "list": b"[]\n", "nul": b"\x00" * 9}[change])
    else:
        file.unlink()
        if change == "folder":
            file.mkdir()
        elif change == "dangling":
            file.symlink_to("nowhere")
        elif change == "fifo":
            os.mkfifo(file)
        elif change == "device":
            file.symlink_to("/dev/zero")
    return f"{name} {change}"


def _place(folder: Path, chance: random.Random) -> str:
    name = chance.choice(["checkpoints", "model", "plots"])
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    change = chance.choice(["gone", "file", "dangling", "loop"])
    if change == "file":
        place.write_bytes(b"")
    elif change != "gone":
        place.symlink_to("nowhere" if change == "dangling" else name)
    return f"{name} {change}"
