"""The default for texts beside scikit-learn's TF-IDF and logistic regression, on the same splits, in the same process.

Files are tables `LABEL<tab>TEXT` without a header: data/text/sms.tsv of BENCH_SHARED, and the .tsv files of the folder
BENCH_TEXTS. scikit-learn has the same n-grams and a C of 1, or the best of five by the validation rows, and is fitted
again on training and validation rows. CPU seconds are those of a training with its complete record, and of reading,
choosing C, fitting and predicting, or with the best C known; what is imported is warm.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dlcli.api.run_result import RunResult

SHARED = Path(os.environ.get("BENCH_SHARED", str(Path(__file__).parents[2] / "shared")))
SEEDS = 3
CHOICES = (1.0, 3.0, 10.0, 30.0, 100.0)


def main(*words: str) -> None:
    """Measure the files, or those whose names are given; `model=...` and other words with `=` are for dlcli."""
    more, names = [word for word in words if "=" in word], {word for word in words if "=" not in word}
    files = [SHARED / "data" / "text" / "sms.tsv"]
    if folder := os.environ.get("BENCH_TEXTS"):
        files += sorted(Path(folder).glob("*.tsv"))
    files = [file for file in files if file.is_file() and (not names or file.stem in names)]
    if not files:
        print(f"left out: no texts in {SHARED} (BENCH_SHARED and BENCH_TEXTS name folders)")
        return
    heads = ("dlcli", "C=1", "best C", "CPU s", "best C", "ratio", "known C", "ratio")
    print(f"{'':12}{'texts':>7} {'metric':9}" + "".join(f"{head:>8}" for head in heads))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as runs:
        _ours(files[0], 0, runs, more)  # imports, and the store
        for file in files:
            found = [_measured(file, seed, runs, more) for seed in range(SEEDS)]
            metric, rows = found[0][0], found[0][1]
            ours, plain, tuned, seconds, theirs, known = np.mean([each[2:] for each in found], axis=0)
            print(
                f"{file.stem:12}{rows:7,} {metric:9}{ours:8.4f}{plain:8.4f}{tuned:8.4f}{seconds:8.2f}{theirs:8.2f}"
                f"{seconds / theirs:8.2f}{known:8.2f}{seconds / known:8.2f}",
                flush=True,
            )


def _measured(
    file: Path, seed: int, runs: str, more: list[str]
) -> tuple[str, int, float, float, float, float, float, float]:
    result, seconds = _ours(file, seed, runs, more)
    metric = "f1" if file.stem == "sms" else "accuracy"
    split = split_of(Path(result.run_dir), more)
    plain, tuned, theirs, known = _theirs(file, split, metric)
    return (
        metric,
        sum(map(len, split.values())),
        result.metrics[f"test/{metric}"],
        plain,
        tuned,
        seconds,
        theirs,
        known,
    )


def split_of(run_dir: Path, more: list[str]) -> dict[str, np.ndarray]:
    """Return the rows of each part of a run.

    Raises:
        SystemExit: there is no hold-out with validation rows, such as for folds or a refitted model.
    """
    file = run_dir / "split.npz"
    split = dict(np.load(file)) if file.is_file() else {}
    if missing := [part for part in ("train", "val", "test") if not len(split.get(part, ()))]:
        raise SystemExit(
            f"the run has no {missing[0]} rows, on which scikit-learn is compared: leave out the words that change "
            f"the split or refit the model ({' '.join(more)})"
        )
    return split


def _ours(file: Path, seed: int, runs: str, more: list[str]) -> tuple[RunResult, float]:
    import dlcli

    words = ["dataset=text", f"dataset.path='{file}'", "dataset.target=c0", f"cv.seed={seed}", f"seed={seed}"]
    started = time.process_time()
    result = dlcli.train([*words, *more, "trainer.accelerator=cpu", f"runs_dir='{runs}'"])
    return result, time.process_time() - started


def _theirs(file: Path, split: dict[str, np.ndarray], metric: str) -> tuple[float, float, float, float]:
    """Return the test metric for C = 1 and for the best C, and the CPU seconds with and without choosing C."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    started = time.process_time()
    lines = [line.split("\t", 1) for line in file.read_text(encoding="utf-8").strip("\n").split("\n")]
    y, x = (np.array(column, dtype=object) for column in zip(*lines, strict=True))
    y = y.astype(str)
    train, val, test = (split[part] for part in ("train", "val", "test"))
    both = np.concatenate([train, val])

    def fitted(rows: np.ndarray, c: float) -> Callable[[np.ndarray], np.ndarray]:
        model = LogisticRegression(C=c, max_iter=1000).fit(vectors[rows], y[rows])
        classes.append(model.classes_)
        return lambda some: model.predict_proba(vectors[some])

    def judged(c: float) -> float:
        guess = classes[-1][fitted(both, c)(test).argmax(axis=1)]
        if metric == "f1":
            return float(f1_score(y[test], guess, pos_label="spam"))
        return float(accuracy_score(y[test], guess))

    classes: list[np.ndarray] = []
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\d|[^\W\d]+|[^\w\s]+"
    )
    vectorizer.fit(x[both])
    vectors = vectorizer.transform(x)
    read = time.process_time() - started
    best = min(CHOICES, key=lambda c: log_loss(y[val], fitted(train, c)(val), labels=classes[-1]))
    chosen = time.process_time()
    tuned = judged(best)
    ended = time.process_time()
    return judged(1.0), tuned, ended - started, read + ended - chosen


if __name__ == "__main__":
    main(*sys.argv[1:])
