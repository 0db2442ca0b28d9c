"""Every recorded metric of every task equals that of scikit-learn on `predictions.parquet`."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn import metrics as sklearn

import dlcli
from dlcli.config.folders import options
from dlcli.config.yaml_file import read
from dlcli.tracking.ledger import Ledger

ROWS = 60
QUICK = [
    "model=mlp", "model.hidden=16", "optimizer.lr=0.02", "trainer.max_epochs=2", "trainer.accelerator=cpu",
    "tracking.keep=1",
]  # fmt: skip
LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of targets of every kind, and a series."""
    folder, random = tmp_path_factory.mktemp("oracle"), np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["few"] = np.where(np.arange(ROWS) % 12 == 0, "yes", "no")
    table["kind"] = np.array(["p", "q", "r"])[random.integers(0, 3, ROWS)]
    for label in range(3):
        table[f"l{label}"] = (x[:, label] + random.normal(size=ROWS) > 0).astype(int)
    table["rare"] = table["few"].eq("yes").astype(int)
    table["u"] = x @ [1, 2, 3] + random.normal(size=ROWS) + 50
    table["v"] = x @ [3, 2, 1] * 10
    table.to_csv(folder / "t.csv", index=False)
    steps = np.arange(120)
    series = pd.DataFrame({"when": pd.date_range("2020-01-01", periods=120)})
    series["y"], series["z"] = np.sin(steps / 5) * 3 + 10, random.normal(size=120).cumsum()
    series.to_csv(folder / "s.csv", index=False)
    return folder


TARGETS = ["few", "kind", "l0", "l1", "l2", "rare", "u", "v"]


def trained(folder: Path, *targets: str, words: tuple[str, ...] = ()) -> dlcli.Result:
    drop = ",".join(name for name in TARGETS if name not in targets)
    return dlcli.train(
        [*QUICK, "dataset=table", f"dataset.path='{folder / 't.csv'}'", f"dataset.target=[{','.join(targets)}]"
         if len(targets) > 1 else f"dataset.target={targets[0]}", f"dataset.drop=[{drop}]",
         f"runs_dir='{folder / 'runs'}'", *words]
    )  # fmt: skip


# The names of parts in files; the keys of metrics are `test/...` for both kinds of test rows.
NAMES = {"val": ["val"], "test": ["held-out", "final test"]}


def check(run_dir: Path, expected: Callable[[pd.DataFrame], dict[str, float]], parts: tuple[str, ...]) -> int:
    """Compare a run's metrics with the expected ones; return the number of undefined ones."""
    ledger = Ledger.load(Path(run_dir))
    table = pd.read_parquet(Path(run_dir) / "predictions.parquet")
    undefined = 0
    for part in parts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = expected(table[table["split"].isin(NAMES[part])])
        recorded = {
            name.partition("/")[2]: value
            for name, value in ledger.metrics.items()
            if name.startswith(f"{part}/") and name != f"{part}/loss"
        }
        assert {name for name, value in values.items() if not math.isnan(value)} <= set(recorded)
        assert set(recorded) <= set(values)
        for name, value in values.items():
            if math.isnan(value):
                undefined += 1
                assert math.isnan(recorded.get(name, math.nan)), (part, name)
            else:
                assert recorded[name] == pytest.approx(value, rel=2e-4, abs=2e-6), (part, name)
    return undefined


def calibration(confidence: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [
        (bins == b).mean() * abs(right[bins == b].mean() - confidence[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def of_two(y: np.ndarray, p: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Return the metrics of 0 and 1 `(N,)` with probabilities and predictions of 1; NaN where they are undefined."""
    both, occurs = len(np.unique(y)) == 2, bool(y.any() or guess.any())
    return {
        "accuracy": sklearn.accuracy_score(y, guess),
        "balanced_accuracy": sklearn.balanced_accuracy_score(y, guess) if both else math.nan,
        "precision": sklearn.precision_score(y, guess, zero_division=0) if occurs else math.nan,
        "recall": sklearn.recall_score(y, guess) if y.any() else math.nan,
        "f1": sklearn.f1_score(y, guess, zero_division=0) if occurs else math.nan,
        "auroc": sklearn.roc_auc_score(y, p) if both else math.nan,
        "average_precision": sklearn.average_precision_score(y, p) if both else math.nan,
        "log_loss": sklearn.log_loss(y, p, labels=[0, 1]),
        "calibration_error": calibration(p, y == 1),
    }


def binary(table: pd.DataFrame) -> dict[str, float]:
    y, p = (table["target"] == "yes").to_numpy(), table["p(yes)"].to_numpy(np.float64)
    return of_two(y.astype(int), p, (table["prediction"] == "yes").to_numpy().astype(int))


def multiclass(table: pd.DataFrame) -> dict[str, float]:
    names = [column[2:-1] for column in table if column.startswith("p(")]
    y, guess = table["target"].to_numpy(), table["prediction"].to_numpy()
    p = table[[f"p({name})" for name in names]].to_numpy(np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    there = [name for name in names if (y == name).any()]
    each = [(y == name, p[:, names.index(name)]) for name in there if (y != name).any()]
    return {
        "accuracy": sklearn.accuracy_score(y, guess),
        "balanced_accuracy": sklearn.recall_score(y, guess, average="macro", labels=there),
        "precision": sklearn.precision_score(y, guess, average="macro", zero_division=0),
        "recall": sklearn.recall_score(y, guess, average="macro", labels=there),
        "f1": sklearn.f1_score(y, guess, average="macro", zero_division=0),
        "auroc": np.mean([sklearn.roc_auc_score(*one) for one in each]) if each else math.nan,
        "average_precision": np.mean([sklearn.average_precision_score(*one) for one in each])
        if each
        else math.nan,
        "log_loss": sklearn.log_loss(y, p, labels=names),
        "calibration_error": calibration(p.max(axis=1), guess == y),
    }


def multilabel(table: pd.DataFrame) -> dict[str, float]:
    labels = [column[7:-1] for column in table if column.startswith("target(")]
    y, p, guess = (
        table[[f"{what}({k})" for k in labels]].to_numpy() for what in ("target", "p", "prediction")
    )
    each = [of_two(y[:, k], p[:, k].astype(np.float64), guess[:, k]) for k in range(len(labels))]
    means = {name: float(np.nanmean([one[name] for one in each])) for name in each[0]}
    exact = {"exact_match": sklearn.accuracy_score(y, guess)}
    return {**means, **exact, "calibration_error": calibration(p.ravel(), y.ravel() == 1)}


def chosen_of_labels(table: pd.DataFrame) -> dict[str, float]:
    """Return all metrics of labels, those that are not computed by default too: the means over labels that have it."""
    labels = [column[7:-1] for column in table if column.startswith("target(")]
    each = []
    for name in labels:
        y, guess, p = (table[f"{what}({name})"].to_numpy() for what in ("target", "prediction", "p"))
        there, lacks = y.any(), not y.all()
        recall = sklearn.recall_score(y, guess) if there else math.nan
        specificity = sklearn.recall_score(y == 0, guess == 0) if lacks else math.nan
        each.append(
            {
                "brier": float(((p - y) ** 2).mean()),
                "specificity": specificity,
                "g_mean": math.sqrt(recall * specificity),
            }
        )
    y, guess = (
        table[[f"{what}({name})" for name in labels]].to_numpy().ravel() for what in ("target", "prediction")
    )
    mcc = {"mcc": sklearn.matthews_corrcoef(y, guess)}  # of all labels together
    return (
        multilabel(table) | mcc | {name: float(np.nanmean([one[name] for one in each])) for name in each[0]}
    )


def numbers(table: pd.DataFrame) -> dict[str, float]:
    targets = [column for column in table if column.startswith("target")]
    y, guess = (
        table[targets].to_numpy(),
        table[[t.replace("target", "prediction") for t in targets]].to_numpy(),
    )
    return {
        "mae": sklearn.mean_absolute_error(y, guess),
        "rmse": float(np.mean(np.sqrt(((y - guess) ** 2).mean(axis=0)))),
        "mse": sklearn.mean_squared_error(y, guess),
        "r2": sklearn.r2_score(y, guess),
        "mape": sklearn.mean_absolute_percentage_error(y, guess),
    }


def quantiles(table: pd.DataFrame) -> dict[str, float]:
    targets = [column for column in table if column.startswith("target")]
    y = table[targets].to_numpy()
    at = {
        level: table[[target.replace("target", f"q{level:g}") for target in targets]].to_numpy()
        for level in LEVELS
    }
    low, high = at[LEVELS[0]], at[LEVELS[-1]]
    return numbers(table) | {
        "pinball": float(np.mean([sklearn.mean_pinball_loss(y, at[level], alpha=level) for level in LEVELS])),
        "coverage": float(((low <= y) & (y <= high)).mean()),
        "interval_width": float((high - low).mean()),
    }


def held_out(result: dlcli.Result) -> pd.DataFrame:
    """Return the held-out rows of all folds, each of which occurs once."""
    tables = [pd.read_parquet(Path(fold.run_dir) / "predictions.parquet") for fold in result.folds]
    rows = pd.concat([table[table["split"] == "held-out"] for table in tables])
    assert rows["row"].is_unique
    return rows


def check_pooled(
    result: dlcli.Result, expected: Callable[[pd.DataFrame], dict[str, float]], skip: tuple[str, ...] = ()
) -> None:
    """Compare the figures over all held-out rows with the expected ones."""
    for name, value in expected(held_out(result)).items():
        if name not in skip:
            pooled = result.metrics.get(f"cv/{name}_pooled", math.nan)
            assert pooled == pytest.approx(value, rel=2e-4, abs=2e-6, nan_ok=True), name


def test_folds_of_two_classes_some_of_which_lack_one(folder: Path) -> None:
    result = trained(folder, "few", words=("cv=kfold", "cv.folds=6"))
    undefined = [check(Path(fold.run_dir), binary, ("test",)) for fold in result.folds]
    assert min(undefined) == 0 < max(undefined)  # some folds have a positive row, and some have none
    tables = [pd.read_parquet(Path(fold.run_dir) / "predictions.parquet") for fold in result.folds]
    assert len(held_out(result)) == ROWS
    check_pooled(result, binary)
    for name in ("recall", "auroc", "accuracy"):
        values = [binary(table[table["split"] == "held-out"])[name] for table in tables]
        there = [value for value in values if not math.isnan(value)]
        assert result.metrics[f"cv/{name}_mean"] == pytest.approx(np.mean(there), rel=2e-4)
        assert result.metrics.get(f"cv/{name}_defined_in", len(values)) == len(there)


def test_folds_of_three_classes_some_of_which_lack_one(folder: Path) -> None:
    result = trained(folder, "kind", words=("cv=kfold", "cv.folds=12", "trainer.limit_folds=3"))
    lacking = 0
    for fold in result.folds:
        check(Path(fold.run_dir), multiclass, ("test",))
        table = pd.read_parquet(Path(fold.run_dir) / "predictions.parquet")
        there = table.loc[table["split"] == "held-out", "target"].nunique()
        assert fold.over.get("test/recall", 3) == there
        lacking += there < 3
    assert lacking
    check_pooled(result, multiclass)
    assert result.metrics["cv/recall_complete_in"] == 3 - lacking
    told = f"recall.* are means over all classes in {3 - lacking} of 3 folds"
    assert any(re.search(told, message) for message in result.messages)


def test_metrics_of_several_labels(folder: Path) -> None:
    check(trained(folder, "l0", "l1", "l2").run_dir, multilabel, ("val", "test"))


def test_folds_of_labels_one_of_which_some_folds_lack(folder: Path) -> None:
    chosen = "task.metrics=[default,mcc,brier,specificity,g_mean]"
    words = ("cv=kfold", "cv.folds=6", "trainer.limit_folds=3", chosen)
    result = trained(folder, "l0", "rare", words=words)
    lacking = 0
    for fold in result.folds:
        check(Path(fold.run_dir), chosen_of_labels, ("test",))
        table = pd.read_parquet(Path(fold.run_dir) / "predictions.parquet")
        is_rare = table.loc[table["split"] == "held-out", "target(rare)"].any()
        assert fold.over.get("test/auroc", 2) == 1 + is_rare
        lacking += not is_rare
    assert lacking
    assert result.metrics["cv/auroc_complete_in"] == 3 - lacking
    check_pooled(result, chosen_of_labels)


def test_labels_have_an_oracle_for_each_metric() -> None:
    table = pd.DataFrame({"target(a)": [0, 1], "prediction(a)": [0, 1], "p(a)": [0.2, 0.7]})
    taken = {
        name for name, file in options("metric").items() if "multilabel" in (read(file).get("accepts") or ())
    }
    assert taken == set(chosen_of_labels(table))


@pytest.mark.parametrize("targets", [("u",), ("u", "v")], ids="-".join)
@pytest.mark.parametrize("loss", ["mse", "quantile"])
def test_metrics_of_numbers(folder: Path, targets: tuple[str, ...], loss: str) -> None:
    words = (f"task.loss.quantiles=[{','.join(map(str, LEVELS))}]",) if loss == "quantile" else ()
    result = trained(folder, *targets, words=(f"task/loss={loss}", *words))
    check(result.run_dir, quantiles if words else numbers, ("val", "test"))


def test_metrics_of_numbers_in_folds(folder: Path) -> None:
    result = trained(folder, "u", "v", words=("cv=kfold", "cv.folds=3"))
    for fold in result.folds:
        check(Path(fold.run_dir), numbers, ("test",))
    check_pooled(result, numbers)


def test_metrics_of_forecasts(folder: Path) -> None:
    result = dlcli.train(
        ["dataset=series", f"dataset.path='{folder / 's.csv'}'", "dataset.target=[y,z]", "dataset.time=when",
         "dataset.horizon=4", "dataset.lookback=8", "model=linear_forecast", "trainer.max_epochs=2",
         "trainer.accelerator=cpu", f"runs_dir='{folder / 'runs'}'"]
    )  # fmt: skip
    series, split = pd.read_csv(folder / "s.csv"), np.load(Path(result.run_dir) / "split.npz")
    last = split["train"].max() + 4  # the steps that the training rows forecast
    values = {name: series[name].to_numpy()[:last] for name in ("y", "z")}
    naive = [np.abs(v[7:] - v[:-7]).mean() for v in values.values()]  # days repeat weekly

    def forecast(table: pd.DataFrame) -> dict[str, float]:
        found = numbers(table)
        errors = [(table[f"target({n})"] - table[f"prediction({n})"]).abs().mean() for n in ("y", "z")]
        mase = float(np.mean([error / scale for error, scale in zip(errors, naive, strict=True)]))
        pairs = [(table[f"target({n})"], table[f"prediction({n})"]) for n in ("y", "z")]
        smape = float(np.mean([200 * (y - g).abs() / (y.abs() + g.abs()) for y, g in pairs]))
        return {name: found[name] for name in ("mae", "rmse", "mse")} | {"mase": mase, "smape": smape}

    recorded = Ledger.load(Path(result.run_dir)).metrics
    table = pd.read_parquet(Path(result.run_dir) / "predictions.parquet")
    for part in ("val", "test"):
        for name, value in forecast(table[table["split"].isin(NAMES[part])]).items():
            loose = 0.05 if name == "mase" else 2e-4  # the training part has a few steps more than its rows
            assert recorded[f"{part}/{name}"] == pytest.approx(value, rel=loose), (part, name)


CLASS_METRICS = "task.metrics=[mcc,cohen_kappa,quadratic_kappa,specificity,g_mean,brier{}]"
NUMBER_METRICS = "task.metrics=[mae,smape,rmsle,explained_variance,spearman,pearson,concordance]"


def of_classes(table: pd.DataFrame) -> dict[str, float]:
    """Return the metrics that are not computed by default, for two or more classes."""
    names = [column[2:-1] for column in table if column.startswith("p(")]
    y, guess = (np.array([names.index(name) for name in table[what]]) for what in ("target", "prediction"))
    p = table[[f"p({name})" for name in names]].to_numpy(np.float64)
    varies, labels = len(np.unique(y)) > 1, range(len(names))
    recalls = [sklearn.recall_score(y == k, guess == k) for k in labels if (y == k).any()]
    specificities = [sklearn.recall_score(y != k, guess != k) for k in labels if (y != k).any()]
    square = ((p - np.eye(len(names))[y]) ** 2).sum(axis=1).mean()
    two = len(names) == 2
    found = {
        "mcc": sklearn.matthews_corrcoef(y, guess) if varies else math.nan,
        "cohen_kappa": sklearn.cohen_kappa_score(y, guess, labels=labels) if varies else math.nan,
        "quadratic_kappa": sklearn.cohen_kappa_score(y, guess, labels=labels, weights="quadratic")
        if varies
        else math.nan,
        "brier": sklearn.brier_score_loss(y, p[:, 1]) if two else square,
    }
    if two:
        negative = sklearn.recall_score(y == 0, guess == 0) if (y == 0).any() else math.nan
        positive = sklearn.recall_score(y, guess) if y.any() else math.nan
        return found | {"specificity": negative, "g_mean": math.sqrt(negative * positive)}
    top = sklearn.top_k_accuracy_score(y, p, k=2, labels=labels)
    means = {"specificity": np.mean(specificities), "g_mean": np.prod(recalls) ** (1 / len(recalls))}
    return found | means | {"top_k_accuracy": top}


def of_numbers(table: pd.DataFrame) -> dict[str, float]:
    """Return the metrics that are not computed by default, the means over targets."""
    targets = [column for column in table if column.startswith("target")]
    pairs = [
        (table[t].to_numpy(), table[t.replace("target", "prediction")].to_numpy(np.float64)) for t in targets
    ]

    def concordance(y: np.ndarray, guess: np.ndarray) -> float:
        spread = y.var(ddof=1) + guess.var(ddof=1) + (y.mean() - guess.mean()) ** 2
        return float(2 * np.cov(y, guess)[0, 1] / spread)

    measures: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "mae": sklearn.mean_absolute_error,
        "smape": lambda y, g: float((200 * np.abs(y - g) / (np.abs(y) + np.abs(g))).mean()),
        "rmsle": lambda y, g: (
            sklearn.root_mean_squared_log_error(y, g) if min(y.min(), g.min()) > -1 else math.nan
        ),
        "explained_variance": sklearn.explained_variance_score,
        "spearman": lambda y, g: scipy.stats.spearmanr(y, g).statistic,
        "pearson": lambda y, g: scipy.stats.pearsonr(y, g).statistic,
        "concordance": concordance,
    }
    return {name: float(np.mean([measure(*pair) for pair in pairs])) for name, measure in measures.items()}


def test_chosen_metrics_of_folds_of_two_classes_some_of_which_lack_one(folder: Path) -> None:
    words = ("cv=kfold", "cv.folds=6", "task.tune_threshold=f1", CLASS_METRICS.format(""))
    result = trained(folder, "few", words=(*words, "cv.val_size=0.3"))
    undefined = 0
    for fold in result.folds:
        recorded = {
            name.removeprefix("test/"): value
            for name, value in Ledger.load(Path(fold.run_dir)).metrics.items()
        }
        table = pd.read_parquet(Path(fold.run_dir) / "predictions.parquet")
        for name, value in of_classes(table[table["split"] == "held-out"]).items():
            undefined += math.isnan(value)
            assert recorded.get(name, math.nan) == pytest.approx(value, rel=2e-4, abs=2e-6, nan_ok=True), name
    assert undefined
    check_pooled(result, of_classes)
    there = result.metrics["cv/mcc_defined_in"]
    assert 0 < there < len(result.folds)


def test_chosen_metrics_of_three_classes(folder: Path) -> None:
    result = trained(folder, "kind", words=(CLASS_METRICS.format(",top_k_accuracy"),))
    assert check(result.run_dir, of_classes, ("val", "test")) == 0


def test_every_metric_has_an_oracle() -> None:
    """A new option of the group `metric` needs one, too."""
    classes = {"mcc", "cohen_kappa", "quadratic_kappa", "specificity", "g_mean", "brier", "top_k_accuracy"}
    chosen = {"smape", "rmsle", "explained_variance", "spearman", "pearson", "concordance"}
    two = {
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "auroc",
        "average_precision",
        "log_loss",
    }
    intervals = {"pinball", "coverage", "interval_width"}
    masks = {"miou", "dice", "pixel_accuracy", "class_accuracy"}  # tests/test_segmentation_training.py
    masks |= {"boundary_f"}  # tests/tasks/test_mask_boundaries.py
    elsewhere = {"calibration_error", "exact_match", "mae", "rmse", "mse", "r2", "mape", "mase"}
    judged = classes | chosen | two | intervals | masks | elsewhere
    single = {"binary", "multiclass", "multilabel", "regression", "forecast", "segmentation"}
    taken = {name: set(read(file).get("accepts") or single) for name, file in options("metric").items()}
    assert {name for name, kinds in taken.items() if kinds & single} == judged


@pytest.mark.parametrize("targets", [("u",), ("u", "v")], ids="-".join)
def test_chosen_metrics_of_numbers(folder: Path, targets: tuple[str, ...]) -> None:
    words = (NUMBER_METRICS, "cv=kfold", "cv.folds=3")
    result = trained(folder, *targets, words=words)
    for fold in result.folds:
        check(Path(fold.run_dir), of_numbers, ("test",))
    check_pooled(result, of_numbers)
