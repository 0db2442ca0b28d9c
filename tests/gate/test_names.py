"""The gate only accepts names of classes and functions that have the role and are defined under that name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from types import FunctionType, ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.errors import CorruptRun
from dlcli.gate import names, roles
from dlcli.gate.gate import Gate
from dlcli.gate.roles import ROLES, Role, base_class, role_at

REPORTED = (
    "dlcli.tracking.ledger.os.system",
    "dlcli.executors.processes.os.system",
    "torch.nn.modules.module.torch.os.system",
    "os.system",
    "builtins.eval",
)

# Re-exports, private names, neighbouring modules, other roles, and objects that would execute code or write files.
OTHERS = (
    "torch.hub.load", "torch.load", "torch.nn.torch.load", "torch.nn.Module.load_state_dict",
    "torch.nn.DataParallel", "torch.nn.parallel.DataParallel", "torch.nn.functional.relu", "torch.nn.init",
    "torch.nn.modules", "torch.nn", "torch", "torch.optim.lr_scheduler.torch.load",
    "torch.optim.Optimizer.__class__", "torch.nn.Linear.forward", "dlcli.models.mlp.nn.Linear",
    "dlcli.models.mlp.MLP.forward", "dlcli.models.mlp.MLP.__init__", "dlcli.models.mlp",
    "dlcli.models.hub.transformers", "dlcli.models.weights.read_weights", "dlcli.datasets.shared_memory.pickle.loads",
    "dlcli.datasets.raw_rows.load_data", "dlcli.datasets.mnist.load_idx", "dlcli.datasets.hf._hub",
    "dlcli.runner.train.train", "dlcli.job.run_job", "dlcli.cli.app.app", "dlcli.__main__.main",
    "dlcli.process.program.run_program", "dlcli.train", "dlcli.executors.slurm.Slurm",
    "dlcli.executors.ray_cluster.Ray", "dlcli.executors.slurm.subprocess.run",
    "dlcli.templates.model.mynet.MyNet", "dlcli.preprocessing.table._Columns",
    "dlcli.tasks.base.Task.__subclasses__", "pytorch_lightning.callbacks.ModelCheckpoint",
    "pytorch_lightning.callbacks.LambdaCallback", "pytorch_lightning.callbacks.OnExceptionCheckpoint",
    "pytorch_lightning.loggers.CSVLogger", "pytorch_lightning.callbacks.callback.Callback",
    "pytorch_lightning.trainer.trainer.Trainer.fit", "optuna.samplers.optuna.storages.RDBStorage",
    "optuna.create_study", "subprocess.run", "shutil.rmtree", "dlcli", "dlcli.", ".", "", "dlcli..models",
    "dlcli.models.mlp.MLP ", " dlcli.models.mlp.MLP", "dlcli.models.mlp.MLP\n", "dlcli.models.mlp.\u039cLP",
    "dlcli/models/mlp.MLP", "../x.y", "__main__.X", "sys.exit", "antigravity.x", "this.s",
)  # fmt: skip

PLACES = (
    "model", "model.encoder", "model.parts.0.x", "task", "task.loss", "task.loss.inner", "dataset", "dataset.x",
    "preprocessing", "cv", "optimizer", "scheduler", "callbacks.x", "callbacks.x.y", "trainer",
    "trainer.logger", "trainer.profiler", "trainer.plugins.0", "executor", "tracking", "augmentation",
    "augmentation.x", "finder", "finetune", "weight_averaging", "sweep", "sweep.sampler", "sweep.pruner",
    "experiment_name", "runs_dir.x", "x", "",
)  # fmt: skip

# Groups whose place in the configuration differs from the name of their folder.
GROUPS = {
    "sweep/sampler": "sweep.sampler", "sweep/pruner": "sweep.pruner", "task/loss": "task.loss",
    "callbacks": "callbacks.x", "metric": "metric.x",
    **{group: group for group in (
        "model", "preprocessing", "task", "optimizer", "dataset", "cv", "executor", "tracking", "scheduler", "trainer",
        "finder", "finetune", "augmentation", "weight_averaging", "sweep",
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", [*REPORTED, *OTHERS])
def test_no_place_accepts_an_object_of_another_role(name: str) -> None:
    for place in PLACES:
        assert names.find_object(name, role_at(place)) is None, place


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("model", "torch.nn.Linear"), ("model.encoder", "torch.nn.ReLU"), ("task.loss", "torch.nn.CrossEntropyLoss"),
        ("optimizer", "torch.optim.SGD"), ("scheduler", "torch.optim.lr_scheduler.StepLR"),
        ("scheduler", "dlcli.training.schedules.cosine"), ("callbacks.x", "pytorch_lightning.callbacks.EarlyStopping"),
        ("trainer", "pytorch_lightning.Trainer"), ("sweep.sampler", "optuna.samplers.RandomSampler"),
        ("sweep.sampler", "dlcli.sweeps.samplers.random"), ("sweep.pruner", "optuna.pruners.MedianPruner"),
        ("metric.x", "torchmetrics.HingeLoss"), ("metric.x", "torchmetrics.classification.BinaryAUROC"),
    ],
)  # fmt: skip
def test_public_names_are_taken(place: str, name: str) -> None:
    assert names.find_object(name, role_at(place)).__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize("group", GROUPS)
def test_everything_that_ships_is_taken_in_its_place(group: str) -> None:
    found = [name for name in roles.shipped(group) if not name.startswith("dlcli.training.step_profiler")]
    assert found
    for name in found:
        assert names.find_object(name, role_at(GROUPS[group])) is not None, name


def modules() -> list[ModuleType]:
    """Return the modules of dlcli's building blocks and of other packages with accepted names."""
    packages = {package for _, role in ROLES for package in role.packages}
    packages |= {offering for _, role in ROLES for offering, _, _ in role.offered}
    packages |= {
        f"dlcli.{name}" for name in ("datasets", "splits", "training", "executors", "tracking", "sweeps")
    }
    found = []
    for package in sorted(packages):
        module = importlib.import_module(package)
        found.append(module)
        if package.startswith("dlcli."):
            below = pkgutil.iter_modules(getattr(module, "__path__", []), f"{package}.")
            found += [importlib.import_module(name) for _, name, _ in below]
    return found


def test_only_classes_and_functions_of_the_role_are_accepted() -> None:
    distinct = list(dict.fromkeys(role for _, role in ROLES))
    tried = passed = 0
    for module in modules():
        for attribute, inner in list(vars(module).items()):
            name = f"{module.__name__}.{attribute}"
            deeper = [f"{name}.{one}" for one in ("os", "system", "load", "__init__", "__class__")]
            deeper += (
                [f"{name}.{one}" for one in list(vars(inner))[:5]] if isinstance(inner, ModuleType) else []
            )
            for candidate in (name, *deeper):
                for role in distinct:
                    tried += 1
                    if (found := names.find_object(candidate, role)) is not None:
                        passed += 1
                        assert is_of(found, candidate, role), (candidate, role)
    assert tried > 50_000 and passed > 100


def is_of(found: object, name: str, role: Role) -> bool:
    """Return whether the gate's documented conditions hold, computed independently of the gate."""
    last = name.rpartition(".")[2]
    home = inspect.getmodule(found)
    if (
        any(part.startswith("_") for part in name.split("."))
        or home is None
        or vars(home).get(last) is not found
    ):
        return False
    if name in roles.shipped(role.group):
        ours = home.__name__.startswith("dlcli.") or inspect.isclass(found)
        return ours and isinstance(found, type | FunctionType)
    return bool(role.base) and inspect.isclass(found) and base_class(role.base) in found.__mro__


PARTS = (
    "dlcli", "models", "mlp", "MLP", "torch", "nn", "os", "system", "Linear", "modules", "sys", "__init__",
    "load", "datasets", "raw_rows", "tasks", "losses", "optim", "", "é", "x y", "eval", "builtins", "hub", "_x",
    "wave", "this",
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=7), st.sampled_from(PLACES))
@settings(max_examples=300, deadline=None)
def test_no_name_breaks_the_gate(parts: list[str], place: str) -> None:
    name, loaded = ".".join(parts), set(sys.modules)
    found = names.find_object(name, role_at(place))
    assert found is None or is_of(found, name, role_at(place))
    fresh = {name.partition(".")[0] for name in set(sys.modules) - loaded}
    assert not fresh & {"wave", "this", "os", "hub", "raw_rows"}  # nothing outside the packages was imported


@pytest.mark.parametrize("name", [None, 3, [], {}, ["dlcli.models.mlp.MLP"], {"a": "b"}, True, 1.5])
def test_invalid_names_are_refused(name: object) -> None:
    with pytest.raises(CorruptRun, match=r"model\._target_ is not a name"):
        Gate("here").find(name, "model")


def test_no_getattr_of_a_module_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("dlcli.models.lazy")
    module.__getattr__ = lambda name: pytest.fail(name)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "dlcli.models.lazy", module)
    assert names.find_object("dlcli.models.lazy.Net", role_at("model")) is None


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("metric.x", "torchmetrics.text.BERTScore"),
        ("metric.x", "torchmetrics.image.fid.FrechetInceptionDistance"),
        ("metric.x", "torchmetrics.MetricTracker"),
        ("metric.x", "torchmetrics.Metric"),
        ("metric.x", "dlcli.tasks.facts.target_facts"),
        ("metric.x.inner", "torchmetrics.HingeLoss"),
    ],
)
def test_metrics_that_load_models_or_hold_others_are_refused(place: str, name: str) -> None:
    assert names.find_object(name, role_at(place)) is None
