"""The content of a run's report (plots, predictions, breakdown), and the summary of the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from dlcli.datasets.data import Data
from dlcli.inference.evaluation import Evaluation
from dlcli.models.mlp import MLP
from dlcli.models.seq2seq_rnn import Seq2SeqRNN
from dlcli.reports import run_plots, run_report, summary
from dlcli.reports.missing_pictures import MissingPictures
from dlcli.reports.style import new_figure
from dlcli.reports.summary import describe_question, summarize
from dlcli.training.fit import FitResult
from dlcli.training.network import Network
from tests.reports.artists import note, points

PIXELS = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)
DATA = Data("dots", "image", PIXELS, np.array([0, 1, 0, 1, 1]), classes=("no", "yes"))
HISTORY = [{"train/loss": 1.0, "val/loss": 1.2}, {"train/loss": 0.5, "val/loss": 0.9, "val/accuracy": 0.7}]


class ToyTask:
    """A task whose outputs are the probability of yes."""

    def judged(self, outputs: torch.Tensor, y: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"target": y, "prediction": (outputs > 0.5).long().numpy()})

    def pictures(self, outputs: torch.Tensor, y: np.ndarray) -> Iterator[tuple[str, Figure]]:
        figure, (ax,) = new_figure()
        ax.plot(outputs.numpy(), y, "o", label="rows")
        yield "own", figure

    def metrics(self) -> dict[str, Any]:
        return {}

    def row_pictures(self, *of: object) -> None:
        return None

    def worst(self, outputs: torch.Tensor, y: np.ndarray) -> list[tuple[int, str]]:
        error = np.abs(outputs.numpy() - y)
        return [(int(row), f"error {error[row]:.1f}") for row in np.argsort(-error) if error[row] > 0.5]

    def breakdown(self, outputs: torch.Tensor, y: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"class": ["no", "yes"], "rows": np.bincount(y, minlength=2)})


def evaluation(rows: list[int], outputs: list[float]) -> Evaluation:
    return Evaluation(np.array(rows), DATA.y[rows], torch.tensor(outputs), {}, {})


EVALUATIONS = {"val": evaluation([0, 3], [0.9, 0.8]), "test": evaluation([4, 2, 1], [0.9, 0.8, 0.1])}


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Return the figures that are saved, by file name."""
    found: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path, about: str) -> None:
        found[path.name] = figure
        figure.about = about  # type: ignore[attr-defined]

    monkeypatch.setattr(run_plots, "save", keep)
    return found


def write(run_dir: Path, evaluations: Any, **options: Any) -> str:
    options.setdefault("pictures", MissingPictures())
    network = SimpleNamespace(model=nn.Identity())
    model: Any = SimpleNamespace(task=ToyTask(), network=network, preprocessing=None)
    fitted = FitResult(1, Path("weights"), HISTORY, torch.device("cpu"))
    config: dict[str, Any] = {"monitor": "val/loss", "trainer": {}, "finetune": {}}
    return run_report.write_report(run_dir, model, DATA, fitted, evaluations, config, **options)


def test_a_report_has_plots_of_the_test_rows(tmp_path: Path, saved: dict[str, Figure]) -> None:
    sentence = write(tmp_path, EVALUATIONS, run_name="first")
    assert "Too short for a diagnosis" in sentence
    assert [figure.about for figure in saved.values()] == [  # type: ignore[attr-defined]
        f"first · {DATA.name}",
        *[f"first · {DATA.name} · final test rows"] * 2,
    ]
    assert list(saved) == ["learning_curves.png", "own.png", "worst.png"]
    assert points(saved["learning_curves.png"].axes[0], "val") == [(1, 1.2), (2, 0.9)]
    assert points(saved["learning_curves.png"].axes[1], "val") == [(2, 0.7)]
    assert points(saved["own.png"].axes[0], "rows") == [
        (pytest.approx(x), y) for x, y in ((0.9, 1), (0.8, 0), (0.1, 1))
    ]


def test_the_worst_images_are_those_of_their_rows(tmp_path: Path, saved: dict[str, Figure]) -> None:
    write(tmp_path, EVALUATIONS)
    (ax,) = saved["worst.png"].axes
    assert [np.asarray(shown.get_array()).tolist() for shown in ax.images] == PIXELS[[1, 2]].tolist()
    assert [text.get_text() for text in ax.texts] == ["error 0.9", "error 0.8"]
    assert note(saved["worst.png"]) == "2 of 2 errors in 3 rows, the worst first."


def test_without_test_rows_the_validation_rows_are_plotted(tmp_path: Path, saved: dict[str, Figure]) -> None:
    write(tmp_path, {"val": EVALUATIONS["val"]})
    assert len(points(saved["own.png"].axes[0], "rows")) == 2
    assert note(saved["worst.png"]) == "1 of 1 errors in 2 rows, the worst first."


def test_predictions_and_breakdown_have_both_parts(tmp_path: Path, saved: dict[str, Figure]) -> None:
    write(tmp_path, EVALUATIONS)
    predictions = pd.read_parquet(tmp_path / "predictions.parquet")
    assert predictions.to_dict("list") == {
        "row": [0, 3, 4, 2, 1],
        "split": ["val", "val", "final test", "final test", "final test"],
        "target": [0, 1, 1, 0, 1],
        "prediction": [1, 1, 1, 1, 0],
    }
    breakdown = pd.read_csv(tmp_path / "breakdown.csv")
    assert breakdown.to_dict("list") == {
        "split": ["val", "val", "final test", "final test"],
        "class": ["no", "yes", "no", "yes"],
        "rows": [1, 1, 1, 2],
    }


def test_a_fold_has_predictions_and_no_plots(tmp_path: Path, saved: dict[str, Figure]) -> None:
    assert "Too short for a diagnosis" in write(tmp_path, EVALUATIONS, pictures=None)
    assert not saved
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.parquet"]


def test_the_summary_counts_parameters_and_multiply_adds() -> None:
    model = MLP((4,), 2, hidden=8, layers=1)
    first, second = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    for parameter in first.parameters():
        parameter.requires_grad = False
    network = Network(model).train()
    found = summarize(network, {"x": torch.zeros(1, 4)})
    assert (found.parameters, found.trainable) == (4 * 8 + 8 + 8 * 2 + 2, 8 * 2 + 2)
    assert found.multiply_adds == 40 + 18  # torchinfo counts the bias as one
    assert found.text.count("Linear: ") == 2
    assert "[1, 8]" in found.text
    assert network.training
    assert second.training


def test_networks_of_one_configuration_are_summarized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[nn.Module] = []
    once = summary.summarize
    monkeypatch.setattr(summary, "summarize", lambda net, row: made.append(net) or once(net, row))
    row, state = {"x": torch.zeros(1, 4)}, torch.get_rng_state()

    def described(hidden: int, frozen: bool = False) -> summary.ModelSummary:
        network = Network(MLP((4,), 2, hidden=hidden, layers=1))
        for parameter in network.parameters():
            parameter.requires_grad = not frozen
        torch.set_rng_state(state)
        found = summary.summarize_known(network, row, {"hidden": hidden})
        assert torch.equal(torch.get_rng_state(), state)
        return found

    first = described(9)
    assert described(9) == first
    assert len(made) == 1
    assert described(9, frozen=True).trainable == 0
    assert described(11) != first
    assert len(made) == 3
    own = Network(type("Own", (MLP,), {})((4,), 2, hidden=9, layers=1))
    assert summary.summarize_known(own, row, {}) == summary.summarize_known(own, row, {})
    assert len(made) == 5  # a notebook may have changed the class meanwhile


def test_the_rate_of_a_dropout_does_not_change_the_summary_and_its_absence_does() -> None:
    row = {"x": torch.zeros(1, 4)}
    found = {}
    for rate in (0.0, 0.1, 0.25):
        network = Network(MLP((4,), 2, hidden=9, layers=1, dropout=rate))
        found[rate] = summary.summarize_known(network, row, {"dropout": rate})
        assert found[rate] == summary.summarize(network, row)
    assert found[0.1] is found[0.25]
    assert found[0.0] != found[0.1]


def test_the_summary_counts_parameters_that_no_forward_uses() -> None:
    model = Seq2SeqRNN(vocab_size=300, num_outputs=300, shares_vocabulary=True, embedding=8, hidden=8)
    row = {"x": torch.ones(1, 3, dtype=torch.long), "lengths": torch.tensor([3])}
    found = summarize(Network(model), row)
    assert found.parameters == sum(weight.numel() for weight in model.parameters())
    assert f"Total params: {found.parameters:,}" in found.text


def test_the_panel_describes_the_data_and_the_task() -> None:
    task: Any = SimpleNamespace(describe=lambda: "binary, loss BinaryCrossEntropy")
    assert describe_question(DATA, task) == {
        "data": "dots: 5 images, 2 classes",
        "task": "binary, loss BinaryCrossEntropy",
    }
    y = np.zeros((3, 2))
    table = Data("numbers", "table", pd.DataFrame({"a": range(3)}), y, targets=("u", "v"), note="in memory")
    assert describe_question(table, task)["data"] == "numbers: 3 rows, 2 targets"
    assert describe_question(table, task)["note"] == "in memory"
