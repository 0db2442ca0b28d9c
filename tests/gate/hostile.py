"""Hostile run folders, which try to execute code when they are opened."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

# The parts of a folder that each command reads.
MODEL = frozenset({"eval", "predict", "export", "load_run", "pyfunc", "serve"})
DATA = frozenset({"eval", "export", "resume"})
RESUME = frozenset({"resume"})
CONFIG = frozenset({"eval", "predict", "export", "resume", "compare", "load_run"})
ALL = CONFIG | {"check"}

REPORTED = (
    "os.system",
    "dlcli.tracking.ledger.os.system",
    "dlcli.executors.processes.os.system",
    "torch.nn.modules.module.torch.os.system",
    "subprocess.getoutput",
)


@dataclass(frozen=True)
class Hostile:
    """A change that makes a folder hostile.

    Attributes:
        name: name of the case.
        damage: changes a run's folder; its second argument is a file that must not be created.
        stops: the commands that read the hostile part, and must reject it.
    """

    name: str
    damage: Callable[[Path, Path], None]
    stops: frozenset[str]


def node(name: str, marker: Path, **more: Any) -> dict[str, Any]:
    """Return a node of a configuration that runs a shell command when it is built."""
    key = "cmd" if name.startswith("subprocess") else "command"
    return {"_target_": name, key: f"touch {marker}", **more}


def set_at(tree: Any, place: str, value: Any) -> None:
    *above, last = place.split(".")
    for key in above:
        tree = tree.setdefault(key, {})
    tree[last] = value


def in_model(place: str, make: Callable[[Path], Any]) -> Callable[[Path, Path], None]:
    """Return a change of `model.json`."""

    def damage(folder: Path, marker: Path) -> None:
        file = folder / "model" / "model.json"
        description = json.loads(file.read_text())
        set_at(description, place, make(marker))
        file.write_text(json.dumps(description))

    return damage


def in_config(place: str, make: Callable[[Path], Any]) -> Callable[[Path, Path], None]:
    """Return a change of `config.yaml`."""

    def damage(folder: Path, marker: Path) -> None:
        file = folder / "config.yaml"
        config = yaml.safe_load(file.read_text())
        set_at(config, place, make(marker))
        file.write_text(yaml.safe_dump(config))

    return damage


def text_of(file: str, text: Callable[[Path], str]) -> Callable[[Path, Path], None]:
    """Return a change that replaces the content of a file."""

    def damage(folder: Path, marker: Path) -> None:
        (folder / file).write_text(text(marker))

    return damage


def own_code(folder: Path, marker: Path) -> None:
    """Add code in and beside the folder, and name it in the model and in the configuration."""
    evil = f"import os\nos.system('touch {marker}')\nfrom torch import nn\nclass Net(nn.Linear): pass\n"
    for place in (folder / "code", folder, folder.parents[3], folder.parents[3] / "theirs"):
        place.mkdir(exist_ok=True)
        for name in ("evil_code", "torch", "yaml", "sitecustomize", "dlcli"):
            (place / f"{name}.py").write_text(evil)
    (folder.parents[3] / "theirs" / "conf").mkdir()
    (folder / "conf_dirs.txt").write_text(f"{folder.parents[3] / 'theirs' / 'conf'}\n{folder}/conf\n")
    for place in ("model.json", "config.yaml"):
        named = lambda marker: "evil_code.Net"  # noqa: E731
        (in_model if place == "model.json" else in_config)("model._target_", named)(folder, marker)


def with_conf(folder: Path, marker: Path) -> None:
    """The same, with a project in the current folder that has the same code, but that the user has not given."""
    own_code(folder, marker)
    Path("conf").mkdir()
    Path("conf", "dlcli.yaml").touch()
    shutil.copy(folder / "code" / "evil_code.py", "evil_code.py")


def sealed_elsewhere(folder: Path, marker: Path) -> None:
    """The same, sealed by its author's key."""
    from dlcli.gate.seal import make_seal
    from dlcli.gate.vouching import code_listing

    own_code(folder, marker)
    names = ("config.yaml", "overrides.txt", "conf_dirs.txt")
    files = {name: (folder / name).read_text() for name in names}
    mine = os.environ["XDG_STATE_HOME"]
    os.environ["XDG_STATE_HOME"] = str(folder.parents[3] / "state")
    try:
        seal = make_seal({**files, "code": code_listing(folder / "code")})
    finally:
        os.environ["XDG_STATE_HOME"] = mine
    (folder / "seal.json").write_text(seal["seal.json"])


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def pickled(file: str) -> Callable[[Path, Path], None]:
    def damage(folder: Path, marker: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(pickle.dumps(Evil(marker)))

    return damage


def pickled_split(folder: Path, marker: Path) -> None:
    parts = {name: np.array([Evil(marker)], dtype=object) for name in ("train", "val", "test")}
    np.savez(folder / "split.npz", **parts)


def fitted(change: Callable[[dict[str, Any], Path], None]) -> Callable[[Path, Path], None]:
    """Return a change of the schema in `preprocessing.skops`."""

    def damage(folder: Path, marker: Path) -> None:
        file = folder / "model" / "preprocessing.skops"
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        schema = json.loads(members["schema.json"])
        change(schema, marker)
        members["schema.json"] = json.dumps(schema).encode()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return damage


def skops_node(loader: str, module: str, name: str, **more: Any) -> dict[str, Any]:
    return {"__loader__": loader, "__module__": module, "__class__": name, "__id__": 99, **more}


def skops_text(text: str) -> dict[str, Any]:
    return skops_node("JsonNode", "builtins", "str", content=json.dumps(text), is_json=True)


def extra(make: Callable[[Path], dict[str, Any]]) -> Callable[[Path, Path], None]:
    """Return a change that adds an attribute to the fitted object."""

    def change(schema: dict[str, Any], marker: Path) -> None:
        schema["content"]["content"]["evil"] = make(marker)

    return fitted(change)


def skops_partial(marker: Path) -> dict[str, Any]:
    empty = skops_node("DictNode", "builtins", "dict", content={}, key_types={})
    empty["key_types"] = skops_node("ListNode", "builtins", "list", content=[])
    args = skops_node("TupleNode", "builtins", "tuple", content=[skops_text(f"touch {marker}")])
    func = skops_node("FunctionNode", "os", "system")
    content = {"func": func, "args": args, "kwds": empty, "namespace": empty}
    return skops_node("PartialNode", "functools", "partial", content=content)


def skops_operator(marker: Path) -> dict[str, Any]:
    attrs = skops_node("TupleNode", "builtins", "tuple", content=[skops_text("system")])
    return skops_node("OperatorFuncNode", "operator", "attrgetter", attrs=attrs)


def skops_reduce(marker: Path) -> dict[str, Any]:
    args = skops_node("TupleNode", "builtins", "tuple", content=[skops_text(f"touch {marker}")])
    return skops_node("ConstructorFromReduceNode", "os", "system", content=args)


def unpacks_to_more(folder: Path, marker: Path) -> None:
    with zipfile.ZipFile(folder / "model" / "preprocessing.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", " " * (64 << 20))


def bomb(marker: Path) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join([*lines, "model: *a11", ""])


def cases() -> list[Hostile]:
    """Return all hostile folders."""
    deep = 100_000
    found = [
        Hostile(f"model.json: {place} is {name}", in_model(place, lambda m, n=name: node(n, m)), MODEL)
        for name in REPORTED
        for place in ("model", "task.loss")
    ]
    found += [
        Hostile(f"model.json: {what}", in_model(place, make), MODEL)
        for what, place, make in [
            ("the task", "task", lambda m: node("os.system", m)),
            ("an argument", "model.hidden", lambda m: node("os.system", m)),
            ("in a list", "model.hidden", lambda m: [1, [node(REPORTED[1], m)]]),
            ("in a mapping", "task.loss.a", lambda m: {"b": [node(REPORTED[2], m)]}),
            ("partial", "task.loss", lambda m: node("os.system", m, _partial_=True)),
            ("a model that is partial", "model._partial_", lambda m: True),
            ("a task that is partial", "task._partial_", lambda m: True),
            ("arguments by position", "model._args_", lambda m: [f"touch {m}"]),
            (
                "functools.partial",
                "model",
                lambda m: {"_target_": "functools.partial", "func": node("os.system", m)},
            ),
            ("no name", "model._target_", lambda m: ["os.system"]),
            ("a name with a mapping", "model._target_", lambda m: {"_target_": "os.system"}),
            ("another role", "model._target_", lambda m: "dlcli.runner.train.train"),
            ("a task as model", "model._target_", lambda m: "dlcli.tasks.multiclass.Multiclass"),
            ("what dlcli sets", "model.restored", lambda m: False),
            ("no mapping", "model", lambda m: [1]),
            ("nothing", "task", lambda m: None),
        ]
    ]
    found += [
        Hostile(f"config.yaml: {place} is {name}", in_config(place, lambda m, n=name: node(n, m)), stops)
        for name in REPORTED[:2]
        for place, stops in [
            ("dataset", DATA), ("callbacks.x", RESUME), ("cv", RESUME), ("preprocessing", RESUME), ("model", RESUME),
            ("optimizer", RESUME), ("scheduler", RESUME), ("task.loss", RESUME), ("augmentation", RESUME),
            ("finder", RESUME), ("finetune", RESUME), ("weight_averaging", RESUME), ("tracking", RESUME),
            ("executor", RESUME), ("trainer", RESUME), ("dataset.x", DATA),
        ]
    ]  # fmt: skip
    found += [
        Hostile(f"config.yaml: {place} {what}", in_config(place, make), stops)
        for what, place, make, stops in [
            ("writes", "trainer.default_root_dir", str, RESUME),
            ("writes", "trainer.logger", lambda m: {"_target_": "pytorch_lightning.loggers.CSVLogger",
                                                    "save_dir": str(m)}, RESUME),
            ("writes", "callbacks.x", lambda m: {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
                                                 "dirpath": str(m)}, RESUME),
            ("runs", "callbacks.x", lambda m: {"_target_": "pytorch_lightning.callbacks.LambdaCallback",
                                               "on_fit_start": node("os.system", m, _partial_=True)}, RESUME),
            ("runs", "callbacks.early_stopping.monitor", lambda m: node("os.system", m), RESUME),
            ("runs", "trainer.plugins", lambda m: [node("os.system", m)], RESUME),
            ("is Lightning's own", "trainer.profiler", lambda m: "advanced", RESUME),
            ("is none", "trainer.strategy", lambda m: "deepspeed", RESUME),
            ("runs shell lines", "executor", lambda m: {"_target_": "dlcli.executors.slurm.Slurm", "cluster": "local",
                                                        "setup": [f"touch {m}"]}, RESUME),
            ("goes elsewhere", "executor", lambda m: {"_target_": "dlcli.executors.ray_cluster.Ray",
                                                      "address": "ray://somewhere:10001"}, RESUME),
            ("downloads into a folder", "dataset", lambda m: {"_target_": "dlcli.datasets.mnist.load_mnist",
                                                              "root": str(m), "batch_size": 32}, DATA),
            ("writes a cache", "dataset", lambda m: {"_target_": "dlcli.datasets.hf.load", "path": "x",
                                                     "cache_dir": str(m), "batch_size": 32}, DATA),
            ("is no dataset", "dataset", lambda m: {"_target_": "dlcli.datasets.shared_memory.pickle.loads"}, DATA),
            ("reads the environment", "dataset.target", lambda m: "${oc.env:HOME}", frozenset()),
        ]
    ]  # fmt: skip
    found += [
        Hostile(f"{file}: {what}", text_of(file, text), stops)
        for file, what, text, stops in [
            ("config.yaml", "aliases", bomb, CONFIG),
            ("config.yaml", "one alias", lambda m: "a: &a {x: 1}\nmodel: *a\n", CONFIG),
            ("config.yaml", "nests deeply", lambda m: "a: " + "[" * deep, CONFIG),
            ("config.yaml", "nests deeply by lines", lambda m: "- " * deep, CONFIG),
            ("config.yaml", "is large", lambda m: "a: 1\n" + "# x\n" * (1 << 20), CONFIG),
            ("config.yaml", "a tag", lambda m: f"model: !!python/object/apply:os.system ['touch {m}']\n", CONFIG),
            ("config.yaml", "a list", lambda m: "[1, 2]", CONFIG),
            ("config.yaml", "binary", lambda m: "\x00\x01", CONFIG),
            ("ledger.json", "nests deeply", lambda m: "[" * deep, ALL),
            ("ledger.json", "a list", lambda m: "[]", ALL),
            ("ledger.json", "other types", lambda m: '{"schema_version": 2, "run_id": [], "metrics": {}}', ALL),
            ("ledger.json", "a path as ID", lambda m: '{"schema_version": 2, "run_id": "../../x", "metrics": {}}', ALL),
            ("model/model.json", "nests deeply", lambda m: '{"model": ' + "[" * deep, MODEL),
            ("model/model.json", "nests and ends", lambda m: '{"model": ' + "[" * 900 + "]" * 900 + "}", MODEL),
            ("model/model.json", "a list", lambda m: "[]", MODEL),
            ("model/labels.json", "nests deeply", lambda m: "[" * deep, MODEL),
            ("model/labels.json", "no names", lambda m: '[{"_target_": "os.system"}]', MODEL),
            ("overrides.txt", "a target", lambda m: f"model._target_=os.system\n+model.command='touch {m}'\n",
             frozenset()),
            ("model/MLmodel", "a loader", lambda m: "flavors: {python_function: {loader_module: evil_code, code: .}}",
             frozenset()),
            ("seal.json", "nests deeply", lambda m: "[" * deep, frozenset()),
        ]
    ]  # fmt: skip
    found += [
        Hostile("model_facts: an argument", in_model("model_facts.arguments", lambda m: {"cache_dir": str(m)}), MODEL),
        Hostile("model_facts: no plain value", in_model("model_facts.num_outputs", lambda m: {"x": str(m)}), MODEL),
        Hostile("task_facts: an argument", in_model("task_facts.loss", lambda m: {"_target_": "os.system"}), MODEL),
        Hostile("code of its own", own_code, MODEL | RESUME),
        Hostile("code that lies in the current folder, too", with_conf, MODEL | RESUME),
        Hostile("code of its own, sealed by its author", sealed_elsewhere, MODEL | RESUME),
        Hostile("split.npz is pickled", pickled_split, DATA),
        Hostile("last.ckpt is pickled", pickled("checkpoints/last.ckpt"), RESUME),
        Hostile("weights are pickled", pickled("model/weights.safetensors"), MODEL | RESUME | {"check"}),
        Hostile("preprocessing is pickled", pickled("model/preprocessing.skops"), MODEL),
        Hostile("preprocessing unpacks to more", unpacks_to_more, MODEL),
        Hostile("preprocessing: a partial", extra(skops_partial), MODEL),
        Hostile("preprocessing: a function", extra(lambda m: skops_node("FunctionNode", "os", "system")), MODEL),
        Hostile("preprocessing: a type", extra(lambda m: skops_node("TypeNode", "os", "system")), MODEL),
        Hostile("preprocessing: an operator", extra(skops_operator), MODEL),
        Hostile("preprocessing: a constructor", extra(skops_reduce), MODEL),
        Hostile("preprocessing: dlcli's os", extra(lambda m: skops_node("TypeNode", "dlcli.job.sys", "exit")), MODEL),
        Hostile("preprocessing: an object", extra(lambda m: skops_node("ObjectNode", "subprocess", "Popen")), MODEL),
        Hostile("preprocessing: another root", fitted(lambda s, m: s.update(__module__="os")), MODEL),
        Hostile("preprocessing: a map", extra(lambda m: skops_node("TypeNode", "builtins", "map")), MODEL),
    ]  # fmt: skip
    return found
