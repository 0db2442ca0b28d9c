"""Compare the models of a sweep: the best trial of each, its defaults, and the margin of the winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dlcli.formatting import counted, number
from dlcli.sweeps.auto_space import what_starts_have
from dlcli.sweeps.dimension import plain_text
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.records import Records
from dlcli.sweeps.trial import Trial

_MODEL = "model"


@dataclass(frozen=True)
class ModelStanding:
    """One of the models that a sweep compared.

    Attributes:
        model: option of the group `model`.
        trials: number of its trials.
        finished: number of those that finished; the others were pruned or failed.
        best: number of its best trial, or None.
        value: value of the first objective of that trial, or None.
        default: value of the trial with its defaults, or None.
    """

    model: str
    trials: int
    finished: int
    best: int | None
    value: float | None
    default: float | None

    def to_json(self) -> dict[str, Any]:
        """Return its entry of the `--json` document."""
        return asdict(self)


def by_model(plan: SweepPlan, standing: Standing) -> list[ModelStanding]:
    """Return the models in the order of their best values; empty if the sweep did not vary the model."""
    names = list(dict.fromkeys(plain_text(t.params[_MODEL]) for t in standing.trials if _MODEL in t.params))
    found = [_standing(plan, standing, name) for name in names]
    places = {name: place for place, name in enumerate(_in_order(standing))}
    return sorted(found, key=lambda one: places.get(one.model, len(places)))


def _in_order(standing: Standing) -> list[str]:
    return list(dict.fromkeys(plain_text(t.params[_MODEL]) for t in standing.ranked if _MODEL in t.params))


def _standing(plan: SweepPlan, standing: Standing, model: str) -> ModelStanding:
    mine = [trial for trial in standing.trials if plain_text(trial.params.get(_MODEL)) == model]
    best = _best_of(standing, model)
    finished = [trial for trial in mine if trial.state == "finished"]
    starts = () if plan.space.apart else plan.space.starts
    default = next((trial.values[0] for trial in finished if trial.params in starts), None)
    return ModelStanding(
        model,
        len(mine),
        len(finished),
        best.number if best else None,
        best.values[0] if best else None,
        default,
    )


def _best_of(standing: Standing, model: str) -> Trial | None:
    return next((t for t in standing.ranked if plain_text(t.params.get(_MODEL)) == model), None)


def why_it_won(plan: SweepPlan, standing: Standing, records: Records) -> list[str]:
    """Return sentences on the trials, and on the winner compared with its defaults and with the second-best model."""
    objective, best = plan.objectives[0], standing.best
    if best is None or len(plan.objectives) > 1:
        return []
    models = by_model(plan, standing)
    lines = [f"Tried: {'; '.join(_told(objective, one) for one in models)}."] if models else []
    tried = {one.model for one in models}
    planned = dict.fromkeys(plain_text(start[_MODEL]) for start in plan.space.starts if _MODEL in start)
    if untried := [name for name in planned if name not in tried]:
        lines.append(f"Not tried: {', '.join(untried)}.")
    if len(models) > 1 and (other := _best_of(standing, models[1].model)):
        lines.append(
            f"Why {models[0].model}: {_beside(objective, records, best, other, f'the best {models[1].model}')}."
        )
    if start := next((t for t in standing.having("finished") if t.params in _starts_like(plan, best)), None):
        whose = what_starts_have(plan.space, models[0].model if models else "")
        told = (
            f"{what_starts_have(plan.space)} are the best"
            if start is best
            else _beside(objective, records, best, start, whose)
        )
        lines.append(f"Effect of the search: {told}.")
    return lines


def _starts_like(plan: SweepPlan, best: Trial) -> list[dict[str, Any]]:
    return [start for start in plan.space.starts if start.get(_MODEL) == best.params.get(_MODEL)]


def _told(objective: Objective, one: ModelStanding) -> str:
    ended = "" if one.finished == one.trials else f", {one.finished} of them finished"
    if one.value is None:
        return f"{one.model} in {counted(one.trials, 'trial')}{ended}"
    if one.value == one.default:
        default = " by its defaults"
    else:
        default = "" if one.default is None else f" (defaults {objective.text(one.default)})"
    return f"{one.model} {objective.text(one.value)}{default} in {counted(one.trials, 'trial')}{ended}"


def _beside(objective: Objective, records: Records, best: Trial, other: Trial, name: str) -> str:
    """Return a sentence that compares the best trial with another one on the same rows."""
    direction = "lower" if objective.mode == "min" else "higher"
    if objective.is_cost:
        return f"{objective.metric} {objective.text(best.values[0])}, {objective.text(other.values[0])} of {name}"
    pairs = list(zip(_values(objective, records, best), _values(objective, records, other), strict=False))
    apart = abs(math.fsum(a - b for a, b in pairs) / len(pairs)) if pairs else 0.0
    if apart == 0:
        return f"the same {objective.metric} as {name}, and tried first"
    text = f"{objective.metric} {direction} by {number(apart)} than that of {name}"
    if len(pairs) == 1:
        return f"{text}, on one set of validation rows"
    wins = sum(objective.is_better(a, b) for a, b in pairs)
    return f"{text} in the mean of {counted(len(pairs), 'fold')}, and {direction} on {wins} of them"


def _values(objective: Objective, records: Records, trial: Trial) -> Sequence[float]:
    return [records.figures(folder)[objective.metric] for folder in records.finished_folds(trial)]
