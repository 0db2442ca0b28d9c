"""The distribution is called dlcli-experiments; `dlcli` on the package index belongs to someone else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import dlcli
from dlcli import train
from tests.conftest import ROOT

# Installing `dlcli` would fetch a stranger's package, with or without extras and a version.
FORBIDDEN = re.compile(r"(?<![\w-])dlcli\[|(?<![\w-])dlcli==|pip install (-\S+ )*['\"]?dlcli(?!-exp)")


def texts() -> list[Path]:
    folders = ("dlcli", "conf", "docs", "bench", "tests")
    kinds = (".py", ".yaml", ".md", ".toml", ".txt", ".in", ".sh")
    found = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in kinds]
    top = [
        file
        for file in ROOT.iterdir()
        if file.is_file() and (file.suffix in kinds or file.name == "Makefile")
    ]
    return [file for file in (*found, *top) if file != Path(__file__).resolve()]


def test_nothing_names_the_other_package() -> None:
    found = {
        f"{file.relative_to(ROOT)}:{number}": line
        for file in texts()
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FORBIDDEN.search(line)
    }
    assert found == {}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_distribution_and_its_command_have_their_names() -> None:
    about = project()
    assert (about["name"], about["version"]) == ("dlcli-experiments", dlcli.__version__)
    assert list(about["scripts"]) == ["dlcli"]


def test_advice_names_libraries_that_dlcli_uses() -> None:
    extras = project()["optional-dependencies"]
    known = {
        Requirement(line).name for lines in (project()["dependencies"], *extras.values()) for line in lines
    }
    known |= {"psycopg2-binary", "mysqlclient"}
    named: set[str] = set()
    for file in Path(dlcli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for words in re.findall(r"pip install ((?:[\w'\[\]>=.-]+ ?)+)", node.value):
                    plain = (
                        word.strip("'.")
                        for word in words.split()
                        if word[0] != "-" and not word.endswith(".txt")
                    )
                    named |= {Requirement(word).name for word in plain if word}
    assert {"openpyxl", "timm", "transformers", "peft", "ray"} <= named
    assert named <= known


LOOK = """
import sys
from dlcli.inference import pyfunc
pyfunc._load_pyfunc(sys.argv[1])
import importlib.metadata as metadata
names = metadata.packages_distributions()
loaded = {module.partition(".")[0] for module in sys.modules}
print(*sorted({name for module in loaded for name in names.get(module, ())}))
"""


@pytest.mark.slow
def test_the_requirements_of_a_model_are_what_it_needs() -> None:
    result = train(["dataset=iris", "model=mlp", "trainer=debug"])
    lines = (result.run_dir / "model" / "requirements.txt").read_text().splitlines()
    assert lines[0].startswith("# Runs with dlcli ")
    pending = [Requirement(line).name for line in lines if not line.startswith("#")]
    needed: set[str] = set()
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name not in needed:
            needed.add(name)
            try:
                lines = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            found = map(Requirement, lines)
            pending += [x.name for x in found if x.marker is None or x.marker.evaluate({"extra": ""})]
    look = [sys.executable, "-c", LOOK, str(result.run_dir / "model")]
    done = subprocess.run(look, capture_output=True, text=True, check=True)
    loaded = {name.lower().replace("_", "-") for name in done.stdout.split()}
    assert "torch" in loaded
    # Libraries import these if they are there.
    assert loaded - needed - {"dlcli", "dlcli-experiments", "setuptools", "cloudpickle", "dill"} == set()
