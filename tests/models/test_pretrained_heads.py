"""Heads of pretrained models are kept if they fit; new ones are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dlcli.datasets.passages import Passages
from dlcli.errors import ConfigError
from dlcli.inference.forward_passes import joined
from dlcli.models.pretrained_text import PretrainedText
from dlcli.preprocessing.pretrained_language import PretrainedLanguage
from dlcli.preprocessing.pretrained_questions import PretrainedQuestions
from dlcli.preprocessing.pretrained_words import PretrainedWords
from dlcli.tasks.tag import Tag
from dlcli.tasks.tag_losses import TagCrossEntropy
from dlcli.training.lora import LoRA
from tests.tiny_bert import save_tiny_bert
from tests.tiny_gpt2 import save_tiny_gpt2


def test_a_head_for_question_answering_is_kept(tmp_path: Path) -> None:
    import transformers

    folder = str(save_tiny_bert(tmp_path, ["a", "b"], "BertForQuestionAnswering"))
    pairs = [{"question": "a", "context": "b a b"}]
    fitted = PretrainedQuestions(folder, max_length=32).fit(pairs)
    model = PretrainedText(2, folder, fitted.backbone_config_, outputs_of="token").eval()
    assert "is that of" in model.notices[0].text
    fields = {name: field[:] for name, field in fitted.transform(pairs).items()}
    original = transformers.BertForQuestionAnswering.from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(**fields)
        true = original(input_ids=fields["x"][0], token_type_ids=fields["segments"][0])
    torch.testing.assert_close(found[0, ..., 0], true.start_logits)
    torch.testing.assert_close(found[0, ..., 1], true.end_logits)
    assert found[0, 0, :, 2].tolist() == [-1, -1, -1, 0, 2, 4, -1]
    dense = PretrainedText(2, folder, fitted.backbone_config_, outputs_of="token", hidden=4)
    assert "the head is new" in dense.notices[0].text


def test_labels_of_tags_are_matched_by_their_names(tmp_path: Path) -> None:
    import transformers

    labels = {0: "B-X", 1: "O"}
    codes = {name: code for code, name in labels.items()}
    kind = "BertForTokenClassification"
    folder = str(save_tiny_bert(tmp_path, ["a", "b"], kind, id2label=labels, label2id=codes))
    fitted = PretrainedWords(folder).fit([["a", "b"]])
    names = ("O", "B-X")
    model = PretrainedText(2, folder, fitted.backbone_config_, outputs_of="word", output_names=names).eval()
    fields = fitted.transform([["a", "b"]])
    original = transformers.BertForTokenClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(fields["x"][:], fields["lengths"], fields["firsts"][:])
        true = original(input_ids=fields["x"][:]).logits[:, 1:3, [1, 0]]
    torch.testing.assert_close(found, true)
    other = PretrainedText(2, folder, fitted.backbone_config_, outputs_of="word", output_names=("O", "B-Y"))
    assert "has other labels, B-X, O" in other.notices[0].text


def test_the_output_layer_of_a_causal_model_is_kept(tmp_path: Path) -> None:
    import transformers

    folder = str(save_tiny_gpt2(tmp_path, ["the cat sees a dog"] * 3))
    rows = Passages.of(["the dog sees", "a cat sees a dog"])
    fitted = PretrainedLanguage(folder).fit(rows)
    model = _causal(folder, fitted).eval()
    x = fitted.transform(rows)["x"][:]
    original = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), original(x).logits[..., : fitted.size])
        first, state = model.continued(x[:, :2], None)
        second, _ = model.continued(x[:, 2:3], state)
        torch.testing.assert_close(torch.stack([first, second], dim=1), model(x)[:, 1:3])
    LoRA().prepare(model)
    trained = [name for name, one in model.named_parameters() if one.requires_grad]
    assert trained[-1] == "head.1.weight"
    assert all("lora_" in name for name in trained[:-1])
    with pytest.raises(ConfigError, match=r"accepts at most 24"):
        PretrainedLanguage(folder).fit(Passages.of(["0123456789" * 3]))


def test_models_that_are_not_causal_are_refused(tmp_path: Path) -> None:
    bert = str(save_tiny_bert(tmp_path / "bert", ["a"], "BertForMaskedLM"))
    with pytest.raises(ConfigError, match="is not byte-level byte-pair encoding"):
        PretrainedLanguage(bert).fit(Passages.of(["a"]))
    folder = str(save_tiny_gpt2(tmp_path / "gpt2", ["a"], "GPT2Model"))
    fitted = PretrainedLanguage(folder).fit(Passages.of(["a"]))
    with pytest.raises(ConfigError, match=r"is not a causal language model .*\(GPT2Model\)"):
        _causal(folder, fitted)


def test_a_new_head_is_reported(tmp_path: Path) -> None:
    folder = str(save_tiny_bert(tmp_path, ["a"]))
    fitted = PretrainedWords(folder).fit([["a"]])
    model = PretrainedText(
        3, folder, fitted.backbone_config_, outputs_of="word", output_names=("a", "b", "c")
    )
    assert model.notices[0].text.startswith("the head for tags of words is new, with random weights")
    assert PretrainedText(3, folder, fitted.backbone_config_).notices == []


def test_words_that_are_cut_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    folder = str(save_tiny_bert(tmp_path, ["a", "b", "."]))
    # Of 5 tokens, 3 are words: the rows are cut after their first, second, and third word, or not at all.
    rows = [["a.b", "a", "b", "a"], ["a", "a.", "b"], ["a", "b", "a", "b", "a"], ["b"]]
    fitted = PretrainedWords(folder, max_length=5).fit(rows)
    assert fitted.measured_["cut_words"] == 3 + 1 + 2
    classes, counts = ("B-X", "O"), (3, 1)
    task = Tag(classes, counts, TagCrossEntropy(classes, counts, class_weights="balanced"), longest=5)
    model = PretrainedText(2, folder, fitted.backbone_config_, outputs_of="word", output_names=classes).eval()
    y = torch.tensor(
        [[0, 0, 0, 0, -100], [0, 1, 0, -100, -100], [0, 0, 0, 0, 0], [0, -100, -100, -100, -100]]
    )
    fields = fitted.transform(rows)

    def outputs_of(some: slice) -> torch.Tensor:
        return model(fields["x"][some], fields["lengths"][some], fields["firsts"][some])

    whole = outputs_of(slice(0, 4))
    loss = task.loss(whole, y)
    loss.backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in model.parameters())
    with torch.no_grad():
        single = [outputs_of(slice(row, row + 1)) for row in range(4)]
        kept = task.kept(whole, y)[0]
        alone = torch.cat([task.kept(found, y[row : row + 1])[0] for row, found in enumerate(single)])
        torch.testing.assert_close(kept, alone)
        assert (kept[:, 1:] >= 0).sum(dim=1).tolist() == [1, 2, 3, 1]
        table = task.described(joined([task.predicted(found) for found in single], task.padding), rows)
        torch.testing.assert_close(task.kept_loss(kept, y), _mean_over_words(kept, [1, 2, 3, 1]))
    assert [tags.split()[read:] for tags, read in zip(table["tags"], [1, 2, 3, 1], strict=True)] == [
        ["O"] * 3,
        ["O"],
        ["O"] * 2,
        [],
    ]
    filled = torch.where(kept[:, 1:] < 0, 1, kept[:, 1:])
    right = ((filled == y) & (y >= 0)).sum(dim=1)
    assert task.metric_inputs(kept, y)[0][:, 2, -1].tolist() == right.tolist()


def _mean_over_words(kept: torch.Tensor, read: list[int]) -> torch.Tensor:
    words = torch.tensor(read)
    return (kept[:, 0] * words).sum() / words.sum()


def _causal(folder: str, fitted: PretrainedLanguage) -> PretrainedText:
    config = fitted.backbone_config_
    return PretrainedText(3, folder, config, outputs_of="next_token", vocab_size=fitted.size)
