"""Figures of masks, boxes, tags, answers, texts and recordings do not change with row order or the number of jobs.

`tests/same_figures.py` holds what does not change with batches and copies of the folder, for the tests of each kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import dlcli
from dlcli.result import Result
from tests.toy_kinds import KINDS, words_of


# The others take as long as a small test file: DLCLI_LONG_TESTS=1.
def some(*quick: str) -> list[object]:
    return [kind if kind in quick else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]


def figures(result: Result) -> dict[str, float]:
    return {name: value for name, value in result.values.items() if name.startswith(("val/", "test/", "cv/"))}


@pytest.mark.parametrize("kind", some("tag", "ctc"))
def test_the_order_of_rows_does_not_matter(kind: str, tmp_path: Path) -> None:
    if kind == "generate":
        pytest.skip("noise is drawn for the places in a batch")
    one, other = (
        figures(dlcli.train(words_of(kind, tmp_path / str(seed), seed, "callbacks=none"))) for seed in (0, 1)
    )
    assert any(name.startswith("test/") for name in one)
    assert other == pytest.approx(one, rel=1e-4, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("kind", some())
def test_the_number_of_jobs_does_not_matter(kind: str, tmp_path: Path) -> None:
    folds = ["cv=kfold", "cv.folds=2", "cv.refit=true", "trainer.max_epochs=1"]
    one, other = (
        dlcli.train(words_of(kind, tmp_path, 0, *folds, f"executor.jobs={jobs}")) for jobs in (1, 2)
    )
    assert figures(other) == pytest.approx(figures(one), rel=0, abs=0, nan_ok=True)
    for place in ("predictions.parquet", "model/weights.safetensors"):
        assert (one.run_dir / place).read_bytes() == (other.run_dir / place).read_bytes(), place
