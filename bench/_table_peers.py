"""Peers of `bench tables`: one method on one split, as `python _table_peers.py METHOD FOLDER`, which prints JSON.

Nothing of dlcli is imported, so that RealMLP can run in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SKLEARN = ("hist_gradient_boosting", "random_forest", "linear", "sklearn_mlp")
REALMLP = "realmlp_td"


def encoded(model: Any) -> Any:
    """Numbers scaled, gaps filled with the median, categories one-hot."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    kinds = lambda frame: frame.select_dtypes("number").columns  # noqa: E731
    others = lambda frame: frame.select_dtypes(exclude="number").columns  # noqa: E731
    return make_pipeline(make_column_transformer((numbers, kinds), (words, others)), model)


def made(method: str, classes: bool, seed: int) -> Any:
    """Return the method with its own defaults."""
    if method == REALMLP:
        from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

        kind: Any = RealMLP_TD_Classifier if classes else RealMLP_TD_Regressor
        return kind(device="cpu", random_state=seed, n_cv=1, n_threads=1, verbosity=0)
    if method == "hist_gradient_boosting":
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        return kind(random_state=seed, categorical_features="from_dtype")
    if method == "random_forest":
        kind = RandomForestClassifier if classes else RandomForestRegressor
        return encoded(kind(random_state=seed))
    if method == "linear":
        return encoded(LogisticRegression(max_iter=1000) if classes else Ridge())
    kind = MLPClassifier if classes else MLPRegressor
    return encoded(kind(random_state=seed))


def read(file: Path, target: str, classes: bool) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.read_csv(file, keep_default_na=False, na_values=["", "NA", "nan"])
    y = frame.pop(target)
    frame = frame.astype(dict.fromkeys(frame.select_dtypes("bool").columns, "int64"))
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype(object).fillna("missing").astype(str)
    return frame, y.astype(str).to_numpy() if classes else y.to_numpy(np.float64)


def main(method: str, folder: str) -> dict[str, float]:
    """Fit on `train.csv`, and return figures on `test.csv`."""
    warnings.simplefilter("ignore")
    about = json.loads(Path(folder, "about.json").read_text())
    classes, target = about["classes"], about["target"]
    x, y = read(Path(folder, "train.csv"), target, classes)
    new, truth = read(Path(folder, "test.csv"), target, classes)
    words = [name for name in x.columns if not pd.api.types.is_numeric_dtype(x[name])]
    if method in ("hist_gradient_boosting", REALMLP):
        known = {name: pd.CategoricalDtype(sorted(set(x[name]) | set(new[name]))) for name in words}
        x, new = x.astype(known), new.astype(known)
    if method == REALMLP:
        numbers = [name for name in x.columns if name not in words]
        middle = x[numbers].median()
        x[numbers], new[numbers] = x[numbers].fillna(middle), new[numbers].fillna(middle)
    if method == "sklearn_mlp" and not classes:
        center, scale = y.mean(), y.std()
    else:
        center, scale = 0.0, 1.0
    started = time.process_time()
    model = made(method, classes, about["seed"])
    model.fit(x, y if classes else (y - center) / scale)
    if not classes:
        error = np.asarray(model.predict(new)).reshape(-1) * scale + center - truth
        return {"rmse": float(np.sqrt(np.mean(error**2))), "cpu_s": time.process_time() - started}
    p = np.asarray(model.predict_proba(new), dtype=np.float64)
    p = np.clip(p, 1e-7, 1)
    p /= p.sum(axis=1, keepdims=True)
    names = [str(name) for name in model.classes_]
    found = {
        "log_loss": float(log_loss(truth, p, labels=names)),
        "accuracy": float(accuracy_score(truth, np.array(names)[p.argmax(axis=1)])),
        "cpu_s": time.process_time() - started,
    }
    if len(names) == 2:
        found["auroc"] = float(roc_auc_score(truth == names[1], p[:, 1]))
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
