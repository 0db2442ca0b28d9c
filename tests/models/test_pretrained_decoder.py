"""Pretrained encoder-decoder models compute what transformers computes, and decode token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dlcli.datasets.pair_texts import PairTexts
from dlcli.datasets.text_rows import Texts
from dlcli.errors import ConfigError
from dlcli.models.pretrained_text import PretrainedText
from dlcli.preprocessing.pretrained_pairs import PretrainedPairs
from dlcli.preprocessing.subwords import END, PADDING, START
from dlcli.tasks.decoding import beam_search, greedy
from dlcli.training.finetuning import FineTuning, GradualUnfreezing
from dlcli.training.lora import LoRA
from tests.pairs_of_sentences import sentences
from tests.tiny_bert import save_tiny_bert
from tests.tiny_seq2seq import KINDS, save_tiny_seq2seq

PAIRS = sentences(30)


@pytest.fixture(scope="module", params=list(KINDS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """Return a model of transformers, the fitted preprocessing, and the model of dlcli with the same weights."""
    import transformers

    folder = save_tiny_seq2seq(tmp_path_factory.mktemp("model"), [b for _, b in PAIRS], request.param)
    fitted = PretrainedPairs(str(folder), max_length=40).fit(sources_of(*map(list, zip(*PAIRS, strict=True))))
    original = getattr(transformers, request.param).from_pretrained(folder).eval()
    return original, fitted, built(folder, fitted).eval()


def sources_of(sources: list[str], targets: list[str]) -> PairTexts:
    return PairTexts.both(Texts.of(sources), Texts.of(targets))[0]


def built(folder: Path, fitted: PretrainedPairs, **arguments: Any) -> PretrainedText:
    facts = fitted.facts()
    size, config = facts["num_outputs"], facts["backbone_config"]
    return PretrainedText(size, str(folder), config, outputs_of="text", vocab_size=size, **arguments)


def of_rows(fitted: PretrainedPairs) -> tuple[Tensor, Tensor, Tensor]:
    fields = fitted.transform(["Der alte Hund.", "Der rote Ball sieht 3 kleine."])
    return fields["x"][:], fields["lengths"], fitted.targets(["The old dog.", "The red ball sees"])[:]


def test_probabilities_are_those_of_transformers(made: Any) -> None:
    original, fitted, model = made
    assert "the output layer is that of" in model.notices[0].text
    x, lengths, y = of_rows(fitted)
    order = model.order
    given = functional.pad(y[:, :-1], (1, 0), value=START)
    with torch.no_grad():
        true = original(
            input_ids=order[x],
            attention_mask=(x != PADDING).long(),
            decoder_input_ids=order[given],
        ).logits[..., : len(fitted.target_subwords.vocabulary())]
        size = int(order.max()) + 1
        found = model(x, lengths, y=y)
    assert order[START] == original.config.decoder_start_token_id
    true = true[..., :size].log_softmax(-1)
    rest = [code for code in range(found.shape[-1]) if code not in (PADDING, START)]
    torch.testing.assert_close(found.log_softmax(-1)[..., rest], true[..., order[rest]], rtol=1e-4, atol=1e-4)
    assert float(found.exp().sum()) > 0 and bool(found.isfinite().all())


def test_decoding_token_by_token_gives_the_logits_of_teacher_forcing(made: Any) -> None:
    _, fitted, model = made
    x, lengths, y = of_rows(fitted)
    with torch.no_grad():
        expected = model(x, lengths, y=y)
        memory, state = model.encode(x, lengths)
        token = torch.full((2,), START)
        for step in range(y.shape[1]):
            logits, state = model.decode(token, memory, state)
            torch.testing.assert_close(logits, expected[:, step], rtol=1e-4, atol=1e-4)
            token = y[:, step]
        both = beam_search(model, x, lengths, 8, 3, 1.0)
        alone = beam_search(model, x[:1, : int(lengths[0])], lengths[:1], 8, 3, 1.0)
        likely = greedy(model, x, lengths, 8)
    assert both.tokens[0].tolist() == alone.tokens[0].tolist()
    assert bool((likely.tokens < model.head[-1].out_features).all())


def test_greedy_decoding_is_that_of_transformers(made: Any) -> None:
    original, fitted, model = made
    x, lengths, _ = of_rows(fitted)
    with torch.no_grad():
        found = greedy(model, x, lengths, 6)
        true = original.generate(
            model.order[x],
            attention_mask=(x != PADDING).long(),
            max_new_tokens=6,
            do_sample=False,
            num_beams=1,
            suppress_tokens=sorted(
                {original.config.pad_token_id, *range(int(model.order.max()) + 1, original.config.vocab_size)}
                | ({original.config.decoder_start_token_id} - {original.config.eos_token_id})
            ),
        )[:, 1:]
    for tokens, ids in zip(found.tokens, true, strict=True):
        own = model.order[tokens[tokens != PADDING]].tolist()
        assert own == [code for code in ids.tolist() if code not in (0, 1)][: len(own)]


def test_texts_are_read_back_and_changes_are_told(made: Any) -> None:
    _, fitted, _ = made
    tokens = fitted.target_subwords
    (row,) = tokens.encode(["The old dog sees 3 dogs."])
    assert END not in row and PADDING not in row
    assert tokens.decode([[*row, END, PADDING]]) == ["The old dog sees 3 dogs."]
    assert fitted.changed_[0] == 0
    fields, counts = fitted.transform_and_count(["  ", "Ein Ω."])
    assert fields["lengths"][0] == 1 and counts["empty_texts"] == 1 and counts["unknown_tokens"] >= 1
    texts = ["The dog.", "The  Ω dog."]
    (changed,) = fitted.changed(texts, fitted.targets(texts)).values()
    assert changed == texts[1]
    again = PretrainedPairs(fitted.name, 40, "translate: ").fit(sources_of(["a"] * 2, texts))
    assert again.changed_[:2] == (1, texts[1])
    assert "changes 1 of 2 training targets" in again.notices()[-1].text
    assert len(again.source_subwords.encode(["a"])[0]) > len(fitted.source_subwords.encode(["a"])[0])


def test_parts_are_trained_by_the_strategies(made: Any) -> None:
    _, fitted, _ = made
    model: Any = built(Path(fitted.name), fitted)
    layers = model.layers(coarse=True)
    assert len(layers) == 4 and all(layers)
    trained = {name for name, one in model.backbone.named_parameters() if one.requires_grad}
    assert {name for layer in layers for name in layer} == trained
    assert any("decoder" in name for name in layers[-1])
    assert not any("decoder" in name for name in layers[1])
    groups = FineTuning(layer_decay=0.5).groups(model)
    assert [group["lr_share"] for group in groups][1:] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    GradualUnfreezing((1,)).prepare(model)
    assert not any(one.requires_grad for one in model.backbone.parameters())
    adapted = LoRA(target_modules=["q", "q_proj"])
    adapted.prepare(model)
    x, lengths, y = of_rows(fitted)
    merged: Any = adapted.merged(model.eval())
    with torch.no_grad():
        torch.testing.assert_close(merged(x, lengths, y=y), model(x, lengths, y=y))
        memory, state = merged.encode(x, lengths)
        merged.decode(torch.full((2,), START), memory, state)


def test_other_models_are_refused(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path, ["a", "b"], pad_token_id=0, eos_token_id=3, decoder_start_token_id=2)
    fitted = PretrainedPairs(str(folder), max_length=8).fit(sources_of(["a"], ["b"]))
    for pretrained in (True, False):
        with pytest.raises(ConfigError, match="is not an encoder-decoder model"):
            built(folder, fitted, pretrained=pretrained)
    other = save_tiny_bert(tmp_path / "other", ["a", "b"])
    with pytest.raises(ConfigError, match=r"config\.json has no decoder_start_token_id"):
        PretrainedPairs(str(other), max_length=8).fit(sources_of(["a"], ["b"]))
