"""The model card of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlcli.formatting import number
from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.saved_model import SavedModel
from dlcli.models.forest import Forest
from dlcli.runs.folder import OpenedRun
from dlcli.statistics.of_rows import wilson_interval

_LIMITS = (
    "The metrics were measured on rows that resemble the training data; on other data the model may be worse.",
)
_OF_TABLES = (
    "Numbers outside of the range of the training rows are extrapolated. Categories that do not occur in the training "
    "rows are accepted, and treated as none of the known ones."
)
_OF_EXAMPLES = (
    "The example is invented. This folder contains no training rows, but words of the training texts.",
    "The rows of `example.csv` are invented. This folder contains no training rows, but the names of columns and "
    "categories.",
)
_OF_PROBABILITIES = (
    "Probabilities are those of the network; `calibration_error` is their mean distance from the frequencies."
)


_OF_MEAN = (
    "The metrics of folds, and of a run that is one of several, are those of single models. Their mean, which this "
    "folder predicts, is usually better; it can only be evaluated on new rows."
)


def model_card(opened: OpenedRun, model: SavedModel, rows: int, graph: str) -> str:
    """Return the model card as Markdown: model, data, metrics, columns and limitations.

    Args:
        opened: the run.
        model: its model.
        rows: number of test rows.
        graph: sentence on what the script and the graph do.
    """
    ledger = opened.ledger
    dataset = opened.config["dataset"]
    name = Path(str(dataset.get("path") or dataset.get("_target_", ""))).name
    notices = [str(notice.get("text", "")) for notice in ledger.result.get("notices", ())]
    is_table = model.columns is not None
    given = {"image": "IMAGES", "tokens": "TEXTS.csv", "audio": "RECORDINGS", "words": "TEXTS.txt"}.get(
        model.kind, "ROWS.csv"
    )
    limits = [*_LIMITS, *([_OF_TABLES] if is_table else []), _OF_EXAMPLES[is_table]]
    classifies = model.task.kind in ("binary", "multiclass", "multilabel")
    version = _plain(str(ledger.tags.get("dlcli.version", "")))
    parts = [
        f"# {_plain(ledger.run_name)}",
        f"{_plain(model.task.describe())}. Model: {_name(model)}, {_size(model)}. "
        f"Run {ledger.run_id}, trained {str(ledger.created_at)[:10]} with dlcli {version}.",
        "```sh\npip install -r requirements.txt\npython predict.py --check\npython predict.py "
        f"{given} > predictions.csv\n```",
        "Or in a container:",
        "```sh\ndocker build -t model .\ndocker run --rm -v \"$PWD\":/data:ro model "
        f"/data/{given}\n```",
        "## Data",
        f"Trained on {_plain(name)}: {_plain(str(ledger.tags.get('dlcli.preprocessing', '')))}.",
        *([_columns(model)] if is_table else []),
        *(["\n".join(f"- {_plain(text)}" for text in notices)] if notices else []),
        "## Figures",
        *([_OF_MEAN] if isinstance(model, Ensemble) else []),
        _figures(ledger.metrics, rows, of_rows=model.task.kind in ("binary", "multiclass")),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*limits, *([_OF_PROBABILITIES] if classifies else []))),
        graph,
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _name(model: SavedModel) -> str:
    if not isinstance(model, Ensemble):
        return type(model.network.model).__name__
    kinds = dict.fromkeys(type(member.model.network.model).__name__ for member in model.members)
    return f"the mean of {len(model.members)} models ({', '.join(kinds)})"


def _size(model: SavedModel) -> str:
    network = model.network.model
    if isinstance(network, Forest):
        return network.size_words()
    return f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"


def _columns(model: SavedModel) -> str:
    lines = ["| column | read as |", "|---|---|"]
    for column in model.columns.features() if model.columns is not None else ():
        lines.append(f"| {_plain(column.name)} | {_plain(column.describe())} |")
    return "\n".join(lines)


def _figures(metrics: dict[str, Any], rows: int, *, of_rows: bool) -> str:
    """Return the table of test metrics, with baselines and intervals.

    `of_rows` says that the accuracy is a share of rows, and so has an interval.
    """
    means = [name for name in metrics if name.startswith("cv/") and name.endswith("_mean")]
    tests = [name for name in metrics if name.startswith("test/")]
    lines = ["| metric | value | baseline | 95 % interval |", "|---|---|---|---|"]
    for name in means:
        stem = name.removesuffix("_mean")
        ends = metrics.get(f"{stem}_ci95_low"), metrics.get(f"{stem}_ci95_high")
        lines.append(_line(f"{stem} (folds)", metrics, name, None if None in ends else ends))
    judged = None
    for name in tests:
        share = _of_share(metrics[name], rows) if of_rows and name == "test/accuracy" else None
        judged = judged or share
        lines.append(_line(name, metrics, name, share))
    if not means and not tests:
        return "No test rows were held out."
    count = f"`test/` figures are of {rows:,} rows" if tests and rows else ""
    wilson = "; the interval of the accuracy is Wilson's" if judged else ""
    return "\n".join(lines) + (f"\n\n{count}{wilson}." if count else "")


def _line(title: str, metrics: dict[str, Any], name: str, ends: Any) -> str:
    interval = "-" if ends is None else " to ".join(map(number, ends))
    base = metrics.get(f"baseline/{name}")
    return f"| {_plain(title)} | {number(metrics[name])} | {'-' if base is None else number(base)} | {interval} |"


def _of_share(share: float, rows: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a share of rows; None if it is not a multiple of 1/`rows`."""
    hits = round(share * rows) if rows and 0 <= share <= 1 else 0
    return wilson_interval(hits, rows) if rows and abs(hits / rows - share) < 1e-4 else None


def _plain(text: str) -> str:
    """Return a text without line breaks, with the characters escaped that Markdown interprets."""
    signs = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#"})
    return " ".join(str(text).split()).translate(signs)
