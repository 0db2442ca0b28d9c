"""`dlcli report`: the page and the tables; an untrusted folder cannot inject anything into them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import dlcli
from dlcli.cli.app import app
from dlcli.reports.style import new_figure, save
from dlcli.tracking.ledger import Ledger

QUICK = ["dataset=iris", "model=mlp", "trainer.max_epochs=6", "optimizer.lr=0.02"]
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """The elements of a page, its text, and every address that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.words += [] if tag == "wbr" else [" "]
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def report(*words: str) -> Result:
    return CliRunner().invoke(app, ["report", *words])


def page_of(*words: str) -> Page:
    done = report(*words, "-o", "page.html")
    assert done.exit_code == 0, done.output
    page = Page(Path("page.html").read_text())
    # Nothing is loaded, and nothing runs.
    assert page.tags.isdisjoint({"script", "iframe", "object", "embed", "link", "base", "form"})
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    assert not any(name.startswith("on") for name in page.attributes)
    return page


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    dlcli.train([*QUICK, "run_name=one"], runs_dir=folder)
    cv = [*QUICK, "trainer.max_epochs=1", "cv=kfold", "cv.folds=2"]
    dlcli.train([*cv, "cv.seeds=2", "run_name=folds"], runs_dir=folder)
    dlcli.train([*cv, "optimizer.lr=0.0001", "run_name=slow"], runs_dir=folder)
    space = ["model.hidden=4,8", "optimizer.lr=0.01,0.02", "sweep.trials=4", "cv.test_size=0.2"]
    dlcli.sweep(
        ["dataset=iris", "model=mlp", "trainer.max_epochs=1", *space, "run_name=search"], runs_dir=folder
    )
    return folder


def test_the_page_of_a_run_describes_it(runs_dir: Path) -> None:
    page = page_of("one", "--runs-dir", str(runs_dir))
    for text in (
        "MLP (17,539 parameters) was trained on iris (150 rows, 3 classes) (task multiclass, loss CrossEntropy).",
        "102 rows for training, 18 validation rows for choosing the epoch, and 30 test rows, used once at the end.",
        "fitted on 102 of 150 rows; 0 validation or test rows seen",
        "final test rows 30 rows",
        "one on iris: loss",
        "No row is in two parts.",
        "sepal length (cm) numeric, 4.3 to 7.9, mean 5.843",
        "setosa 50 33.3%",
        "There are no warnings about the data.",
        "Changed from the defaults",
        "dlcli train dataset=iris model=mlp",
        "Confusion matrix",
    ):
        assert text in page.text
    assert {"svg", "img", "table", "details"} <= page.tags
    assert "What is missing" not in page.text


def test_a_cross_validation(runs_dir: Path) -> None:
    page = page_of("folds", "--runs-dir", str(runs_dir))
    assert (
        "2 splits, each with 2 training seeds: every model is evaluated on rows that it was not trained on"
        in page.text
    )
    assert "Mean over 2 splits x 2 seeds, 150 held-out rows in all." in page.text
    assert "folds, each fold on its held-out rows fold seed rows" in page.text


def test_the_page_of_a_sweep_describes_its_trials(runs_dir: Path) -> None:
    page = page_of("search", "--runs-dir", str(runs_dir))
    assert "4 trials were trained and evaluated on 120 rows." in page.text
    assert "importance of settings" in page.text
    assert "The best trial is marked." in page.text
    assert page.text.count("Train the best trial again:") == 1


def test_the_page_of_several_runs_compares_them(runs_dir: Path) -> None:
    page = page_of("folds", "slow", "one", "--runs-dir", str(runs_dir))
    assert "3 runs are compared by accuracy" in page.text
    assert "Settings that differ" in page.text
    page = page_of("folds", "slow", "--runs-dir", str(runs_dir))
    assert "corrected paired t-test" in page.text
    done = report("folds", "folds", "--runs-dir", str(runs_dir))
    assert (done.exit_code, "is named twice" in done.stderr) == (2, True)


def test_tables_for_a_paper(runs_dir: Path) -> None:
    place = ("--runs-dir", str(runs_dir))
    latex = report("folds", "slow", *place, "--format", "latex").stdout
    assert re.search(r"    folds & \$0\.\d+ \\pm 0\.\d+\$ & ", latex)
    assert r"\bottomrule" in latex
    markdown = report("one", *place, "--format", "md").stdout
    assert re.search(r"\| accuracy \| \d\.\d+ \[0\.\d+, \d\.\d+\] \| 0\.3333 \|", markdown)
    done = report("one", *place, "-o", "one.csv")
    assert done.exit_code == 0, done.output
    assert Path("one.csv").read_text().startswith("metric,test,test low,test high,test baseline,val")
    document = json.loads(report("one", *place, "--format", "csv", "--json").stdout)
    assert document["tables"][0]["rows"][1]["metric"] == "accuracy"
    assert document["output"] is None
    wrong = report("one", *place, "-o", "one.csv", "--format", "md")
    assert (wrong.exit_code, "Use one of .md." in wrong.stderr) == (2, True)


def test_the_default_file_replaces_reports_only(runs_dir: Path) -> None:
    place = ("--runs-dir", str(runs_dir))
    assert "Written: one-report.html" in report("one", *place).stdout
    assert report("one", *place).exit_code == 0
    Path("one-report.html").write_text("mine")
    done = report("one", *place)
    assert done.exit_code == 2
    assert "exists and is not a report" in done.stderr
    assert Path("one-report.html").read_text() == "mine"
    assert [file.name for file in Path.cwd().iterdir()] == ["one-report.html"]


def test_neither_torch_nor_mlflow_is_loaded(runs_dir: Path) -> None:
    never = {"torch", "mlflow", "matplotlib", "sklearn", "hydra", "omegaconf"}
    look = (
        f"import sys, dlcli\ndlcli.report('one', 'x.html', runs_dir={str(runs_dir)!r})\n"
        f"print(sorted({never!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def toy(name: str, number: int = 1, **fields: Any) -> Ledger:
    folder = Path("runs").absolute() / "iris" / f"{number:032x}" / "artifacts"
    (folder / "plots").mkdir(parents=True)
    own = {
        "kind": "run",
        "token": f"{number:016x}",
        "status": "FINISHED",
        "metrics": {"test/loss": 0.6, "test/accuracy": 0.9},
        "result": {"metrics": ["test/loss", "test/accuracy"], "messages": ["It converged."]},
    }
    made = Ledger(folder, folder.parent.name, name, "iris", **{**own, **fields})
    made.update(durable=False)
    return made


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("FAILED", "The run FAILED: no memory"),
        ("KILLED", "The run was KILLED before its end"),
        ("RUNNING", "The run was KILLED before its end"),  # its process is gone
    ],
)
def test_a_run_that_has_not_finished(status: str, said: str) -> None:
    ledger = toy(
        "first", status=status, error="no memory\n  Use less." if status == "FAILED" else None, result={}
    )
    lines = [
        {"step": x, "time_ms": 0, "metrics": {"train/loss": 1 / (x + 1), "val/loss": 1.0, "val/f1": 0.5}}
        for x in range(3)
    ]
    (ledger.run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = page_of("first")
    assert said in page.text
    assert "Too short for a diagnosis after 3 epochs" in page.text
    assert "first on iris: f1" in page.text
    assert "svg" in page.tags
    assert report("first", "--format", "md").exit_code == 2


def test_missing_files_are_named() -> None:
    toy("first", kind="cv", result={"folds": ["gone"], "metrics": ["test/loss"], "messages": []})
    text = page_of("first").text
    for said in (
        "What is missing",
        "The configuration:",
        "The split:",
        "A fold:",
        "recorded without digests",
    ):
        assert said in text
    assert "without a profile of the data" in text


def test_the_content_of_a_run_is_shown_as_text(tmp_path: Path) -> None:
    ledger = toy(
        f"{EVIL}\x1b[2J",
        metrics={f"test/{EVIL}": 0.5, "test/loss": 1.0},
        result={
            "metrics": ["test/loss", f"test/{EVIL}"],
            "messages": [f"{EVIL} token=hf_abcdefghijklmnopqrstuvwxyz012345"],
            "notices": [{"text": EVIL, "hint": EVIL, "warns": True}],
        },
        tags={"dlcli.note": f"<img src=x onerror=alert(1)> {EVIL}", EVIL: EVIL, "dlcli.host": EVIL},
        about={
            "panel": {"data": EVIL, "model": EVIL, "task": EVIL},
            "profile": {"rows": 3, "rows_are": EVIL, "classes": {EVIL: 3}, "columns": {EVIL: EVIL}},
            "warnings": [{"where": EVIL, "message": EVIL, "hint": EVIL}],
        },
    )
    (ledger.run_dir / "config.yaml").write_text(
        "model: {_target_: '</style></pre><script>x</script>', api_key: hunter2}\n"
    )
    (ledger.run_dir / "overrides.txt").write_text(f"model='{EVIL}'\n")
    (ledger.run_dir / "environment.txt").write_text(f"</pre>{EVIL}==1\x1b\n")
    figure, _ = new_figure(width=1, height=1)
    save(figure, tmp_path / "mine.png")
    plots = ledger.run_dir / "plots"
    (plots / "link.png").symlink_to(tmp_path / "mine.png")
    (plots / "roc.png").write_bytes(b"<svg onload=alert(1)>")
    (plots / "x.svg").write_text(f"<svg>{EVIL}</svg>")
    done = report(str(ledger.run_dir), "-o", "page.html")
    text = Path("page.html").read_text()
    page = page_of(str(ledger.run_dir))
    assert EVIL in page.text
    assert "<script" not in text and "\x1b" not in text + done.output
    assert "hunter2" not in text and "hf_abcdefghij" not in text
    assert "img" not in page.tags
    for name in ("link.png", "roc.png", "x.svg"):
        assert f"The picture {name} " in page.text


def test_texts_that_are_links_are_not_shown(tmp_path: Path) -> None:
    ledger = toy("first")
    (tmp_path / "private").write_text("very private\n")
    for name in ("environment.txt", "overrides.txt"):
        (ledger.run_dir / name).symlink_to(tmp_path / "private")
    page = page_of("first")
    assert "very private" not in page.text
    assert "Not read, since a run has no links: overrides.txt, environment.txt." in page.text


def test_changed_files_are_reported() -> None:
    ledger = toy("first", digests={"config.yaml": ["0" * 64]})
    (ledger.run_dir / "config.yaml").write_text("model: {}\n")
    assert "differs from what was recorded: SHA-256 mismatch" in page_of("first").text
