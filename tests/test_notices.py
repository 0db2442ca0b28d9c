"""Every command reports and records the rows that reading skips, converts or truncates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dlcli
from dlcli.cross_validation.children import families
from dlcli.datasets.notices import Notice, as_plain, of_runs
from dlcli.events import Event, Note, TrainingStarted, Warned
from dlcli.events import JobEvent as FromJob
from dlcli.prediction.predict_rows import NewData
from dlcli.result import Result
from dlcli.runner.check import check
from dlcli.runner.evaluate import evaluate
from dlcli.runner.predict import predict
from dlcli.runner.sweep import sweep
from dlcli.runner.train import train
from dlcli.runs.folder import read_result
from dlcli.tracking.ledger import Ledger

FAST = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "callbacks=none", "tracking.system_metrics=false"]


def counts(notices) -> dict[str, float]:
    found = [notice if isinstance(notice, dict) else vars(notice) for notice in notices]
    return {notice["key"]: notice["count"] for notice in found}


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, list[Event]]:
    """Train on 12-bit images of two classes, with a loose image and a file of another kind."""
    folder = tmp_path_factory.mktemp("deep")
    draw = np.random.default_rng(0)
    for part, images in (("train", 6), ("dev", 2), ("Test", 3)):
        for shade, label in enumerate(("dark", "light")):
            place = folder / "pics" / part / label
            place.mkdir(parents=True)
            for number in range(images):
                values = draw.integers(2000 * shade, 2000 * shade + 2096, (6, 6)).astype(np.uint16)
                Image.fromarray(values).save(place / f"{number}.png")
    Image.new("L", (6, 6)).save(folder / "pics" / "loose.png")
    (folder / "pics" / "notes.txt").write_text("x")
    events: list[Event] = []
    words = ["dataset=image_folder", f"dataset.path='{folder}/pics'", "model=linear", *FAST]
    result = train([*words, "run_name=deep"], runs_dir=folder / "runs", listen=events.append)
    return folder, result, events


def test_training_reports_and_records_what_was_left_out(deep: tuple[Path, Result, list[Event]]) -> None:
    _, result, events = deep
    found = counts(result.notices)
    assert {key: found[key] for key in ("loose_files", "other_files", "deep_images")} == {
        "loose_files": 1, "other_files": 1, "deep_images": 22,
    }  # fmt: skip
    assert counts(result.to_json()["notices"]) == found
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert any(line.get("metrics", line).get("data/loose_files") == 1 for line in lines)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("1 of 23 images are not in a class folder" in note for note in notes)
    (panel,) = [
        event.event.description
        for event in events
        if isinstance(event, FromJob) and isinstance(event.event, TrainingStarted)
    ]
    assert "22 images read with 16 bits per channel; pixels from " in panel["reading"]


def test_prediction_reads_as_training_did(deep: tuple[Path, Result, list[Event]]) -> None:
    folder, result, _ = deep
    tables, events = [], []
    data = NewData.of([f"{folder}/pics/Test"])
    done = predict("deep", data, folder / "out.jsonl", runs_dir=folder / "runs", listen=events.append)
    assert done.lines == 6
    tables = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    recorded = dlcli.evaluate("deep", runs_dir=folder / "runs").values["test/accuracy"]
    right = np.mean([line["prediction"] == Path(line["file"]).parent.name for line in tables])
    assert right == pytest.approx(recorded)
    assert not [event for event in events if isinstance(event, Warned)]
    again = evaluate("deep", runs_dir=folder / "runs", file=folder / "pics" / "Test")
    for name, value in again.values.items():
        assert value == pytest.approx(result.values[name], abs=1e-5)
    everything = evaluate("deep", runs_dir=folder / "runs", file=folder / "pics")
    assert counts(everything.notices)["training_rows"] == 12
    # The same rows as arrays.
    model = dlcli.load_run("deep", runs_dir=folder / "runs")
    images = np.stack([np.asarray(Image.open(line["file"])) for line in tables])
    assert model.predict(images)["prediction"].tolist() == [line["prediction"] for line in tables]


def test_new_images_of_another_kind_are_reported(deep: tuple[Path, Result, list[Event]]) -> None:
    folder, _, _ = deep
    new = folder / "new"
    new.mkdir(exist_ok=True)
    Image.new("RGBA", (9, 9)).save(new / "a.png")
    (new / "b.heic").write_bytes(b"x")
    events: list[Event] = []
    done = predict(
        "deep", NewData.of([str(new)]), folder / "new.csv", runs_dir=folder / "runs", listen=events.append
    )
    assert counts(done.notices) == {
        "unreadable_formats": 1, "deep_images": 1, "other_depth": 1, "converted_images": 1, "transparent_images": 1,
        "unseen_kinds": 1,
    }  # fmt: skip
    told = [event.text for event in events if isinstance(event, Warned)]
    assert (
        "pixels of a kind that the training data lacked in 1 of 1 image (RGB, transparency: 1; trained on "
        "grey, 16 bits), which are converted"
    ) in told


def test_cut_texts_are_reported_by_check_and_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    words = [chr(ord("a") + n) * 3 for n in range(20)]
    lines = ["text,label"]
    for row in range(40):
        some = words[10:] if row % 2 else words[:10]
        lines.append(f"{' '.join(draw.choice(some, 60))},{['even', 'odd'][row % 2]}")
    Path("t.csv").write_text("\n".join(lines) + "\n")
    base = ["dataset=text", "dataset.path=t.csv", "dataset.target=label", *FAST]
    cut = [*base, "model=linear", "preprocessing=text", "preprocessing.max_length=15"]
    rehearsal, profile = check(cut, runs_dir=tmp_path / "runs")
    assert counts(rehearsal.notices)["cut_tokens"] == pytest.approx(0.75)
    (warning,) = [warning for warning in profile.warnings if "of the tokens" in warning.message]
    assert warning.where == "preprocessing.max_length"
    result = train([*cut, "run_name=cut"], runs_dir=tmp_path / "runs")
    assert counts(result.notices)["cut_tokens"] == pytest.approx(0.75)
    assert any("75.0% of the tokens of the training texts are not read" in text for text in result.messages)

    whole = train([*base, "model=mlp", "run_name=whole"], runs_dir=tmp_path / "runs")
    assert counts(whole.notices) == {"longest_text": 60}
    model = dlcli.load_run("whole", runs_dir=tmp_path / "runs")
    texts = [line.rpartition(",")[0] for line in lines[1:]]
    together = model.outputs(texts)
    alone = torch.cat([model.outputs([text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    with pytest.warns(UserWarning, match="of all tokens are not read") as warned:
        table = dlcli.load_run("cut", runs_dir=tmp_path / "runs").predict(texts[:1])
    told = [one["text"] for one in table.attrs["notices"] if one["warns"]]
    assert told
    assert all(text in str(one.message) for text, one in zip(told, warned, strict=True))

    Path("new.txt").write_text("new words only\n" + texts[0] + "\n")
    events: list[Event] = []
    done = predict(
        "cut", NewData.of(["new.txt"]), Path("out.csv"), runs_dir=tmp_path / "runs", listen=events.append
    )
    assert counts(done.notices)["cut_texts"] == 1
    assert counts(done.notices)["unknown_texts"] == 1


@pytest.mark.parametrize("kind", ["cv.refit=true", "cv=kfold", "sweep"])
def test_parents_report_what_their_runs_truncated(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["text,label"]
    for row in range(36):
        lines.append(f"{['good', 'bad'][row % 2]} {'word ' * (8 + row)},{row % 2}")
    Path("t.csv").write_text("\n".join(lines) + "\n")
    words = [
        "dataset=text",
        "dataset.path=t.csv",
        "dataset.target=label",
        "model=linear",
        "optimizer=adam",
        *FAST,
    ]
    words += ["preprocessing=text", "preprocessing.max_length=10"]
    if kind == "sweep":
        result = sweep([*words, "sweep.trials=1", "optimizer.lr=0.1,0.2"])
    else:
        result = train([*words, kind, *(["cv.folds=2"] if kind == "cv=kfold" else [])])
    ledger = Ledger.load(result.run_dir)
    (runs,) = families(ledger).values() if kind != "sweep" else [{}]
    found = counts(result.notices)
    assert {"cut_texts", "cut_tokens"} <= set(found)
    for folder in runs.values():
        for key, count in counts(read_result(folder).notices).items():
            assert found[key] >= count
    assert ledger.metrics["data/cut_tokens"] == found["cut_tokens"]
    (told,) = [text for text in result.messages if "of the tokens of the training texts are not read" in text]
    assert told.endswith(" runs).")
    assert counts(result.to_json()["notices"]) == found


def test_notices_that_runs_share_are_reported_once() -> None:
    same, few, many = Notice("a", 1, "one"), Notice("b", 2, "two"), Notice("b", 3, "three")
    assert of_runs({"fold 0": as_plain([same, few]), "fold 1": as_plain([same, many])}) == [
        same, Notice("b", 3, "three (fold 1, the most of 2 runs)"),
    ]  # fmt: skip
