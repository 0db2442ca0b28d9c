"""A tiny BERT saved by transformers and fine-tuned from its folder: tokens, layers, runs without the folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    GPT2Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from dlcli.errors import ConfigError
from dlcli.inference.saved_model import load_model
from dlcli.models.positions import most_tokens
from dlcli.models.pretrained_text import PretrainedText
from dlcli.preprocessing.pretrained_text import PretrainedText as Preprocessing
from dlcli.runner.check import check
from dlcli.runner.evaluate import evaluate
from dlcli.runner.train import train

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "it", "is", "a", "film"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(models.WordLevel({word: code for code, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def test_as_many_tokens_as_there_are_positions() -> None:
    """RoBERTa counts positions from after the number of its padding token, 1."""
    tiny = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    for kind, most in ((RobertaConfig, 18), (BertConfig, 20)):
        config = kind(**tiny, intermediate_size=8, max_position_embeddings=20)
        model = PretrainedText(
            1, "tiny", backbone_config=config.to_json_string(use_diff=False), pretrained=False
        )
        assert model.longest_text == most_tokens(config) == most
        assert model.features(torch.full((1, most), 3)).shape == (1, 8)
        with pytest.raises((IndexError, RuntimeError)):
            model.features(torch.full((1, most + 1), 3))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    rows = [
        {"text": " ".join([*random.choice(WORDS[6:], random.integers(1, 7)), word]), "kind": word}
        for word in ("good", "bad") * 60
    ]
    file = tmp_path_factory.mktemp("films") / "films.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def model(bert: Path, **arguments) -> tuple[Preprocessing, PretrainedText]:
    preprocessing = Preprocessing(str(bert)).fit(["it is"])
    config = preprocessing.facts()["backbone_config"]
    return preprocessing, PretrainedText(2, str(bert), config, **arguments).eval()


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_padding_does_not_change_the_features(bert: Path, pooling: str) -> None:
    preprocessing, net = model(bert, pooling=pooling)
    fields = preprocessing.transform(["good film", "it is a good film"])
    both = net(fields["x"][:], fields["lengths"])
    alone = net(fields["x"][:1], fields["lengths"][:1])
    assert fields["x"][:1].tolist() == [[2, 4, 9, 3]]
    assert torch.allclose(both[:1], alone, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=len(WORDS), n_positions=64),
        DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=len(WORDS)),
    ],
    ids=["gpt2", "distilbert"],
)
def test_other_architectures(config: PreTrainedConfig) -> None:
    torch.manual_seed(0)
    net = PretrainedText(2, "unused", config.to_json_string(), pretrained=False, pooling="last").eval()
    x = torch.tensor([[4, 6, 7, 9], [4, 6, 0, 0]])
    both = net.features(x, torch.tensor([4, 2]))
    assert both.shape == (2, 16)
    assert torch.allclose(both[1:], net.features(x[1:, :2]), atol=1e-5)
    assert [len(layer) > 0 for layer in net.layers(coarse=True)] == [True] * 3


def test_layers_are_embeddings_and_blocks(bert: Path) -> None:
    _, net = model(bert)
    layers = net.layers(coarse=True)
    assert len(layers) == 3
    assert all(name.startswith("embeddings") for name in layers[0])
    assert {name for layer in layers for name in layer} == {
        name for name, _ in net.backbone.named_parameters()
    }


@pytest.mark.parametrize("finetune", ["fine_tuning", "lora"])
def test_a_run_does_not_need_the_folder(
    bert: Path, films: Path, tmp_path: Path, finetune: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "bert"
    shutil.copytree(bert, mine)
    result = train(
        [
            "dataset=text", f"dataset.path='{films}'", "dataset.target=kind", "model=pretrained_text",
            f"model.name='{mine}'", f"finetune={finetune}",
            "optimizer.lr=0.01", "trainer.max_epochs=3", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/runs'",
        ]
    )  # fmt: skip
    shutil.rmtree(mine)
    monkeypatch.setitem(sys.modules, "peft", None)  # nor the library of the adapters
    assert result.values["test/accuracy"] > (0.9 if finetune == "fine_tuning" else 0.6)
    assert evaluate(str(result.run_dir)).values["test/loss"] == result.values["test/loss"]
    assert len(load_model(result.run_dir / "model").predict(["it is good"])) == 1


def test_cached_features_give_the_metrics_of_the_raw_texts(bert: Path, films: Path) -> None:
    overrides = [
        "dataset=text", f"dataset.path='{films}'", "dataset.target=kind", "model=pretrained_text",
        f"model.name='{bert}'", "finetune=feature_extraction",
        "optimizer.lr=0.01", "trainer.max_epochs=2", "trainer.accelerator=cpu", "dataset.batch_size=16",
    ]  # fmt: skip
    anew = train([*overrides, "finetune.cache=false"])
    kept = train(overrides)
    assert kept.values == pytest.approx(anew.values, rel=1e-5, abs=1e-5)
    assert evaluate(str(kept.run_dir)).values["test/loss"] == pytest.approx(kept.values["test/loss"])
    # One cache file: the saved model's features equal those of the training.
    (store,) = Path("runs", ".features").iterdir()
    assert np.fromfile(store / "known", bool).all()


def test_a_linear_head_on_cached_features_is_solved(bert: Path, films: Path) -> None:
    words = [
        "dataset=text", f"dataset.path='{films}'", "dataset.target=kind", "model=pretrained_text",
        f"model.name='{bert}'", "finetune=feature_extraction", "trainer.accelerator=cpu",
        "optimizer=penalty_path", "callbacks=few_epochs",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"finetune=feature_extraction model\.hidden=0 model\.dropout=0"):
        train(words)
    solved = train([*words, "model.dropout=0", "optimizer.first=0.001", "optimizer.last=0.001"])
    net = load_model(solved.run_dir / "model")
    table, split = pd.read_csv(films), np.load(solved.run_dir / "split.npz")
    fields = net.preprocessing.transform(table["text"].to_numpy()[split["train"]])
    with torch.no_grad():
        x = net.network.eval().model.features(fields["x"][:], fields["lengths"]).numpy()
    y = (table["kind"] == "good").to_numpy()[split["train"]]
    expected = LogisticRegression(C=1 / (len(x) * 0.001), tol=1e-8, max_iter=10_000).fit(x, y)
    head = net.network.model.head[-1]

    def objective(weights: np.ndarray, bias: np.ndarray) -> float:
        outputs = (x @ weights.T + bias).ravel()
        return np.logaddexp(0, np.where(y, -outputs, outputs)).mean() + 0.001 / 2 * (weights**2).sum()

    found = objective(head.weight.detach().numpy(), head.bias.detach().numpy())
    assert found == pytest.approx(objective(expected.coef_, expected.intercept_), rel=0.01)


def test_a_text_model_starts_from_the_weights_of_a_run(bert: Path, films: Path) -> None:
    overrides = [
        "dataset=text", f"dataset.path='{films}'", "dataset.target=kind", "model=pretrained_text",
        f"model.name='{bert}'", "trainer.max_epochs=1", "trainer.accelerator=cpu",
    ]  # fmt: skip
    first = train([*overrides, "finetune=feature_extraction", "run_name=frozen"])
    # With a negligible learning rate, the weights are still the initial ones, including the head's.
    result = train([*overrides, "model.weights=frozen", "optimizer.lr=1e-12"])
    before, after = (load_file(run.run_dir / "model" / "weights.safetensors") for run in (first, result))
    for name, values in before.items():
        torch.testing.assert_close(after[name], values)
    with pytest.raises(ConfigError, match="frozen was trained on"):
        train([*overrides, "model.weights=frozen", "cv.seed=1"])


def test_another_tokenizer_is_rejected(bert: Path, films: Path) -> None:
    with pytest.raises(ConfigError, match=r"not tokenized by.*\n?.*preprocessing=pretrained_text"):
        check(
            ["dataset=text", f"dataset.path='{films}'", "dataset.target=kind", "model=pretrained_text",
             f"model.name='{bert}'", "preprocessing=text"]
        )  # fmt: skip


def test_an_unavailable_model_is_reported_with_what_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"hf download nobody/none.*\n?.*model\.name=FOLDER"):
        Preprocessing("nobody/none").fit(["it is"])


def test_missing_weights_are_reported(bert: Path, tmp_path: Path) -> None:
    mine = tmp_path / "bert"
    shutil.copytree(bert, mine)
    state = load_file(mine / "model.safetensors")
    del state["embeddings.word_embeddings.weight"]
    save_file(state, mine / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 of its weights: embeddings\.word_embeddings\.weight"):
        model(mine)


def test_texts_longer_than_the_model_accepts_are_rejected(bert: Path) -> None:
    with pytest.raises(ConfigError, match="accepts at most 128 tokens"):
        Preprocessing(str(bert), max_length=129).fit(["it is"])
