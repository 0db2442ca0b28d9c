"""Reading files of new rows of every kind: the rows that a saved model receives, and their labels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from dlcli.datasets import sequences, series
from dlcli.datasets.text_rows import Texts
from dlcli.errors import ConfigError, DataError, InputError
from dlcli.events import Event, Warned
from dlcli.prediction.new_sequences import StepSettings
from dlcli.prediction.predict_rows import FileNames, NewData, predict_rows
from dlcli.prediction.reading_settings import read_settings
from dlcli.preprocessing.sequences import Sequences
from dlcli.preprocessing.series import Series


def predicted(kind: str, preprocessing: Any, *words: str, **config: Any) -> tuple[list[Any], pa.Table]:
    """Return the rows that a model of this kind receives, and the lines of the output."""
    given: list[Any] = []

    def answer(rows: Any, device: object, counts: object) -> tuple[torch.Tensor, pd.DataFrame]:
        given.append(rows)
        fields = preprocessing.transform(rows) if hasattr(preprocessing, "transform") else {"x": rows}
        steps = getattr(preprocessing, "horizon_", 1)
        values = np.arange(len(fields["x"]) * steps)
        return torch.from_numpy(values), pd.DataFrame({"prediction": values})

    model: Any = SimpleNamespace(
        kind=kind,
        preprocessing=preprocessing,
        outputs_and_predictions=answer,
        network=SimpleNamespace(evaluation_rows=lambda: 64),
        input_shape=(1, 4, 4),
        image_kinds={},
        notices=lambda counts: [],
        columns=None,
    )
    opened: Any = SimpleNamespace(config={"dataset": config}, folder=Path("run"))
    lines: list[pa.Table] = []
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(event.text)

    predict_rows(opened, model, NewData.of(words), lines.append, listen=listen)
    return [*given, *told], pa.concat_tables(lines)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pipe(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))

    return pipe


def write_series(file: str, stores: str = "ab", steps: int = 6, start: str = "2024-01-29") -> pd.DataFrame:
    days = pd.date_range(start, periods=steps)
    frame = pd.concat(
        [
            pd.DataFrame({"store": store, "day": days, "sold": np.arange(steps) + 10.0 * n, "open": 1})
            for n, store in enumerate(stores)
        ]
    )
    frame.to_csv(file, index=False)
    return frame


OPTIONS = {"id": "store", "time": "day", "target": "sold"}


def test_each_of_several_series_is_forecast_after_its_own_end() -> None:
    write_series("s.csv", steps=20)
    fitted = Series().fit(series.load("s.csv", lookback=3, horizon=2, **OPTIONS).x)
    (rows,), lines = predicted("sequence", fitted, "s.csv", id="store", time="day", missing="error")
    assert lines.to_pydict() == {
        "store": ["a", "a", "b", "b"],
        "day": list(pd.to_datetime(["2024-02-18", "2024-02-19"] * 2)),
        "prediction": [0, 1, 2, 3],
    }
    assert rows["sold"].tolist() == [*range(20), *range(10, 30)]


@pytest.mark.parametrize("step", [1, 0.5])
def test_times_that_are_whole_numbers_are_written_as_such(step: float) -> None:
    pd.DataFrame({"t": np.arange(20) * step, "sold": np.arange(20.0)}).to_csv("s.csv", index=False)
    fitted = Series().fit(series.load("s.csv", lookback=3, horizon=2, time="t", target="sold").x)
    _, lines = predicted("sequence", fitted, "s.csv", time="t")
    assert lines["t"].to_pylist() == [20 * step, 21 * step]
    assert lines.schema.field("t").type == (pa.int64() if step == 1 else pa.float64())


def test_covariates_that_are_known_ahead_say_which_times_are_forecast() -> None:
    frame = write_series("s.csv", "a", steps=20)
    fitted = Series().fit(series.load("s.csv", lookback=3, horizon=2, known=["open"], **OPTIONS).x)
    (_, told), _ = predicted("sequence", fitted, "s.csv", id="store", time="day")
    assert told.startswith("2 steps to forecast have values of sold, which are not used: the last 2 rows")
    frame.loc[frame.index[-2:], "sold"] = np.nan
    frame.to_csv("new.csv", index=False)
    (_,), lines = predicted("sequence", fitted, "new.csv", id="store", time="day")
    assert [f"{day:%m-%d}" for day in lines["day"].to_pylist()] == ["02-16", "02-17"]
    with pytest.raises(DataError, match="but got 1 step") as caught:
        Path("new.csv").write_text("store,day,sold,open\na,2024-01-01,1,1\n")
        predicted("sequence", fitted, "new.csv", id="store", time="day")
    assert caught.value.problems[0].where == "new.csv: series a"
    assert caught.value.problems[0].hint == "Give earlier steps, or train with dataset.min_lookback=1."


def test_a_gap_in_a_series_is_filled_as_in_the_training_or_refused() -> None:
    frame = write_series("s.csv", "a", steps=20)
    fitted = Series().fit(series.load("s.csv", lookback=3, horizon=2, **OPTIONS).x)
    frame.drop(frame.index[18]).to_csv("new.csv", index=False)
    with pytest.raises(DataError, match=r"new\.csv:20, column day: .*comes after a gap"):
        predicted("sequence", fitted, "new.csv", id="store", time="day")
    (rows,), lines = predicted("sequence", fitted, "new.csv", id="store", time="day", missing="forward")
    assert rows["sold"].tolist()[-3:] == [17, 17, 19]
    assert [f"{day:%m-%d}" for day in lines["day"].to_pylist()] == ["02-18", "02-19"]
    frame.astype({"day": str}).replace({"day": {"2024-02-17": "2924-02-17"}}).to_csv("new.csv", index=False)
    with pytest.raises(DataError, match="the gaps between 20 rows are more than"):
        predicted("sequence", fitted, "new.csv", id="store", time="day", missing="forward")


def test_the_only_series_of_a_file_needs_no_id() -> None:
    write_series("s.csv", "a", steps=20)
    options = {"time": "day", "target": "sold", "inputs": []}
    fitted = Series().fit(series.load("s.csv", lookback=3, horizon=2, **options).x)
    _, lines = predicted("sequence", fitted, "s.csv")
    assert lines.column_names == ["day", "prediction"]
    with pytest.raises(ConfigError, match=r"dataset\.id: the model was trained on a single series"):
        predicted("sequence", fitted, "s.csv", "dataset.id=store")


def write_sequences(file: str) -> None:
    Path(file).write_text("rec,t,v,y\nb,11:00,3,1\na,9:00,1,0\nb,8:00,2,1\na,10:00,4,0\na,11:00,5,0\n")


def test_sequences_are_named_by_their_ids_and_ordered_in_time() -> None:
    write_sequences("s.csv")
    fitted = Sequences("none").fit(sequences.load("s.csv", id="rec", target="y", time="t").x)
    (rows,), lines = predicted("sequence", fitted, "s.csv", id="rec", time="t")
    assert lines.to_pydict() == {"rec": ["b", "a"], "prediction": [0, 1]}
    found = fitted.transform(rows)
    assert [row.ravel().tolist() for row in found["x"]] == [[2, 3], [1, 4, 5]]


def test_sequences_in_columns_of_other_names() -> None:
    write_sequences("s.csv")
    fitted = Sequences("none").fit(sequences.load("s.csv", id="rec", target="y", time="t").x)
    text = Path("s.csv").read_text().replace("rec,t,v,y", "who,when,v,rec")
    Path("new.csv").write_text(text)
    words = ["new.csv", "dataset.id=who", "dataset.time=when"]
    (rows,), lines = predicted("sequence", fitted, *words, id="rec", time="t")
    assert lines["who"].to_pylist() == ["b", "a"]
    assert fitted.transform(rows)["lengths"].tolist() == [2, 3]
    Path("one.csv").write_text("when,v\n2,0\n1,3\n")
    (rows,), lines = predicted("sequence", fitted, "one.csv", "dataset.id=null", "dataset.time=when")
    assert lines.to_pydict() == {"row": [0], "prediction": [0]}
    assert fitted.transform(rows)["x"][:].ravel().tolist() == [3, 0]
    with pytest.raises(DataError, match=r"there is no column who"):
        predicted("sequence", fitted, "s.csv", "dataset.id=who")
    Path("new.csv").write_text(text.replace("b,8:00,2", "b,8:00,"))
    with pytest.raises(DataError, match=r"new\.csv:4, column v: a value is missing"):
        predicted("sequence", fitted, *words)


TEXTS = SimpleNamespace(column_="c1")


def texts_of(*words: str) -> tuple[list[str], dict[str, list[Any]]]:
    given, lines = predicted("tokens", TEXTS, *words)
    return [text for rows in given for text in Texts.of(rows)], lines.drop_columns(["prediction"]).to_pydict()


def test_texts_stand_in_a_column_or_one_a_line_or_one_a_file(stdin: Any) -> None:
    Path("t.tsv").write_text('ham\thello, "you\nspam\tNA\n')
    assert texts_of("t.tsv") == (['hello, "you', "NA"], {"row": [0, 1]})
    Path("t.txt").write_text("hello, you\n\nbye\r\n")
    assert texts_of("t.txt") == (["hello, you", "", "bye"], {"row": [0, 1, 2]})
    Path("t.txt").write_text("c0;c1\nham;hello\n")
    assert texts_of("t.txt")[0] == ["hello"]
    stdin(b"Free entry!\nhello, you\n")
    assert texts_of() == (["Free entry!", "hello, you"], {"row": [0, 1]})
    stdin(b'{"c1": "one"}\n{"c1": null}\n')
    assert texts_of("-")[0] == ["one", ""]
    Path("folder/sub").mkdir(parents=True)
    Path("folder/sub/a.txt").write_text("of a file\nof two lines")
    assert texts_of("folder") == (["of a file\nof two lines"], {"file": ["folder/sub/a.txt"]})


@pytest.mark.parametrize(
    ("encoding", "codec"), [("utf-8", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le")]
)
def test_texts_are_read_in_their_encoding_without_its_mark(encoding: str, codec: str, stdin: Any) -> None:
    words = f"dataset.encoding={encoding}"
    text = "Zoë, \u0a0a\n\nbye\r\n"
    Path("t.txt").write_bytes(text.encode(codec))
    assert texts_of("t.txt", words)[0] == ["Zoë, \u0a0a", "", "bye"]
    stdin(text.encode(codec))
    assert texts_of("-", words)[0] == ["Zoë, \u0a0a", "", "bye"]
    Path("t.txt").write_bytes("c0;c1\nham;Zoë\n".encode(codec))
    assert texts_of("t.txt", words)[0] == ["Zoë"]
    Path("folder").mkdir()
    Path("folder/a.txt").write_bytes("Zoë".encode(codec))
    assert texts_of("folder", words)[0] == ["Zoë"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "t.txt: is empty"),
        (b"fine\n\xff\n", "t.txt:2: is not utf-8"),
        (b"c1,c0\n1\n", "t.txt:2: has 1 column"),
    ],
)
def test_mistakes_in_texts_are_reported(content: bytes, told: str) -> None:
    Path("t.txt").write_bytes(content)
    with pytest.raises(DataError, match=told):
        texts_of("t.txt")


@pytest.fixture
def pictures() -> Iterator[Path]:
    folder = Path("pictures/deep")
    folder.mkdir(parents=True)
    for level in (0, 100, 200):
        Image.new("RGB", (6, 5 + level // 100), (level, level, level)).save(folder / f"{level}.png")
    yield folder.parent


def test_images_are_brought_to_the_size_and_channels_of_the_training(pictures: Path) -> None:
    (rows,), lines = predicted("image", None, "pictures")
    assert rows.read()[:, 0, 0].tolist() == [0, 100, 200]
    assert rows.shape == (3, 4, 4)
    assert lines["file"].to_pylist() == [f"pictures/deep/{level}.png" for level in (0, 100, 200)]
    (rows,), lines = predicted("image", None, "pictures/deep/200.png", "pictures/deep/0.png")
    assert rows.read()[:, 0, 0].tolist() == [200, 0]
    Path("list.csv").write_text("name,path\none,pictures/deep/100.png\n")
    (rows,), lines = predicted("image", None, "list.csv", "dataset.image=path")
    assert lines["file"].to_pylist() == ["pictures/deep/100.png"]


def test_files_that_are_not_images_are_named_or_left_out(pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"pictures/bad\.png: is not an image"):
        predicted("image", None, "pictures")
    (_, told), lines = predicted("image", None, "pictures", "dataset.on_bad=skip")
    assert (len(lines), told) == (3, "1 damaged image left out: bad.png")
    with pytest.raises(DataError, match="contains no images"):
        Path("none").mkdir()
        predicted("image", None, "none")


@pytest.mark.parametrize(
    ("kind", "words", "keep", "told"),
    [
        ("image", ["-"], None, "images cannot be piped in"),
        ("image", ["a.png"], None, "a.png: there is no such file"),
        ("image", ["a.png"], "id", "--keep: columns can be kept only from tables and texts"),
        (
            "tokens",
            ["t.csv", "dataset.quote=true"],
            None,
            r"dataset\.quote: .*\n.*Did you mean dataset\.quotes\?",
        ),
        ("tokens", ["t.csv", "dataset.header=2"], None, r"dataset\.header: should be"),
        ("table", ["-", "-"], None, "standard input is named twice"),
        ("sequence", ["t.csv"], None, "is not part of dlcli.*\n.*from Python"),
    ],
)
def test_impossible_requests_are_reported(kind: str, words: list[str], keep: str | None, told: str) -> None:
    model: Any = SimpleNamespace(
        kind=kind, preprocessing=torch.nn.Identity(), input_shape=(1, 4, 4), image_kinds={}, columns=None
    )
    opened: Any = SimpleNamespace(config={"dataset": {}}, folder=Path("run"))
    with pytest.raises(InputError, match=told):
        predict_rows(opened, model, NewData.of(words, keep), print)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("separator=,", ","),
        ("separator=|", "|"),
        ("separator=';'", ";"),
        ("separator= ", " "),
        ("decimal=,", ","),
        ("header=false", False),
        ("header=auto", "auto"),
        ("id=null", None),
        ("id=7", "7"),
        ("id=2024-01-01", "2024-01-01"),
    ],
)
def test_a_setting_has_the_text_of_the_file(word: str, meant: Any) -> None:
    settings = read_settings(StepSettings, {"id": "store"}, [f"dataset.{word}"])
    assert getattr(settings, word.partition("=")[0]) == meant


def test_an_impossible_setting_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.separator: should be .* not \"%\""):
        read_settings(StepSettings, {}, ["dataset.separator=%"])


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.jpg", "a.png", "a-2.jpg", "b/a.jpg"], ["a", "a-2", "a-2-2", "a-3"]),
        (["a-2.jpg", "a.jpg", "a.png"], ["a-2", "a", "a-3"]),
        (["x.jpg", "x_overlay.jpg"], ["x", "x_overlay-2"]),
        (["x_overlay.jpg", "x.jpg"], ["x_overlay", "x-2"]),
        (["Dog.jpg", "dog.jpg", "photos.tar: c/dog.jpg"], ["Dog", "dog-2", "dog-3"]),
    ],
)
def test_no_predicted_file_replaces_another(files: list[str], names: list[str]) -> None:
    given = FileNames()
    found = [given.of(pa.table({"file": [file]}))[0] for file in files]  # piece by piece
    assert found == names
