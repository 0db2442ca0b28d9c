"""Plan the search space of `sweep=auto`: the models to compare, their ranges, and the first points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.config.catalog import accepting
from dlcli.config.compose import Draft
from dlcli.config.folders import options, user_folders
from dlcli.config.overrides import named_by
from dlcli.config.pasted import pasted
from dlcli.config.shared_loss import shared_by_models
from dlcli.config.solver_names import solves_only_head
from dlcli.config.yaml_file import read
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, first_line
from dlcli.experiment import Experiment, decided_by_data, plan_estimation, plan_experiment, settled
from dlcli.sweeps.auto_space import declared_ranges, with_starts
from dlcli.sweeps.buildable import LeftOut, buildable_ranges, why
from dlcli.sweeps.candidate_models import candidate_folds, candidate_models
from dlcli.sweeps.dimension import Choice, Range, as_override, plain_text
from dlcli.sweeps.head_space import (
    HEAD,
    HOW_STEPS,
    as_section,
    by_steps,
    is_chosen,
    is_searched,
    solved,
    with_choice,
    with_effect,
)
from dlcli.sweeps.space import Space
from dlcli.sweeps.sweep_options import AUTO

# Rows can be read and split if these sections have no mistakes; other mistakes are found when the models are composed.
_OF_ROWS = {"dataset", "cv", "trainer"}


@dataclass(frozen=True)
class AutoSpace:
    """The space that the models of an experiment declare.

    Attributes:
        fixed: overrides that all trials share.
        section: the space, as in `sweep.space`.
        configs: option of each model to its configuration with its defaults.
        ranges: option of each model to the ranges that it declares.
        told: lines of the panel about the choices.
        folds: the overrides in `fixed` that choose the folds, if dlcli has chosen them.
        left_out: models and values that are not searched, because they do not fit the rows.
    """

    fixed: list[str]
    section: dict[str, Any]
    configs: Mapping[str, Mapping[str, Any]]
    ranges: Mapping[str, Mapping[str, str]]
    told: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    left_out: Sequence[LeftOut] = ()

    def started(self, space: Space) -> Space:
        """Return the space with the defaults as its first points."""
        return with_starts(space, self.configs, self.ranges)


def plan_auto_space(
    asked: Draft,
    fixed: Sequence[str],
    domains: Mapping[str, Choice | Range],
    conf_dirs: Sequence[Path],
    runs_dir: Path | None,
    earlier: Mapping[str, Any] | None = None,
) -> AutoSpace:
    """Compose each model with its defaults, and return the space of the models' ranges.

    Args:
        asked: the composed configuration; `sweep.models` says which models are compared.
        fixed: overrides that all trials share.
        domains: key to values, for the keys that the command line varies.
        conf_dirs: the user's conf folders, as they were given.
        runs_dir: the folder of all runs.
        earlier: the recorded configuration of a search that continues.

    Raises:
        ConfigError: the experiment is not valid with the chosen model, or with one that the user has named.
    """
    told: dict[str, str] = {}
    decided: tuple[str, ...] = ()
    models, chosen = asked.composed.config["sweep"]["models"], asked.composed.choices["model"]
    if isinstance(varied := domains.get("model"), Choice):
        models = list(map(plain_text, varied.values))
    is_auto = models == AUTO
    must = models if not is_auto else [chosen] if any(map(_names_model, fixed)) else []
    if is_auto:
        data, config = _rows(asked, conf_dirs)
        task = {**asked.composed.choices, **decided_by_data(asked.composed, data)}["task"]
        models = candidate_models(data, chosen, task)
        makes_images = _makes_images(read(options("task", user_folders(conf_dirs))[task]))
        what = "which generates images" if makes_images else f"for {data.target_kind} of {data.kind} rows"
        told["models"] = f"auto: {{}}, {what}"
        if asked.composed.choices["cv"] == "holdout" and not any(map(_names_split, fixed)):
            folds = candidate_folds(data, config)
            fixed, decided = [*fixed, *folds.words], folds.words
            told["folds"] = f"auto: {folds.reason}"
    elif models is None:
        models = must = [chosen]
    fixed = [word for word in fixed if not _names_model(word)]
    if len(models) > 1 and (shared := shared_by_models(asked.composed, fixed, earlier)):
        fixed += shared
        told["several series"] = f"{', '.join(shared)}, for all models"
    found: dict[str, Experiment] = {}
    left: dict[str, ConfigError] = {}
    for model in models:
        try:
            words = [*fixed, as_override("model", model)]
            found[model] = plan_experiment(words, conf_dirs, runs_dir, sweeping=True, searched=("model",))
        except ConfigError as error:
            if model in (must or ()):
                raise
            left[model] = error
    if not found:
        raise next(iter(left.values()))
    if "models" in told:
        told["models"] = told["models"].format(", ".join(found))
    if is_auto and chosen not in accepting("model", data.kind, data.target_kind):
        left.pop(chosen, None)  # the default model, which is for other rows
    left_out = [
        LeftOut("left_out_models", model, (model,), why(first_line(error))) for model, error in left.items()
    ]
    if left:
        told["models left out"] = "; ".join(one.text for one in left_out)
    _check_tasks({model: one.composed.config["task"] for model, one in found.items()})
    configs = {model: experiment.composed.config for model, experiment in found.items()}
    ranges: dict[str, dict[str, str]] = {}
    values_left: list[LeftOut] = []
    for model, experiment in found.items():
        own = {key: text for key, text in declared_ranges(configs[model]).items() if key not in domains}
        if is_chosen(experiment):
            if is_searched(domains, earlier):
                own = with_choice(own)
                configs[model] = solved(configs[model])
            experiment = replace(experiment, config=by_steps(experiment))
        ranges[model], wrong = buildable_ranges(model, experiment, with_effect(experiment, own))
        values_left += wrong
    if not domains and not any(ranges.values()) and _solve_heads(found.values()):
        raise ConfigError("a head that is solved has no settings to search", "sweep.space", HOW_STEPS)
    if any(HEAD in own for own in ranges.values()):  # finetune.head=auto is what is searched
        fixed = [word for word in fixed if named_by(word) != HEAD]
    if values_left:
        told["values left out"] = "; ".join(f"{one.model}: {one.text}" for one in values_left)
    left_out += values_left
    if len(found) == 1:
        ((model, own),) = ranges.items()
        return AutoSpace(
            [*fixed, as_override("model", model)], as_section(own), configs, ranges, told, decided, left_out
        )
    if len(next(iter(found.values())).splits) == 1 and not any(map(_names_pruner, fixed)):
        fixed.append("sweep/pruner=none")
        told["pruner"] = "none: epochs of different models are not comparable, and there is one split"
    section: dict[str, Any] = {"model": list(found)}
    section |= {as_override("model", model): as_section(own) for model, own in ranges.items() if own}
    return AutoSpace(fixed, section, configs, ranges, told, decided, left_out)


def _solve_heads(found: Iterable[Experiment]) -> bool:
    return all(solves_only_head(experiment.config["finetune"]) for experiment in found)


def _rows(asked: Draft, conf_dirs: Sequence[Path]) -> tuple[Data, dict[str, Any]]:
    """Return the dataset and the configuration, without checking that the model fits the rows."""
    if asked.unsound & _OF_ROWS:
        raise ConfigError(asked.problems)
    config = settled(asked.composed.config, asked.composed, asked.unsound)
    return plan_estimation(config, user_folders(conf_dirs), is_new=True).data, config


def _makes_images(task: Mapping[str, Any]) -> bool:
    """Return whether a `task` section generates images instead of predicting rows."""
    return TARGET in task and not getattr(locate(task[TARGET]), "predicts_rows", True)


def _check_tasks(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that one metric can compare the models.

    Args:
        tasks: the `task` section of each model.

    Raises:
        ConfigError: one of them generates images, and another does not.
    """
    makers = [model for model, task in tasks.items() if _makes_images(task)]
    others = [model for model in tasks if model not in makers]
    if makers and others:
        raise ConfigError(
            f"{_listed(makers)} images, {_listed(others, 'predicts', 'predict')} classes: no metric compares them",
            "sweep.models",
            f"Search the settings of one: sweep.models=null. Or compare models that generate images: "
            f"{pasted('sweep.models', ['dcgan', 'diffusion'])} monitor=val/frechet.",
        )


def _listed(models: Sequence[str], one: str = "makes", several: str = "make") -> str:
    return f"{' and '.join(models)} {one if len(models) == 1 else several}"


def _names_model(word: str) -> bool:
    return named_by(word) == "model"


def _names_split(word: str) -> bool:
    return named_by(word).split(".")[0] == "cv"


def _names_pruner(word: str) -> bool:
    return named_by(word).replace("/", ".").startswith("sweep.pruner")
