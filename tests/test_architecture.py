"""Imports between packages go in one direction, and `--help` imports nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import dlcli

PACKAGE = Path(dlcli.__file__).parent

# From top to bottom: a layer imports only itself and the layers below it.
LAYERS = (
    ("completion", "cli", "api"),
    ("terminal", "runner", "templates"),
    ("page", "serving"),
    ("comparison", "prediction", "exporting", "resumption", "sweeps"),
    ("experiment", "cross_validation"),
    ("executors", "job", "checks", "assembly", "runs"),
    (
        "inference",
        "reports",
        "stacking",
        "training",
        "tasks",
        "models",
        "splits",
        "preprocessing",
        "augmentation",
    ),
    ("datasets", "statistics", "distributed"),
    ("tracking", "config", "gate", "result"),
    ("process", "sanitize", "files", "formatting", "errors", "events"),
)
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}

HEAVY = (
    "torch",
    "pytorch_lightning",
    "mlflow",
    "hydra",
    "omegaconf",
    "pandas",
    "numpy",
    "optuna",
    "matplotlib",
    "sklearn",
)


@dataclass(frozen=True)
class Source:
    """What the tests need of a module's syntax tree, which is read once.

    Attributes:
        below: the first components below `dlcli` of what it imports, except for type checking.
        froms: line, module and names of each `from ... import`.
        late: modules that functions import.
        bound: names that it assigns, defines or imports.
        defined: public classes and functions at its top level.
    """

    below: frozenset[str]
    froms: tuple[tuple[int, str, tuple[str, ...]], ...]
    late: tuple[str, ...]
    bound: frozenset[str]
    defined: tuple[str, ...]


@cache
def source(file: Path) -> Source:
    below: set[str] = set()
    froms: list[tuple[int, str, tuple[str, ...]]] = []
    late: list[str] = []
    bound: set[str] = set()

    def walk(node: ast.AST, in_function: bool, checked_only: bool) -> None:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                bound.add(node.id)
            return
        if isinstance(node, (ast.ImportFrom, ast.Import)):
            own = getattr(node, "module", None)
            names = [alias.name for alias in node.names]
            bound.update(alias.asname or alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                froms.append((node.lineno, own or "", tuple(names)))
            modules = names if isinstance(node, ast.Import) else [own] if own else []
            if in_function:
                late.extend(modules)
            whole = [f"{own}.{name}" for name in names] if own else []
            for name in [] if checked_only else [*modules, *whole]:
                parts = name.split(".")
                if parts[0] == "dlcli" and len(parts) > 1 and parts[1] in LEVEL:
                    below.add(parts[1])
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        in_function = in_function or isinstance(node, ast.FunctionDef)
        checked_only = checked_only or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        for child in ast.iter_child_nodes(node):
            walk(child, in_function, checked_only)

    tree = ast.parse(file.read_text())
    walk(tree, False, False)
    public = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    return Source(
        frozenset(below), tuple(froms), tuple(late), frozenset(bound),
        tuple(name for name in public if not name.startswith("_")),
    )  # fmt: skip


# Imports within functions, below `dlcli/cli`: the reason, the modules, and what they import there.
LATE = (
    (
        "the module of a command, when it is called",
        r"api/|__main__|executors/ray_cluster",
        r"dlcli|pandas|pyarrow",
    ),
    (
        "an optional package",
        r"datasets/|models/|training/lora|exporting/|executors/slurm|runner/explained_rows",
        r"dlcli.(datasets.huggingface|exporting.table_graph|inference.saliency)|huggingface_hub|transformers|timm|segmentation_models_pytorch|torch|peft|openpyxl"
        r"|pillow_heif|onnx|executorch|submitit|soundfile",
    ),
    (
        "MLflow, with dlcli's defaults and before a lock",
        r"tracking/|runs/registration",
        r"mlflow|sqlalchemy|requests|filelock|dlcli.tracking",
    ),
    (
        "what `--version` and completion do not draw",
        r"terminal/(console|outcome|flowing)|sanitize/outlet",
        r"rich|dlcli.config",
    ),
    ("what a command does not need that reads runs", r"config/(overrides|environment)", r"hydra|omegaconf"),
    ("", r"runner/report", r"dlcli.(comparison|page)"),
    ("", r"gate/fitted_objects|inference/saved_model", r"skops"),
    ("", r"tasks/", r"dlcli.reports|sklearn|sacrebleu"),
    ("", r"datasets/boxes/boxes", r"sklearn"),
    ("", r"comparison/|runs/", r"dlcli.inference"),
    ("", r"models/(hist_gradient_boosting|random_forest)", r"dlcli.models.tree_growth"),
    ("", r"reports/sweep_plots|sweeps/samplers|datasets/audio/audio_(decoder|loading)", r"scipy"),
    (
        "a process that is bound first",
        r"executors/(template|worker|local)",
        r"dlcli|torch|numpy|threadpoolctl",
    ),
    ("what may be broken", r"checks/machine", r"torch"),
    (
        "plots, which folds and trials do not have",
        r"reports/(run|generation)_report|assembly/finder_run|sweeps/sweep_report|cross_validation/parent_report",
        r"dlcli.(reports|sweeps)",
    ),
)


def parts() -> list[tuple[str, Path]]:
    files = [(file.relative_to(PACKAGE).parts[0].removesuffix(".py"), file) for file in PACKAGE.rglob("*.py")]
    return [(part, file) for part, file in files if part not in ("__init__", "__main__", "conf")]


def test_every_part_has_its_layer() -> None:
    assert {part for part, _ in parts()} == set(LEVEL)


@pytest.mark.parametrize("part", LEVEL)
def test_imports_go_down(part: str) -> None:
    for owner, file in parts():
        if owner == part:
            assert not {other for other in source(file).below if LEVEL[other] < LEVEL[part]}, file


def test_all_output_passes_through_one_outlet() -> None:
    """It removes secrets and control characters; `plain` makes texts for output that another library lays out."""
    # Documents of the console, the version, dlcli's own script, and candidates for a shell, which are filtered.
    known = {
        "terminal/console.py",
        "sanitize/outlet.py",
        "sanitize/presentable.py",
        "cli/app.py",
        "cli/completion.py",
        "completion/answer.py",
    }
    ways = re.compile(
        r"(?<![\w.])print\(|\bstd(out|err)\.write\(|\b(typer|click)\.s?echo\(|\bConsole\(|\bfrom rich\.text import"
        r"|\bfrom rich import print|\btraceback\.print_"
    )
    found = {str(file.relative_to(PACKAGE)) for _, file in parts() if ways.search(file.read_text())}
    assert found <= known


def test_modules_are_small() -> None:
    longest = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for _, file in parts()}
    assert {name: lines for name, lines in longest.items() if lines > 350} == {}, "split them, by idea"


@pytest.mark.parametrize(
    "statement",
    [
        "import dlcli",
        "import dlcli.terminal.console, dlcli.errors",
        "import dlcli.runner",
        "from dlcli.cli import app; app.app(['--help'], standalone_mode=False)",
        "from dlcli.cli import app; app.app(['train', '--help'], standalone_mode=False)",
        "from dlcli.cli import app; app.app(['--version'], standalone_mode=False)",
    ],
)
def test_help_is_instant(statement: str) -> None:
    look = f"{statement}\nimport sys\nloaded = set({HEAVY!r}) & set(sys.modules)\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_public_surface() -> None:
    names = [
        "check",
        "compare",
        "ensemble",
        "evaluate",
        "explain",
        "export",
        "generate",
        "label",
        "load_run",
        "predict",
        "report",
        "resume",
        "sweep",
        "train",
    ]
    assert dlcli.__all__ == names
    assert [name for name in dir(dlcli) if not name.startswith("_")] == dlcli.__all__
    for name in dlcli.__all__:
        assert callable(getattr(dlcli, name))


def test_imports_stand_at_the_top_except_for_a_reason() -> None:
    found = {
        (place, name)
        for _, file in [*parts(), ("", PACKAGE / "__init__.py"), ("", PACKAGE / "__main__.py")]
        if not (place := str(file.relative_to(PACKAGE))).startswith("cli/")
        for name in source(file).late
    }
    for _, where, what in LATE:
        matching = {(place, name) for place, name in found if re.match(where, place) and re.match(what, name)}
        assert matching, f"{where} is no longer needed"
        found -= matching
    assert found == set()


def test_imported_modules_and_names_exist() -> None:
    """Those within functions too, which fail only when they are called."""
    folder = PACKAGE.parent
    sources = {
        file.relative_to(folder): source(file)
        for part in ("dlcli", "tests", "bench")
        for file in (folder / part).rglob("*.py")
    }
    known: dict[str, set[str]] = defaultdict(set)
    for file, found in sources.items():
        name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        known[name] |= found.bound
        while "." in name:
            name, _, inner = name.rpartition(".")
            known[name].add(inner)
    missing = [
        f"{file}:{line} {module}.{name}"
        for file, found in sources.items()
        for line, module, names in found.froms
        if module.split(".")[0] in ("dlcli", "tests")
        for name in names
        if name not in known[module]
    ]
    assert missing == []


def test_modules_form_no_circle() -> None:
    """Not by their annotations either."""
    names = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for _, file in parts()}
    edges = {}
    for name, file in names.items():
        edges[name] = {
            at
            for _, module, names_ in source(file).froms
            for at in (module, *(f"{module}.{one}" for one in names_))
        }
    while leaves := {name for name, below in edges.items() if not below & set(edges)}:
        edges = {name: below for name, below in edges.items() if name not in leaves}
    assert edges == {}


def test_no_module_takes_the_name_of_a_function() -> None:
    """The import of `dlcli.NAME` would replace the function of that name."""
    assert not {part for part, _ in parts()} & set(dlcli.__all__)


def test_three_modules_know_the_inside_of_hydra() -> None:
    inside = re.compile(
        r"hydra\.(_internal|core\.(singleton|global_hydra))|_instances|initialize_config_dir|Could not (find|override)"
    )
    found = {str(file.relative_to(PACKAGE)) for _, file in parts() if inside.search(file.read_text())}
    assert found == {f"config/hydra_{name}.py" for name in ("compose", "problems", "shortcuts")}


# Names that stand in several modules, each of which is one of a kind.
ONE_OF_A_KIND = {
    "load",  # the function of each dataset's module
    "main",  # of each module that is run as a program
    "PretrainedText",  # the model, and its preprocessing; the runs of users contain both names
}


def test_a_public_name_has_one_meaning() -> None:
    """A command's name is also that of its function in the runner and in the Python API."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, file in parts():
        for name in source(file).defined:
            found[name].add(str(file.relative_to(PACKAGE)))
    for command in {*dlcli.__all__, "reproduce", "serve", "ui"}:
        found[command] -= {
            f"cli/{command}.py",
            f"runner/{command}.py",
            "api/experiments.py",
            "api/trained_runs.py",
            "api/explanations.py",
            "api/predictions.py",
        }
    several = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert {name: modules for name, modules in several.items() if name not in ONE_OF_A_KIND} == {}
    assert {name: found[name] for name in dlcli.__all__ if found[name]} == {}
    assert set(several) >= ONE_OF_A_KIND, "a name is no longer needed"


def test_a_file_name_occurs_once() -> None:
    """Except for commands (`cli/`, `runner/`), and for options with one name in several groups, such as `table`."""
    options = {option.stem for option in (PACKAGE.parent / "conf").glob("*/*.yaml")}
    found: dict[str, set[str]] = defaultdict(set)
    for part, file in parts():
        if part not in ("cli", "runner", "templates") and file.name != "__init__.py":
            found[file.stem].add(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in found.items() if len(files) > 1 and name not in options} == {}


def test_files_of_tests_are_named_after_modules() -> None:
    """A file has the name of a module or package of its room, with the room's if the name is taken elsewhere.

    pytest imports files of folders without `__init__.py` under their bare names, so that a name occurs once. Files of
    other subjects are listed in tests/README.md.
    """
    tests = PACKAGE.parent / "tests"
    others = set()
    for file in tests.glob("*/**/test_*.py"):
        room = PACKAGE / file.parent.relative_to(tests)
        known = {path.stem for path in room.glob("*")} | {room.name}
        known |= {joined for one in known for joined in (f"{one}_{room.name}", f"{room.name}_{one}")}
        if file.stem.removeprefix("test_") not in known:
            others.add(file.stem)
    assert set(re.findall(r"`(test_\w+)`", (tests / "README.md").read_text())) == others
    names = [file.name for file in tests.glob("*/**/test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
