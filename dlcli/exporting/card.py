"""The model card of a bundle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dlcli.formatting import number
from dlcli.inference.saved_model import SavedModel
from dlcli.runs.folder import OpenedRun

_Z = 1.959964  # of 95 %
_SHOWN = 12  # categories


def model_card(opened: OpenedRun, model: SavedModel, rows: int) -> str:
    """Return the card as Markdown: what was trained on what, its figures, its columns and its limits.

    Args:
        opened: the run.
        model: its model.
        rows: number of test rows.
    """
    ledger = opened.ledger
    dataset = opened.config["dataset"]
    name = Path(str(dataset.get("path") or dataset.get("_target_", ""))).name
    notices = [str(notice.get("text", "")) for notice in ledger.result.get("notices", ())]
    parts = [
        f"# {_plain(ledger.run_name)}",
        f"{_plain(model.task.describe())}. Network: {type(model.network.model).__name__}, "
        f"{sum(p.numel() for p in model.network.model.parameters()):,} parameters. "
        f"Run {ledger.run_id}, trained {str(ledger.created_at)[:10]} with dlcli "
        f"{ledger.tags.get('dlcli.version', '')}.",
        "```sh\npip install -r requirements.txt\npython predict.py --check\npython predict.py ROWS.csv > "
        "predictions.csv\n```",
        "Or in a container:",
        "```sh\ndocker build -t model .\ndocker run --rm -v \"$PWD\":/data:ro model /data/ROWS.csv\n```",
        "## Data",
        f"Trained on {_plain(name)}: {ledger.tags.get('dlcli.preprocessing', '')}.",
        _columns(model),
        *(["\n".join(f"- {_plain(text)}" for text in notices)] if notices else []),
        "## Figures",
        _figures(ledger.metrics, rows),
        "## Limits",
        "\n".join(
            [
                "- The figures are those of rows that resemble the training data; on other data it may be worse.",
                "- Numbers outside of the range of the training rows are extrapolated. Categories that training did "
                "not see are accepted, and treated as none of the known ones.",
                "- Probabilities are those of the network; `calibration_error` says how far they are from frequencies.",
                "- The rows of `example.csv` are made up; none of the training rows is part of this folder. The names "
                "of columns and categories are.",
            ]
        ),
        "The file `model.onnx` takes raw numbers and words: replacement of missing values, scaling and encoding are "
        "part of it. Its predictions were compared with those of the trained model on raw rows before this folder was "
        "written.",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _columns(model: SavedModel) -> str:
    lines = ["| column | read as |", "|---|---|"]
    for column in model.columns.features() if model.columns is not None else ():
        lines.append(f"| {_plain(column.name)} | {_plain(column.describe())} |")
    return "\n".join(lines)


def _figures(metrics: dict[str, Any], rows: int) -> str:
    """Return the table of test metrics with baseline and interval."""
    means = [name for name in metrics if name.startswith("cv/") and name.endswith("_mean")]
    lines = ["| metric | value | baseline | 95 % interval |", "|---|---|---|---|"]
    for name in means:
        stem = name.removesuffix("_mean")
        low, high = metrics.get(f"{stem}_ci95_low"), metrics.get(f"{stem}_ci95_high")
        interval = f"{number(low)} to {number(high)}" if low is not None and high is not None else "-"
        base = metrics.get(f"baseline/{name}")
        lines.append(f"| {stem} (folds) | {number(metrics[name])} | {_or_dash(base)} | {interval} |")
    for name in (name for name in metrics if name.startswith("test/")):
        share = name == "test/accuracy"
        interval = " to ".join(map(number, _wilson(metrics[name], rows))) if share else "-"
        base = metrics.get(f"baseline/{name}")
        lines.append(f"| {name} | {number(metrics[name])} | {_or_dash(base)} | {interval} |")
    if len(lines) == 2:
        return "No test rows were held out."
    note = f"`test/` figures are of {rows:,} rows; the interval of the accuracy is Wilson's."
    return "\n".join(lines) + ("" if means and not any("test/" in x for x in lines) else f"\n\n{note}")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else number(value)


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the interval of a share of independent rows (Wilson, 1927)."""
    middle = share + _Z**2 / (2 * rows)
    spread = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return (middle - spread) / (1 + _Z**2 / rows), (middle + spread) / (1 + _Z**2 / rows)


def _plain(text: str) -> str:
    """Return a text as it is shown by Markdown: without markup, tables' borders and line breaks."""
    signs = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#"})
    return " ".join(str(text).split()).translate(signs)
