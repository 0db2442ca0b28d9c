"""Checks of a configuration whose optimizer is a solver: one that minimizes the loss over all rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.assembly.batch_rows import takes_all_rows
from dlcli.assembly.feature_cache import why_rows_change
from dlcli.assembly.head_choice import GROUPS_OF_STEPS, SOLVED, solves_head, why_unsolvable
from dlcli.config.build import locate
from dlcli.config.solver_names import GRADIENT_ARGUMENTS, WITHOUT_STEPS
from dlcli.datasets.data import Data
from dlcli.errors import Problem

_BY_STEPS = "To train by steps, choose an optimizer such as optimizer=adam."


def check_solver(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each setting that a solver does not support."""
    if not takes_all_rows(config):
        return
    name = config["optimizer"]["_target_"].rpartition(".")[2]
    yield from _check_model(config, name)
    for group, reason in WITHOUT_STEPS.items():
        if config[group]:
            yield Problem(f"{name} solves on all rows: it {reason}", group, f"Use {group}=none. {_BY_STEPS}")
    for argument, idle in GRADIENT_ARGUMENTS.items():
        if argument in config["trainer"] and config["trainer"][argument] not in idle:
            yield Problem(
                f"{name} solves on all rows, with the gradient as it is",
                f"trainer.{argument}",
                f"Leave trainer.{argument} out. {_BY_STEPS}",
            )


def _check_model(config: Mapping[str, Any], name: str) -> Iterator[Problem]:
    """Yield a problem if the solver does not support the model."""
    target = config["model"]["_target_"]
    mark, does = getattr(
        locate(config["optimizer"]["_target_"]), "takes_models", ("is_linear", "solves linear models")
    )
    kind = locate(target)
    if not getattr(kind, mark, False) and not (mark == "is_linear" and _solves_head(config, kind)):
        head = " ".join(f"model.{key}={value}" for key, value in getattr(kind, "linear_head", {}).items())
        probe = (
            f" On a frozen backbone, a linear head is solved: finetune=feature_extraction {head}."
            if head
            else ""
        )
        advice = {
            "is_linear": f"{_BY_STEPS} Or choose model=linear. A linear model of your own declares `is_linear = True` "
            f"in its class.{probe}",
            "is_forest": f"{_BY_STEPS} Or choose model=hist_gradient_boosting or model=random_forest.",
        }
        yield Problem(
            f"{name} {does}; {target} is not marked as one", "optimizer", advice.get(mark, _BY_STEPS)
        )


def _solves_head(config: Mapping[str, Any], model: Any) -> bool:
    """Return whether only a linear head is trained, on precomputed features of a backbone."""
    linear: Mapping[str, Any] = getattr(model, "linear_head", {})
    finetune = config["finetune"] or {}
    frozen = finetune.get("_target_") == "dlcli.training.finetuning.FeatureExtraction"
    return (
        bool(linear)
        and frozen
        and bool(finetune.get("cache", True))
        and all(config["model"].get(key) == value for key, value in linear.items())
    )


def check_solved_head(config: Mapping[str, Any], data: Data) -> Iterator[Problem]:
    """Yield the problems of a configuration whose head is solved before it is fine-tuned."""
    if not solves_head(config):
        return
    if only_head := config["finetune"].get("head") == SOLVED:
        instead = "Use finetune.head=steps."
        for group in [*GROUPS_OF_STEPS, *(["optimizer"] if takes_all_rows(config) else [])]:
            if config[group]:
                yield Problem("has no effect on a head that is solved, without steps", group, instead)
    else:
        instead = "Use finetune=fine_tuning."
    if found := why_unsolvable(config, data):
        key, reason = found
        yield Problem(reason, key, f"Use model.hidden=0. {instead}" if key == "model.hidden" else instead)
    elif only_head and (why := why_rows_change(config)):
        yield Problem(f"{why}, and a head is solved on fixed features", "finetune.head", instead)
