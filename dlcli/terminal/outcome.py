"""Show the result of a run, and its comparison with the run that it repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlcli.files.paths import display
from dlcli.formatting import counted, duration, number
from dlcli.result import Result
from dlcli.sanitize.presentable import presentable_name
from dlcli.terminal.console import Terminal
from dlcli.terminal.flowing import flowing
from dlcli.terminal.table_layout import with_one_loss

if TYPE_CHECKING:
    from dlcli.comparison.reproduction import Reproduction

_TRIALS = 20  # maximum number of trials in the table of a sweep


def tell_outcome(terminal: Terminal, result: Result, json: bool) -> None:
    """Print the metrics and messages of a result, and where it is recorded; or the JSON document."""
    from dlcli.config.next_command import ui_command

    if json:
        terminal.document(result.to_json())
        return
    if result.trials:
        tell_trials(terminal, result)
    tell_figures(terminal, result)
    terminal.note(f"Recorded in {display(result.run_dir)}")
    terminal.note(f"Look at it with: {ui_command(result.tracking_uri)}")


def tell_trials(terminal: Terminal, result: Result) -> None:
    """Print a table of a sweep's trials, sorted by number; of many trials, only the first and the best."""
    best = (result.best or {}).get("trial")
    shown = [trial for place, trial in enumerate(result.trials) if place < _TRIALS or trial["trial"] == best]
    rows = []
    for trial in shown:
        value = trial["value"]
        row = {
            "trial": f"{trial['trial']}{'*' if trial['trial'] == best else ''}",
            "value": "" if value is None else number(value),
            "status": trial["status"],
            "took": duration(trial["duration_s"] or 0.0),
            "settings": ", ".join(f"{key}={_setting(value)}" for key, value in trial["params"].items()),
        }
        rows.append({heading: presentable_name(cell) for heading, cell in row.items()})
    for line in flowing(rows, terminal.console.width, right=("trial", "value", "took")):
        terminal.note(line)
    if len(shown) < len(result.trials):
        rest = counted(len(result.trials) - len(shown), "more trial")
        terminal.note(f"... and {rest}: trials.csv in the run's folder, or --json")


def _setting(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def tell_figures(terminal: Terminal, result: Result) -> None:
    """Print the metrics and messages of a result."""
    if result.best is not None:
        tested = {name: value for name, value in result.values.items() if name.startswith("test/")}
        figures = {**result.best["metrics"], **tested}
        # Metrics of two models: the best trial, and its refit or an ensemble.
        folds = result.best.get("folds", 1)
        headings = {
            "val": f"val (mean of {folds} folds)" if folds > 1 else "val (best trial)",
            "test": f"final test ({'ensemble' if result.members else 'refitted'})",
        }
        title = f"{result.run_name}, the winner"
        terminal.results(figures, title=title, baselines=result.baselines, headings=headings)
    elif result.folds and any(name.startswith("cv/") for name in result.values):
        terminal.table(_estimates(result), title=f"{result.run_name}, held-out rows")
    if result.best is None:
        title = f"{result.run_name}, refitted" if result.folds else f"{result.run_name}, best epoch"
        title = result.run_name if result.members else title
        headings = {"test": "final test", **({"val": "val (before the refit)"} if result.folds else {})}
        terminal.results(result.values, title=title, baselines=result.baselines, headings=headings)
    for message in result.messages:
        terminal.sentence(message)


def _estimates(result: Result) -> Mapping[str, Mapping[str, str]]:
    """Return the columns mean, std, interval, folds, pooled and baseline by metric."""
    columns: dict[str, dict[str, str]] = {
        heading: {} for heading in ("mean", "std", "95% CI", "folds", "pooled", "baseline")
    }
    figures = {k.removeprefix("cv/"): number(v) for k, v in result.values.items() if k.startswith("cv/")}
    has_gaps = any(name.endswith(("_defined_in", "_complete_in")) for name in figures)
    for name, value in figures.items():
        for suffix, said in (("_defined_in", ""), ("_complete_in", " complete")):
            if (metric := name.removesuffix(suffix)) != name:
                earlier = [columns["folds"][metric]] if metric in columns["folds"] else []
                count = f"{int(result.values[f'cv/{name}'])}{said}"
                columns["folds"][metric] = ", ".join([*earlier, count])
        if has_gaps and (metric := name.removesuffix("_pooled")) != name:
            columns["pooled"][metric] = value
        metric = name.removesuffix("_mean")
        if metric == name:
            continue
        columns["mean"][metric] = value
        if f"cv/{name}" in result.baselines:
            columns["baseline"][metric] = number(result.baselines[f"cv/{name}"])
        if f"{metric}_std" in figures:
            columns["std"][metric] = figures[f"{metric}_std"]
            columns["95% CI"][metric] = f"{figures[f'{metric}_ci95_low']} to {figures[f'{metric}_ci95_high']}"
    return with_one_loss({heading: cells for heading, cells in columns.items() if cells})


def tell_reproduction(terminal: Terminal, result: Result, found: Reproduction) -> None:
    """Print the new run's result and the comparison; or the JSON document."""
    if terminal.json:
        terminal.document({**result.to_json(), "reproduction": found.to_json()})
        return
    tell_outcome(terminal, result, False)
    terminal.note(f"Compared with {found.run_name} ({found.run_id[:8]}):")
    for sentence in found.verdict:
        terminal.sentence(f"  {sentence}")
    if found.differences and (changed := [*(found.code or ()), *found.environment]):
        what = "; ".join(change.words() for change in changed[:10])
        terminal.sentence(f"  What differs otherwise: {what}.")
