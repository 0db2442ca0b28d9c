"""Texts of a sweep: its panel and its final messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dlcli.config.build import build
from dlcli.config.timespan import in_words
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.reports.summary import describe_question
from dlcli.sweeps.auto_space import what_starts_have
from dlcli.sweeps.dimension import plain_text
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.space import size, values_by_key
from dlcli.sweeps.sweep_options import AUTO
from dlcli.sweeps.trial import ENDINGS, Trial
from dlcli.tasks.facts import target_facts
from dlcli.tasks.metric_choice import with_metrics

_LINES = 12  # maximum number of lines of the Pareto front; trials.csv has all of it


def describe_sweep(plan: SweepPlan, run_dir: Path | None = None) -> dict[str, str]:
    """Return the lines of the panel: label to text."""
    data, folds = plan.estimation.data, len(plan.estimation.folds)
    split = plan.estimation.splits[0].sizes
    goals = ", ".join(f"{'least' if o.mode == 'min' else 'most'} {o.metric}" for o in plan.objectives)
    final = len(plan.estimation.final_test)
    # In the search of a fold, these are the held-out rows of the fold.
    whose = "final test" if len(plan.whole.test) else "held-out"
    task = build(
        with_metrics(plan.config["task"], plan.config.get("metric")),
        where="task",
        **target_facts(data, plan.estimation.splits[0].train),
    )
    columns = data.columns
    if columns is not None and isinstance(data.x, pd.DataFrame):
        columns = columns.without_empty(data.x, plan.estimation.splits[0].train)  # as every trial does
    question = describe_question(data, task, columns)
    if any(dimension.key.startswith("task") for dimension in plan.space.dimensions):
        question["task"] += " (the first point)"
    rows = question | {
        "rows": f"{split['train']:,} train, {split['val']:,} val"
        + (f", {folds} folds per trial" if folds > 1 else "")
        + (f"; {final:,} {whose} rows are not used" if final else "; no final test rows"),
        **plan.decided,
        "space": size(plan.space),
        **{f"  {key}": text for key, text in values_by_key(plan.space).items()},
        "trials": _trials(plan),
        "looks for": goals,
    }
    return rows | ({"record": display(run_dir)} if run_dir else {})


def _trials(plan: SweepPlan) -> str:
    """Return the text of the panel on the number of trials, the sampler, and the time limits."""
    starts, limit = len(plan.space.starts), plan.options.seconds
    how = f"by {_name(plan.sampler)}, pruner {_name(plan.config['sweep']['pruner'])}"
    most = "at most " if limit is not None else ""
    first = "the first has" if min(starts, plan.total) == 1 else f"the first {min(starts, plan.total)} have"
    untried = [plain_text(start["model"]) for start in plan.space.starts[plan.total :] if "model" in start]
    return ", ".join(
        [
            f"{most}{plan.total}",
            *([f"{first} {what_starts_have(plan.space)}"] if starts else []),
            *([f"too few to try {', '.join(untried)}"] if untried else []),
            how,
            *([f"started within {in_words(limit)}"] if limit is not None else []),
        ]
    )


def _name(section: Mapping[str, str]) -> str:
    return section["_target_"].rpartition(".")[2]


def best_so_far(plan: SweepPlan, best: Trial) -> str:
    """Return a sentence about the best trial."""
    by = f" by {plan.objectives[0].metric}" if len(plan.objectives) > 1 else ""
    return f"The best{by} is {_worth(plan, best)}."


def _worth(plan: SweepPlan, trial: Trial) -> str:
    values = ", ".join(f"{o.metric} {o.text(v)}" for o, v in zip(plan.objectives, trial.values, strict=True))
    return f"trial {trial.number}: {values} with {settings(trial)}"


def _front(plan: SweepPlan, standing: Standing) -> list[str]:
    """Return a sentence about the Pareto front, and a line for each of its trials, sorted by the first objective."""
    front = standing.ranked[: len(standing.front)]
    lines = [
        f"{counted(len(front), 'trial')} on the Pareto front, where no other trial is better in all objectives:"
    ]
    lines += [f"- {_worth(plan, trial)}" for trial in front[:_LINES]]
    if len(front) > _LINES:
        lines.append(f"- and {len(front) - _LINES} more: see trials.csv")
    return lines


def settings(trial: Trial) -> str:
    """Return a trial's settings as text."""
    return ", ".join(f"{key}={_short(value)}" for key, value in trial.params.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else plain_text(value)


def why_failed(standing: Standing) -> str:
    """Return a sentence (with a leading space) about the most frequent reason of failure, or an empty text."""
    reasons = Counter(trial.reason or "unknown" for trial in standing.having("failed"))
    for reason, count in reasons.most_common(1):
        which = "first" if count == 1 < len(reasons) else "most frequent"
        return f" The {which} reason of failure: {reason}."
    return ""


def messages(
    plan: SweepPlan,
    standing: Standing,
    final: Sequence[str],
    resume: str | None,
    why: Sequence[str] = (),
) -> list[str]:
    """Return the final messages of a sweep.

    Args:
        plan: the sweep.
        standing: its trials.
        final: sentences on the final model.
        resume: the command that resumes a sweep after its timeout.
        why: sentences that compare the models.
    """
    best = standing.best
    assert best is not None
    counts = {state: len(standing.having(state)) for state in ENDINGS}
    done = sum(counts.values())
    endings = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"{counted(done, 'trial')}: {endings}.{why_failed(standing)}"]
    if resume:
        most = "at most " if plan.options.trials is None and plan.options.space == AUTO else ""
        lines.append(f"The timeout passed after {done} of {most}{plan.total} trials. Resume with: {resume}")
    lines.append(best_so_far(plan, best))
    lines += why
    lines += final
    if len(plan.objectives) > 1:
        lines += _front(plan, standing)
    folds = len(plan.estimation.splits)
    line = f"Cross-validate its settings ({folds} folds)" if folds > 1 else "Train the best trial again"
    lines.append(f"{line}: {plan.command(best.params)}")
    return lines
