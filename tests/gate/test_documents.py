"""Documents of a run contain only text and numbers, and are read quickly."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import yaml

from dlcli.errors import CorruptRun
from dlcli.gate.documents import _Dumper, read_yaml, yaml_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2001-01-01: 3", "at 2001-01-01"),
        ("null: 3", "at None"),
        ("1: 3", "at 1"),
        ("model: {1: 2}", "at model.1"),
        ("model: {a: {2001-01-01: 2}}", "at model.a.2001-01-01"),
        ("model: {a: [1, {b: 2001-01-01}]}", "at model.a.1.b"),
        ("model: {a: !!set {x}}", "at model.a"),
        ("model: !!binary aGVsbG8=", "at model"),
        ("model: !!omap [a: 1]", "at model.0"),
        ("? [a, b]\n: 3", "unhashable key"),
        (f"seed: 1{':1' * 700_000}", "a number of more than 1,000 digits"),
        (f"seed: 1{'1' * 700_000}", "a number of more than 1,000 digits"),
    ],
)
def test_values_other_than_texts_and_numbers_are_refused_with_their_place(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(CorruptRun, match=said):
        read_yaml(file)


def test_columns_may_be_numbers(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("dataset: {types: {1: numeric, 2.5: text}, list: [1.5, .inf, true, null, '1:1:1']}")
    assert read_yaml(file)["dataset"]["types"] == {1: "numeric", 2.5: "text"}


def test_the_fast_emitter_writes_the_same_text() -> None:
    draw = random.Random(0)
    letters = "".join(map(chr, range(32, 127))) + "     01.''\"\"é\n\t\x01"
    for most in (20, 200):
        for _ in range(150):
            text = "".join(draw.choices(letters[: draw.choice([-4, -3, -1, 999])], k=draw.randint(0, most)))
            content = {"a": {text[:9]: [text, 1.5, 1e-5, -3, True, None, {}, [], {"x": text}], "y": text}}
            slow = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
            assert yaml_text(content) == slow


def test_equal_entries_of_other_types_are_written_apart() -> None:
    for value in (1, True, 1.0, "1", None, [], {}, [1, {"a": True}], [1, {"a": 1}]):
        content = {"a": value, "b": {"c": value}}
        slow = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        assert yaml_text(content) == yaml_text(content) == slow
    assert yaml_text({}) == "{}\n"


def test_numbers_of_numpy_are_not_written_as_bytes() -> None:
    with pytest.raises(yaml.representer.RepresenterError):
        yaml_text({"rate": np.float64(0.5)})
