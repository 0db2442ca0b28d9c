"""The learning curves of a run, and the sentence that interprets them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dlcli.reports.learning_curves import diagnose, learning_curves
from dlcli.reports.style import save
from tests.reports.artists import labelled, legend, note, points, xy

History = dict[str, list[tuple[int, float]]]


def history(train: list[float], val: list[float], **more: list[float]) -> History:
    named = {"train/loss": train, "val/loss": val}
    named |= {f"val/{name}": values for name, values in more.items()}
    return {name: list(enumerate(values)) for name, values in named.items()}


FALLING = [2 * math.exp(-epoch / 2) + 0.02 for epoch in range(20)]
CASES = {
    "overfitting": history(FALLING, [0.2 + abs(epoch - 6) * 0.05 for epoch in range(20)]),
    "underfitting": history([2.30 - 0.001 * epoch for epoch in range(10)], [2.31] * 10, accuracy=[0.1] * 10),
    "still falling": history([math.exp(-e / 10) for e in range(10)], [math.exp(-e / 11) for e in range(10)]),
    "no sign of over- or underfitting": history(FALLING, [loss + 0.03 for loss in FALLING]),
    "some overfitting": history(FALLING, [max(loss, 0.9) for loss in FALLING]),
    "Too short for a diagnosis": history([1.0, 0.5], [1.1, 0.9]),
    "diverged": history([1.0, 0.5, math.nan], [1.1, 0.9, math.inf]),
    "cannot be diagnosed": {"train/loss": [(0, 1.0)]},
}


@pytest.mark.parametrize("finding", CASES)
def test_the_sentence_names_what_is_seen(finding: str) -> None:
    sentence = diagnose(CASES[finding])
    assert finding in sentence
    assert "\n" not in sentence


def test_the_sentence_gives_its_numbers_with_epochs_from_one() -> None:
    sentence = diagnose(CASES["overfitting"])
    assert (
        "lowest at epoch 7 (0.2) and has risen to 0.75, the mean of the last 5 epochs, while train"
        in sentence
    )


def test_a_solved_head_has_no_curve() -> None:
    solved = history([0.002], [0.27])
    assert diagnose(solved, solved_head=True).startswith(
        "The head was solved exactly, without epochs of steps"
    )
    assert "Too short" in diagnose(solved)


def test_noise_near_zero_is_not_overfitting() -> None:
    noisy = [2 * math.exp(-epoch) + 5e-4 + 2e-4 * (epoch % 2) for epoch in range(40)]
    assert "no sign" in diagnose(history([loss / 2 for loss in noisy], noisy))


def test_one_bad_last_epoch_is_not_overfitting() -> None:
    val = [loss + 0.03 for loss in FALLING[:-1]] + [0.06]
    assert ": overfitting" not in diagnose(history(FALLING, val))


def test_progress_within_the_first_epoch_is_not_underfitting() -> None:
    flat = [0.011 - 1e-5 * epoch for epoch in range(8)]
    assert ": underfitting" not in diagnose(history(flat, flat, accuracy=[1.0] * 8))


def test_the_picture_shows_loss_and_main_metric_the_best_epoch_and_the_sentence(tmp_path: Path) -> None:
    accuracy = [1 - loss / 3 for loss in FALLING]
    curves = history(FALLING, [loss + 0.03 for loss in FALLING], f1=accuracy, accuracy=accuracy)
    figure = learning_curves(curves, best_epoch=19, monitor="val/accuracy")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["loss", "accuracy"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:2] == ["train", "val"]
    assert labels[2].startswith("best: epoch 20, ")
    assert figure.get_supxlabel().replace("\n", " ") == diagnose(curves)
    assert points(figure.axes[0], "train") == finite(curves, "train/loss")
    assert points(figure.axes[1], "val") == finite(curves, "val/accuracy")
    assert save(figure, tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def finite(history: History, name: str) -> list[tuple[float, float]]:
    """Return the points that are plotted of a metric: its finite values over epochs from 1."""
    return [
        (epoch + 1, pytest.approx(value)) for epoch, value in history.get(name, []) if math.isfinite(value)
    ]


@pytest.mark.parametrize("finding", CASES)
def test_every_history_can_be_drawn(finding: str, tmp_path: Path) -> None:
    case = CASES[finding]
    figure = learning_curves(case, best_epoch=None)
    others = [name.partition("/")[2] for name in case if not name.endswith("/loss")]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["loss", *others]
    for ax in figure.axes:
        metric = ax.get_title(loc="left")
        drawn = {part: finite(case, f"{part}/{metric}") for part in ("train", "val")}
        assert {part: points(ax, part) for part in legend(ax)} == {k: v for k, v in drawn.items() if v}
        assert len(ax.lines) == len(legend(ax))  # there is no mark without a best epoch
        assert ax.get_xlabel() == "epoch"
    assert note(figure) == diagnose(case)
    save(figure, tmp_path / "curves.png")


def test_the_best_epoch_is_marked_on_the_val_curve() -> None:
    curves = history(FALLING, [loss + 0.03 for loss in FALLING])
    (ax,) = learning_curves(curves, best_epoch=3).axes
    value = FALLING[3] + 0.03
    assert points(ax, f"best: epoch 4, {value:.4g}") == [(4, pytest.approx(value))]
    (upright,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [x for x, _ in xy(upright)] == [4, 4]


def test_an_epoch_without_a_val_value_is_not_marked() -> None:
    curves = history([1.0, 0.5, 0.4], [1.1, math.nan, 0.9])
    (ax,) = learning_curves(curves, best_epoch=1).axes
    assert legend(ax) == ["train", "val"]
    assert points(ax, "val") == [(1, 1.1), (3, 0.9)]


def test_only_a_loss_of_several_decades_has_a_logarithmic_axis() -> None:
    steep = [10.0**-epoch for epoch in range(5)]
    for losses, scale in (
        (steep, "log"),
        ([1 + loss for loss in steep], "linear"),
        ([0.0, *steep], "linear"),
    ):
        (ax,) = learning_curves(history(losses, losses), best_epoch=None).axes
        assert ax.get_yscale() == scale
    (ax,) = learning_curves(history(steep, steep), best_epoch=None).axes
    assert ax.yaxis.get_major_formatter()(0.001, 0) == "0.001"
    assert not ax.yaxis.get_minorticklocs().size
    accuracy = learning_curves(history(steep, steep, accuracy=[0.01, 0.9]), best_epoch=None).axes[1]
    assert accuracy.get_yscale() == "linear"


@pytest.mark.parametrize(("epochs", "marker"), [(15, "o"), (16, "")])
def test_a_short_history_shows_its_points(epochs: int, marker: str) -> None:
    losses = [1 / (epoch + 1) for epoch in range(epochs)]
    (ax,) = learning_curves(history(losses, losses), best_epoch=None).axes
    assert ({line.get_marker() for line in ax.lines} == {"o"}) == (marker == "o")


@pytest.mark.parametrize(
    ("monitor", "main"), [("val/accuracy", "accuracy"), ("val/loss", "f1"), ("train/loss", "f1")]
)
def test_the_main_metric_is_the_monitored_one_or_the_first_other(monitor: str, main: str) -> None:
    curves = history([1.0, 0.5], [1.1, 0.9], f1=[0.1, 0.2], accuracy=[0.3, 0.4])
    loss, other = learning_curves(curves, best_epoch=None, monitor=monitor).axes
    assert [labelled(ax)["title"] for ax in (loss, other)] == ["loss", main]
    assert points(other, "val") == [(1, curves[f"val/{main}"][0][1]), (2, curves[f"val/{main}"][1][1])]


def test_a_metric_without_finite_values_is_reported() -> None:
    (ax,) = learning_curves(history([math.nan] * 2, [math.inf] * 2), best_epoch=0).axes
    assert [text.get_text() for text in ax.texts] == ["no finite values"]
    assert not ax.lines
