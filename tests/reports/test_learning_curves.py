"""The picture of a training, and the sentence that reads it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dlcli.reports.learning_curves import diagnose, learning_curves
from dlcli.reports.style import save

History = dict[str, list[tuple[int, float]]]


def history(train: list[float], val: list[float], **more: list[float]) -> History:
    named = {"train/loss": train, "val/loss": val}
    named |= {f"val/{name}": values for name, values in more.items()}
    return {name: list(enumerate(values)) for name, values in named.items()}


FALLING = [2 * math.exp(-epoch / 2) + 0.02 for epoch in range(20)]
CASES = {
    "overfitting": history(FALLING, [0.2 + abs(epoch - 6) * 0.05 for epoch in range(20)]),
    "underfitting": history([2.30 - 0.001 * epoch for epoch in range(10)], [2.31] * 10, accuracy=[0.1] * 10),
    "still improving": history(
        [math.exp(-e / 10) for e in range(10)], [math.exp(-e / 11) for e in range(10)]
    ),
    "no sign of over- or underfitting": history(FALLING, [loss + 0.03 for loss in FALLING]),
    "some overfitting": history(FALLING, [max(loss, 0.9) for loss in FALLING]),
    "too short to say": history([1.0, 0.5], [1.1, 0.9]),
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
    assert "lowest at epoch 7 (0.2) and has risen to 0.8 while train loss fell to 0.0201: over" in sentence


def test_noise_near_zero_is_no_overfitting() -> None:
    noisy = [2 * math.exp(-epoch) + 5e-4 + 2e-4 * (epoch % 2) for epoch in range(40)]
    assert "no sign" in diagnose(history([loss / 2 for loss in noisy], noisy))


def test_one_bad_last_epoch_is_no_overfitting() -> None:
    val = [loss + 0.03 for loss in FALLING[:-1]] + [0.06]
    assert ": overfitting" not in diagnose(history(FALLING, val))


def test_what_is_learnt_within_the_first_epoch_is_no_underfitting() -> None:
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
    assert save(figure, tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("finding", CASES)
def test_every_history_can_be_drawn(finding: str, tmp_path: Path) -> None:
    save(learning_curves(CASES[finding], best_epoch=None), tmp_path / "curves.png")
