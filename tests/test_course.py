"""The commands of docs/course/ run, training commands with trainer=debug, and create the images of the pages."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.course import PICTURE
from dlcli.cli.app import app
from dlcli.runs.find import find_run
from tests.conftest import ROOT
from tests.test_readme import commands

PAGES = sorted((ROOT / "docs" / "course").glob("*.md"))
DATA = ROOT.parent / "shared"
FILES = ("data/tabular/oil-spill.csv", "data/cifar10-subset.tar", "weights/mobilenetv1_100.safetensors")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder with the files that the pages show and those that they read."""
    folder = tmp_path_factory.mktemp("course")
    text = "\n".join(page.read_text() for page in PAGES)
    for name, content in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", text, re.DOTALL):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (folder / "data").mkdir()
    for name in FILES:
        if (DATA / name).is_file():
            shutil.copy(DATA / name, folder / "data")
    path = list(sys.path)
    yield folder
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{folder}/"):
            del sys.modules[name]


# Every third page in each run of the tests; all of them with DLCLI_LONG_TESTS=1.
CASES = [
    pytest.param(page, marks=[pytest.mark.long] if at % 3 else [], id=page.stem)
    for at, page in enumerate(PAGES)
]


@pytest.mark.parametrize("page", CASES)
def test_the_commands_of_a_page_run(page: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = page.read_text()
    for command in commands(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)):
        words = shlex.split(command)[1:]
        files = re.findall(r"=(data/[^\s']+)", command)
        if not all(Path(file).is_file() for file in files):
            pytest.skip(f"needs shared/ beside the checkout: {', '.join(files)}")
        if words[0] == "train":
            words = [*words, "trainer=debug"]
        if words[0] == "sweep":
            words = [*words, "trainer.max_epochs=1", "sweep.trials=2"]
            if "--trials" in words:
                del words[words.index("--trials") : words.index("--trials") + 2]
        words = [word.replace("input_size=96", "input_size=32") for word in words]  # a ninth of the time
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{command}\n{done.output}"
    # Two trials are too few for some pictures of a sweep.
    sweeps = re.findall(r"^dlcli sweep (?:.*\\\n)*.*--name (\S+)", text, re.MULTILINE)
    for name, plot in PICTURE.findall(text):
        assert name in sweeps or (find_run(name, Path("runs")).run_dir / "plots" / f"{plot}.png").is_file(), (
            name,
            plot,
        )
        assert (page.parent / "pictures" / f"{name}-{plot}.png").is_file()


def test_the_contents_name_every_page() -> None:
    contents = (ROOT / "docs" / "course" / "README.md").read_text()
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", contents))
    assert linked == {page.name for page in PAGES} - {"README.md"}
