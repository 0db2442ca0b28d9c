"""Bundles of texts and images: the script reads raw texts and image files like the model."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import InputError
from dlcli.runner.export import bundle
from tests.exporting.hard_texts import TEXTS
from tests.exporting.test_bundle import run_script

pytest.importorskip("onnx", reason="needs the extra onnx")
pytestmark = pytest.mark.slow  # each bundle is tried in a process of its own


def train_texts(*words: str) -> str:
    rows = [(text, "yes" if number % 2 else "no") for number, text in enumerate(TEXTS * 4)]
    with Path("texts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("said", "label"), *rows])
    data = [
        "dataset=text",
        "dataset.path=texts.csv",
        "dataset.target=label",
        "dataset.text=said",
        "dataset.on_empty=keep",
    ]
    return str(dlcli.train([*data, "trainer.max_epochs=1", *words]).run_dir)


OF_TEXTS: dict[str, Sequence[str]] = {
    "n-grams": ("preprocessing.min_df=1", "preprocessing.ngrams=3"),
    "n-grams with case, counted": (
        "preprocessing.min_df=1",
        "preprocessing.lowercase=false",
        "preprocessing.sublinear_tf=false",
    ),
    "bags of words": ("model=mlp", "preprocessing=text", "preprocessing.min_frequency=1"),
    "words, cut": (
        "model=textcnn",
        "preprocessing=text",
        "preprocessing.max_length=3",
        "preprocessing.min_frequency=1",
    ),
    "characters": (
        "model=textcnn",
        "preprocessing=text",
        "preprocessing.tokens=characters",
        "preprocessing.lowercase=false",
    ),
}


@pytest.mark.filterwarnings("ignore:.*tokens.*:UserWarning")
@pytest.mark.parametrize("words", OF_TEXTS.values(), ids=OF_TEXTS)
def test_texts_are_divided_as_by_the_model(words: Sequence[str]) -> None:
    run = train_texts(*words)
    made = bundle(run, Path("made"))
    assert made.rows > 5
    assert made.largest_difference < 1e-3
    with Path("new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("said", "n"), *((text, 1) for text in reversed(TEXTS))])
    expected = dlcli.predict(run, "new.csv")  # type: ignore[arg-type]
    compare(run_script(made.folder, "new.csv").stdout, expected)
    lines = [text for text in TEXTS if text]
    Path("new.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    compare(run_script(made.folder, "new.txt").stdout, dlcli.predict(run, "new.txt"))  # type: ignore[arg-type]
    assert run_script(made.folder, "--check").returncode == 0
    assert len((made.folder / "predict.py").read_text().splitlines()) <= 250


def compare(found: str, expected: pd.DataFrame) -> None:
    Path("found.csv").write_text(found)
    pd.testing.assert_frame_equal(pd.read_csv("found.csv"), expected, check_dtype=False, rtol=1e-3, atol=1e-4)


def test_texts_of_a_file_without_quotes_and_of_an_old_encoding() -> None:
    lines = [f'{"spam" if number % 2 else "ham"}\tf\xfcnf {number} "x, y' for number in range(40)]
    Path("old.tsv").write_text("\n".join(["kind\tsaid", *lines, ""]), encoding="latin-1")
    words = ["dataset=text", "dataset.path=old.tsv", "dataset.target=kind", "dataset.encoding=latin-1"]
    run = str(dlcli.train([*words, "trainer=debug", "model=mlp", "preprocessing=text"]).run_dir)
    made = bundle(run, Path("made"))
    assert made.rows > 3
    assert run_script(made.folder, "--check").returncode == 0


def test_texts_of_byte_pairs_are_refused() -> None:
    run = train_texts("model=textcnn", "preprocessing=text", "preprocessing.tokens=bpe")
    with pytest.raises(InputError, match="byte-pair encoding cannot be made by a script"):
        bundle(run, Path("made"))
    assert not Path("made").exists()


def write_images(folder: Path) -> None:
    """Write images of several sizes, modes and formats, one that is turned, and a transparent one."""
    random = np.random.default_rng(0)
    for number in range(16):
        place = folder / ("dark", "light")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 128, (20 + number, 28, 4)) + 127 * (number % 2)
        image = Image.fromarray(pixels.astype(np.uint8), "RGBA")
        name = place / f"{number}.png"
        if number % 4 == 0:
            image.convert("P").save(name)
        elif number % 4 == 1:
            exif = Image.Exif()
            exif[0x0112] = 6
            image.convert("RGB").save(name.with_suffix(".jpg"), exif=exif)
        elif number % 4 == 2:
            image.save(name)
        else:
            image.convert("L").save(name)


@pytest.mark.parametrize(
    "words", [("dataset.fit=stretch", "dataset.color=grey"), ("dataset.background=black",)]
)
def test_image_files_are_decoded_as_by_the_model(words: Sequence[str]) -> None:
    write_images(Path("pictures"))
    data = ["dataset=image_folder", "dataset.path=pictures", "dataset.size=16"]
    run = str(dlcli.train([*data, "trainer.max_epochs=1", "cv.test_size=0.3", *words]).run_dir)
    made = bundle(run, Path("made"))
    assert made.rows > 0 and made.largest_difference < 1e-3
    Path("new").mkdir()
    for file in Path("pictures").rglob("*.*"):
        (Path("new") / file.name).write_bytes(file.read_bytes())
    expected = dlcli.predict(run, "new")  # type: ignore[arg-type]
    expected = expected.assign(file=[Path(name).name for name in expected["file"]])
    compare(run_script(made.folder, "new").stdout, expected)
    assert run_script(made.folder, "--check").returncode == 0
    pins = (made.folder / "requirements.txt").read_text().split()
    assert [pin.partition("==")[0] for pin in pins] == ["numpy", "onnxruntime", "pillow"]
    (Path("new") / "bad.png").write_bytes(b"no image")
    bad = run_script(made.folder, "new")
    assert bad.returncode == 1 and "bad.png" in bad.stderr and "Traceback" not in bad.stderr


def told_of(words: Sequence[str], new: str) -> tuple[str, str]:
    """Return what `dlcli predict` and the script of a bundle tell of new rows."""
    run = str(dlcli.train([*words, "trainer.max_epochs=1"]).run_dir)
    done = CliRunner().invoke(app, ["predict", run, new, "--output", "predicted.csv"])
    assert done.exit_code == 0, done.output
    found = run_script(bundle(run, Path("made")).folder, new)
    assert found.returncode == 0, found.stderr
    return done.output, found.stderr


def test_what_predict_tells_of_new_texts_the_script_tells() -> None:
    Path("texts.csv").write_text("said,label\n" + "good old words,yes\nbad new words,no\n" * 20)
    Path("new.csv").write_text("said\ngood old bad new words\nqqq zzz\nbad words\n")
    words = ["dataset=text", "dataset.path=texts.csv", "dataset.target=label", "dataset.text=said"]
    words += ["model=textcnn", "preprocessing=text", "preprocessing.max_length=3"]
    for told in told_of(words, "new.csv"):
        assert "1 of 3 texts are cut at 3 tokens: 22.2% of all tokens are not read" in told
        assert "28.6% of the tokens are unknown to the model" in told
        assert "1 of 3 texts have no token known to the model" in told


def test_what_predict_tells_of_new_rows_the_script_tells() -> None:
    lines = [
        f"{number % 7},{number % 5},{'red' if number % 2 else 'blue'},{number % 3}" for number in range(60)
    ]
    Path("rows.csv").write_text("\n".join(["a,b,colour,y", *lines, ""]))
    Path("new.csv").write_text("a,b,colour\n1,2,red\n1,2,green\n,,\n1,,\n,,blue\n")
    words = ["dataset=table", "dataset.path=rows.csv", "dataset.target=y", "model=mlp"]
    for told in told_of(words, "new.csv"):
        assert "1 of 5 rows have a category of colour that does not occur in training" in told
        assert (
            "1 of 5 rows" in told and "empty" in told and "2 of 5 rows are empty but for one column" in told
        )


def test_what_predict_tells_of_new_series_the_script_tells() -> None:
    rows = [f"{name},{step},{50 + step % 12 + step / 9}" for name in "abcd" for step in range(90)]
    Path("s.csv").write_text("\n".join(["shop,t,v", *rows, ""]))
    lengths = {"long": 60, "short": 20, "few": 4}
    new = [f"{name},{step},{step - 1}" for name, length in lengths.items() for step in range(length)]
    Path("new.csv").write_text("\n".join(["shop,t,v", *new, ""]))
    words = ["dataset=series", "dataset.path=s.csv", "dataset.id=shop", "dataset.time=t", "dataset.season=12"]
    words += ["dataset.horizon=6", "dataset.lookback=24", "dataset.min_lookback=12", "preprocessing.log=true"]
    for told in told_of(words, "new.csv"):
        assert "too short for a forecast, which needs 12 steps" in told and "few" in told
        assert "shorter than the lookback of 24 steps, and padded: short" in told
        assert re.search("1 of 2 .* times their mean|1 of 2 .* thousandth of their mean", told)
        assert "(negative ones in 1), which are raised to it for the logarithm" in told


def test_what_predict_tells_of_steps_to_forecast_the_script_tells() -> None:
    Path("s.csv").write_text(
        "\n".join(["t,v,open", *(f"{step},{step % 5},{step % 2}" for step in range(60)), ""])
    )
    words = [
        "dataset=series",
        "dataset.path=s.csv",
        "dataset.time=t",
        "dataset.target=v",
        "dataset.known=[open]",
    ]
    for told in told_of([*words, "dataset.horizon=4", "dataset.lookback=8"], "s.csv"):
        assert "the last 4 rows of a series are those to forecast" in told


def test_what_predict_tells_of_new_images_the_script_tells() -> None:
    write_images(Path("pictures"))
    Path("new").mkdir()
    for name, mode in (("grey", "L"), ("clear", "RGBA"), ("colour", "RGB")):
        Image.new(mode, (20, 20)).save(Path("new") / f"{name}.png")
    Path("new/notes.txt").write_text("no image")
    words = ["dataset=image_folder", "dataset.path=pictures", "dataset.size=16", "dataset.color=rgb"]
    predicted, told = told_of(words, "new")
    assert "1 file without a suffix of images left out: notes.txt" in predicted
    assert "1 of 4 files have other endings and are left out: notes.txt" in told
    assert "1 image with transparency put on white" in predicted
    assert "1 of 3 images have transparency, and are put on white" in told
    assert "converted to RGB: grey 1" in predicted and "1 of 3 images are converted to colour" in told


def test_images_in_memory_become_files() -> None:
    run = str(dlcli.train(["trainer=debug"]).run_dir)
    made = bundle(run, Path("made"))
    assert made.rows > 0 and made.example == "example"
    assert json.loads((made.folder / "bundle.json").read_text())["size"] == [8, 8]
    assert run_script(made.folder, "--check").returncode == 0
    card = (made.folder / "README.md").read_text()
    assert "IMAGES" in card and "| column |" not in card
