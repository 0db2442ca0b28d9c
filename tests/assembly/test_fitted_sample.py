"""The preprocessing of a sample of rows is fitted once for all points of a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.preprocessing.table import Table
from dlcli.sweeps.planning import plan_sweep


def test_a_search_fits_the_preprocessing_of_a_sample_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    fit = Table.fit

    def counted(table: Table, x: object) -> Table:
        rows.append(len(x))  # type: ignore[arg-type]
        return fit(table, x)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "fit", counted)
    lines = ["a,b,t", *(f"{n},{n % 5},{n % 3}" for n in range(60))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    words = ["dataset=table", f"dataset.path='{tmp_path}/rows.csv'", "dataset.target=t", "model=tabm"]
    plan = plan_sweep([*words, "sweep=auto", f"runs_dir='{tmp_path}'"])
    assert len(list(plan.space.neighbours())) > 10
    assert len(rows) <= 2  # to count the columns, and for the checks
