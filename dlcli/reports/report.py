"""A run's pictures and predictions, written when the training is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dlcli.inference.evaluate import Evaluation, predictions_table
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.diagnosis import diagnose
from dlcli.reports.learning_curves import learning_curves
from dlcli.reports.style import save
from dlcli.splits.split import Part
from dlcli.training.fit import Fitted


def write_report(
    run_dir: Path,
    model: SavedModel,
    fitted: Fitted,
    evaluations: Mapping[Part, Evaluation],
    monitor: str,
    *,
    pictures: bool = True,
) -> str:
    """Write `plots/` and `predictions.parquet`; return the sentence about over- and underfitting."""
    history: dict[str, list[tuple[int, float]]] = {}
    for epoch, metrics in enumerate(fitted.history):
        for name, value in metrics.items():
            history.setdefault(name, []).append((epoch, value))
    if evaluations:
        predictions_table(model, evaluations).to_parquet(run_dir / "predictions.parquet", index=False)
    if not pictures:
        return diagnose(history)
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    save(learning_curves(history, fitted.best_epoch, monitor), plots / "learning_curves.png")
    if evaluations:
        judged = evaluations.get("test", evaluations.get("val"))
        assert judged is not None
        for name, picture in model.task.pictures(judged.outputs, judged.y):
            save(picture, plots / f"{name}.png")
    return diagnose(history)
