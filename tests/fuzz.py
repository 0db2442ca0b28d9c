"""Any command line or file gives a result or a handled error. `python -m tests.fuzz` tries many.

    python -m tests.fuzz overrides FIRST LAST     command lines, by their seeds
    python -m tests.fuzz files FIRST LAST         small files of all kinds
    python -m tests.fuzz runs FIRST LAST          folders of runs in which something is damaged

A seed gives the same case each time. Cases run in processes forked from this one, so that a crash and a hang
are seen; each prints what was not foreseen, and the last line counts. `tests/test_fuzz.py` tries some of each.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dlcli.errors import DlcliError, InputError
from tests.fuzz_files import file_case
from tests.fuzz_overrides import override_case
from tests.fuzz_runs import damage, make_base

# Seconds of CPU that a case may take; cases that a process of its own does.
_SECONDS, _TOGETHER = 60, 25

# Marks of messages that were made from a Python error which dlcli should have anticipated.
_PYTHON = (
    "NoneType", "object has no attribute", "not supported between", "object is not", "has no len", "unhashable",
    "KeyError", "IndexError", "AttributeError", "Traceback", "not subscriptable", "not iterable",
)  # fmt: skip


class TooLong(BaseException):
    """A case takes too long."""


def judged(work: Callable[[], object]) -> str:
    """What became of a case: ok, refused, or what was not foreseen."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        work()
    except DlcliError as error:
        odd = next((word for word in _PYTHON if word in str(error)), "")
        return f"odd message: {error}" if odd else "refused"
    except TooLong:
        return "hangs"
    except BaseException as error:
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "/dlcli/" in f.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
        return f"not foreseen: {type(error).__name__} at {place}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return "ok"


def try_overrides(seed: int) -> tuple[str, object]:
    from dlcli.experiment import plan_experiment

    words = override_case(seed)

    def work() -> None:
        experiment = plan_experiment(words, thorough=True)
        if seed % 10 == 0 and len(experiment.data) < 2000:
            experiment.rehearse(quick=True)

    return judged(work), words


def try_file(seed: int) -> tuple[str, object]:
    from dlcli.datasets.image_folder import load as load_images
    from dlcli.datasets.table import load
    from dlcli.datasets.tables.column_selection import ColumnSelection
    from dlcli.datasets.tables.pieces import read_pieces
    from dlcli.datasets.text import load as load_texts
    from dlcli.experiment import plan_experiment

    case = file_case(seed, Path())
    name, options = str(case.path), case.options
    works: list[Callable[[], Any]] = [lambda: load_images(name, on_bad=case.on_bad)]
    if not case.is_image:
        works = [
            lambda: load(name, "y", **options),
            lambda: list(read_pieces(case.path, ColumnSelection({"a": "numeric"}, keep=None), rows=7)),
            lambda: load_texts(name, "y"),
        ]
        if seed % 20 == 0:
            words = ["dataset=table", f"dataset.path={name}", "dataset.target=y", "model=linear"]
            works = [lambda: plan_experiment(words, thorough=True)]
    found = [judged(work) for work in works]
    return next((text for text in found if text not in ("ok", "refused")), found[0]), (name, options)


def try_run(seed: int) -> tuple[str, object]:
    import dlcli
    from dlcli.runner.compare import compare
    from dlcli.runner.evaluate import evaluate
    from dlcli.runner.resume import resume
    from dlcli.runs.folder import open_run

    chance = random.Random(seed)
    base = Path(os.environ["FUZZ_BASE"])
    place = Path("p")
    shutil.copytree(base, place, symlinks=True)
    what = damage(place, chance)
    folder = next(place.glob("runs/*/*/artifacts"), place / "runs")
    command = chance.choice(["eval", "resume", "resume", "load", "compare", *RUN_COMMANDS])
    if command in RUN_COMMANDS:
        return _called(RUN_COMMANDS[command], folder), (command, what)
    works: dict[str, Callable[[], object]] = {
        "eval": lambda: evaluate(str(folder), runs_dir=place / "runs"),
        "resume": lambda: resume(str(folder), ["trainer.max_epochs=3"], runs_dir=place / "runs"),
        "load": lambda: open_run(str(folder), place / "runs").load_model(),
        "compare": lambda: compare([str(folder), str(folder)], runs_dir=place / "runs"),
    }
    assert dlcli
    return judged(works[command]), (command, what)


# Commands as a user types them; RUN is the folder of the damaged run.
RUN_COMMANDS: dict[str, list[str]] = {
    "predict": ["predict", "RUN", "rows.csv"],
    "export": ["export", "RUN", "--output", "x.pt2"],
    "show": ["show", "RUN"],
    "runs": ["runs", "--all"],
    "runs show": ["runs", "show", "RUN"],
    "runs du": ["runs", "du"],
    "runs tag": ["runs", "tag", "RUN", "a=b"],
    "runs rename": ["runs", "rename", "RUN", "other"],
    "runs register": ["runs", "register", "RUN", "models"],
    "runs export": ["runs", "export", "RUN", "x.zip"],
    "runs push": ["runs", "push", "elsewhere", "RUN"],
    "runs rm": ["runs", "rm", "RUN", "--yes"],
    "runs gc": ["runs", "gc", "--older-than", "0s", "--yes"],
    "reproduce": ["reproduce", "RUN"],
    "train --like": ["train", "--like", "RUN", "trainer.max_epochs=1"],
}


def _called(words: list[str], folder: Path) -> str:
    """Return what became of a command: ok, refused, or what was not foreseen."""
    from typer.testing import CliRunner

    from dlcli.cli.app import app

    Path("rows.csv").write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5,3,1,0\n"
    )
    given = [str(folder.parent) if word == "RUN" else word for word in words]
    place = [] if words[0] in ("predict", "export", "show") else ["--runs-dir", str(folder.parents[2])]

    def work() -> None:
        done = CliRunner().invoke(app, [*given, *place])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        if "not foreseen" in done.output or "Traceback" in done.output:
            raise AssertionError(done.output[-400:])
        if done.exit_code != 0:
            raise InputError(done.output)

    return judged(work)


KINDS = {"overrides": try_overrides, "files": try_file, "runs": try_run}


def try_some(kind: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Try cases in a process of their own, and say how many ended how, and what was not foreseen."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _try_all(kind, seeds, writing)
    os.close(writing)
    with os.fdopen(reading) as stream:
        lines = [json.loads(line) for line in stream]
    _, status = os.waitpid(pid, 0)
    ends = Counter(line["end"].partition(":")[0] for line in lines if "end" in line)
    found = [line for line in lines if line.get("end", "ok") not in ("ok", "refused")]
    begun = [line["begun"] for line in lines if "begun" in line]
    if os.waitstatus_to_exitcode(status) != 0:
        ends["crash"] += 1
        found.append(
            {"seed": begun[-1] if begun else seeds[0], "end": f"crash: {os.waitstatus_to_exitcode(status)}"}
        )
        rest = [seed for seed in seeds if begun and seed > begun[-1]]
        if rest:
            after = try_some(kind, rest)
            ends.update(after["ends"])
            found += after["found"]
    return {"ends": ends, "found": found}


def _try_all(kind: str, seeds: Sequence[int], pipe: int) -> None:
    from dlcli.process.quiet import quiet

    def tell(**what: object) -> None:
        os.write(pipe, json.dumps(what, default=str).encode() + b"\n")

    code = 1
    with contextlib.suppress(BaseException):
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        for seed in seeds:
            tell(begun=seed)
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), quiet():
                end, case = KINDS[kind](seed)
            tell(seed=seed, end=end, case=case)
        code = 0
    os._exit(code)


def warm_up() -> None:
    """Import what cases need, which all of them share then."""
    from dlcli.experiment import plan_experiment
    from dlcli.process.quiet import quiet

    with quiet(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("warm.csv").write_text("a,y\n" + "1,u\n2,v\n" * 20)
        words = ["dataset=table", "dataset.path=warm.csv", "dataset.target=y", "model=linear"]
        plan_experiment(words).rehearse(quick=True)


def main() -> None:
    kind, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as base:
        if kind == "runs":
            os.environ["FUZZ_BASE"] = str(make_base(Path(base)))
        else:
            warm_up()
        ends: Counter[str] = Counter()
        unforeseen = 0
        for begin in range(first, last, _TOGETHER):
            tried = try_some(kind, range(begin, min(begin + _TOGETHER, last)))
            ends.update(tried["ends"])
            unforeseen += len(tried["found"])
            for line in tried["found"]:
                print(json.dumps(line)[:600], flush=True)
            print(f"{min(begin + _TOGETHER, last) - first} cases: {dict(ends)}", flush=True)
        print(f"{kind} {first} to {last}: {dict(ends)}, {unforeseen} not foreseen")


if __name__ == "__main__":
    main()
