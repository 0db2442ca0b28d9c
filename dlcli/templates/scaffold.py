"""Write a new part, an experiment or a project to the user's folder; each can be trained without changes."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from dlcli.config.folders import PROJECT_FILE, options, shipped_folder, user_folders
from dlcli.config.yaml_file import display
from dlcli.errors import InputError, Problem
from dlcli.formatting import shell_line
from dlcli.templates import Kind

_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class _Template:
    """A kind of part.

    Attributes:
        group: the configuration group.
        stem: name of the template's files, which is replaced.
        package: name of the folder of code.
        words: what trains the new option, with {} for its name.
    """

    group: str
    stem: str
    package: str
    words: tuple[str, ...]


_SMALL = ("dataset=iris", "model=mlp")

_PARTS = {
    "model": _Template("model", "mynet", "models", ("model={}",)),
    # The default model is for images.
    "dataset": _Template("dataset", "mydata", "datasets", ("dataset={}", "model=mlp")),
    "metric": _Template("metric", "mymetric", "metrics", (*_SMALL, "task.metrics=[default,{}]")),
    "loss": _Template("task/loss", "myloss", "losses", ("dataset=diabetes", "model=mlp", "task/loss={}")),
    "optimizer": _Template("optimizer", "myoptimizer", "optimizers", (*_SMALL, "optimizer={}")),
    "scheduler": _Template("scheduler", "myscheduler", "schedulers", (*_SMALL, "scheduler={}")),
    "callback": _Template("callbacks", "mycallback", "callbacks", (*_SMALL, "callbacks={}")),
    "augmentation": _Template(
        "augmentation", "myaugmentation", "augmentations", (*_SMALL, "augmentation={}")
    ),
    "preprocessing": _Template(
        "preprocessing", "mypreprocessing", "preprocessing", (*_SMALL, "preprocessing={}")
    ),
    "split": _Template("cv", "mysplit", "splits", (*_SMALL, "cv={}")),
    "experiment": _Template("experiment", "myexperiment", "", ("experiment={}",)),
}


@dataclass(frozen=True)
class Scaffold:
    """The files that were written, and the command that trains them."""

    files: tuple[Path, ...]
    command: str


def scaffold(kind: str, name: str, folder: Path | None = None) -> Scaffold:
    """Write the files of a template; existing files are not changed.

    Args:
        kind: one of `Kind`.
        name: Name of the option; for a project, name of its folder.
        folder: Folder of conf/ and the code; for a project, parent of the new folder. The default is the folder of the
            user's configuration if there is one, else the current folder.

    Raises:
        InputError: The name is invalid or already used.
    """
    if kind not in get_args(Kind):
        raise InputError(f"there is no template {kind}", "new", f"Choices: {', '.join(get_args(Kind))}.")
    if kind == "project":
        return _project((folder or Path()) / name)
    _check_name(name)
    conf = _conf(folder)
    root, package = conf.parent, _package(conf.parent)
    part = _PARTS[kind]
    if name in options(part.group, [conf] if conf.is_dir() else []):
        raise InputError(
            f"there is already {'an' if kind[0] in 'aeiou' else 'a'} {kind} of this name",
            f"{part.group}={name}",
            "Choose another name.",
        )
    files = _render(kind, name, root, conf, package)
    if not (conf / PROJECT_FILE).exists():
        files[conf / PROJECT_FILE] = _text("project/dlcli.yaml", {})
    words = [word.format(name) for word in part.words]
    where = [] if conf == Path("conf").resolve() else ["-C", display(conf)]
    return Scaffold(_write(files), shell_line("dlcli", "train", *words, *where))


def _project(root: Path) -> Scaffold:
    root = root.expanduser().resolve()
    package = re.sub(r"\W+", "_", root.name.lower()).strip("_")
    _check_name(package)
    _check_module(package, root)
    conf = root / "conf"
    names = {"myproject": package, "iris": f"{package}_data", "mlp": f"{package}_net"}
    files = {
        conf / PROJECT_FILE: _text("project/dlcli.yaml", {}),
        root / "README.md": _text("project/README.md", names),
        root / "tests" / f"test_{package}.py": _text("project/test_myproject.py", names),
        root / package / "__init__.py": f'"""The code of {package}."""\n',
        **_render("model", names["mlp"], root, conf, package),
        **_render("dataset", names["iris"], root, conf, package),
        **_render("experiment", "baseline", root, conf, package, names),
    }
    return Scaffold(_write(files), f"{shell_line('cd', display(root))} && dlcli train experiment=baseline")


def _render(
    kind: str, name: str, root: Path, conf: Path, package: str, names: Mapping[str, str] | None = None
) -> dict[Path, str]:
    """Return the files of an option, as path to content: its YAML and, except for an experiment, its code."""
    part, stem = _PARTS[kind], _PARTS[kind].stem
    module = f"{package}.{part.package}.{name}" if package else name
    titled = "".join(word.capitalize() for word in name.split("_"))
    own = f"My{stem.removeprefix('my').capitalize()}"
    names = {f"dlcli.templates.{kind}.{stem}": module, own: titled, stem: name, **(names or {})}
    files = {conf / part.group / f"{name}.yaml": _text(f"{kind}/{stem}.yaml", names)}
    if kind == "experiment":
        return files
    if not package:
        _check_module(name, root)
    code = root / f"{module.replace('.', '/')}.py"
    files[code] = _text(f"{kind}/{stem}.py", names)
    if package and not (code.parent / "__init__.py").exists():
        files[code.parent / "__init__.py"] = f'"""{part.package.capitalize()} of {package}."""\n'
    return files


def _conf(folder: Path | None) -> Path:
    """Return the user's conf folder, which may not exist yet.

    Raises:
        InputError: The folder belongs to dlcli itself.
    """
    if folder is None:
        own = user_folders()
        conf = own[0] if len(own) == 1 else Path("conf").resolve()
    else:
        conf = folder.expanduser().resolve() / "conf"
    if conf.is_relative_to(shipped_folder()) or conf.is_relative_to(_TEMPLATES.parent):
        raise InputError("this folder belongs to dlcli itself", str(conf), "Name another: --dir DIR.")
    return conf


def _package(root: Path) -> str:
    """Return the name of the package for new code: the only package next to conf/, or an empty text."""
    found = [file.parent.name for file in root.glob("*/__init__.py") if file.parent.name != "tests"]
    return found[0] if len(found) == 1 else ""


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or keyword.iskeyword(name):
        near = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_")
        valid = re.fullmatch(r"[a-z][a-z0-9_]*", near) and not keyword.iskeyword(near)
        hint = "Use lowercase letters, digits and underscores, and begin with a letter"
        hint += f", such as {near}." if valid else "."
        raise InputError(f"{name!r} is not a valid name of a module", "NAME", hint)


def _check_module(name: str, root: Path) -> None:
    """Raise an InputError if an installed module has the name: it takes precedence over the user's code."""
    spec = importlib.util.find_spec(name)
    if spec is not None and not (spec.origin and Path(spec.origin).is_relative_to(root)):
        raise InputError(
            f"a module {name} is installed and would be imported instead", "NAME", "Choose another name."
        )


def _text(template: str, names: Mapping[str, str]) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    for old, new in names.items():
        text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)
    return text


def _write(files: Mapping[Path, str]) -> tuple[Path, ...]:
    taken = [
        Problem("already exists", display(file), "Choose another name.") for file in files if file.exists()
    ]
    if taken:
        raise InputError(taken)
    for file, text in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}", str(file), "Choose another --dir."
            ) from error
    return tuple(files)
