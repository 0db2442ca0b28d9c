"""Lengths of texts: the chosen limits, and notices about truncated texts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.models.linear import Linear
from dlcli.models.mlp import MLP
from dlcli.models.recurrent import Recurrent
from dlcli.models.row_reading import text_facts
from dlcli.models.textcnn import TextCNN
from dlcli.models.transformer import Transformer
from dlcli.preprocessing.text import Text
from dlcli.preprocessing.tokens import length_that_keeps
from dlcli.training.loader import BatchLoader


def words_of(lengths: list[int], words: int = 20) -> list[str]:
    """Return texts of these numbers of words, which are tokens."""
    draw = np.random.default_rng(0)
    names = [chr(ord("a") + n) * 3 for n in range(words)]
    return [" ".join(names[n] for n in draw.integers(0, words, length)) for length in lengths]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.integers(300, 2000))
@settings(max_examples=50, deadline=None)
def test_the_chosen_length_is_the_smallest_that_keeps_enough(lengths: list[int], most: int) -> None:
    full = np.array(lengths)
    chosen = length_that_keeps(full, most)

    def kept(length: int) -> float:
        return np.minimum(full, length).sum() / full.sum()

    assert 256 <= chosen <= most
    assert chosen == most or kept(chosen) >= 0.95
    assert chosen == 256 or kept(chosen - 1) < 0.95


@pytest.mark.parametrize(
    ("model", "reads", "longest"),
    [(Linear, "bag", None), (MLP, "bag", None), (TextCNN, "whole", 16384), (Recurrent, "start", 2048),
     (Transformer, "start", 1024), (torch.nn.Linear, "start", 1024)],
)  # fmt: skip
def test_models_declare_how_they_read_texts(model: type, reads: str, longest: int | None) -> None:
    assert text_facts(model) == {"reads_text": reads, "longest_text": longest}


def test_a_length_is_chosen_on_the_training_rows() -> None:
    texts = words_of([100] * 10 + [700] * 10)
    fitted = Text(min_frequency=1, reads_text="start", longest_text=2048).fit(texts)
    assert fitted.length_ == length_that_keeps(np.array([100] * 10 + [700] * 10), 2048)
    counts, share = fitted.notices()
    assert (
        counts.text == f"10 of 20 training texts are longer than {fitted.length_} tokens, and are cut there"
    )
    assert (share.key, share.warns) == ("cut_tokens", False)
    assert 0 < share.count <= 0.05
    assert fitted.transform(words_of([5000]))["lengths"].tolist() == [fitted.length_]


@given(
    trained=st.lists(st.integers(1, 900), min_size=1, max_size=12),
    new=st.lists(st.integers(1, 900), min_size=1, max_size=12),
    given_length=st.none() | st.integers(1, 700),
    longest=st.none() | st.integers(256, 700),
    reads=st.sampled_from(["bag", "whole", "start"]),
)
@settings(max_examples=25, deadline=None)
def test_the_cut_that_is_told_is_the_one_that_is_made(
    trained: list[int], new: list[int], given_length: int | None, longest: int | None, reads: str
) -> None:
    fitted = Text(min_frequency=1, max_length=given_length, reads_text=reads, longest_text=longest)
    fitted.fit(words_of(trained))
    at = 10**6 if fitted.length_ is None else fitted.length_
    told = {notice.key: notice for notice in fitted.notices()}
    cut = [length for length in trained if length > at]
    lost = sum(length - at for length in cut)
    assert ("longest_text" in told, "cut_tokens" in told) == (not cut, bool(cut))
    if cut:
        assert (told["cut_texts"].count, told["cut_tokens"].count) == (len(cut), lost / sum(trained))
        assert f"the longest has {max(trained):,})" in told["cut_tokens"].text
        assert told["cut_tokens"].warns == (lost > 0.05 * sum(trained) + 1e-6)
    fields, counts = fitted.transform_and_count(words_of(new))
    lengths = fields["counts"].values if reads == "bag" else fields["lengths"]
    assert int(lengths.sum()) == sum(min(length, at) for length in new)
    cut = [length for length in new if length > at]
    found = [notice for notice in fitted.notices_of_new(counts) if notice.key == "cut_texts"]
    assert [notice.count for notice in found] == [len(cut)] * bool(cut)
    for notice in found:
        assert f"{sum(length - at for length in cut) / sum(new):.1%} of all tokens" in notice.text


def test_the_model_bounds_the_length_and_that_is_warned_of() -> None:
    fitted = Text(min_frequency=1, longest_text=300).fit(words_of([600] * 4))
    assert fitted.length_ == 300
    assert [(notice.key, notice.count, notice.warns) for notice in fitted.notices()] == [
        ("cut_texts", 4, False),
        ("cut_tokens", 0.5, True),
    ]
    assert fitted.notices()[1].text == (
        "50.0% of the tokens of the training texts are not read (texts are cut at 300 tokens, the longest has 600)"
    )


def test_a_given_length_is_used_and_its_cost_reported() -> None:
    for reads in ("bag", "whole", "start"):
        fitted = Text(min_frequency=1, max_length=10, reads_text=reads).fit(words_of([40, 20]))
        assert fitted.measured_ | {"unknown_tokens": 0} == fitted.measured_
        assert fitted.notices()[1].count == pytest.approx(40 / 60)
        assert fitted.notices()[1].warns


def test_short_texts_are_read_whole_by_all_models() -> None:
    for reads in ("bag", "whole", "start"):
        (notice,) = Text(min_frequency=1, reads_text=reads).fit(words_of([200, 3])).notices()
        assert (notice.count, notice.text, notice.warns) == (
            200, "texts are read whole, the longest of 200 tokens", False,
        )  # fmt: skip


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.sampled_from(["words", "characters", "bpe"]))
@settings(max_examples=25, deadline=None)
def test_a_bag_has_the_counts_of_the_tokens(lengths: list[int], kind: str) -> None:
    texts = words_of(lengths)
    bag = Text(kind, min_frequency=1, vocab_size=400, reads_text="bag").fit(texts)
    row = Text(kind, min_frequency=1, vocab_size=400, reads_text="whole").fit(texts)
    found, expected = bag.transform(texts), row.transform(texts)
    for tokens, counts, whole in zip(found["x"], found["counts"], expected["x"], strict=True):
        pairs = zip(tokens.tolist(), counts.int().tolist(), strict=True)
        assert dict(pairs) == dict(Counter(whole.tolist()))
    assert bag.measured_ == row.measured_


@pytest.mark.parametrize("kind", [Linear, MLP])
def test_models_of_bags_give_what_they_give_for_the_tokens(kind: type) -> None:
    texts = words_of([3, 40, 500, 1])
    torch.manual_seed(0)
    model = kind(input_shape=(0,), num_outputs=3, vocab_size=30)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    outputs, gradients = [], []
    for reads in ("bag", "whole"):
        fields = Text(min_frequency=1, max_length=500, reads_text=reads).fit(texts).transform(texts)
        batch = {name: fields[name][:] for name in ("x", "counts") if name in fields}
        model.zero_grad()
        outputs.append(model(**batch))
        outputs[-1].square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-4)


def test_new_texts_with_unknown_tokens_are_reported() -> None:
    fitted = Text(min_frequency=1, max_length=300).fit(words_of([50] * 10))
    counts: Counter[str] = Counter()
    for piece in ([" ".join(["new"] * 10)], words_of([10, 400])):
        counts.update(fitted.transform_and_count(piece)[1])
    assert {notice.key: notice.text for notice in fitted.notices_of_new(counts)} == {
        "cut_texts": "1 of 3 texts are cut at 300 tokens: 23.8% of all tokens are not read",
        "unknown_texts": "1 of 3 texts have no token known to the model",
    }
    (_, share, _) = fitted.notices_of_new({**counts, "unknown_tokens": 100})
    assert share.text == "31.2% of the tokens are unknown to the model, 0.0% of those of its training texts"
    assert fitted.notices_of_new(fitted.measured_) == []


def test_one_very_long_text_makes_no_wide_batches_of_many_rows() -> None:
    lengths = [20] * 600 + [4000]
    for reads, most in (("whole", 4096 * 8), ("bag", 512 * 256)):
        fields = (
            Text(min_frequency=1, max_length=16384, reads_text=reads)
            .fit(words_of(lengths))
            .transform(words_of(lengths))
        )
        loader = BatchLoader(fields, 512, bounded=True)
        batches = list(loader)
        assert max(batch["x"].numel() for batch in batches) <= most
        assert len(batches) == len(loader) <= 4
        order = loader.order()
        assert order is not None
        assert torch.equal(torch.cat([batch["lengths"] for batch in batches]), fields["lengths"][order])
        assert [len(batch["x"]) for batch in BatchLoader(fields, 512)] == [512, 89]


def test_one_very_long_text_is_cut_near_the_length_of_the_others() -> None:
    """It would have most of the tokens, and a training batch with it would take as long as all others together."""
    for others, start, whole in ((20, 256, 256), (300, 300, 600)):
        texts = words_of([others] * 199 + [20_000])
        fitted = {
            reads: Text(min_frequency=1, reads_text=reads, longest_text=16_384, usual_texts=0.99).fit(texts)
            for reads in ("start", "whole", "bag")
        }
        assert {reads: one.length_ for reads, one in fitted.items()} == {
            "start": start,
            "whole": whole,
            "bag": None,
        }
        told = [notice.text for notice in fitted["whole"].notices()]
        assert told[0] == f"1 of 200 training texts are longer than {whole} tokens, and are cut there"
        batches = BatchLoader(fitted["whole"].transform(texts), 32, shuffle=True)
        assert max(batch["x"].numel() for batch in batches) <= 32 * whole
    one = Text(min_frequency=1, reads_text="whole", longest_text=16_384, usual_texts=0.99)
    assert one.fit(words_of([900])).length_ == 1800
    # Records of earlier versions lack the key: a run that is resumed reads texts as it began.
    before = [
        Text(min_frequency=1, reads_text=reads, longest_text=16_384).fit(texts)
        for reads in ("start", "whole")
    ]
    assert [one.length_ for one in before] == [
        length_that_keeps(np.array([300] * 199 + [20_000]), 16_384),
        16_384,
    ]


def test_the_panel_shows_no_settings_that_follow_from_the_model() -> None:
    assert repr(Text(reads_text="bag", longest_text=None)) == "Text()"
    assert repr(Text(max_length=9, reads_text="whole", longest_text=16384)) == "Text(max_length=9)"
    assert repr(Text(usual_texts=0.99)) == "Text()"
    assert repr(Text(usual_texts=0.9)) == "Text(usual_texts=0.9)"
