"""Complete runs of masked language models: training, folds, prediction, filled words, comparison, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.datasets.passages import MaskedPassages
from dlcli.errors import ConfigError, InputError
from dlcli.models.pretrained_text import PretrainedText
from dlcli.preprocessing.pretrained_masked import PretrainedMasked
from dlcli.result import Result
from dlcli.training.lora import LoRA
from tests.same_figures import check_same_figures
from tests.tiny_bert import save_tiny_bert
from tests.tiny_gpt2 import save_tiny_gpt2

FINETUNE = ("fine_tuning", "lora")
WORDS = ["cat", "dog", "bird", "horse"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with lines that repeat one word, and a model of these words."""
    folder = tmp_path_factory.mktemp("masked")
    draw = np.random.default_rng(0)
    lines = [" ".join([WORDS[draw.integers(4)]] * draw.integers(3, 30)) for _ in range(240)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    save_tiny_bert(folder / "bert", ["[MASK]", *WORDS], "BertForMaskedLM", hidden_dropout_prob=0.0)
    return folder


def of(place: Path, *more: str) -> list[str]:
    return [
        *(
            "dataset=language",
            f"dataset.path='{place / 'lines.txt'}'",
            "dataset.rows=lines",
            "dataset.block=200",
        ),
        *("task=masked_language_model", "model=pretrained_text", f"model.name='{place / 'bert'}'"),
        *("optimizer.lr=0.01", "trainer.accelerator=cpu", "trainer.max_epochs=8"),
        f"runs_dir='{place / 'runs'}'",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(place: Path) -> Result:
    return dlcli.train(of(place, "run_name=one"))


def test_it_learns_and_is_evaluated_from_its_files(trained: Result, place: Path, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)
    assert trained.metrics["test/loss"] < 0.5 * trained.baselines["test/loss"]
    assert trained.metrics["test/masked_accuracy"] > 0.8 > 0.6 > trained.baselines["test/masked_accuracy"]
    assert trained.metrics["test/perplexity"] == pytest.approx(np.exp(trained.metrics["test/loss"]))
    table = pd.read_parquet(trained.run_dir / "predictions.parquet").query("split == 'final test'")
    assert table["correct"].sum() / table["masked"].sum() == trained.metrics["test/masked_accuracy"]
    told = [notice["text"] for notice in trained.notices if notice["key"] == "head"]
    assert told == [f"the head for masked tokens is that of {place / 'bert'}, which is trained further"]


def test_masked_words_are_filled(trained: Result) -> None:
    prompt = "cat cat [MASK] cat, dog [MASK] dog"
    table = dlcli.predict(trained.run_dir, prompt=prompt, top_k=2)
    assert table is not None
    assert table["mask"].tolist() == [0, 0, 1, 1]
    assert table["text"][0] == prompt.replace("[MASK]", table["token"][0], 1)
    assert table["text"][2] == f"cat cat [MASK] cat, dog {table['token'][2]} dog"
    assert (table["probability"].diff()[[1, 3]] <= 0).all()
    line = ["predict", str(trained.run_dir), "--prompt"]
    done = CliRunner().invoke(app, [*line, "dog [MASK] dog dog", "--json"])
    document = json.loads(done.stdout)
    assert document["predictions"][0]["token"] == "dog"
    assert len(document["predictions"]) == 5
    assert CliRunner().invoke(app, [*line, "[MASK]"]).stdout.startswith("mask,token,probability,text\n")
    for wrong, message in (
        ({"prompt": "cat"}, "has no masked word"),
        ({"prompt": "[MASK]", "tokens": 3}, "is for texts that a language model continues"),
        ({"prompt": "[MASK] " * 70}, "has 72 tokens, but the model reads at most 64"),
    ):
        with pytest.raises(InputError, match=message):
            dlcli.predict(trained.run_dir, **wrong)


def test_files_are_predicted_and_exported(trained: Result, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("cat cat cat\r\n\r\nhorse dog [MASK] Q\r\n")
    table = dlcli.predict(trained.run_dir, tmp_path / "new.txt")
    assert table is not None
    assert table["text"].tolist() == ["cat cat cat", "horse dog [MASK] Q"]
    assert table["masked"].tolist() == [1, 1]
    found = dlcli.evaluate(trained.run_dir, file=tmp_path / "new.txt")
    assert found.metrics["test/loss"] == pytest.approx(table["loss"].mean(), rel=1e-5)
    pytest.importorskip("onnxruntime")
    exported = dlcli.export(trained.run_dir, tmp_path / "m.onnx")
    assert exported.largest_difference < 1e-4
    inputs = json.loads((tmp_path / "m.onnx.json").read_text())["inputs"]
    assert [one["name"] for one in inputs] == ["x", "lengths", "places"]


def test_folds_are_compared(place: Path) -> None:
    folds = ("cv=group_kfold", "cv.folds=2", "trainer.max_epochs=1", "dataset.batch_size=64")
    one, other = (dlcli.train(of(place, *folds, f"run_name={more}", f"finetune={more}")) for more in FINETUNE)
    found = dlcli.compare([one.run_dir, other.run_dir], runs_dir=place / "runs")
    assert found.metric == "masked_accuracy"
    table = pd.read_parquet(one.run_dir / "predictions.parquet")
    assert sorted(table["row"]) == list(range(240))
    assert dlcli.explain(one.run_dir).error == "loss per masked token"
    with pytest.raises(InputError) as refused:
        dlcli.predict(one.run_dir, prompt="[MASK]")
    assert one.folds[0].run_name in str(refused.value.problems[0].hint)


def test_heads_are_kept_new_or_refused(place: Path, tmp_path: Path) -> None:
    import transformers

    rows = MaskedPassages.of(["cat dog cat", "horse bird"])
    folder = str(place / "bert")
    fitted = PretrainedMasked(folder).fit(rows)

    def model_of(name: str, **settings: Any) -> PretrainedText:
        own = PretrainedMasked(name).fit(rows)
        size = own.facts()["vocab_size"]
        config = own.backbone_config_
        return PretrainedText(3, name, config, outputs_of="masked_token", vocab_size=size, **settings).eval()

    fields = {name: field[:] for name, field in fitted.transform(rows).items() if name != "masked_tokens"}
    original = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    model: Any = model_of(folder)
    with torch.no_grad():
        mask = torch.arange(fields["x"].shape[1]) < fields["lengths"].unsqueeze(1)
        logits = original(input_ids=fields["x"], attention_mask=mask.long()).logits
        torch.testing.assert_close(model(**fields)[:, 0], logits[torch.arange(2), fields["places"][:, 0]])
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == len(set(names)) == len(model.state_dict())
    LoRA().prepare(model)
    trained = [name for name, one in model.named_parameters() if one.requires_grad and "lora_" not in name]
    assert all(name.startswith("head.") for name in trained)
    plain = str(save_tiny_bert(tmp_path / "plain", ["[MASK]", *WORDS]))
    assert "the head for masked tokens is new" in model_of(plain).notices[0].text
    embedding = model_of(plain).backbone.get_input_embeddings().weight
    torch.testing.assert_close(model_of(plain).head[-1].weight, embedding)
    assert "has no dense layer" in model_of(folder, hidden=4).notices[0].text
    gpt = str(save_tiny_gpt2(tmp_path / "gpt", ["cat dog"]))
    with pytest.raises(ConfigError, match="has no mask token"):
        model_of(gpt)
    gpt_config = (tmp_path / "gpt" / "config.json").read_text()
    with pytest.raises(ConfigError, match=r"is not a masked language model .*\(GPT2LMHeadModel\)"):
        PretrainedText(3, gpt, gpt_config, outputs_of="masked_token", vocab_size=9)
    with pytest.raises(ConfigError, match="but the targets of lines are masked_language_model"):
        dlcli.check(of(place, "model=gpt", "~model.name"))
