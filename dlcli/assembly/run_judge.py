"""`task.judge=RUN`: the classifier of a saved run as the judge of generated images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlcli.errors import ConfigError, DlcliError, Problem, RunNotFound
from dlcli.inference.model_description import read_description, without_auto
from dlcli.inference.saved_model import SavedModel
from dlcli.inference.write_model import WEIGHTS_FILE
from dlcli.preprocessing.image import ScaleBytes
from dlcli.runs.find import find_run
from dlcli.runs.folder import OpenedRun, open_run
from dlcli.tasks.judge import FEATURES, Judge, JudgeNetwork, last_linear

_KEY = "task.judge"

# Each run that uses the judge keeps a copy of its weights.
_LARGEST = 4_000_000


def settle_judge(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with the absolute path of the judge's folder in place of RUN.

    Raises:
        RunNotFound: there is no such run.
    """
    given = config["task"].get("judge")
    if not isinstance(given, str):
        return config
    try:
        folder = find_run(given, Path(config["runs_dir"])).run_dir.absolute()
    except RunNotFound as error:
        told = error.problems[0]
        raise RunNotFound(told.message, _KEY, told.hint) from error
    return {**config, "task": {**config["task"], "judge": str(folder)}}


def check_judge(
    config: Mapping[str, Any], image: Sequence[int], classes: Sequence[str] | None
) -> Iterator[Problem]:
    """Raise a ConfigError if the configured judge cannot judge images of this shape and these classes."""
    if config["task"].get("judge") and classes is not None:
        judge_of_run(config, image, classes)
    yield from ()


def judge_of_run(
    config: Mapping[str, Any], image: Sequence[int], classes: Sequence[str]
) -> tuple[Judge, str]:
    """Return the configured judge before it is `fitted`, and its name.

    Args:
        config: a configuration whose `task.judge` is the folder of a run.
        image: channels, height and width of an image.
        classes: names of the classes.

    Raises:
        ConfigError: the run cannot be read, or its model cannot judge these images.
    """
    try:
        run = open_run(config["task"]["judge"], Path(config["runs_dir"]))
        model = run.load_model()
    except DlcliError as error:
        told = error.problems[0]
        raise ConfigError(f"the judge cannot be read: {told.message}", _KEY, told.hint) from error
    name = f"{run.ledger.run_name} ({run.ledger.run_id[:8]})"
    if misfit := _misfit(model, tuple(image), classes):
        raise ConfigError(
            f"{name} {misfit}", _KEY, "Name a classifier of the same images, or leave out task.judge."
        )
    with run.gate.closed():
        return _made(run, model, image, classes), name


def _misfit(model: SavedModel, image: tuple[int, ...], classes: Sequence[str]) -> str:
    """Return the reason if a model cannot judge images of this shape and these classes; empty if it can."""
    network, own = model.network.model, getattr(model.task, "classes", ())
    if model.kind != "image" or model.task.kind not in ("binary", "multiclass"):
        return f"is not a classifier of images: its task is {model.task.describe()}"
    if set(own) != set(classes):
        return f"has other classes: {', '.join(map(str, own))}; those of the images are {', '.join(map(str, classes))}"
    if tuple(model.input_shape) != image:
        sizes = [" x ".join(map(str, shape)) for shape in (model.input_shape, image)]
        return f"takes images of {sizes[0]} (channels, height, width), but these are {sizes[1]}"
    if getattr(model.preprocessing, "depth_", "uint8") != "uint8" or not isinstance(
        model.network.on_device, ScaleBytes | None
    ):
        return (
            f"has a preprocessing ({type(model.preprocessing).__name__}) that cannot process generated images"
        )
    if hasattr(network, "members"):
        return "is an ensemble, which has no features of its own"
    try:
        last_linear(network, len(classes))
    except ValueError as error:
        return f"has no features: {error}"
    if (size := sum(values.numel() for values in network.state_dict().values())) > _LARGEST:
        return f"has {size:,} weights, of which each run would keep a copy; at most {_LARGEST:,} are kept"
    return ""


def _made(run: OpenedRun, model: SavedModel, image: Sequence[int], classes: Sequence[str]) -> Judge:
    folder = run.folder / "model"
    description = read_description(folder)
    network: Any = model.network.model
    own = list(getattr(model.task, "classes", ()))
    source = JudgeNetwork(
        without_auto(description["model"], folder / WEIGHTS_FILE),
        description["model_facts"],
        last_linear(network, len(classes)).in_features,
        [own.index(name) for name in classes],
    )
    channels, height, width = image
    judge = Judge((channels, height, width), len(classes), source)
    judge.network.load_state_dict(network.state_dict())
    if model.network.on_device is not None:
        scaling: Any = model.network.on_device
        judge.factor.copy_(scaling.scale.reshape(-1, 1, 1).expand_as(judge.factor))
        judge.shift.copy_(scaling.shift.reshape(-1, 1, 1).expand_as(judge.shift))
    return judge.eval().requires_grad_(False)


@torch.no_grad()
def fit_components(judge: Judge, images: Tensor) -> float:
    """Set the principal components of a judge's features over some images; return their share of the variance."""
    found = torch.cat([judge.raw(some)[0] for some in images.split(512)]).double()
    center = found.mean(dim=0)
    _, deviations, directions = torch.linalg.svd(found - center, full_matrices=False)
    kept = directions[:FEATURES]
    judge.center.copy_(center)
    judge.components.zero_()
    judge.components[:, : len(kept)] = kept.T
    variances = deviations.square()
    return float(variances[:FEATURES].sum() / variances.sum().clamp_min(1e-300))
