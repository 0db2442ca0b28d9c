"""The search space of `sweep=auto` for a frozen backbone, whose head is solved by default."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dlcli.assembly.head_choice import SOLVED, STEPS, keys_of_steps
from dlcli.config.build import locate
from dlcli.config.solver_names import solves_only_head
from dlcli.experiment import Experiment

HEAD = "finetune.head"

# The hint if nothing can be searched, since the user has chosen a solved head.
HOW_STEPS = (
    "Use finetune=feature_extraction finetune.head=auto, which also searches heads that are trained by steps."
)


def is_chosen(experiment: Experiment) -> bool:
    """Return whether the head is solved since neither the head nor anything of steps is set."""
    asked = (experiment.composed.config["finetune"] or {}).get("head")
    return solves_only_head(experiment.config["finetune"]) and asked not in (SOLVED, None)


def is_searched(varied: Collection[str], earlier: Mapping[str, Any] | None) -> bool:
    """Return whether such a head is searched: solved, or trained by steps with the settings of these.

    Args:
        varied: the keys that the command line varies. Those of steps need steps in each trial.
        earlier: the recorded configuration of a search that continues. Older searches took steps in each trial.
    """
    return not keys_of_steps(varied, varied) and (
        earlier is None or _names((earlier.get("sweep") or {}).get("space"))
    )


def by_steps(experiment: Experiment) -> dict[str, Any]:
    """Return the configuration with a head that is trained by steps."""
    return _with_head(experiment.config, STEPS)


def solved(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with a head that is solved."""
    return _with_head(config, SOLVED)


def with_effect(experiment: Experiment, ranges: Mapping[str, str]) -> dict[str, str]:
    """Return the ranges that have an effect: on a head that is solved, settings of steps have none."""
    if not solves_only_head(experiment.config["finetune"]):
        return dict(ranges)
    model = locate(experiment.config["model"]["_target_"])
    fixed = {f"model.{key}" for key in getattr(model, "linear_head", {})}
    return {
        key: text for key, text in ranges.items() if key not in fixed and not key.startswith("optimizer.")
    }


def with_choice(ranges: Mapping[str, str]) -> dict[str, str]:
    """Return the ranges, and the choice between a head that is solved and one that is trained by steps."""
    return {HEAD: f"{SOLVED},{STEPS}", **ranges}


def as_section(ranges: Mapping[str, str]) -> dict[str, Any]:
    """Return ranges as in `sweep.space`: those of steps exist only for heads that are trained by steps."""
    if HEAD not in ranges:
        return dict(ranges)
    others = {key: text for key, text in ranges.items() if key != HEAD}
    return {HEAD: ranges[HEAD], **({f"{HEAD}={STEPS}": others} if others else {})}


def _with_head(config: Mapping[str, Any], head: str) -> dict[str, Any]:
    return {**config, "finetune": {**config["finetune"], "head": head}}


def _names(space: Any) -> bool:
    """Return whether a section `sweep.space` has the choice, at any depth."""
    return isinstance(space, Mapping) and (HEAD in space or any(map(_names, space.values())))
