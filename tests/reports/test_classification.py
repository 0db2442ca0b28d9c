"""Plots of a classifier's predictions."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from dlcli.reports.classification import POINTS, confusion_matrix, precision_recall, roc, thin_curve
from dlcli.reports.style import save
from tests.reports.artists import labelled, note, points, ticks, xy


def predictions(classes: int, rows: int, present: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = random.integers(0, present or classes, rows)
    logits = random.normal(size=(rows, classes)) * 2
    logits[np.arange(rows), y] += 3
    probabilities = np.exp(logits)
    return y, probabilities / probabilities.sum(axis=1, keepdims=True)


def names(classes: int) -> list[str]:
    return [f"class {index}" for index in range(classes)]


def legend(figure: Figure) -> list[str]:
    drawn = figure.axes[0].get_legend()
    return [text.get_text() for text in drawn.get_texts()] if drawn else []


def test_the_legend_has_scikit_learns_areas() -> None:
    y, p = predictions(4, 200)
    one_hot = np.eye(4)[y]
    auc = roc_auc_score(y, p, multi_class="ovr", average=None)
    ap = average_precision_score(one_hot, p, average=None)
    for figure, areas in ((roc(y, p, names(4)), auc), (precision_recall(y, p, names(4)), ap)):
        expected = [f"{area:.4f}  class {index}" for index, area in enumerate(areas)]
        assert legend(figure) == [*expected, f"{np.mean(areas):.4f}  macro mean"]


def test_the_curves_are_scikit_learns() -> None:
    y, p = predictions(3, 40)
    (ax,) = roc(y, p, names(3)).axes
    assert labelled(ax) == {
        "title": "ROC, each class against the rest",
        "x": "false positive rate",
        "y": "true positive rate",
    }
    for index, line in enumerate(ax.lines[:3]):
        fpr, tpr, _ = roc_curve(y == index, p[:, index])
        assert xy(line) == list(zip(fpr.round(9), tpr.round(9), strict=True))
    macro = xy(ax.lines[3])
    assert (macro[0], macro[-1]) == ((0, 0), (1, 1))
    grid = np.array(macro[1:])
    assert grid[:, 1] == pytest.approx(
        np.mean(
            [np.interp(grid[:, 0], *roc_curve(y == index, p[:, index])[:2]) for index in range(3)], axis=0
        ),
        abs=1e-8,
    )
    chance = ax.lines[4]
    assert (xy(chance), chance.get_linestyle()) == ([(0, 0), (1, 1)], ":")
    (ax,) = precision_recall(y, p, names(3)).axes
    assert labelled(ax)["x"] == "recall"
    assert labelled(ax)["y"] == "precision"
    for index, line in enumerate(ax.lines[:3]):
        precision, recall, _ = precision_recall_curve(y == index, p[:, index])
        assert xy(line) == list(zip(recall[::-1].round(9), precision[::-1].round(9), strict=True))
        assert line.get_drawstyle() == "steps-pre"  # nothing is interpolated
    for figure in (roc(y, p, names(3)), precision_recall(y, p, names(3))):
        assert figure.axes[0].get_xlim() == (-0.01, 1.01)
        assert figure.axes[0].get_ylim() == (-0.01, 1.02)


def test_labels_have_a_curve_each() -> None:
    y = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    p = np.array([[0.9, 0.2], [0.1, 0.4], [0.8, 0.3], [0.3, 0.6]])
    figure = roc(y, p, ["cat", "dog"])
    assert figure.axes[0].get_title(loc="left") == "ROC of each label"
    assert legend(figure)[:2] == ["1.0000  cat", "0.7500  dog"]
    assert points(figure.axes[0], "0.7500  dog")[-1] == (1, 1)


@pytest.mark.parametrize("columns", [1, 2])
def test_two_classes_are_one_curve(columns: int) -> None:
    y, p = predictions(2, 100)
    p = p[:, 1] if columns == 1 else p
    figure = roc(y, p, ["benign", "malignant"])
    score = p if columns == 1 else p[:, 1]
    assert legend(figure) == [f"AUC {roc_auc_score(y, score):.4f}"]
    assert figure.axes[0].get_title(loc="left") == "ROC of malignant"


def test_the_best_and_worst_of_many_classes_are_named() -> None:
    y, p = predictions(40, 2000)
    labels = legend(roc(y, p, names(40)))
    areas = [float(label.split()[0]) for label in labels if "." in label]
    assert len(labels) == 8
    assert labels[6:] == ["34 classes between", labels[-1]]
    assert areas[:6] == sorted(areas[:6], reverse=True)
    exact = sorted(roc_auc_score(y, p, multi_class="ovr", average=None))
    assert areas[:6] == pytest.approx([*exact[:-4:-1], *exact[2::-1]], abs=1e-4)
    (ax,) = roc(y, p, names(40)).axes
    (others,) = ax.collections
    assert len(others.get_segments()) == 34


@pytest.mark.parametrize("picture", [roc, precision_recall])
def test_absent_classes_are_reported(picture: type) -> None:
    y, p = predictions(5, 60, present=3)
    figure = picture(y, p, names(5))
    assert figure.get_supxlabel() == "Not in these rows: class 3, class 4."
    assert len(legend(figure)) == 4


@pytest.mark.parametrize("picture", [roc, precision_recall])
@pytest.mark.parametrize("classes", [2, 3])
def test_rows_of_one_class_have_no_curve_and_no_error(picture: type, classes: int) -> None:
    y, p = predictions(classes, 10, present=1)
    figure = picture(y, p, names(classes))
    assert legend(figure) == []
    assert "no curve" in figure.axes[0].texts[0].get_text()


def test_rows_without_a_probability_are_left_out_and_reported() -> None:
    y, p = predictions(3, 50)
    p[7] = np.nan
    kept = np.arange(50) != 7
    figure = roc(y, p, names(3))
    assert figure.get_supxlabel().startswith("1 of 50 rows have no finite probability")
    assert legend(figure) == legend(roc(y[kept], p[kept], names(3)))


def test_a_thinned_curve_keeps_its_ends_and_its_area() -> None:
    x = np.sort(np.random.default_rng(0).random(20_000))
    y = np.sqrt(x)
    few_x, few_y = thin_curve(x, y)
    assert len(few_x) <= POINTS + 1
    assert (few_x[0], few_x[-1], few_y[-1]) == (x[0], x[-1], y[-1])
    assert np.trapezoid(few_y, few_x) == pytest.approx(np.trapezoid(y, x), abs=1e-4)


def test_the_confusion_matrix_writes_counts_and_shares() -> None:
    figure = confusion_matrix([0, 0, 0, 1, 1], [0, 0, 1, 1, 1], ["no", "yes", "never"])
    ax = figure.axes[0]
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (0, 0): "2\n67%",
        (1, 0): "1\n33%",
        (1, 1): "2\n100%",
    }
    assert labelled(ax) == {"title": "5 rows, accuracy 0.8", "x": "predicted", "y": "true"}
    (image,) = ax.images
    shares = [[2 / 3, 1 / 3, 0], [0, 1, 0], [0, 0, 0]]
    assert np.asarray(image.get_array()) == pytest.approx(np.array(shares))
    assert image.get_clim() == (0, 1)
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["no", "yes", "never"]
    assert figure.get_supxlabel() == "Not in these rows: never."


def test_a_large_confusion_matrix_shows_the_most_frequent_confusions() -> None:
    y = np.repeat(np.arange(50), 4)
    predicted = y.copy()
    predicted[:3] = 9
    predicted[-1] = 1
    figure = confusion_matrix(y, predicted, names(50))
    assert not figure.axes[0].texts
    assert note(figure) == (
        "Most frequent errors: class 0 predicted as class 9 (3); class 49 predicted as class 1 (1)."
    )


@pytest.mark.parametrize("classes", [2, 3, 10, 30, 100])
def test_every_number_of_classes_can_be_drawn(classes: int, tmp_path: Path) -> None:
    y, p = predictions(classes, 50)
    for picture in (
        confusion_matrix(y, p.argmax(axis=1), names(classes)),
        roc(y, p, names(classes)),
        precision_recall(y, p, names(classes)),
    ):
        save(picture, tmp_path / "picture.png")
    (matrix, *colour_bar) = confusion_matrix(y, p.argmax(axis=1), names(classes)).axes
    assert bool(colour_bar) == (classes > 30)
    right = np.bincount(y[p.argmax(axis=1) == y], minlength=classes)
    diagonal = np.diag(np.asarray(matrix.images[0].get_array()))
    assert diagonal == pytest.approx(right / np.maximum(np.bincount(y, minlength=classes), 1))
    drawn = legend(roc(y, p, names(classes)))
    present = len(np.unique(y))
    assert len(drawn) == (1 if classes == 2 else present + 1 if present <= 12 else 8)


def test_class_names_are_not_formulas(tmp_path: Path) -> None:
    awkward = ["US$ and $ \\frac{", "_hidden", "$5 to $6"]
    y, p = predictions(3, 30)
    figure = roc(y, p, awkward)
    save(figure, tmp_path / "roc.png")
    assert legend(figure)[1].endswith("  _hidden")
    save(confusion_matrix(y, p.argmax(axis=1), awkward), tmp_path / "confusion.png")


def test_pictures_can_be_drawn_in_threads(tmp_path: Path) -> None:
    def draw(index: int) -> bytes:
        y, p = predictions(3 + index, 60)
        return save(roc(y, p, names(3 + index)), tmp_path / f"{index}.png").read_bytes()

    alone = [draw(index) for index in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == alone


def test_a_notebooks_own_plots_are_left_alone() -> None:
    code = """
import sys, matplotlib
before = matplotlib.rcParams.copy()  # unlike dict(), does not look for a backend
from dlcli.reports.classification import roc
roc([0, 1], [0.2, 0.8], ["a", "b"])
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
