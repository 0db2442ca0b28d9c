"""Damaged, edited or swapped files of a run are rejected by name, or have no effect on any metric."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcli
from dlcli.tracking.ledger import LEDGER_FILE
from tests.processes import run

IRIS = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=2", "trainer.accelerator=cpu"]

# Files that only people read: commands may work without them.
FOR_PEOPLE = (
    "plots/",
    "breakdown.csv",
    "model_summary.txt",
    "environment.txt",
    "model/requirements.txt",
    "model/python_env.yaml",
    "model/MLmodel",
)


def cut(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def random(file: Path, other: Path) -> None:
    file.write_bytes(np.random.default_rng(len(file.name)).bytes(file.stat().st_size))


def flip(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    draw = np.random.default_rng(len(file.name))
    content[draw.integers(len(content))] ^= 1 << int(draw.integers(8))
    file.write_bytes(content)


def delete(file: Path, other: Path) -> None:
    file.unlink()


def folder(file: Path, other: Path) -> None:
    file.unlink()
    file.mkdir()


def unharmed(file: Path, other: Path) -> None:
    pass


def swap(file: Path, other: Path) -> None:
    shutil.copyfile(other, file)


NEW_ROWS = """sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)
5.1,3.5,1.4,0.2
6.2,2.9,4.3,1.3
"""

KINDS = (cut, empty, random, flip, delete, folder, swap)


def make_runs(place: Path) -> tuple[Path, Path, Path]:
    """The runs folder, a finished run, and another run of the same kind."""
    with contextlib.chdir(place):
        first, second = (
            dlcli.train([*IRIS, f"run_name={name}", f"seed={seed}"]).run_dir
            for seed, name in enumerate(["first", "second"])
        )
    return place, first, second


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make_runs(tmp_path_factory.mktemp("damage"))


@contextlib.contextmanager
def damaged(file: Path, kind: Callable[[Path, Path], None], other: Path) -> Iterator[None]:
    """Damage a file, and restore the run's folder on exit, including what a command has written."""
    run_dir = next(parent for parent in file.parents if parent.name == "artifacts")
    kept = shutil.copytree(run_dir, run_dir.parents[2] / "kept")
    try:
        kind(file, other)
        yield
    finally:
        shutil.rmtree(run_dir)
        shutil.copytree(kept, run_dir)
        shutil.rmtree(kept)


def figures(answer: str) -> dict[str, Any]:
    document = json.loads(answer)
    return {key: document.get(key) for key in ("metrics", "figures", "pairs")}


def commands(first: Path, second: Path, *, more: bool = False) -> list[list[str]]:
    new = first.parents[2].parent / "new.csv"
    return [
        ["eval", str(first), "--json"],
        ["predict", str(first), str(new), "--json"],
        ["compare", str(first), str(second), "--json"],
        ["resume", str(first), *(["trainer.max_epochs=3"] if more else []), "--json"],
    ]


def files_of(run_dir: Path) -> list[str]:
    return sorted(file.relative_to(run_dir).as_posix() for file in run_dir.rglob("*") if file.is_file())


def outcomes(runs: tuple[Path, Path, Path], *, thorough: bool) -> Counter[str]:
    """Damage each file in each way; each command that is run must reject it by name or give the same metrics.

    Returns the number of times of each outcome.
    """
    place, first, second = runs
    (place / "new.csv").write_text(NEW_ROWS)
    several = commands(first, second, more=thorough)
    sound = {}
    for command in several:
        with damaged(first / LEDGER_FILE, unharmed, second):
            sound[command[0]] = run(command, place)
    assert {name: done.returncode for name, done in sound.items()} == dict.fromkeys(sound, 0), sound
    counts: Counter[str] = Counter()
    turn = itertools.cycle(several)
    for name in files_of(first):
        if name.startswith(FOR_PEOPLE):
            continue
        for kind in KINDS:
            if kind is swap and (name == LEDGER_FILE or not (second / name).exists()):
                continue  # with the complete record of another run, it is that run
            for command in several if thorough else [next(turn)]:
                with damaged(first / name, kind, second / name):
                    done = run(command, place)
                counts[
                    judge(f"{command[0]} after {kind.__name__} of {name}", name, done, sound[command[0]])
                ] += 1
        next(turn)  # otherwise, each kind of damage would always be tested with the same command
    return counts


def judge(what: str, name: str, done: Any, sound: Any) -> str:
    told = f"{what}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, told
    assert "not foreseen" not in done.stdout + done.stderr, told
    if done.returncode:
        assert done.returncode in (1, 2), told
        (problem, *_) = json.loads(done.stdout)["errors"]
        assert Path(name).name in " ".join(problem.values()), told
        assert problem["hint"], told
        return "refused"
    if what.startswith("predict"):
        assert done.stdout == sound.stdout, told
    else:
        assert figures(done.stdout) == figures(sound.stdout), told
    return "same figures"


def test_damage_is_refused_by_name_or_changes_no_figure(runs: tuple[Path, Path, Path]) -> None:
    """Every file in every way, with one command each; `python -m tests.runs.test_damage` uses all commands."""
    counts = outcomes(runs, thorough=False)
    assert counts["refused"] > 30, counts


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(outcomes(make_runs(Path(place)), thorough=True))
