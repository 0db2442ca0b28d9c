"""Learning curves of a run, or of the folds of a cross-validation, as charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from dlcli.config.solver_names import solves_only_head
from dlcli.config.target_kinds import linear_model
from dlcli.formatting import counted
from dlcli.page.account import Account
from dlcli.page.blocks import Drawing
from dlcli.page.charts import ChartLine, Points, Tone, finite, line_chart
from dlcli.page.wording import data_name
from dlcli.reports.diagnosis import diagnose
from dlcli.runs.main_figure import main_figure
from dlcli.tracking.best_epoch import best_epoch

Epochs = Sequence[Mapping[str, float]]

_PARTS: tuple[Tone, ...] = ("train", "val")


def learning_curves_of(account: Account) -> Drawing | None:
    """Return the curves of loss and main metric; for a sweep, those of its refitted winner."""
    name = f"{account.ledger.run_name} on {data_name(account)}"
    if account.folds and any(fold.epochs for fold in account.folds):
        return _of_folds(name, [fold.epochs for fold in account.folds if fold.epochs], _main(account))
    own = account.epochs
    best = best_epoch(account.ledger.metrics)
    if not own and account.refitted is not None:
        own, best = account.refitted.epochs, best_epoch(account.refitted.ledger.metrics)
        name = f"{account.refitted.ledger.run_name} on {data_name(account)}"
    if not own:
        return None
    return Drawing(epoch_charts(name, own, _main(account), best))


def epoch_charts(name: str, epochs: Epochs, main: str, best: int | None) -> tuple[Markup, ...]:
    """Return the charts of loss and main metric of one run, with the best epoch (from 1)."""
    charts: list[Markup] = []
    for metric in dict.fromkeys(["loss", main]):
        lines = [ChartLine(part, part, _points(epochs, f"{part}/{metric}")) for part in _PARTS]
        if metric != "loss" and not any(line.points for line in lines):
            continue
        mark = None
        if best is not None and (at := dict(lines[1].points).get(best)) is not None:
            mark = (best, at, f"best epoch {best}: {at:.4g}")
        charts.append(line_chart(f"{name}: {metric}", lines, mark=mark, may_be_log=metric == "loss"))
    return tuple(charts)


def diagnosis_of(account: Account) -> str:
    """Return the sentence about over- and underfitting, also of a run that has not ended."""
    history: dict[str, list[tuple[int, float]]] = {}
    for epoch, metrics in enumerate(account.epochs):
        for name, value in metrics.items():
            history.setdefault(name, []).append((epoch, value))
    max_epochs = account.section("trainer").get("max_epochs")
    baseline = account.run.result.baselines.get("val/loss")
    limit = max_epochs if isinstance(max_epochs, int) else None
    task = str(account.section("task").get("_target_", "")).rpartition(".")[0]
    linear = linear_model(task.removeprefix("dlcli.tasks."))  # each task is in a module of its name
    is_solved = solves_only_head(account.section("finetune"))
    return diagnose(history, limit, baseline, linear=linear, solved_head=is_solved)


def _main(account: Account) -> str:
    """Return the metric that is drawn in addition to the loss."""
    watched = str(account.config.get("monitor", "")).rpartition("/")[2]
    if watched and watched != "loss":
        return watched
    figure = main_figure(account.ledger)
    named = figure.name.rpartition("/")[2].removesuffix("_mean") if figure else ""
    histories = [account.epochs, *(fold.epochs for fold in account.folds)]
    if account.refitted is not None:
        histories.append(account.refitted.epochs)
    seen = [name[4:] for epochs in histories for one in epochs[:1] for name in one if name.startswith("val/")]
    return named if named in seen else next((name for name in seen if name != "loss"), "loss")


def _of_folds(name: str, histories: Sequence[Epochs], main: str) -> Drawing:
    charts = []
    for metric in dict.fromkeys(["loss", main]):
        each = [ChartLine("", "quiet", _points(epochs, f"val/{metric}")) for epochs in histories]
        means = [ChartLine(f"{part}, mean", part, _mean(histories, f"{part}/{metric}")) for part in _PARTS]
        if metric != "loss" and not any(line.points for line in [*each, *means]):
            continue
        if each:
            each[0] = ChartLine("val of each", "quiet", each[0].points)
        charts.append(line_chart(f"{name}: {metric}", [*each, *means], may_be_log=metric == "loss"))
    runs = counted(len(histories), "training run")
    note = f"{runs}; means are drawn for the epochs that at least half of them reached."
    return Drawing(tuple(charts), note)


def _points(epochs: Epochs, name: str) -> Points:
    return finite((epoch + 1, metrics[name]) for epoch, metrics in enumerate(epochs) if name in metrics)


def _mean(histories: Sequence[Epochs], name: str) -> Points:
    found: dict[float, list[float]] = {}
    for epochs in histories:
        for x, y in _points(epochs, name):
            found.setdefault(x, []).append(y)
    enough = len(histories) / 2
    return [(x, sum(ys) / len(ys)) for x, ys in sorted(found.items()) if len(ys) >= enough]
