"""The default for tables beside trees, linear models and other networks: 17 tables, 3 splits of each.

Each result is appended to `runs/bench-tables/results.csv`, and only missing ones are computed, so that the measurement
can be stopped and go on. `make bench ARGS="tables dlcli_default,realmlp_td"` computes some methods only, a third
argument some tables, a fourth some splits; with `ARGS="tables none"` the summary alone is printed. RealMLP-TD runs in
an environment of its own, `runs/bench-tables/realmlp`, which is made when it is first needed.

A split holds 20 % of the rows out. The methods see the same training rows; networks choose their validation rows among
them. Figures are log loss for classes and RMSE for numbers, and the CPU time of the fit and the predictions: for dlcli
that of the whole command, record and pictures included.
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench import _table_peers as peers
from bench._table_peers import REALMLP, SKLEARN
from bench._table_sets import SHARED, TableSet

SPLITS, TEST_SHARE = 3, 0.2
COLUMNS = ["table", "split", "method", "figure", "accuracy", "auroc", "cpu_s"]

OWN: dict[str, list[str]] = {
    "dlcli_default": [],
    "dlcli_mlp": ["model=mlp"],
    "dlcli_mlp_piecewise": [
        *("model=mlp", "model.numbers=piecewise", "optimizer=adamw_table", "trainer=long"),
    ],
    # Its time is that of a clock, so that its figures depend on the machine.
    "dlcli_effort_best": ["effort=best", "sweep.timeout=2m"],
}


def main(methods: str = "", tables: str = "", splits: str = "") -> None:
    measure(SHARED, methods, tables, splits)


def measure(of: TableSet, methods: str, tables: str, splits: str) -> None:
    """Compute the missing results of a set of tables, and print its summary."""
    if reason := of.missing():
        print(reason)
        return
    every = [*SKLEARN, *OWN, REALMLP]
    chosen = methods.split(",") if methods else every
    if unknown := [method for method in chosen if method not in (*every, "none")]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; the methods are {', '.join(every)}")
    numbers = [int(number) for number in splits.split(",")] if splits else range(SPLITS)
    of.place.mkdir(parents=True, exist_ok=True)
    done = {(row["table"], int(row["split"]), row["method"]) for row in known(of)}
    for split in numbers:
        for table in tables.split(",") if tables else of.tables:
            for method in chosen:
                if method != "none" and (table, split, method) not in done:
                    keep(of, table, split, method, run(method, split_of(of, table, split)))
    summarize(of, pd.DataFrame(list(known(of))))


def known(of: TableSet) -> Iterator[dict[str, str]]:
    if of.results.exists():
        with of.results.open(newline="") as file:
            yield from csv.DictReader(file)


def keep(of: TableSet, table: str, split: int, method: str, found: dict[str, float]) -> None:
    figure = found.get("log_loss", found.get("rmse"))
    row = [table, split, method, figure, found.get("accuracy"), found.get("auroc"), found["cpu_s"]]
    print(*(f"{value:.4g}" if isinstance(value, float) else value for value in row), flush=True)
    is_new = not of.results.exists()
    with of.results.open("a", newline="") as file:
        csv.writer(file).writerows(([COLUMNS] if is_new else []) + [row])


def split_of(of: TableSet, table: str, split: int) -> Path:
    """Write the training and test rows of a split, and return their folder."""
    folder = of.place / "splits" / f"{table}-{split}"
    if (folder / "about.json").exists():
        return folder
    frame, target, classes = of.read(table)
    order = np.random.default_rng(split).permutation(len(frame))
    if classes:  # every class keeps its share
        codes = frame[target].astype("category").cat.codes.to_numpy()[order]
        order = order[np.argsort(codes, kind="stable")]
        is_test = np.arange(len(order)) % round(1 / TEST_SHARE) == split
    else:
        is_test = np.arange(len(order)) < TEST_SHARE * len(order)
    folder.mkdir(parents=True, exist_ok=True)
    shuffled = np.random.default_rng(split).permutation
    frame.iloc[shuffled(order[~is_test])].to_csv(folder / "train.csv", index=False)
    frame.iloc[order[is_test]].to_csv(folder / "test.csv", index=False)
    (folder / "about.json").write_text(json.dumps({"target": target, "classes": classes, "seed": split}))
    return folder


def run(method: str, folder: Path) -> dict[str, float]:
    """Return the figures of one method on one split."""
    if method in SKLEARN:
        return peers.main(method, str(folder))
    if method == REALMLP:
        script = str(Path(peers.__file__))
        done = subprocess.run([realmlp_python(), script, method, str(folder)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found
    return own(OWN[method], folder)


def own(words: list[str], folder: Path) -> dict[str, float]:
    import dlcli

    about = json.loads((folder / "about.json").read_text())
    target = about["target"]
    started = cpu_seconds()
    kind = "categorical" if about["classes"] else "numeric"
    result = dlcli.train(
        [
            *(
                "dataset=table",
                f"dataset.path='{folder}/train.csv'",
                f"dataset.test_path='{folder}/test.csv'",
            ),
            *(f"dataset.target={target}", f"dataset.types={{{target}: {kind}}}", "trainer.accelerator=cpu"),
            *(f"seed={about['seed']}", f"runs_dir='{folder.parents[1] / 'runs'}'", *words),
        ]
    )
    found = {name.removeprefix("test/"): value for name, value in result.values.items() if "test/" in name}
    return {**found, "cpu_s": cpu_seconds() - started}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended: trials with a time limit are such."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def realmlp_python() -> str:
    """Return the interpreter of an environment with pytabkit, which is made if it is not there."""
    folder = SHARED.place / "realmlp"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "pytabkit==1.8.0"], check=True)
        (folder / "done").touch()
    return str(folder / "bin" / "python")


def summarize(of: TableSet, rows: pd.DataFrame) -> None:
    """Print a line per method, over the tables and splits that all methods have, and draw their mean ranks."""
    from dlcli.comparison.critical_difference import critical_difference
    from dlcli.reports.style import save
    from dlcli.statistics.mean_ranks import friedman

    if rows.empty:
        return
    rows[["figure", "cpu_s"]] = rows[["figure", "cpu_s"]].astype(float)
    wide = rows.pivot_table(index=["table", "split"], columns="method", values="figure").dropna()
    cpu = rows.pivot_table(index=["table", "split"], columns="method", values="cpu_s").loc[wide.index]
    if wide.shape[0] < 2 or wide.shape[1] < 3:
        print(f"{len(wide)} splits have results of all {wide.shape[1]} methods: too few to compare")
        return
    by_table = wide.groupby("table").mean()
    relative = np.exp(np.log(by_table.div(by_table.min(axis=1), axis=0)).mean())
    ranking = friedman(by_table.to_numpy(), higher_is_better=False)
    names = list(by_table.columns)
    found = pd.DataFrame(
        {
            "mean rank": ranking.ranks,
            "relative": relative.to_numpy(),
            "CPU s": cpu.mean().to_numpy(),
        },
        index=names,
    ).sort_values("mean rank")
    print(by_table.round(4).to_string())
    print(f"\n{len(by_table)} tables, {len(wide)} splits: figures of a table are means over its splits")
    print(found.round(3).to_string())
    save(critical_difference(names, ranking, "log loss or RMSE"), of.place / "ranks.png")
    print(f"drawn: {of.place / 'ranks.png'}")
