"""Sentences that describe the data, the model and the training of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from dlcli.config.solver_names import SOLVERS, solves_only_head
from dlcli.formatting import counted
from dlcli.page.account import Account, ChildRun
from dlcli.tracking.best_epoch import best_epoch

_KINDS = {
    "run": "run",
    "cv": "cross-validation",
    "fold": "fold",
    "sweep": "sweep",
    "trial": "trial",
    "refit": "refitted model",
    "ensemble": "ensemble",
}


def kind_words(account: Account) -> str:
    """Return the kind of the run in words."""
    return _KINDS.get(account.ledger.kind, account.ledger.kind)


def what_was_done(account: Account) -> str:
    """Return a few sentences on model, data, rows and training, from recorded facts only."""
    panel = account.about.get("panel", {})
    return " ".join(
        [
            _model_and_data(account, panel),
            *_rows(account),
            *_training(account),
            *([f"Preprocessing: {panel['preprocessing']}."] if "preprocessing" in panel else []),
        ]
    )


def data_name(account: Account) -> str:
    """Return the recorded name of the data, or the name of its file or function."""
    panel, dataset = account.about.get("panel", {}), account.section("dataset")
    if "data" in panel:
        return str(panel["data"]).partition(":")[0]
    for key in ("path", "root", "name"):
        if isinstance(place := dataset.get(key), str) and place:
            return PurePath(place).stem
    return _last_name(dataset) or account.ledger.experiment


def _model_and_data(account: Account, panel: dict[str, str]) -> str:
    model = panel.get("model") or _last_name(account.section("model")) or "A model"
    name, _, size = model.partition(", ")
    what = f"{name} ({size})" if size else name
    data = panel.get("data", "")
    described = data.partition(": ")[2]
    where = f"{data_name(account)} ({described})" if described else data_name(account)
    if account.ledger.kind == "sweep":
        return f"Settings of {name} were searched for on {where}{_task(account, panel)}."
    done = "was trained" if account.run.status == "FINISHED" else "was to be trained"
    done = "is being trained" if account.run.status == "RUNNING" else done
    return f"{what} {done} on {where}{_task(account, panel)}."


def _task(account: Account, panel: dict[str, str]) -> str:
    task = panel.get("task") or _last_name(account.section("task")).lower()
    target = account.section("dataset").get("target")
    aimed = f" to predict {target}" if isinstance(target, str) else ""
    return f"{aimed} (task {task})" if task else aimed


def _rows(account: Account) -> Iterator[str]:
    kind, sizes = account.ledger.kind, account.sizes
    if kind == "cv" and account.folds:
        yield from _folds(account)
        return
    if not sizes or kind == "cv":
        return
    train, val, test = (sizes.get(part, 0) for part in ("train", "val", "test"))
    if kind == "sweep":
        count = len(account.run.result.trials) or len(account.trials)
        were = "was" if count == 1 else "were"
        yield f"{counted(count, 'trial')} {were} trained and evaluated on {train + val:,} rows."
        if test:
            yield f"The {counted(test, 'final test row')} were not used in the search."
        return
    if account.run.status != "FINISHED":
        named = f"{train:,} training, {val:,} validation"
        yield f"The rows are split into {named}" + (f" and {test:,} final test rows." if test else " rows.")
        return
    chose = f"{counted(val, 'validation row')} for choosing the epoch" if val else "no validation rows"
    tested = f"{test:,} held-out rows" if kind == "fold" else f"{test:,} test rows, used once at the end"
    yield f"{counted(train, 'row')} for training, {chose}{f', and {tested}' if test else ''}."


def _folds(account: Account) -> Iterator[str]:
    numbers = {_tag(fold, "dlcli.fold") for fold in account.folds}
    seeds = -(-len(account.folds) // max(len(numbers), 1))
    each = f", each with {seeds} training seeds" if seeds > 1 else ""
    held = [fold.sizes["test"] for fold in account.folds if "test" in fold.sizes]
    yield f"{counted(len(numbers), 'split')}{each}: every model is evaluated on rows that it was not trained on" + (
        f", {min(held):,} to {max(held):,} a split." if held and min(held) < max(held) else
        f", {held[0]:,} a split." if held else "."
    )  # fmt: skip


def _tag(child: ChildRun, name: str) -> str:
    return child.ledger.tags.get(name, "0")


def _training(account: Account) -> Iterator[str]:
    if solves_only_head(account.section("finetune")):
        yield "The linear head was solved on the features of the frozen backbone, without steps."
        return
    optimizer, trainer = account.section("optimizer"), account.section("trainer")
    if name := _last_name(optimizer):
        is_searched = account.ledger.kind == "sweep" and "optimizer.lr" in account.section("sweep").get(
            "space", {}
        )
        rate = f", learning rate {optimizer['lr']:g}" if isinstance(optimizer.get("lr"), float | int) else ""
        # A solver's `lr` is the length of a line search's first trial step, which does not change the solution.
        rate = "" if is_searched or name in SOLVERS else rate
        epochs = trainer.get("max_epochs")
        most = f", at most {counted(epochs, 'epoch')}" if isinstance(epochs, int) and epochs > 0 else ""
        yield f"Optimizer {name}{rate}{most}."
    if (best := best_epoch(account.ledger.metrics)) is not None:
        yield f"The weights are those of epoch {best}, the best by {account.config.get('monitor', 'val/loss')}."


def _last_name(section: dict[str, Any]) -> str:
    target = section.get("_target_")
    return target.rpartition(".")[2] if isinstance(target, str) else ""
