"""Complete runs on pairs of texts: training, evaluation, folds, prediction, resuming, comparison."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import dlcli
from dlcli.errors import ConfigError, InputError
from dlcli.inference.saved_model import load_model
from dlcli.result import Result
from dlcli.training import checkpoints
from tests.pairs_of_sentences import sentences, write_pairs
from tests.same_figures import check_same_figures
from tests.tiny_seq2seq import save_tiny_seq2seq

pytest.importorskip("sacrebleu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "corpus.tsv", sentences(60))


def of(corpus: Path, *more: str) -> list[str]:
    return [
        "dataset=pairs",
        f"dataset.path='{corpus}'",
        "dataset.source=de",
        "dataset.target=en",
        "dataset.batch_size=4",
        "preprocessing.vocab_size=300",
        "preprocessing.max_length=40",
        "trainer.accelerator=cpu",
        "trainer.gradient_clip_val=1",
        "optimizer.lr=0.01",
        "task.beam=2",
        f"runs_dir='{corpus.parent / 'runs'}'",
        *more,
    ]


SMALL = (
    "model.hidden=16", "model.heads=2", "model.feedforward=16", "model.encoder_layers=1", "model.decoder_layers=1",
    "dataset.batch_tokens=100",
)  # fmt: skip
RNN = ("model=seq2seq_rnn", "model.hidden=12", "model.embedding=12")


# A model that was trained for so short may repeat words until it is stopped.
unfinished = pytest.mark.filterwarnings("ignore:.* predictions were truncated at")


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Result:
    return dlcli.train(of(corpus, *SMALL, "trainer.max_epochs=2", "run_name=one"))


def test_its_figures_do_not_depend_on_batches_and_place(trained: Result, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)


def test_it_is_evaluated_from_its_files(trained: Result, corpus: Path) -> None:
    assert trained.metrics["test/loss"] < trained.baselines["test/loss"]
    again = dlcli.evaluate(trained.run_dir)
    for name in ("loss", "bleu", "chrf", "sequence_accuracy"):
        assert again.metrics[f"test/{name}"] == trained.metrics[f"test/{name}"]
    table = pd.read_parquet(trained.run_dir / "predictions.parquet")
    pairs = dict(sentences(60))
    assert all(pairs[line.source] == line.target for line in table.itertuples())
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv")
    assert breakdown.groupby("split")["rows"].sum().to_dict() == table["split"].value_counts().to_dict()
    names = {file.name for file in (trained.run_dir / "plots").iterdir()}
    assert names >= {"attention.png", "length.png", "learning_curves.png"}


@unfinished
def test_sentences_are_predicted_from_lines_tables_and_memory(trained: Result, tmp_path: Path) -> None:
    lines = tmp_path / "new.txt"
    lines.write_text("Der alte Hund.\nDer rote Ball sieht 3 kleine Hunde.\n")
    table = tmp_path / "new.tsv"
    table.write_text("id\tde\n7\tDer alte Hund.\n8\tDer rote Ball sieht 3 kleine Hunde.\n")
    found = dlcli.predict(trained.run_dir, lines)
    kept = dlcli.predict(trained.run_dir, table, keep=["id"])
    in_memory = dlcli.load_run(trained.run_dir).predict(lines.read_text().splitlines())
    assert found is not None and kept is not None
    assert kept["id"].tolist() == ["7", "8"]
    assert list(in_memory.columns) == ["prediction", "log_probability", "tokens", "unfinished"]
    for name in ("prediction", "tokens"):
        assert found[name].tolist() == kept[name].tolist() == in_memory[name].tolist()


def test_another_file_is_evaluated_by_the_columns_of_the_model(trained: Result, tmp_path: Path) -> None:
    other = write_pairs(tmp_path / "new.tsv", [(b, a) for a, b in sentences(8, seed=1)], "en\tde")
    found = dlcli.evaluate(trained.run_dir, file=other)
    same = write_pairs(tmp_path / "same.tsv", sentences(8, seed=1))
    assert found.values == dlcli.evaluate(trained.run_dir, file=same).values


class Killed(BaseException):
    """Stands in for kill -9: nothing that catches errors sees it."""


def test_a_run_that_was_killed_within_an_epoch_ends_with_the_same_bits(trained: Result, corpus: Path) -> None:
    original = checkpoints.Checkpoints.on_train_batch_end

    def kill(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        original(self, trainer, module, outputs, batch, batch_idx)
        if (trainer.current_epoch, batch_idx) == (1, 5):
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_train_batch_end", kill)
        with pytest.raises(Killed):
            dlcli.train(
                of(
                    corpus,
                    *SMALL,
                    "trainer.max_epochs=2",
                    "run_name=killed",
                    "tracking.checkpoint_minutes=1e-9",
                )
            )
    resumed = dlcli.resume("killed", runs_dir=corpus.parent / "runs")
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (trained, resumed)]
    assert weights[0] == weights[1]
    assert resumed.values == trained.values
    ledger = json.loads((resumed.run_dir / "ledger.json").read_text())
    found = ledger["about"]["panel"]["batches"]
    assert re.fullmatch(r"\d+ of at most 100 tokens \(\d to \d rows; \d+% padding\)", found)


@unfinished
def test_a_pretrained_model_is_adapted_resumed_and_needs_no_folder(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    folder = save_tiny_seq2seq(tmp_path / "t5", [text for pair in sentences(60) for text in pair])
    words = of(corpus, "model=pretrained_text", f"model.name='{folder}'", "trainer.max_epochs=2")
    words = [word for word in words if "vocab_size" not in word]
    lora = [*words, "finetune=lora", "dataset.batch_tokens=200", "tracking.checkpoint_minutes=1e-9"]
    whole = dlcli.train([*lora, "run_name=lora"])
    original = checkpoints.Checkpoints.on_train_batch_end

    def kill(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        original(self, trainer, module, outputs, batch, batch_idx)
        if (trainer.current_epoch, batch_idx) == (1, 2):
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_train_batch_end", kill)
        with pytest.raises(Killed):
            dlcli.train([*lora, "run_name=killed_lora"])
    resumed = dlcli.resume("killed_lora", runs_dir=corpus.parent / "runs")
    assert resumed.values == whole.values
    frozen = dlcli.train([*words, "finetune=feature_extraction", "trainer.max_epochs=1", "task.beam=1"])
    shutil.rmtree(folder)
    assert dlcli.evaluate(whole.run_dir).metrics["test/loss"] == whole.metrics["test/loss"]
    with pytest.warns(UserWarning, match="1 of 2 texts are empty"):
        found = dlcli.load_run(frozen.run_dir).predict(["Der alte Hund.", ""])
    assert found["prediction"].notna().tolist() == [True, False]
    if find_spec("onnxscript"):
        check_script(frozen, tmp_path)


def test_folds_are_pooled_and_runs_compared(trained: Result, corpus: Path) -> None:
    folds = dlcli.train(of(corpus, *RNN, "trainer.max_epochs=1", "cv=kfold", "cv.folds=2", "task.beam=1"))
    assert 0 <= folds.metrics["cv/chrf_mean"] <= 100
    table = pd.read_parquet(folds.run_dir / "predictions.parquet")
    assert sorted(table["row"]) == list(range(60))
    assert (folds.run_dir / "plots" / "length.png").exists()
    explained = dlcli.explain(folds.run_dir, runs_dir=corpus.parent / "runs")
    assert (explained.rows, explained.error) == (60, "1 - chrF")
    other = dlcli.train(of(corpus, *RNN, "trainer.max_epochs=1", "run_name=two", "task.beam=1"))
    if find_spec("onnxscript"):
        exported = dlcli.export(other.run_dir, corpus.parent / "recurrent")
        assert exported.messages[-1].endswith("the model's text for 20 of 20 rows.")
    found = dlcli.compare([trained.run_dir, other.run_dir], metric="chrf", runs_dir=corpus.parent / "runs")
    (pair,) = found.pairs
    assert pair.difference.low <= pair.difference.mean <= pair.difference.high
    assert "bootstrap" in pair.difference.test


@unfinished
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra onnx")
def test_an_exported_model_translates_by_the_script_of_the_documentation(
    trained: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    expected = check_script(trained, tmp_path)
    assert capsys.readouterr().out.splitlines() == expected[:1]
    with pytest.raises(InputError, match="is not empty"):
        dlcli.export(trained.run_dir, tmp_path / "translator")


def check_script(run: Result, place: Path) -> list[str]:
    """Export a run, and translate by the script of the documentation; return the translations."""
    found = dlcli.export(run.run_dir, place / "translator")
    assert found.rows == 20 and found.largest_difference < 1e-4
    assert found.messages[-1] == "Greedy decoding by the programs gives the model's text for 20 of 20 rows."
    page = (Path(__file__).parents[1] / "docs" / "translation.md").read_text()
    script = page.partition("```py\nimport json")[2].partition("```")[0]
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec(f"import json{script}", given)
    texts = ["Ein Hund schläft.", "Der alte Hund.", "</s> Der rote Ball sieht 3 kleine Hunde."]
    opened: Any = load_model(run.run_dir / "model")
    opened.task.beam = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown tokens
        expected = opened.predict(texts)["prediction"].tolist()
    assert [given["translate"](text) for text in texts] == expected
    return expected


def test_incompatible_settings_are_refused(corpus: Path, trained: Result, tmp_path: Path) -> None:
    for change, message in (
        ("model=linear", "Linear has one vector of outputs per row, but the targets of corpus are seq2seq"),
        ("task=multiclass", "Multiclass is for binary or multiclass targets"),
        ("monitor=train/bleu", "train/bleu is monitored, but never logged"),
        ("preprocessing.vocab_size=100", "vocab_size"),
    ):
        words = [word for word in of(corpus) if not word.startswith("task.")]
        with pytest.raises(ConfigError, match=message):
            dlcli.check([*words, change])
    write_pairs(tmp_path / "labels.tsv", [("ja", "good"), ("nein", "bad")] * 20, "text\tlabel")
    classes = ["dataset=text", f"dataset.path='{tmp_path / 'labels.tsv'}'", "dataset.target=label"]
    with pytest.raises(ConfigError, match="outputs for seq2seq, but the targets of labels are binary"):
        dlcli.check([*classes, "model=seq2seq_rnn", f"runs_dir='{tmp_path}'"])
    with pytest.raises(InputError, match="takes two programs") as refused:
        dlcli.export(trained.run_dir, tmp_path / "model.onnx")
    assert refused.value.problems[0].hint == "Name a folder: --output model"
