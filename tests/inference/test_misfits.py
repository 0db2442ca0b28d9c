"""Parts of a saved model that are valid but do not fit together are reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from tests.resealing import reseal

WORDS = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1", "trainer.accelerator=cpu",
         "callbacks=none", "tracking.system_metrics=false"]  # fmt: skip
ROWS = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("misfits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return dlcli.train([*WORDS, "runs_dir=runs"]).run_dir


def described(place: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "model" / "model.json"
        document = json.loads(file.read_text())
        *above, last = place.split("/")
        node = document
        for key in above:
            node = node[key]
        node[last] = value
        file.write_text(json.dumps(document))

    return change


def labelled(labels: list[str]) -> Callable[[Path], None]:
    return lambda folder: (folder / "model" / "labels.json").write_text(json.dumps(labels)) and None


def predicted(**columns: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "predictions.parquet"
        pd.read_parquet(file).assign(**columns).to_parquet(file)

    return change


def weighed(folder: Path) -> None:
    file = folder / "model" / "weights.safetensors"
    save_file(load_file(file), file, {"epoch": "9" * 5000})


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (described("kind", "image"), "predict"),
        (described("model/hidden", 10**9), "predict"),
        (described("model/layers", 10**9), "predict"),
        (described("model/hidden", [4] * 100_000), "eval"),
        (
            described("model", {"_target_": "dlcli.models.transformer.Transformer", "layers": 10**9}),
            "predict",
        ),
        (described("model_facts/input_shape", "abc"), "eval"),
        (described("model_facts/num_outputs", 10**12), "eval"),
        (described("task/loss", {"_target_": "torch.nn.LazyLinear", "out_features": 3}), "eval"),
        (labelled(["a"]), "eval"),
        (labelled(["a", "b", "c", "d"]), "predict"),
        (labelled(["a"] * 500_000), "predict"),
        (predicted(row="x"), "compare"),
        (predicted(row=1), "compare"),
        (predicted(split="val"), "compare"),
        (weighed, "resume"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_a_message(
    made: Path, tmp_path: Path, change: Callable[[Path], None], command: str
) -> None:
    folder = shutil.copytree(made.parents[2], tmp_path / "runs") / made.relative_to(made.parents[2])
    change(folder)
    (folder / "seal.json").unlink()
    reseal(folder)
    rows = tmp_path / "rows.csv"
    rows.write_text(ROWS)
    words = {
        "eval": ["eval", str(folder)],
        "predict": ["predict", str(folder), str(rows)],
        "compare": ["compare", str(folder), str(made)],
        "resume": ["resume", str(folder), "trainer.max_epochs=2"],
    }[command]
    done = CliRunner().invoke(app, words)
    assert done.exit_code in (1, 2), done.output
    assert "error: " in done.output and "hint: " in done.output
    assert "not foreseen" not in done.output and "Traceback" not in done.output
