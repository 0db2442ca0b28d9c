"""Commands in messages are quoted correctly for a shell and for Hydra, for any name."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from typer.testing import CliRunner

import dlcli as package
from dlcli.cli.app import app
from dlcli.config.compose import compose
from dlcli.config.folders import groups
from dlcli.config.overrides import parse
from dlcli.config.pasted import is_key, override, pasted, quoted
from dlcli.errors import ConfigError
from dlcli.experiment import BY_DATA, SUPPLIED
from dlcli.formatting import shell_line

HOSTILE = [
    "a b", "it's", 'say "hi"', "a=b", "a,b", "#1", "50%", "$x", "${x}", "[a]", "{a}", "é", "a:b", "(a)", "a&b;c", "~",
    "back\\", "b\\'c", 'q\\"', "null", "True", "1", "-x", "`id`", "*", "!x", "Ω'\"", " lead",
]  # fmt: skip


def meaning(word: str) -> Any:
    """Return what an override sets its key to, as a configuration has it."""
    (found,), problems = parse([word])
    assert not problems
    config = OmegaConf.create({"value": found.value})
    return OmegaConf.to_container(config, resolve=True)["value"]  # type: ignore[index, call-overload]


def as_types(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else {str(name): kind for name, kind in value.items()}


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6))
@example("\\\\${x}'")
@example("a\nb")
@example(".5")
@example("-5")
def test_a_name_is_read_as_it_is_whatever_it_contains(name: str) -> None:
    assert meaning(override("dataset.target", name)) == name
    assert meaning(override("dataset.drop", [name, "id"])) == [name, "id"]
    assert as_types(meaning(override("dataset.types", {name: "numeric"}))) == {name: "numeric"}
    assert parse([f"run_name={quoted(name)}"])[0][0].value == name
    if name.isprintable():
        assert shlex.split(pasted("dataset.target", name)) == [override("dataset.target", name)]


def test_a_shell_reads_the_words_again() -> None:
    words = [override("dataset.drop", [name]) for name in [*HOSTILE, "a\nb", "tab\t\\", "\u202e'x", "\x07"]]
    line = shell_line(*words)
    assert line.isprintable()  # messages make other characters visible
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


def test_plain_settings_stay_plain() -> None:
    assert pasted("dataset.target", "species") == "dataset.target=species"
    assert pasted("optimizer.lr", 0.5) == "optimizer.lr=0.5"
    assert pasted("dataset.drop", ["a", "b"]) == "'dataset.drop=[a, b]'"
    assert pasted("dataset.decimal", ",") == "'dataset.decimal=\",\"'"
    assert (
        override("dataset.types", {"c1": "numeric", "a b": "text"})
        == r"dataset.types={c1: numeric, a\ b: text}"
    )
    assert [is_key(name) for name in ("a b", "é", "null", "it's")] == [True, False, False, False]


# What each setting of a message is composed with, by the beginning of its key; placeholders have a value.
BESIDE = {
    "finetune.head=": ["model=pretrained_image"],
    **{key: ["dataset=image_masks"] for key in ("dataset.mask", "dataset.ignore", "dataset.classes")},
    "model.architecture": ["model=pretrained_image"],
    "model.pretrained": ["model=pretrained_text"],
    "model.normalization": ["model=resnet"],
    "model.hidden=0": ["dataset=image_folder", "model=pretrained_text"],
    "model.hidden": ["dataset=iris", "model=mlp"],
    "model.bidirectional": ["model=gru"],
    "model.discriminator_lr": ["model=dcgan"],
    "model.spectral": ["model=dcgan"],
    "optimizer.class_ratios": ["optimizer=penalty_path"],
    "preprocessing.tokens": ["preprocessing=text"],
    "preprocessing.usual_texts": ["preprocessing=text"],
    "augmentation.mixup": ["augmentation=image"],
    "dataset.block": ["dataset=language"],
    "dataset.rows": ["dataset=language"],
    "dataset.start": ["dataset=squad"],
    "dataset.scheme": ["dataset=tags"],
    "dataset.spans": ["dataset=tags"],
    "model.weights": ["model=pretrained_image"],
    **{f"preprocessing.{key}": ["preprocessing=series"] for key in ("log", "deseasonalize", "recent")},
    "preprocessing.": ["preprocessing=table"],
    "cv.refit": ["cv=kfold"],
    "cv.folds": ["cv=kfold"],
    "cv.shuffle": ["cv=kfold"],
    "cv.repeats": ["cv=repeated"],
    "cv.search": ["cv=nested"],
    "cv.space": ["cv=nested"],
    "trainer.profiler": ["trainer=profile"],
    "sweep.": ["sweep=default"],
    "dataset.image": ["dataset=image_folder"],
    "dataset.on_bad": ["dataset=image_folder"],
    "dataset.parts": ["dataset=image_folder"],
    "dataset.fit": ["dataset=image_folder"],
    "dataset.size": ["dataset=image_folder"],
    "dataset.name": ["dataset=hf"],
    "dataset.on_empty": ["dataset=hf"],
    "dataset.id": ["dataset=sequences"],
    "dataset.inputs": ["dataset=sequences"],
    "dataset.missing=": ["dataset=series"],
    "dataset.root": ["dataset=mnist"],
    "dataset.batch_size": [],
    "dataset.quotes": ["dataset=text"],
    "dataset.": ["dataset=table"],
}
SAMPLES = {
    "NAME": "resnet18", "COLUMN": "c", "FILE": "f.csv", "DIR": "d", "FOLDER": "d", "TIME": "1h", "N": "3",
    "RUN": "last",
}  # fmt: skip
# A sentence's placeholders, and texts that are no hints: code that builds or reads overrides.
NOT_SHOWN = {"dataset.KEY=VALUE", "cv=", "run_name=", "sweep=", "task=", "tracking.keep=", "experiment=NAME"}
NOT_SHOWN |= {"mode=ro"}  # of an SQLite address
NOT_SHOWN |= {"trainer.profiler.filename=NAME"}  # of another profiler, which is named beside it
_KEYS = sorted({*groups(()), "seed", "monitor", "mode", "run_name", "runs_dir"}, key=len, reverse=True)
_ROOTS = "|".join(map(re.escape, _KEYS))
START, END = "\x02", "\x03"
SETTING = re.compile(rf"""(?<![\w./=+~{{-])((?:{_ROOTS})(?:[./]\w+)*)=("[^"]*"|[^\s;]*)""")


@cache
def texts() -> list[tuple[str, str]]:
    """Return the strings of dlcli's code, without docstrings, after their places; a value in one is <CODE>."""
    found = []
    for file in sorted(Path(package.__file__).parent.rglob("*.py")):
        if "templates" in file.parts:
            continue
        tree = ast.parse(file.read_text())
        skipped = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        skipped |= {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in ast.walk(tree):
            place = f"{file.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                parts = (
                    f"{START}{ast.unparse(part.value)}{END}"
                    if isinstance(part, ast.FormattedValue)
                    else str(ast.literal_eval(part))
                    for part in node.values
                )
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
                text = node.value
            else:
                continue
            if "=" in text or "dlcli " in text:
                found.append((place, text))
    return found


def shown() -> dict[str, str]:
    """Return the settings that messages show as they stand in the code, with the place of each."""
    found: dict[str, str] = {}
    for place, text in texts():
        for match in SETTING.finditer(text):
            word = match[0]
            while word and (word[-1] in ".,;:" or (word[-1] in ")]}'" and _opens_less(word))):
                word = word[:-1]
            if word not in NOT_SHOWN:
                found.setdefault(word, place)
    return found


def _opens_less(word: str) -> bool:
    pair = {")": "(", "]": "[", "}": "{", "'": ""}[word[-1]]
    return not pair or word.count(pair) < word.count(word[-1])


# Values that cannot contain anything that a shell or the grammar reads: numbers, and names of dlcli's own options.
HARMLESS = (
    "size", "max_epochs", "after", "config['optimizer']['lr']", "2 * len(failed)", "-(-tried // size)", "task", "mode",
    "alternative", "data.target_kind", "precision", "str(not first).lower()",
    "value", "quoted(str(runs_dir))", "estimation.config['seed']", "-1 if epochs == math.inf else int(epochs)", "name",
    "accelerator", "number", "quotes", "separator", "self.encoding",
)  # fmt: skip


def test_a_value_in_a_shown_setting_is_quoted_by_the_one_function_for_it() -> None:
    value = re.compile(rf"(?<![\w.])(?:{_ROOTS})(?:[./]\w+)*=[^\s{START}]*{START}([^{END}]*){END}")
    loose = {
        f"{place}: {match[0]}"
        for place, text in texts()
        for match in value.finditer(text)
        if match[1] not in HARMLESS and not match[1].startswith("' or '.join(")
    }
    assert not loose, "write them with dlcli.config.pasted.pasted"


def packs() -> list[tuple[list[str], dict[str, str]]]:
    """Return the shown settings in few groups that can be composed together: what they need, and place by setting."""
    found: list[tuple[list[str], dict[str, str]]] = []
    for word, place in shown().items():
        key, _, value = word.partition("=")
        if (
            START in word
            or END in word
            or not value
            or "DIR" in value
            or re.fullmatch(r"[\w.]+(,[\w.]+)+|tag\(.*", value)
        ):
            continue  # several values are a sweep's
        word = f"{key}={SAMPLES.get(value, value)}"
        beside = next((words for start, words in BESIDE.items() if word.startswith(start)), [])
        group = re.split(r"[./=]", word)[0]
        for needs, members in found:
            roots = {re.split(r"[./=]", member)[0] for member in [*needs, *members]}
            apart = group not in roots or ("." in key and all(m.partition("=")[0] != key for m in members))
            if needs == beside and apart and not any(m.startswith(f"{group}=") for m in members):
                members[word] = place
                break
        else:
            found.append((beside, {word: place}))
    return found


def test_each_setting_in_a_message_composes() -> None:
    wrong = {}
    assert len(shown()) > 100
    for beside, members in packs():
        _, problems = parse(list(members))
        assert not problems
        try:
            compose([*beside, *members], [], SUPPLIED, BY_DATA)
        except ConfigError as error:
            others = [problem for problem in error.problems if not problem.message.startswith("is required")]
            if others:
                wrong[str(members)] = str(others)
    assert not wrong


def test_each_command_in_a_message_exists() -> None:
    commands = {name.name or name.callback.__name__ for name in app.registered_commands if name.callback}
    commands |= {group.name for group in app.registered_groups if group.name}
    for place, text in texts():
        for match in re.finditer(
            r"(?:Use|Try:|one:|with:|more:|List them with:|If so:) dlcli ([a-z]+)", text
        ):
            assert match[1] in commands, f"{place}: {match[0]}"


# Words of the user that no message can know: which folder has the code of a run, or which other run is compared.
UNKNOWN = {
    "dlcli predict RUN", "dlcli resume RUN", "dlcli compare RUN_A", "dlcli export RUN", "dlcli list GROUP",
    "dlcli show GROUP/OPTION",
    "dlcli new dataset NAME",
}  # fmt: skip


def test_a_command_names_the_run_the_file_and_the_option_that_are_known() -> None:
    found = {
        match[0]: place
        for place, text in texts()
        for match in re.finditer(r"dlcli [a-z]+ (?:[a-z]+ )?[A-Z][A-Z_/=,]+(?![a-z])", text)
    }
    assert {command: place for command, place in found.items() if command not in UNKNOWN} == {}


SHELL_WORD = r"""(?:\$'(?:\\.|[^'\\])*'|'[^']*'|"[^"]*"|\\.|[^\s'"\\;|&()]|\((?=.))+"""


def overrides_in(text: str) -> list[str]:
    """Return the overrides in a message as a shell passes them on."""
    words = []
    for match in re.finditer(SHELL_WORD, text):
        word = match[0].lstrip("(").rstrip(".,);:")
        if re.match(r"[$']?'?dataset\.[a-z_]+=", word):
            words += shlex.split(word)
    return words


@pytest.mark.parametrize("name", ["it's #1 50%${x}$", 'say "hi" = a,b [{é}]'])
def test_hints_with_hostile_names_do_what_they_say(name: str, tmp_path: Path) -> None:
    import pandas as pd

    rows = 60
    same, sentinel, odd, leak = (f"{name}{end}" for end in ("", "2", "3", "4"))
    target = [round(1.5 * row + (row % 7) / 3, 3) for row in range(rows)]
    data = {
        "feature": [(row * 37) % 11 / 7 for row in range(rows)],
        same: ["x"] * rows,
        sentinel: [-999 if row % 20 == 3 else row % 5 / 2 for row in range(rows)],
        odd: ["it's, gone" if row % 30 == 4 else str(row % 9) for row in range(rows)],
        leak: [2 * value for value in target],
        f"{name}=y": target,
    }
    file = tmp_path / f"{name}.csv".replace("/", "-")
    pd.DataFrame(data).to_csv(file, index=False)
    words = ["dataset=table", override("dataset.path", str(file)), "model=mlp", "trainer.accelerator=cpu"]

    def check(*more: str) -> Any:
        done = CliRunner().invoke(app, ["check", "--json", *words, *more])
        return json.loads(done.stdout)

    (missing,) = [error for error in check()["errors"] if error["where"] == "dataset.target"]
    (aim,) = overrides_in(missing["hint"])  # the hint names the last column
    words.append(aim)
    found = check()
    assert found["status"] == "OK", found
    hints = {warning["where"]: warning["hint"] for warning in found["data"]["warnings"]}
    drop = overrides_in(hints[f"column {same}"])
    (to_drop,) = drop
    assert meaning(to_drop) == [same]
    (leaked,) = overrides_in(hints[f"target {name}=y"])
    assert meaning(leaked) == [leak]
    (missing_value,) = overrides_in(hints[f"column {sentinel}"])
    place = next(where for where in hints if where.endswith(f"column {odd}"))
    either, or_else = overrides_in(hints[place])
    assert meaning(either) == ["it's, gone"]
    after = check(override("dataset.drop", [same, leak]), missing_value, or_else)
    assert after["status"] == "OK", after
    assert not [w for w in after["data"]["warnings"] if name in w["where"]], after["data"]["warnings"]
