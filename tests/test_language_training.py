"""Complete runs of language models: training, evaluation, folds, prediction, generated texts, resuming, comparison."""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import ConfigError, DataError, InputError
from dlcli.inference.generation import continue_text
from dlcli.result import Result
from dlcli.runs.folder import recorded_epochs
from dlcli.training.text_sampling import Sampling
from tests.same_figures import check_same_figures
from tests.tiny_gpt2 import save_tiny_gpt2

WORDS = ("the cat", "a dog", "the bird", "my horse")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return sentences of a few words, 4,000 characters, of which the last has a letter that the others lack."""
    random = np.random.default_rng(0)
    verbs = ("sees", "likes", "hears")
    lines = [
        f"{WORDS[random.integers(4)]} {verbs[random.integers(3)]} {WORDS[random.integers(4)]}."
        for _ in range(200)
    ]
    file = tmp_path_factory.mktemp("data") / "story.txt"
    file.write_text("\n".join(lines)[:3998] + "Z\n")
    return file


def of(text: Path, *more: str) -> list[str]:
    return [
        "dataset=language",
        f"dataset.path='{text}'",
        "dataset.block=16",
        "model.hidden=32",
        "model.layers=2",
        "optimizer.lr=0.01",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=5",
        f"runs_dir='{text.parent / 'runs'}'",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(text: Path) -> Result:
    return dlcli.train(of(text, "run_name=one", "task.prompt='the '"))


def command(*words: object) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done


def test_its_figures_do_not_depend_on_batches_and_place(trained: Result, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)


def test_it_learns_and_is_evaluated_from_its_files(trained: Result) -> None:
    assert trained.metrics["test/loss"] < 1.3
    assert trained.metrics["test/loss"] < trained.baselines["bigram/test/loss"]
    assert trained.baselines["bigram/test/loss"] < trained.baselines["test/loss"]
    assert trained.metrics["test/perplexity"] == pytest.approx(np.exp(trained.metrics["test/loss"]))
    again = dlcli.evaluate(trained.run_dir)
    for name in ("loss", "perplexity", "bits_per_character"):
        assert again.metrics[f"test/{name}"] == trained.metrics[f"test/{name}"]
    table = pd.read_parquet(trained.run_dir / "predictions.parquet").query("split == 'final test'")
    loss = (table["loss"] * table["tokens"]).sum() / table["tokens"].sum()
    assert loss == pytest.approx(trained.metrics["test/loss"], rel=1e-5)
    assert table["characters"].sum() == 800
    assert [notice["count"] for notice in trained.notices if notice["key"] == "unseen_characters"] == [1]
    assert (trained.run_dir / "samples.txt").read_text().startswith("# 3 texts, temperature 0.8, seed 0\n")
    of_epochs = pd.read_json(trained.run_dir / "samples_by_epoch.jsonl", lines=True)
    assert of_epochs["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert of_epochs["prompt"].tolist() == ["the "] * 5
    assert of_epochs["text"].str.startswith("the ").all()
    assert of_epochs["text"].str.len().tolist() == [104] * 5
    page = dlcli.report(trained.run_dir).text
    assert escape(of_epochs["text"][4].split("\n")[1]) in page
    pictures = {file.stem for file in (trained.run_dir / "plots").iterdir()}
    assert pictures >= {"bits_along_the_text", "bits_per_character", "learning_curves"}


def test_cached_generation_equals_uncached(trained: Result) -> None:
    model = dlcli.load_run(trained.run_dir)
    sampling = Sampling(tokens=60, temperature=0.9, top_k=5, seed=3, samples=2)  # beyond the context of 16
    found, again = (continue_text(model, "the c", sampling, cached=cached) for cached in (True, False))
    assert found == again
    assert [one.tokens for one in found] == [60, 60]
    assert found[0] == continue_text(model, "the c", Sampling(60, 0.9, 5, 3))[0]
    assert continue_text(model, "the c", Sampling(9, seed=1)) != continue_text(
        model, "the c", Sampling(9, seed=2)
    )
    for temperature in (0, 1e-300):
        found = continue_text(model, "a dog hears the bi", Sampling(2, temperature))
        assert found[0].text == "a dog hears the bird"


def test_prompts_of_the_command_and_of_python(trained: Result, tmp_path: Path) -> None:
    words = ("predict", trained.run_dir, "--prompt", "my ", "--tokens", 12, "--samples", 2, "--seed", 4)
    table = dlcli.predict(trained.run_dir, prompt="my ", tokens=12, samples=2, seed=4)
    assert table is not None
    texts = table["text"].tolist()
    assert command(*words).stdout == "\n---\n".join(texts) + "\n"
    document = json.loads(command(*words, "--json").stdout)
    assert [one["text"] for one in document["predictions"]] == texts
    assert command(*words, "--output", tmp_path / "texts.csv").exit_code == 0
    assert pd.read_csv(tmp_path / "texts.csv")["text"].tolist() == texts
    with pytest.warns(UserWarning, match="characters that are not in the training rows"):
        dlcli.predict(trained.run_dir, prompt="Q", tokens=1)
    for wrong, message in (
        (("--prompt", "a", trained.run_dir / "samples.txt"), "does not go together with a prompt"),
        (("--tokens", 3), "Add --prompt TEXT"),
        (("--prompt", "a", "--top-k", 0), "must be at least 1"),
        (("--prompt", "a", "--samples", 1 << 30), "must be at most 1,000,000"),
        (("--prompt", "a\udcff"), "has the byte 0xff as character 2"),
    ):
        done = command("predict", trained.run_dir, *wrong)
        assert done.exit_code == 2
        assert message in done.stderr


def test_files_are_predicted_and_evaluated(trained: Result, text: Path, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("the cat sees a dog.\nmy horse")
    table = dlcli.predict(trained.run_dir, tmp_path / "new.txt")
    assert table is not None
    assert table[["row", "line", "characters"]].to_numpy().tolist() == [[0, 1, 16], [1, 1, 12]]
    found = dlcli.evaluate(trained.run_dir, file=tmp_path / "new.txt")
    mean = (table["loss"] * table["tokens"]).sum() / table["tokens"].sum()
    assert found.metrics["test/loss"] == pytest.approx(mean, rel=1e-5)
    model = dlcli.load_run(trained.run_dir)
    rows = model.predict(["the cat sees a dog.", "dddd"])
    assert rows["loss"][0] < rows["loss"][1]
    assert len(model.predict([])) == 0
    with pytest.warns(UserWarning, match="2 rows are empty or missing, and have no loss"):
        rows = model.predict(["the cat", "", None])
    assert rows["loss"].isna().tolist() == [False, True, True]
    (tmp_path / "empty.txt").write_text("")
    for use in (dlcli.predict, lambda run, file: dlcli.evaluate(run, file=file)):
        with pytest.raises(DataError, match="is empty"):
            use(trained.run_dir, tmp_path / "empty.txt")


def test_a_stopped_run_ends_with_the_same_bits(trained: Result, text: Path) -> None:
    short = dlcli.train(of(text, "trainer.max_epochs=2", "run_name=short", "task.prompt='the '"))
    texts = short.run_dir / "samples_by_epoch.jsonl"
    repeated = json.dumps({"epoch": 3, "prompt": "", "text": "of an epoch that was not finished"})
    texts.write_text(f"{texts.read_text()}{repeated}\n")
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=5"])
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (trained, resumed)]
    assert weights[0] == weights[1]
    assert texts.read_bytes() == (trained.run_dir / texts.name).read_bytes()
    assert resumed.metrics["test/loss"] == trained.metrics["test/loss"]


def test_runs_are_compared_over_blocks(trained: Result, text: Path) -> None:
    more = [word for word in of(text) if not word.startswith("model.layers")]
    other = dlcli.train([*more, "model=gru", "trainer.max_epochs=2", "run_name=two"])
    found = dlcli.compare([trained.run_dir, other.run_dir], runs_dir=text.parent / "runs")
    assert found.metric == "perplexity"
    (pair,) = found.pairs
    assert "bootstrap" in pair.difference.test
    assert pair.difference.low <= pair.difference.mean <= pair.difference.high
    assert dlcli.predict(other.run_dir, prompt="the", tokens=5) is not None


def test_folds_of_lines_are_trained(text: Path) -> None:
    found = dlcli.train(
        of(
            text,
            "dataset.rows=lines",
            "dataset.block=40",
            "cv=group_kfold",
            "cv.folds=2",
            "trainer.max_epochs=1",
        )
    )
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    lines = [line for line in text.read_text().split("\n") if line]
    assert sorted(table["row"]) == list(range(len(lines)))
    fold = dict(zip(table["row"], table["fold"], strict=True))
    of_line: dict[str, set[int]] = {}
    for row, line in enumerate(lines):
        of_line.setdefault(line, set()).add(fold[row])
    assert all(len(folds) == 1 for folds in of_line.values())
    assert found.metrics["cv/perplexity_mean"] > 1
    explained = dlcli.explain(found.run_dir)
    assert explained.error == "bits per character"
    by_length = [one for one in explained.slices if one.column == "characters of the text"]
    bits = table.groupby("row")["bits_per_character"].mean()
    assert min(one.error for one in by_length) < bits.mean() < max(one.error for one in by_length)
    with pytest.raises(InputError) as refused:
        dlcli.predict(found.run_dir, prompt="the")
    assert found.folds[0].run_name in str(refused.value.problems[0].hint)
    one = next(iter(found.folds))
    generated = dlcli.predict(one.run_dir, prompt="the", samples=3, tokens=50)
    assert generated is not None
    assert not generated["text"].str.contains("\n").any()
    with pytest.raises(InputError, match="same number of tokens"):
        dlcli.export(one.run_dir, text.parent / "lines.onnx")
    with pytest.raises(InputError, match="single lines"):
        dlcli.predict(one.run_dir, prompt="the\ncat", tokens=5)


def test_an_exported_language_model_takes_tokens(trained: Result, tmp_path: Path) -> None:
    dlcli.export(trained.run_dir, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    assert program(x=torch.zeros(2, 16, dtype=torch.int64)).shape[:2] == (2, 16)


def test_incompatible_settings_are_refused(trained: Result, text: Path) -> None:
    for change, message in (
        (
            "model=textcnn",
            "TextCNN has one vector of outputs per row, but the targets of story are language_model",
        ),
        ("task=multiclass", "Multiclass is for binary or multiclass targets"),
        ("task.prompt='Zä'", "has characters that are not in the training rows: 'Z', 'ä'"),
        ("dataset.by_file=true", "is a single file"),
        ("dataset.block=3000", "fewer than three blocks"),
    ):
        words = [word for word in of(text) if change.split("=")[0] != "model" or not word.startswith("model")]
        with pytest.raises((ConfigError, DataError), match=message):
            dlcli.check([*words, change])
    digits = dlcli.train(
        ["dataset=iris", "model=mlp", "trainer.max_epochs=1", f"runs_dir='{text.parent / 'runs'}'"]
    )
    with pytest.raises(InputError, match="continues a text"):
        dlcli.predict(digits.run_dir, prompt="a")


def test_a_model_of_subwords_is_trained(text: Path) -> None:
    found = dlcli.train(
        of(
            text,
            "preprocessing.tokens=bpe",
            "preprocessing.vocab_size=290",
            "dataset.block=48",
            "trainer.max_epochs=2",
        )
    )
    for epoch in recorded_epochs(found.run_dir):
        # Nats per token and bits per character have the same ratio in training and validation rows.
        ratio = [epoch[f"{part}/bits_per_character"] / epoch[f"{part}/loss"] for part in ("train", "val")]
        assert ratio[0] == pytest.approx(ratio[1], rel=0.1)
    generated = dlcli.predict(found.run_dir, prompt="the ä", tokens=20, samples=2)
    assert generated is not None
    assert generated["text"].str.startswith("the ä").all()
    assert not generated["text"].str.endswith("\ufffd").any()


def test_a_pretrained_causal_model_is_finetuned(text: Path, tmp_path: Path) -> None:
    folder = save_tiny_gpt2(tmp_path / "gpt2", [text.read_text()])
    few = tmp_path / "few.txt"
    few.write_text(text.read_text()[:1500])
    words = [
        "dataset=language",
        f"dataset.path='{few}'",
        "dataset.block=32",
        "model=pretrained_text",
        f"model.name='{folder}'",
        "trainer.accelerator=cpu",
        f"runs_dir='{tmp_path / 'runs'}'",
    ]
    whole = dlcli.train([*words, "trainer.max_epochs=2"])
    short = dlcli.train([*words, "trainer.max_epochs=1"])
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=2"])
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (whole, resumed)]
    assert weights[0] == weights[1]
    (head,) = (one["text"] for one in whole.notices if one["key"] == "head")
    assert head.endswith("a copy of the token embedding, which is trained apart from it")
    shutil.rmtree(folder)  # the run is self-contained
    assert dlcli.evaluate(whole.run_dir).metrics["test/loss"] == whole.metrics["test/loss"]
    model = dlcli.load_run(whole.run_dir)
    sampling = Sampling(tokens=40, seed=3, samples=2)  # beyond the 24 positions
    found, again = (continue_text(model, "the c", sampling, cached=cached) for cached in (True, False))
    assert found == again
    assert [one.tokens for one in found] == [40, 40]
