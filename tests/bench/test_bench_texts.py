"""The measurement of texts: what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.texts import split_of


def test_runs_without_validation_rows_are_refused_with_the_words(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no train rows.*\(cv=kfold\)"):
        split_of(tmp_path, ["cv=kfold"])
    rows = np.arange(3)
    np.savez(tmp_path / "split.npz", train=rows, val=rows[:0], test=rows)
    with pytest.raises(SystemExit, match=r"no val rows.*\(cv.refit=true\)"):
        split_of(tmp_path, ["cv.refit=true"])
    np.savez(tmp_path / "split.npz", train=rows, val=rows, test=rows)
    assert list(split_of(tmp_path, [])) == ["train", "val", "test"]
